"""Bounds: the most a request can cost before it is sent, and the longest answer a balance affords.

A ceiling is priced by the same engine on the dearest tariff reachable: every context tier the input could reach,
every cache class, the service tier asked for, the dearest hour until the request must have ended. Input is counted
by bytes, and no tokenizer makes more tokens than there are bytes. What is not text is given as lines.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime

from billing.pricing.cards import Card
from billing.pricing.circumstances import Circumstances
from billing.pricing.engine import ONE, Ratio, priced
from billing.pricing.grants import uncovered
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.rates import Rates
from billing.pricing.reading import MAX_QUANTITY, Fields, Malformed
from billing.pricing.usage import MODALITIES, Bucket, Line, Usage

TOKENS_PER_MESSAGE = 16
MAX_ANSWERS = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request can consume at most.

    `lines` bounds what bytes do not: images, audio seconds, searches, tokens of media fetched from elsewhere. All
    tokens of an answer, reasoning included, lie within `max_output_tokens`; `answer` is the dearest modality asked
    for. `until` is the latest moment the request can end, where hours have prices.
    """

    input_bytes: int
    max_output_tokens: int
    messages: int = 0
    n: int = 1
    lines: tuple[Line, ...] = ()
    answer: str = "text"
    service_tier: str | None = None
    at: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that bind nothing."""
        counts = (self.input_bytes, self.max_output_tokens, self.messages)
        if min(counts) < 0 or max(counts) > MAX_QUANTITY or not 1 <= self.n <= MAX_ANSWERS:
            msg = f"Bounds are whole numbers from 0 to {MAX_QUANTITY}, and n from 1 to {MAX_ANSWERS}."
            raise Malformed(msg)
        if self.answer not in MODALITIES:
            msg = f"An answer is one of {', '.join(MODALITIES)}."
            raise Malformed(msg)
        if any(line.is_tokens and line.bucket.direction == "output" for line in self.lines):
            msg = "Tokens of the answer are bounded by max_output_tokens, not by lines."
            raise Malformed(msg)

    @classmethod
    def from_json(cls, source: object) -> "Bounds":
        """Read bounds, strictly."""
        fields = Fields(source, where="bounds")
        bounds = cls(
            input_bytes=fields.integer("input_bytes"),
            max_output_tokens=fields.integer("max_output_tokens"),
            messages=fields.optional("messages", fields.integer) or 0,
            n=fields.optional("n", lambda name: fields.integer(name, least=1, most=MAX_ANSWERS)) or 1,
            lines=Usage.from_json(fields.take("lines") if fields.has("lines") else []).lines,
            answer=fields.choice("answer", MODALITIES, "text"),
        )
        fields.done()
        return bounds

    @property
    def usage(self) -> Usage:
        """Return the largest usage within the bounds, one line per family of buckets."""
        quantities = Counter({line.bucket._replace(cache="none"): 0 for line in self.lines})
        for line in self.lines:
            quantities[line.bucket._replace(cache="none")] += line.quantity
        quantities[Bucket("input")] += self.input_bytes + TOKENS_PER_MESSAGE * self.messages
        quantities[Bucket("output", self.answer)] += self.n * self.max_output_tokens
        return Usage.of(quantities.items())


def ceiling(*, bounds: Bounds, rates: Rates, modifiers: Modifiers = NO_MODIFIERS, granted_tokens: int = 0) -> int:
    """Return the most, in nano-USD, that any usage within the bounds can be charged.

    Tokens that a token grant covers are not paid in money; the grant is drawn on in the order of `grants.split`.
    """
    usage = bounds.usage
    tier = bisect_left(rates.thresholds, usage.input_tokens)
    scale = ONE if rates.card is None else _dearest_scale(rates.card, bounds)
    paid = uncovered(usage, granted_tokens)
    if granted_tokens and paid.is_empty:
        return 0
    circumstances = Circumstances(at=bounds.at, service_tier=bounds.service_tier, modifiers=modifiers)
    return priced(
        usage=paid, rates=rates, circumstances=circumstances, tier=tier, scale=scale, as_bound=True
    ).charge_nano


def affordable_output(
    *,
    available_nano: int,
    bounds: Bounds,
    rates: Rates,
    modifiers: Modifiers = NO_MODIFIERS,
    granted_tokens: int = 0,
) -> int | None:
    """Return the largest output limit, up to the bounds' own, whose ceiling fits what is available.

    0 means that only the question fits; None that not even that does.
    """

    def fits(limit: int) -> bool:
        asked = replace(bounds, max_output_tokens=limit)
        most = ceiling(bounds=asked, rates=rates, modifiers=modifiers, granted_tokens=granted_tokens)
        return most <= available_nano

    if fits(bounds.max_output_tokens):
        return bounds.max_output_tokens
    if not fits(0):
        return None
    fitting, too_many = 0, bounds.max_output_tokens
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(middle) else (fitting, middle)
    return fitting


def _dearest_scale(card: Card, bounds: Bounds) -> Ratio:
    service = card.service_multiplier(bounds.service_tier)
    return (service * card.peak_multiplier(bounds.at, bounds.until)).as_integer_ratio()
