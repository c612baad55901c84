"""Currencies by their number of decimal places: the smallest unit is not always a hundredth.

Promise: an amount is turned into the smallest unit and back exactly, and a currency that is not on the list is
refused. The list is Stripe's; its special cases (HUF and TWD are charged in whole hundreds, ISK and UGX in steps of a
hundred although they have no cents) are kept as ``STEP``.
"""

from plumbing.refusals import Refusal

_NO_PLACES = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_PLACES = "bhd jod kwd omr tnd"
_TWO_PLACES = """
aed all amd ang aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp bzd cad cdf chf cny cop crc cve czk dkk dop dzd egp etb
eur fjd gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd
mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd sar sbd scr sek sgd shp
sos srd std szl thb tjs top try ttd twd tzs uah ugx usd uyu uzs wst xcd yer zar zmw
"""
NO_PLACES, THREE_PLACES, TWO_PLACES = (frozenset(codes.split()) for codes in (_NO_PLACES, _THREE_PLACES, _TWO_PLACES))
STEP = {"isk": 100, "ugx": 100, "huf": 100, "twd": 100, **dict.fromkeys(THREE_PLACES, 10)}


class UnknownCurrency(Refusal, ValueError):
    """We do not know how many decimal places this currency has, so no amount in it is safe."""

    status = 400
    code = "unknown_currency"


def places(currency: str) -> int:
    """How many decimal places an amount has."""
    code = currency.lower()
    if code in NO_PLACES:
        return 0
    if code in THREE_PLACES:
        return 3
    if code in TWO_PLACES:
        return 2
    message = f"{currency[:10]!r} is not a currency we know the smallest unit of."
    raise UnknownCurrency(message)


def step(currency: str) -> int:
    """Amounts are multiples of this many smallest units."""
    return STEP.get(currency.lower(), 1)


def text(amount_minor: int, currency: str) -> str:
    """Write an amount as people read it: ``12.50 USD``, ``500 JPY``, ``1.234 KWD``."""
    count = places(currency)
    sign, digits = "-" if amount_minor < 0 else "", str(abs(amount_minor)).zfill(count + 1)
    whole, rest = (digits[:-count], digits[-count:]) if count else (digits, "")
    return f"{sign}{int(whole):,}{'.' + rest if rest else ''} {currency.upper()}"


def minor(amount: str, currency: str) -> int:
    """Read a plain decimal such as 12.5 into the smallest unit; a place too many is refused, not rounded."""
    count = places(currency)
    whole, point, rest = amount.strip().partition(".")
    if not (whole.isascii() and whole.isdigit()) or (point and not (rest.isascii() and rest.isdigit())):
        message = "Write the amount as a plain number such as 12.50."
        raise BadAmount(message)
    if len(whole) > 12 or len(rest) > count:
        message = f"An amount in {currency.upper()} has at most {count} decimal places and twelve digits before them."
        raise BadAmount(message)
    return int(whole + rest.ljust(count, "0"))


class BadAmount(Refusal, ValueError):
    """Not an amount of this currency."""

    status = 400
    code = "bad_amount"
