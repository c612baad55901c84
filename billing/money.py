"""Money is an integer number of nano-USD in 64 bits, and this is the only place that turns it into text.

Nothing here is ever a float, and nothing is rounded in silence: text with more places than a nano-USD has is
refused, and an amount is shown to its last digit. A plan may show money in units of its own (dollars, credits of
a cent, tokens); that changes what people read, never what the ledger holds.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

NANO_PER_USD = 10**9
MAX_NANO = 2**63 - 1
MAX_WHOLE_DIGITS = 15
MAX_PLACES = 18
MAX_DISPLAY_UNIT_USD = 1_000_000

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?")

DisplayUnit = Literal["USD", "credit", "token"]


class BadAmount(ValueError):
    """A text that is not an amount we can hold exactly; its message is fit for the person who typed it."""


def parse_decimal(text: str) -> Fraction:
    """Read a plain non-negative decimal such as `3.75`, exactly; signs, exponents, NaN and spaces are refused."""
    if len(text) > MAX_WHOLE_DIGITS + 1 + MAX_PLACES:
        msg = f"A number may have at most {MAX_WHOLE_DIGITS} digits before and {MAX_PLACES} after the point."
        raise BadAmount(msg)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        msg = f"{text!r} is not a plain decimal number such as 3.75 (no sign, exponent or spaces)."
        raise BadAmount(msg)
    whole, places = match[1], match[2] or ""
    if len(whole) > MAX_WHOLE_DIGITS or len(places) > MAX_PLACES:
        msg = f"A number may have at most {MAX_WHOLE_DIGITS} digits before and {MAX_PLACES} after the point."
        raise BadAmount(msg)
    return Fraction(int(whole + places), 10 ** len(places))


def parse_usd(text: str) -> int:
    """Read dollars into nano-USD; a tenth decimal place or an amount beyond 64 bits is refused, not rounded."""
    return nano_from_usd(parse_decimal(text))


def nano_from_usd(usd: Fraction) -> int:
    """Turn exact dollars into nano-USD; what is no whole number of them is refused."""
    nano = usd * NANO_PER_USD
    if nano.denominator != 1:
        msg = "An amount of dollars may have at most nine decimal places."
        raise BadAmount(msg)
    if abs(nano.numerator) > MAX_NANO:
        msg = "That amount is larger than any account can hold (about 9.2 billion dollars)."
        raise BadAmount(msg)
    return nano.numerator


def ceil_ratio(numerator: int, denominator: int) -> int:
    """Round a quotient up to a whole number: the one rounding that money knows."""
    return -(-numerator // denominator)


def exact_text(value: Fraction) -> str:
    """Write a number to its last digit; one without a finite decimal is written as a fraction, such as `1/3`."""
    places = _places(value.denominator)
    if places is None:
        return f"{value.numerator}/{value.denominator}"
    scaled = value.numerator * 10**places // value.denominator
    sign = "-" if scaled < 0 else ""
    digits = str(abs(scaled)).zfill(places + 1)
    return sign + digits[: len(digits) - places] + ("." + digits[-places:] if places else "")


def usd_text(nano: int) -> str:
    """Write nano-USD as exact dollars, as machines read them: `0.013125`."""
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    places = f".{rest:09}".rstrip("0") if rest else ""
    return f"{'-' if nano < 0 else ''}{whole}{places}"


def dollars(nano: int) -> str:
    """Write nano-USD as exact dollars, as people read them: `$1,234.50`, `-$0.013125`."""
    whole, _, places = usd_text(abs(nano)).partition(".")
    return f"{'-' if nano < 0 else ''}${int(whole):,}.{places.ljust(2, '0')}"


def _places(denominator: int) -> int | None:
    """Count the decimal places a reduced fraction needs, or None when it never ends."""
    twos = (denominator & -denominator).bit_length() - 1
    rest, fives = denominator >> twos, 0
    while rest % 5 == 0:
        rest //= 5
        fives += 1
    return max(twos, fives) if rest == 1 else None


@dataclass(frozen=True, slots=True)
class Display:
    """The unit in which a plan shows money, and what one of it is worth."""

    unit: DisplayUnit = "USD"
    unit_nano: int = NANO_PER_USD

    def __post_init__(self) -> None:
        """Refuse a unit that could not be shown exactly."""
        if not 0 < self.unit_nano <= MAX_DISPLAY_UNIT_USD * NANO_PER_USD:
            msg = f"A display unit is worth more than nothing and at most {MAX_DISPLAY_UNIT_USD} dollars."
            raise BadAmount(msg)
        if self.unit == "USD" and self.unit_nano != NANO_PER_USD:
            msg = "The display unit USD is worth exactly one dollar."
            raise BadAmount(msg)
        if self.unit == "credit" and _places(Fraction(1, self.unit_nano).denominator) is None:
            msg = "A credit must be worth an amount that divides a dollar without a remainder that never ends."
            raise BadAmount(msg)

    def charge(self, nano: int) -> str:
        """Write what somebody paid: exactly, or in whole tokens rounded up."""
        return str(ceil_ratio(nano, self.unit_nano)) if self.unit == "token" else self._exact(nano)

    def balance(self, nano: int) -> str:
        """Write what somebody has: exactly, or in whole tokens rounded down."""
        return str(nano // self.unit_nano) if self.unit == "token" else self._exact(nano)

    def _exact(self, nano: int) -> str:
        return exact_text(Fraction(nano, self.unit_nano))
