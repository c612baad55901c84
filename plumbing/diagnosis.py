"""What could be wrong with an installation: every room registers its own questions, ``manage.py doctor`` asks them.

Promise: a question answers with findings, each one sentence that says what is and, where something is wrong, what would
mend it; a question that itself breaks is a finding too, and no finding carries a secret.

    @diagnosis.examines("providers")
    def providers(visit: diagnosis.Visit) -> Iterator[diagnosis.Finding]: ...  # imported in AppConfig.ready
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal

from plumbing.secrets import redact

Grade = Literal["good", "note", "bad"]
Question = Callable[["Visit"], Iterable["Finding"]]
_questions: dict[str, Question] = {}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """What the doctor may do, and whether somebody came about a key of theirs that does not work."""

    leaves_the_house: bool = True
    api_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    grade: Grade
    sentence: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """As the command prints it."""
        return asdict(self)


def examines(area: str) -> Callable[[Question], Question]:
    """Register a question; one for each area."""

    def register(question: Question) -> Question:
        if _questions.get(area, question) is not question:
            message = f"two rooms examine {area!r}"
            raise ValueError(message)
        _questions[area] = question
        return question

    return register


def examine(visit: Visit) -> list[Finding]:
    """Ask everything there is to ask, in the order of the areas' names."""
    return [finding for area in sorted(_questions) for finding in _asked(area, visit)]


def _asked(area: str, visit: Visit) -> list[Finding]:
    try:
        return list(_questions[area](visit))
    except Exception as error:
        log.exception("the doctor's question about %s broke", area)
        said = redact(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
        return [Finding(area, "bad", f"This could not be examined: {said[:300]}", "The log has the whole story.")]
