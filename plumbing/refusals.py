"""A refusal is an answer, not an accident: it carries its own status, code and sentence.

Promise: whoever asked for something a rule forbids hears which rule, in one sentence, with a 4xx; ``plumbing.problems``
turns any ``Refusal`` into that answer, so that no door has to list the refusals of the rooms behind it.
"""


class Refusal(Exception):
    """What was asked cannot be; the sentence says why. Subclasses stand beside the function that raises them."""

    status = 409
    code = "refused"

    @property
    def sentence(self) -> str:
        """What the sender is told."""
        return str(self)
