"""What a machine may change by itself, and what waits for a person. Pure: two cards in, the reasons to wait out.

A price may move by half in either direction. What moves further, becomes or stops being free, is counted in another
unit, loses a rate, a tier or an hour, or is priced for the first time, is looked at by a person before it is in force.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from billing.money import exact_text
from billing.pricing import Card
from billing.pricing.usage import Bucket

LARGEST_STEP = Fraction(3, 2)
THOUSANDS = (Fraction(1_000), Fraction(1_000_000), Fraction(1, 1_000), Fraction(1, 1_000_000))


def reasons_to_wait(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything that a person must look at; nothing means that it may be published."""
    new = Card.from_json({**after, "version": 0})
    if before is None:
        return ("It has had no price until now.",)
    old = Card.from_json({**before, "version": 0})
    return tuple(dict.fromkeys((*_structure(old, new), *_steps(old, new))))


def _structure(old: Card, new: Card) -> Iterator[str]:
    if old.free != new.free:
        yield "It becomes free." if new.free else "It stops being free."
    gone = [tier.above_tokens for tier in old.context_tiers if tier.above_tokens not in _tiers(new)]
    if gone:
        yield f"The prices above {gone[0]} tokens of context are gone."
    lost = {name for name, _ in old.service_tiers} - {name for name, _ in new.service_tiers}
    if lost:
        yield f"The service tier {min(lost)} is gone."
    for name, multiple in new.service_tiers:
        known = dict(old.service_tiers).get(name)
        if known is not None and known != multiple:
            yield f"The service tier {name} multiplies by {exact_text(multiple)} instead of {exact_text(known)}."
    if old.peak != new.peak:
        yield "Its hours of other prices change."


def _tiers(card: Card) -> set[int]:
    return {tier.above_tokens for tier in card.context_tiers}


def _steps(old: Card, new: Card) -> Iterator[str]:
    tables = zip((None, *sorted(_tiers(old))), old.nano_tables(), strict=True)
    fresh = dict(zip((None, *sorted(_tiers(new))), new.nano_tables(), strict=True))
    for above, table in tables:
        if above is not None and above not in fresh:
            continue
        for bucket, price in sorted(table.items()):
            now = fresh[above].get(bucket)
            if now is None:
                yield _gone(bucket, fresh[above])
            elif now != price:
                yield from _step(bucket, price, now)


def _gone(bucket: Bucket, table: Mapping[Bucket, Fraction]) -> str:
    kin = [other for other in table if other[:3] == bucket[:3] and other.unit != bucket.unit]
    return f"{bucket} is counted by the {kin[0].unit} now." if kin else f"There is no price for {bucket} any more."


def _step(bucket: Bucket, before: Fraction, after: Fraction) -> Iterator[str]:
    if not after:
        yield f"{bucket} drops to zero."
    elif not before:
        yield f"{bucket} costs something now."
    elif after / before in THOUSANDS:
        yield f"{bucket} moves by a factor of {exact_text(max(after / before, before / after))}: another unit?"
    elif not 1 / LARGEST_STEP <= after / before <= LARGEST_STEP:
        yield f"{bucket} moves from {_dollars(before)} to {_dollars(after)} per million."


def _dollars(nano: Fraction) -> str:
    return f"${float(nano) / 1000:.6g}"
