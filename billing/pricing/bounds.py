"""Bounds: the most a request can cost before it is sent, and the longest answer a balance affords.

A ceiling is priced by the same engine on the dearest tariff reachable: every context tier the input could reach,
every cache class, every modality that was not ruled out, the service tier asked for or the default one, the dearest
hour until the request must have ended. Input is counted by bytes, and no tokenizer makes more tokens than there are
bytes. What bytes do not bound is given as lines.
"""

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from billing.pricing.cards import Card, find
from billing.pricing.circumstances import Circumstances
from billing.pricing.engine import ONE, OutOfRange, Ratio, plain_charge, priced
from billing.pricing.grants import check_granted
from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.rates import Bound, Rates
from billing.pricing.reading import MAX_QUANTITY, Fields, Malformed
from billing.pricing.usage import MODALITIES, Bucket, Line, Usage

TOKENS_PER_MESSAGE = 16
MAX_ANSWERS = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a request can consume at most.

    `lines` bounds what bytes do not: images, seconds, searches, tokens of media fetched from elsewhere. All tokens
    of an answer, reasoning included, lie within `max_output_tokens`. `question` and `answer` name the one modality
    besides text that tokens may have (`text` for none); None rules nothing out. `until` is the latest moment the
    request can end, where hours have prices.
    """

    input_bytes: int
    max_output_tokens: int
    messages: int = 0
    n: int = 1
    lines: tuple[Line, ...] = ()
    question: str | None = None
    answer: str | None = None
    service_tier: str | None = None
    at: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that bind nothing."""
        in_range = 0 <= self.input_bytes <= MAX_QUANTITY and 0 <= self.max_output_tokens <= MAX_QUANTITY
        if not in_range or not 0 <= self.messages <= MAX_QUANTITY or not 1 <= self.n <= MAX_ANSWERS:
            msg = f"Bounds are whole numbers from 0 to {MAX_QUANTITY}, and n is one from 1 to {MAX_ANSWERS}."
            raise Malformed(msg)
        if self.input_tokens > MAX_QUANTITY or self.output_tokens > MAX_QUANTITY:
            msg = f"A request of more than {MAX_QUANTITY} tokens either way is refused."
            raise Malformed(msg)
        if self.lines and any(line.is_tokens and line.bucket.direction == "output" for line in self.lines):
            raise Malformed("Tokens of the answer are bounded by max_output_tokens, not by lines.")

    @classmethod
    def from_json(cls, source: object, *, service_tier: str | None = None, at: datetime | None = None) -> "Bounds":
        """Read bounds, strictly; without a limit of the client the model's default holds, never above its ceiling."""
        fields = Fields(source, where="bounds")
        asked = fields.optional("max_output_tokens", fields.integer)
        default, most = fields.optional("model", lambda name: _read_model(fields.take(name))) or (None, None)
        limits = [limit for limit in (default if asked is None else asked, most) if limit is not None]
        if not limits:
            raise Malformed("bounds: without 'max_output_tokens' the model's own limits are needed.")
        bounds = cls(
            input_bytes=fields.integer("input_bytes"),
            max_output_tokens=min(limits),
            messages=fields.optional("messages", fields.integer) or 0,
            n=fields.optional("n", lambda name: fields.integer(name, least=1, most=MAX_ANSWERS)) or 1,
            lines=Usage.from_json(fields.take("lines") if fields.has("lines") else []).lines,
            question=fields.optional("question", lambda name: fields.choice(name, MODALITIES)),
            answer=fields.optional("answer", lambda name: fields.choice(name, MODALITIES)),
            service_tier=service_tier,
            at=at,
        )
        fields.done()
        return bounds

    @property
    def input_tokens(self) -> int:
        """Return the most tokens the input can have, media included: what context tiers go by."""
        media = sum([line.quantity for line in self.lines if line.is_tokens]) if self.lines else 0
        return self.input_bytes + TOKENS_PER_MESSAGE * self.messages + media

    @property
    def output_tokens(self) -> int:
        """Return the most tokens all answers together can have."""
        return self.n * self.max_output_tokens

    def usage(self, bound: Bound, output_tokens: int) -> Usage:
        """Return the dearest usage within the bounds, one line for each family of buckets."""
        quantities: dict[Bucket, int] = defaultdict(int)
        for line in self.lines:
            quantities[_family(line)] += line.quantity
        quantities[bound.dearest("input", self.question)] += self.input_bytes + TOKENS_PER_MESSAGE * self.messages
        quantities[bound.dearest("output", self.answer)] = output_tokens
        return Usage.of(quantities.items())


def ceiling(
    *,
    bounds: Bounds,
    rates: Rates,
    modifiers: Modifiers = NO_MODIFIERS,
    granted_tokens: int = 0,
    max_output_tokens: int | None = None,
) -> int:
    """Return the most, in nano-USD, that any usage within the bounds can be charged.

    `max_output_tokens` puts another output limit, never a larger one, in the place of the bounds' own.
    Raises `OutOfRange` for more than any account could hold, and `Unpriced` for what has no price.
    Tokens that a grant covers are not paid in money; which ones it will cover is not known yet, so the dearest are
    taken to be those that are paid.
    """
    output_tokens = bounds.output_tokens if max_output_tokens is None else bounds.n * max_output_tokens
    input_tokens = bounds.input_tokens
    tier = bisect_left(rates.thresholds, input_tokens)
    bound = rates.bounds[tier]
    is_plain = not (bounds.lines or granted_tokens or bounds.question or bounds.answer) and bounds.service_tier is None
    if is_plain and bound.straight is not None and (rates.card is None or not rates.card.peak):
        product = rates.product_of(modifiers)
        return plain_charge(bound.straight, input_tokens, output_tokens, rates=rates, product=product)
    usage = bounds.usage(bound, output_tokens)
    paid = _dearest_left(usage, bound, granted_tokens)
    if granted_tokens and paid.is_empty:
        return 0
    most = priced(
        usage=paid,
        rates=rates,
        circumstances=Circumstances(modifiers=modifiers),
        tariff=bound.tariff,
        tier=tier,
        scale=ONE if rates.card is None else _dearest_scale(rates.card, bounds),
        parts=[_parts(bound, line, is_split=granted_tokens > 0) for line in usage.lines],
    )
    return most.charge_nano


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
        try:
            most = ceiling(
                bounds=bounds,
                rates=rates,
                modifiers=modifiers,
                granted_tokens=granted_tokens,
                max_output_tokens=limit,
            )
        except OutOfRange:
            return False
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


def _read_model(source: object) -> tuple[int | None, int | None]:
    fields = Fields(source, where="bounds.model")
    limits = (
        fields.optional("default_output_tokens", fields.integer),
        fields.optional("max_output_tokens", fields.integer),
    )
    fields.done()
    return limits


def _family(line: Line) -> Bucket:
    return line.bucket._replace(cache="none")


def _dearest_scale(card: Card, bounds: Bounds) -> Ratio:
    """A cheaper service tier may still be served as the default one; without a moment any hour may be meant."""
    if not card.peak and bounds.service_tier is None:
        return ONE
    service = max(Fraction(1), card.service_multiplier(bounds.service_tier))
    hour = card.dearest_hour if bounds.at is None else card.peak_multiplier(bounds.at, bounds.until)
    return (service * hour).as_integer_ratio()


def _dearest_left(usage: Usage, bound: Bound, granted_tokens: int) -> Usage:
    """Draw granted tokens from the cheapest lines first, so that what is left costs the most it could."""
    check_granted(granted_tokens)
    if not granted_tokens:
        return usage
    left, drawn = granted_tokens, {}
    tokens = [line for line in usage.lines if line.is_tokens]
    for line in sorted(tokens, key=lambda line: find(bound.deciding.numerators, line.bucket) or 0):
        drawn[line.bucket] = min(left, line.quantity)
        left -= drawn[line.bucket]
    return Usage.of((line.bucket, line.quantity - drawn.get(line.bucket, 0)) for line in usage.lines)


def _parts(bound: Bound, line: Line, *, is_split: bool) -> int:
    """Count into how many components a line may fall, each rounded up by itself under adjusted_token.

    When a grant divides the request, how much of each line is paid may differ from the bound, which can move one
    more rounding into it; two more parts outweigh that.
    """
    return min(bound.parts[line.bucket.direction], line.quantity) + (2 if is_split else 0)
