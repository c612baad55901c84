"""What must be true of a call before it goes to a provider: size, words, a moderation model, country, resale.

Pure: rules and facts in, a refusal or nothing out. Everything is off unless somebody configured it, on the route or on
the provider's account; both hold. A rule that cannot be read, and a country that nobody knows where one is asked for,
refuse: in doubt nothing is sent. Looking for words takes time in proportion to the text, whatever the pattern: there
are no regular expressions, only pieces that must follow one another.

    {"longest_prompt_bytes": 200000,                  text of the request, in bytes of UTF-8
     "refused_patterns": ["launch codes", "make*bomb"],  case, width and white space do not matter; * is anything
     "moderation_model": "omni-moderation-latest"}    a free model of purpose moderation that must not object
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.dialects.neutral import Refusal, Request, Text, Thinking, ToolCall, parts_of
from gateway.errors import ContentBlocked, GatewayError, NotAllowed, PromptTooLong

MOST_PATTERNS, LONGEST_PATTERN, FEWEST_LETTERS = 100, 200, 3
LARGEST_LIMIT = 64 * 1024 * 1024
UNSEEN = dict.fromkeys([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])


class BadRule(ValueError):
    """A policy that nobody could follow; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy of one way to be asked: that of the route and that of the account together."""

    longest_prompt_bytes: int | None = None
    refused_patterns: tuple[str, ...] = ()
    moderation_models: tuple[str, ...] = ()
    allowed_countries: frozenset[str] = frozenset()
    refused_countries: frozenset[str] = frozenset()
    may_be_resold: bool = True
    is_broken: bool = False

    @property
    def reads_words(self) -> bool:
        """Whether the text of a request matters."""
        return self.longest_prompt_bytes is not None or bool(self.refused_patterns)


OPEN = Rules()


# --- Reading rules ----------------------------------------------------------------------------------------------------


def rules_of(
    *policies: Mapping[str, Any],
    allowed_countries: Sequence[str] = (),
    refused_countries: Sequence[str] = (),
    may_be_resold: bool = True,
) -> Rules:
    """Put the policies of a route and its account together; what cannot be read refuses everything."""
    try:
        read = [checked(policy) for policy in policies]
        allowed, refused = countries(allowed_countries), countries(refused_countries)
    except BadRule:
        return Rules(is_broken=True)
    limits = [policy["longest_prompt_bytes"] for policy in read if "longest_prompt_bytes" in policy]
    patterns = dict.fromkeys(pattern for policy in read for pattern in policy.get("refused_patterns", ()))
    models = dict.fromkeys(policy["moderation_model"] for policy in read if "moderation_model" in policy)
    rules = Rules(
        min(limits, default=None), tuple(map(plain, patterns)), tuple(models), allowed, refused, may_be_resold
    )
    return OPEN if rules == OPEN else rules


def checked(policy: object) -> Mapping[str, Any]:
    """A policy as it may be written, or ``BadRule``."""
    if not isinstance(policy, dict):
        raise BadRule("A policy is an object.")
    for name, value in policy.items():
        if name not in _CHECKS:
            message = f"A policy has no {name!r}; it knows {', '.join(sorted(_CHECKS))}."
            raise BadRule(message)
        _CHECKS[name](value)
    return policy


def _check_limit(value: object) -> None:
    if type(value) is not int or not 0 < value <= LARGEST_LIMIT:
        message = f"'longest_prompt_bytes' is a whole number up to {LARGEST_LIMIT}."
        raise BadRule(message)


def _check_patterns(value: object) -> None:
    if not isinstance(value, list) or len(value) > MOST_PATTERNS:
        message = f"'refused_patterns' is a list of at most {MOST_PATTERNS} patterns."
        raise BadRule(message)
    for pattern in value:
        if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
            message = f"A pattern is a text of at most {LONGEST_PATTERN} characters."
            raise BadRule(message)
        if len(plain(pattern).replace("*", "").replace(" ", "")) < FEWEST_LETTERS:
            message = f"The pattern {pattern!r} has fewer than {FEWEST_LETTERS} characters and would refuse nearly all."
            raise BadRule(message)


def _check_model(value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= 120:
        raise BadRule("'moderation_model' is the name of a model on the price list.")


_CHECKS = {
    "longest_prompt_bytes": _check_limit,
    "refused_patterns": _check_patterns,
    "moderation_model": _check_model,
}


def countries(codes: Sequence[str]) -> frozenset[str]:
    """Two-letter codes, or ``BadRule``."""
    if not isinstance(codes, (list, tuple)) or not all(_is_country(code) for code in codes):
        raise BadRule("Countries are a list of two-letter codes in capitals, such as DE.")
    return frozenset(codes)


def _is_country(code: object) -> bool:
    return isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha() and code.isupper()


# --- Judging ----------------------------------------------------------------------------------------------------------


def refusal(rules: Rules, *, country: str, texts: Sequence[str]) -> GatewayError | None:
    """Why a call may not go this way, in a sentence for whoever sent it; ``texts`` have been made ``plain``."""
    if rules.is_broken:
        return NotAllowed("This model's rules cannot be read at the moment; its operator has been told.")
    if not rules.may_be_resold:
        return NotAllowed("The provider of this model does not allow that it is resold.")
    if (rules.allowed_countries and country not in rules.allowed_countries) or country in rules.refused_countries:
        where = f"calls from {country}" if country else "calls whose country nobody knows"
        message = f"The provider of this model does not serve {where}."
        return NotAllowed(message)
    limit = rules.longest_prompt_bytes
    if limit is not None and sum(len(text.encode(errors="replace")) for text in texts) > limit:
        message = f"The text of this request is longer than the {limit} bytes this model takes here."
        return PromptTooLong(message)
    if any(found(pattern, text) for pattern in rules.refused_patterns for text in texts):
        return ContentBlocked("This request holds words that the policy of this model refuses.")
    return None


def plain(text: str) -> str:
    """A text without what could hide a word: width, case, invisible characters, runs of white space."""
    folded = unicodedata.normalize("NFKC", text.translate(UNSEEN)).casefold()
    return " ".join(folded.split())


def found(pattern: str, text: str) -> bool:
    """Whether the pieces of a pattern follow one another in a text; one pass, whatever the pattern."""
    place = 0
    for piece in pattern.split("*"):
        at = text.find(piece, place)
        if at < 0:
            return False
        place = at + len(piece)
    return True


def texts_of(request: Request) -> list[str]:
    """Every word that a provider would read, message by message, so that no cut between parts hides one."""
    by_message: dict[int, list[str]] = {}
    for message, part in parts_of(request):
        words = by_message.setdefault(id(message), [])
        match part:
            case Text() | Thinking() | Refusal():
                words.append(part.text)
            case ToolCall():
                words.append(f" {part.name} {part.arguments} ")
            case _:
                words.append(" ")
    tools = [f"{tool.name} {tool.description or ''}" for tool in request.tools]
    return [plain(text) for text in ("".join(words) for words in (*by_message.values(), *([tool] for tool in tools)))]


def joined(texts: Iterable[str]) -> str:
    """All of it as one text, for a moderation model to read."""
    return "\n".join(texts)
