"""Prices of the genai-prices package (MIT, by Pydantic): its offline data, never its network.

It knows cliffs by context length, prices by date and hour, service tiers, and what each modality costs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from billing.pricing.usage import Bucket
from gateway.pricelists.body import CannotTell, Modalities, card_body, exact

UNITS: Mapping[str, Bucket] = {
    "input_mtok": Bucket("input"),
    "cache_read_mtok": Bucket("input", cache="read"),
    "cache_write_mtok": Bucket("input", cache="write_5m"),
    "cache_write_1h_mtok": Bucket("input", cache="write_1h"),
    "output_mtok": Bucket("output"),
    "output_reasoning_mtok": Bucket("output", "reasoning"),
    "input_audio_mtok": Bucket("input", "audio"),
    "cache_audio_read_mtok": Bucket("input", "audio", "read"),
    "output_audio_mtok": Bucket("output", "audio"),
    "input_image_mtok": Bucket("input", "image"),
    "cache_image_read_mtok": Bucket("input", "image", "read"),
    "output_image_mtok": Bucket("output", "image"),
    "input_video_mtok": Bucket("input", "video"),
    "output_video_mtok": Bucket("output", "video"),
    "web_searches_kcount": Bucket("output", "search", unit="search"),
    "audio_hours": Bucket("input", "audio", unit="second"),
    "input_audio_hours": Bucket("input", "audio", unit="second"),
    "input_mchars": Bucket("input", unit="character"),
    "requests_kcount": Bucket("output", "request", unit="request"),
}
# What no call of ours can use, so that leaving it out makes nothing cheaper.
UNUSED = frozenset({"storage_searches_kcount", "output_citation_mtok", "input_text_messages_kcount"})
SERVICE = "service_tier"


def source() -> str:
    """How the origin of a price is written down."""
    return f"genai-prices {version('genai-prices')} (MIT)"


def facts(reference: str) -> tuple[str, str, int | None]:
    """What people call a model, what it is, and how much it reads."""
    model = _model(reference)
    return model.name or model.id, (model.description or "").strip(), model.context_window


def body(*, reference: str, provider: str, model: str, at: datetime, modalities: Modalities) -> dict[str, Any]:
    """The cost card of ``reference`` (provider/model in their words), written for our provider and model."""
    found = _model(reference)
    now, hours = _in_force(found.prices, at)
    base, tiers = _split(now)
    return card_body(
        provider=provider,
        model=model,
        base=base,
        tiers=tiers,
        service_tiers=dict(_service_tiers(found, now, at)),
        peak=_peak(now, hours),
        modalities=modalities,
    )


@lru_cache(maxsize=1)
def _index() -> Mapping[str, Any]:
    from genai_prices import data_snapshot  # slow to import, and only commands and tasks need it

    snapshot = data_snapshot.get_snapshot()
    return {f"{provider.id}/{model.id}": model for provider in snapshot.providers for model in provider.models}


def _model(reference: str) -> Any:
    try:
        return _index()[reference]
    except KeyError:
        message = f"genai-prices knows no {reference!r}."
        raise CannotTell(message) from None


def _in_force(prices: Any, at: datetime) -> tuple[Any, Sequence[Any]]:
    """The last price without an hour whose day has come, and the priced hours after it."""
    if not isinstance(prices, list):
        return prices, ()
    now, hours = None, []
    for entry in prices:
        if hasattr(entry.constraint, "start_time"):
            hours.append(entry)
        elif entry.constraint is None or entry.constraint.start_date <= at.date():
            now = entry.prices
    if now is None:
        raise CannotTell("No price is in force yet.")
    return now, hours


def _values(prices: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(prices).items():
        if value is None or name.startswith("_") or name in UNUSED:
            continue
        if name not in UNITS:
            message = f"A cost card has no word for {name}."
            raise CannotTell(message)
        yield name, value


def _split(prices: Any) -> tuple[dict[Bucket, Decimal], dict[int, dict[Bucket, Decimal]]]:
    """The base, and whole tables for each length of context at which anything changes."""
    values = dict(_values(prices))
    base = {UNITS[name]: getattr(value, "base", value) for name, value in values.items()}
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})
    return base, {start: {UNITS[name]: _at(value, start) for name, value in values.items()} for start in starts}


def _at(value: Any, start: int) -> Decimal:
    price: Decimal = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if tier.start <= start:
            price = tier.price
    return price


def _flat(prices: Any) -> dict[tuple[int, Bucket], Decimal]:
    """Every rate of every tier, for comparison; what is counted by the piece is the same at every hour and tier."""
    base, tiers = _split(prices)
    tables = {0: base, **tiers}
    return {
        (above, bucket): price
        for above, table in tables.items()
        for bucket, price in table.items()
        if bucket.unit not in {"search", "request"}
    }


def _multiple(now: Any, other: Any) -> Decimal | None:
    """By how much every rate is multiplied; None where they do not all move together."""
    mine, theirs = _flat(now), _flat(other)
    ratios = {Fraction(theirs[key]) / Fraction(price) for key, price in mine.items() if price and key in theirs}
    if mine.keys() != theirs.keys() or len(ratios) != 1:
        return None
    [ratio] = ratios
    multiple = Decimal(ratio.numerator) / ratio.denominator
    return multiple if Fraction(multiple) == ratio else None  # a third has no decimals that a card could hold


def _service_tiers(model: Any, now: Any, at: datetime) -> Iterator[tuple[str, Decimal]]:
    """Tiers that multiply everything alike.

    A cheaper tier is left out where something is counted by the piece, because a card's multiple would make that
    cheaper too; asked for, it is refused and not sold below cost.
    """
    by_piece = any(bucket.unit in {"search", "request"} for bucket in _split(now)[0])
    for variant in model.price_variants or ():
        if set(variant.when) != {SERVICE} or variant.when[SERVICE] == "default":
            continue
        if variant.constraint is not None and variant.constraint.start_date > at.date():
            continue
        multiple = _multiple(now, variant.prices)
        if multiple is not None and (multiple >= 1 or not by_piece):
            yield variant.when[SERVICE], multiple


def _peak(now: Any, hours: Sequence[Any]) -> list[dict[str, str]]:
    windows = []
    for entry in hours:
        multiple = _multiple(now, entry.prices)
        if multiple is None:
            raise CannotTell("The rates of some hours do not move together, which a cost card cannot say.")
        windows.append(
            {
                "from": f"{entry.constraint.start_time:%H:%M}",
                "to": f"{entry.constraint.end_time:%H:%M}",
                "multiplier": exact(multiple),
            }
        )
    return windows
