"""How the desk writes figures: short enough to compare, with the exact amount kept beside them for exports.

Promise: no figure passes through a float; money is rounded to cents in tables (half away from zero) and shown to its
last digit where it is less than a cent, so that nothing that exists reads as nothing. What is not known is a dash.
"""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from billing.money import usd_text

NANO_PER_CENT = 10**7
DASH = "\N{EN DASH}"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def money(nano: int | None) -> str:
    """Dollars for people: ``$1,234.57``; below a cent to the last digit."""
    if nano is None:
        return DASH
    sign = "-" if nano < 0 else ""
    if 0 < abs(nano) < NANO_PER_CENT:
        return f"{sign}${usd_text(abs(nano))}"
    cents = (abs(nano) + NANO_PER_CENT // 2) // NANO_PER_CENT
    return f"{sign}${cents // 100:,}.{cents % 100:02}"


def percent(share: Fraction | None, *, signed: bool = False) -> str:
    """A share with one place: ``22.3 %``."""
    if share is None:
        return DASH
    rounded = decimal(share * 100, places=1)
    return f"{rounded:+,} %" if signed and rounded else f"{rounded:,} %"


def decimal(value: Fraction, *, places: int) -> Decimal:
    """An exact number rounded once, half away from zero."""
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    rounded = exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
    return rounded or abs(rounded)


def change(now: int, before: int) -> str:
    """How much more or less than before, in per cent; a dash where there was nothing to compare with."""
    return percent(Fraction(now - before, abs(before)), signed=True) if before else DASH


def count(number: int | None) -> str:
    """A whole number with its thousands told apart."""
    return DASH if number is None else f"{number:,}"


def span(seconds: float) -> str:
    """A time span in its largest unit."""
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    return f"{whole // HOUR} h" if whole < 2 * DAY else f"{whole // DAY} days"


def moment(when: datetime | None) -> str:
    """A moment in UTC, as lists show it."""
    return f"{when:%Y-%m-%d %H:%M}" if when else DASH
