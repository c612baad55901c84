"""Cost cards: what we pay a provider for one model, as an effective-dated version written in exact decimals.

A rate is found by its exact bucket, else by the bucket it falls back to (never cheaper by omission), else the usage
is unpriced and refused: nothing is free because somebody forgot it. The context tier reached replaces the rates it
names for the whole request; service tier and peak hours multiply every rate.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from billing.money import NANO_PER_USD, exact_text
from billing.pricing.reading import Fields, Malformed, decimal
from billing.pricing.usage import Bucket, fallback, read_bucket

MAX_USD_PER_UNIT = 10**6
MAX_PER = 10**9
MAX_MULTIPLIER = 10**4
PER_MILLION_UNITS = ("token", "character")
MILLION = 10**6
MINUTES_PER_DAY = 24 * 60

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
V = TypeVar("V")


class Unpriced(LookupError):
    """Usage for which no price exists: a stranger's model, an unlisted bucket or tier. Never free, always refused."""


def find(table: Mapping[Bucket, V], bucket: Bucket) -> V | None:
    """Look a bucket up in a table of prices, with its fallback."""
    value = table.get(bucket)
    if value is None and (other := fallback(bucket)) is not None:
        return table.get(other)
    return value


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of `per` units of one bucket, in USD."""

    bucket: Bucket
    price: Fraction
    per: int

    @property
    def nano_per_unit(self) -> Fraction:
        """Return the exact price of one unit in nano-USD."""
        return self.price * Fraction(NANO_PER_USD, self.per)

    def to_json(self) -> dict[str, object]:
        """Write the rate, every field named."""
        return {**self.bucket._asdict(), "price": exact_text(self.price), "per": self.per}


RateList = tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class ContextTier:
    """Rates that replace the card's own once a request's input is longer than `above_tokens`."""

    above_tokens: int
    rates: RateList

    def to_json(self) -> dict[str, object]:
        """Write the tier."""
        return {"above_tokens": self.above_tokens, "rates": [rate.to_json() for rate in self.rates]}


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day (UTC, half-open, may wrap midnight) in which every rate is multiplied."""

    from_minute: int
    to_minute: int
    multiplier: Fraction

    def covers(self, minute: int) -> bool:
        """Say whether a minute of the day lies within."""
        return (minute - self.from_minute) % MINUTES_PER_DAY < (self.to_minute - self.from_minute) % MINUTES_PER_DAY

    def to_json(self) -> dict[str, object]:
        """Write the window."""
        return {
            "from": _clock_text(self.from_minute),
            "to": _clock_text(self.to_minute),
            "multiplier": exact_text(self.multiplier),
        }


@dataclass(frozen=True, slots=True)
class Card:
    """One version of what a provider charges us for a model."""

    provider: str
    model: str
    version: str | int
    rates: RateList
    context_tiers: tuple[ContextTier, ...] = ()
    service_tiers: tuple[tuple[str, Fraction], ...] = ()
    peak: tuple[Window, ...] = ()
    free: bool = False

    @classmethod
    def from_json(cls, source: object) -> "Card":
        """Read a card, strictly."""
        fields = Fields(source, where="card")
        card = cls(
            provider=fields.text("provider"),
            model=fields.text("model"),
            version=read_version(fields),
            rates=read_rates(fields, "rates"),
            context_tiers=_read_tiers(fields),
            service_tiers=_read_service_tiers(fields),
            peak=tuple(_read_window(item, where) for where, item in fields.items("peak")),
            free=fields.flag("free"),
        )
        fields.done()
        return card

    def to_json(self) -> dict[str, object]:
        """Write the card in its normal form."""
        return {
            "provider": self.provider,
            "model": self.model,
            "version": self.version,
            "rates": [rate.to_json() for rate in self.rates],
            "context_tiers": [tier.to_json() for tier in self.context_tiers],
            "service_tiers": {name: exact_text(multiplier) for name, multiplier in self.service_tiers},
            "peak": [window.to_json() for window in self.peak],
            "free": self.free,
        }

    @property
    def is_free_by_omission(self) -> bool:
        """Say whether every rate is zero though nobody called the card free: then it prices nothing."""
        rates = [*self.rates, *(rate for tier in self.context_tiers for rate in tier.rates)]
        return not self.free and not any(rate.price for rate in rates)

    def nano_tables(self) -> list[dict[Bucket, Fraction]]:
        """Return the price of one unit by bucket in nano-USD: the base, then each context tier in rising order."""
        base = {rate.bucket: rate.nano_per_unit for rate in self.rates}
        tiers = ({rate.bucket: rate.nano_per_unit for rate in tier.rates} for tier in self.context_tiers)
        return [base, *({**base, **tier} for tier in tiers)]

    def service_multiplier(self, service_tier: str | None) -> Fraction:
        """Return what a service tier multiplies every rate by; a tier the card does not know is unpriced."""
        for name, multiplier in self.service_tiers:
            if name == service_tier:
                return multiplier
        if service_tier is None or service_tier == "default":
            return Fraction(1)
        msg = f"The card of {self.model} has no price for the service tier {service_tier!r}."
        raise Unpriced(msg)

    def peak_window(self, at: datetime | None) -> Window | None:
        """Return the first window of peak hours that contains a moment."""
        return self._window_covering(minute_of_day(at, self.model)) if self.peak else None

    def peak_multiplier(self, at: datetime | None, until: datetime | None = None) -> Fraction:
        """Return what the hour multiplies every rate by; with `until`, the dearest of all hours up to then."""
        if not self.peak:
            return Fraction(1)
        start = minute_of_day(at, self.model)
        minutes = [start]
        if at is not None and until is not None:
            span = (until - at.replace(second=0, microsecond=0)) // timedelta(minutes=1)
            edges = {edge for window in self.peak for edge in (window.from_minute, window.to_minute)}
            minutes += [edge for edge in edges if (edge - start) % MINUTES_PER_DAY <= span]
        return max(self._multiplier_at(minute) for minute in minutes)

    @property
    def dearest_hour(self) -> Fraction:
        """Return the most any hour of the day multiplies rates by."""
        return max([Fraction(1), *(window.multiplier for window in self.peak)])

    @property
    def dearest_scale(self) -> Fraction:
        """Return the most that any service tier and hour together multiply rates by."""
        return max([Fraction(1), *(multiplier for _, multiplier in self.service_tiers)]) * self.dearest_hour

    def _multiplier_at(self, minute: int) -> Fraction:
        window = self._window_covering(minute)
        return Fraction(1) if window is None else window.multiplier

    def _window_covering(self, minute: int) -> Window | None:
        return next((window for window in self.peak if window.covers(minute)), None)


def minute_of_day(at: datetime | None, model: str) -> int:
    """Return the UTC minute of the day; peak hours cannot be told without an aware time."""
    if at is None or at.utcoffset() is None:
        msg = f"The card of {model} has peak hours: the time must be given, with its zone."
        raise Malformed(msg)
    moment = at.astimezone(UTC)
    return moment.hour * 60 + moment.minute


def read_version(fields: Fields) -> str | int:
    """Take a version, a number or a short text."""
    value = fields.take("version")
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not 0 < len(str(value)) <= 40:
        msg = f"{fields.where}: 'version' must be a whole number or a text of at most 40 characters."
        raise Malformed(msg)
    return value


def read_rates(fields: Fields, name: str) -> RateList:
    """Take a list of rates, each bucket once, in canonical order."""
    rates = sorted((_read_rate(item, where) for where, item in fields.items(name)), key=lambda rate: rate.bucket)
    for earlier, later in pairwise(rates):
        if earlier.bucket == later.bucket:
            msg = f"{fields.where}.{name} prices {later.bucket} twice."
            raise Malformed(msg)
    return tuple(rates)


def _read_rate(source: object, where: str) -> Rate:
    fields = Fields(source, where=where)
    bucket = read_bucket(fields)
    per = MILLION if bucket.unit in PER_MILLION_UNITS else 1
    if fields.has("per"):
        per = fields.integer("per", least=1, most=MAX_PER)
    rate = Rate(bucket, fields.decimal("price", most=MAX_USD_PER_UNIT * per), per)
    fields.done()
    return rate


def _read_tiers(fields: Fields) -> tuple[ContextTier, ...]:
    tiers = sorted(
        (_read_tier(item, where) for where, item in fields.items("context_tiers")), key=lambda tier: tier.above_tokens
    )
    if len({tier.above_tokens for tier in tiers}) != len(tiers):
        msg = f"{fields.where} has two context tiers above the same number of tokens."
        raise Malformed(msg)
    return tuple(tiers)


def _read_tier(source: object, where: str) -> ContextTier:
    fields = Fields(source, where=where)
    tier = ContextTier(fields.integer("above_tokens"), read_rates(fields, "rates"))
    fields.done()
    return tier


def _read_service_tiers(fields: Fields) -> tuple[tuple[str, Fraction], ...]:
    pairs = fields.pairs("service_tiers")
    return tuple(
        (name, decimal(value, where=f"{fields.where}: service tier {name!r}", most=MAX_MULTIPLIER))
        for name, value in pairs
    )


def _read_window(source: object, where: str) -> Window:
    fields = Fields(source, where=where)
    start, end = _read_clock(fields, "from"), _read_clock(fields, "to")
    if start == end:
        msg = f"{where} covers no time: 'from' and 'to' are the same."
        raise Malformed(msg)
    window = Window(start, end, fields.decimal("multiplier", most=MAX_MULTIPLIER))
    fields.done()
    return window


def _read_clock(fields: Fields, name: str) -> int:
    match = _CLOCK.fullmatch(fields.text(name))
    if match is None:
        msg = f"{fields.where}: {name!r} must be a time of day such as 08:30."
        raise Malformed(msg)
    return int(match[1]) * 60 + int(match[2])


def _clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
