"""Price lists as providers publish them: OpenRouter's, and a plain one that anybody can write by hand."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from billing.pricing.usage import Bucket
from gateway.pricelists.body import CannotTell, Modalities, card_body

MILLION, THOUSAND = 1_000_000, 1_000
LONGEST_AMOUNT = 40
DEAREST_PER_MILLION = Decimal(10**6)
MODALITIES = ("audio", "image", "video")

# OpenRouter writes USD for one piece; a card for as many as its unit is counted by.
OPENROUTER: Mapping[str, tuple[Bucket, int]] = {
    "prompt": (Bucket("input"), MILLION),
    "completion": (Bucket("output"), MILLION),
    "internal_reasoning": (Bucket("output", "reasoning"), MILLION),
    "input_cache_read": (Bucket("input", cache="read"), MILLION),
    "input_cache_write": (Bucket("input", cache="write_5m"), MILLION),
    "audio": (Bucket("input", "audio"), MILLION),
    "image": (Bucket("input", "image", unit="image"), 1),
    "web_search": (Bucket("output", "search", unit="search"), THOUSAND),
    "request": (Bucket("output", "request", unit="request"), THOUSAND),
}
PLAIN: Mapping[str, Bucket] = {
    "input": Bucket("input"),
    "cached_input": Bucket("input", cache="read"),
    "cache_write": Bucket("input", cache="write_5m"),
    "cache_write_1h": Bucket("input", cache="write_1h"),
    "output": Bucket("output"),
    "reasoning": Bucket("output", "reasoning"),
    "audio_input": Bucket("input", "audio"),
    "audio_output": Bucket("output", "audio"),
    "image_input": Bucket("input", "image"),
}

Prices = dict[Bucket, Decimal]


def bodies(
    shape: str, document: bytes, *, provider: str, modalities: Mapping[str, Modalities]
) -> Mapping[str, dict[str, Any] | CannotTell]:
    """The cost card of each model we asked about (by its name there), or why it cannot be told."""
    try:
        members = json.loads(document, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise CannotTell("The price list is no JSON.") from None
    read, key, listed = _SHAPES[shape]
    rows = members.get(listed) if isinstance(members, dict) else None
    if not isinstance(rows, list):
        message = f"The price list has no list {listed!r}."
        raise CannotTell(message)
    found: dict[str, dict[str, Any] | CannotTell] = {}
    for row in rows:
        name = row.get(key) if isinstance(row, dict) else None
        if not isinstance(name, str) or name not in modalities:
            continue
        if name in found:
            found[name] = CannotTell(f"The price list names {name} twice.")
            continue
        try:
            prices = dict(read(row))
            found[name] = card_body(provider=provider, model=name, base=prices, modalities=modalities[name])
        except CannotTell as error:
            found[name] = error
    return found


def _openrouter(row: Mapping[str, Any]) -> Iterator[tuple[Bucket, Decimal]]:
    pricing = row.get("pricing")
    if not isinstance(pricing, dict) or not {"prompt", "completion"} <= pricing.keys():
        raise CannotTell("The list gives no price for prompt and completion.")
    for name, written in pricing.items():
        price = _amount(name, written) if isinstance(written, (str, int, Decimal)) else None
        if name not in OPENROUTER:
            if price is None or price:
                message = f"The list charges for {name!r}, for which a cost card has no word."
                raise CannotTell(message)
            continue
        if price is None:
            message = f"The price of {name!r} is no amount."
            raise CannotTell(message)
        bucket, times = OPENROUTER[name]
        # What costs nothing extra is no rate of its own, or it would be free instead of like the rest.
        if price or name in {"prompt", "completion"}:
            yield bucket, _within(price * times, name)


def _plain(row: Mapping[str, Any]) -> Iterator[tuple[Bucket, Decimal]]:
    for name, written in row.items():
        if name in {"model", "name"}:
            continue
        if name not in PLAIN:
            message = f"The list has a field {name!r}, which nobody here understands."
            raise CannotTell(message)
        yield PLAIN[name], _within(_amount(name, written), name)


def _amount(name: str, written: object) -> Decimal:
    price = Decimal("NaN")
    if (
        isinstance(written, (str, int, Decimal))
        and not isinstance(written, bool)
        and len(str(written)) <= LONGEST_AMOUNT
    ):
        with suppress(InvalidOperation):
            price = Decimal(written)
    if not price.is_finite() or price < 0:
        message = f"The price of {name!r} is no amount."
        raise CannotTell(message)
    return price


def _within(price: Decimal, name: str) -> Decimal:
    exponent = price.normalize().as_tuple().exponent
    if price > DEAREST_PER_MILLION or (isinstance(exponent, int) and exponent < -12):
        message = f"The price of {name!r} is beyond what a price can be."
        raise CannotTell(message)
    return price


_SHAPES: Mapping[str, tuple[Callable[[Mapping[str, Any]], Iterator[tuple[Bucket, Decimal]]], str, str]] = {
    "openrouter": (_openrouter, "id", "data"),
    "plain": (_plain, "model", "models"),
}
