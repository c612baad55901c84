"""The fair-billing table: what is charged in each way a call can end, as data, published to customers.

Promise: a call is stamped with exactly one of these rules, its receipt says which, and what the rule says is what the
code does; a test holds that the code stamps every rule of the table and none besides. ``Share`` is what the audit and
``replay`` recompute by: all that was measured, what was delivered, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Share(StrEnum):
    """How much of a call is charged."""

    ALL = "all"
    DELIVERED = "delivered"
    NOTHING = "nothing"


class Rule(StrEnum):
    """The name of a rule, as it stands on rows and receipts."""

    USED = "used"
    NO_OUTPUT_FREE = "no_output_free"
    FAILED_FREE = "failed_free"
    DELIVERED_PART = "delivered_part"
    CLIENT_LEFT = "client_left"
    CLIENT_LEFT_BEFORE_ANSWER = "client_left_before_answer"
    CREDIT_ENDED = "credit_ended"
    ACCESS_ENDED = "access_ended"
    TIME_ENDED = "time_ended"
    SERVER_DIED = "server_died"
    COUNTING_IS_FREE = "counting_is_free"


@dataclass(frozen=True, slots=True)
class Fairness:
    """One line of the table, in words for customers."""

    happened: str
    charged: str
    share: Share


TABLE: Mapping[Rule, Fairness] = {
    Rule.USED: Fairness(
        "The answer came to its end.",
        "What the provider reports that it used. Where it reports nothing, or something impossible, an estimate from"
        " what was delivered, marked so and never above the hold.",
        Share.ALL,
    ),
    Rule.NO_OUTPUT_FREE: Fairness(
        "The call ended properly, but nothing was answered.", "Nothing, whatever was read for it.", Share.NOTHING
    ),
    Rule.FAILED_FREE: Fairness(
        "No provider of the model answered, or the first thing it said was an error.", "Nothing.", Share.NOTHING
    ),
    Rule.DELIVERED_PART: Fairness(
        "The answer broke off, stalled or failed in the middle, by its provider's fault or ours.",
        "The question and the part of the answer that was delivered, as reported or else estimated from it; never above"
        " the hold.",
        Share.DELIVERED,
    ),
    Rule.CLIENT_LEFT: Fairness(
        "You hung up while the answer was on its way.",
        "What the provider reports that it used; we listen on for a while to learn it. Else the question and what was"
        " delivered, estimated; nothing if nothing was answered.",
        Share.DELIVERED,
    ),
    Rule.CLIENT_LEFT_BEFORE_ANSWER: Fairness(
        "You hung up, and no answer began within the time we listened on.", "Nothing.", Share.NOTHING
    ),
    Rule.CREDIT_ENDED: Fairness(
        "A long answer needed more credit, or more of a budget, than was left; it was ended with an error in the"
        " stream.",
        "The question and the part of the answer that was delivered.",
        Share.DELIVERED,
    ),
    Rule.ACCESS_ENDED: Fairness(
        "The key was revoked, or the organization suspended, in the middle of an answer; it was ended with an error in"
        " the stream.",
        "The question and the part of the answer that was delivered.",
        Share.DELIVERED,
    ),
    Rule.TIME_ENDED: Fairness(
        "The call lasted longer than any call may, because its reader stopped reading.",
        "The question and the part of the answer that was delivered.",
        Share.DELIVERED,
    ),
    Rule.SERVER_DIED: Fairness("Our server died in the middle of the call.", "Nothing.", Share.NOTHING),
    Rule.COUNTING_IS_FREE: Fairness(
        "You asked how many tokens a request would have.", "Nothing, whatever the model costs.", Share.NOTHING
    ),
}


def published() -> list[dict[str, str]]:
    """The table for pages and for the public endpoint."""
    return [
        {"rule": rule.value, "happened": line.happened, "charged": line.charged, "share": line.share.value}
        for rule, line in TABLE.items()
    ]
