"""How many decimals a currency has, what it costs to charge in it, and how an amount is written for people."""

from sandbox.stripe.problems import Problem, invalid

WITHOUT_DECIMALS = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())
THREE_DECIMALS = frozenset("bhd jod kwd omr tnd".split())
TWO_DECIMALS = frozenset(
    "aed ars aud bgn brl cad chf cny cop czk dkk egp eur gbp gel hkd huf idr ils inr isk kes lkr mad mxn myr ngn nok "
    "nzd pen php pkr pln qar ron rsd sar sek sgd thb try twd uah usd uyu zar".split()
)
LEAST = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50, "kwd": 150, "chf": 50, "sek": 300, "mxn": 1000}
MOST = 99_999_999
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}


def decimals(currency: str) -> int:
    """How many digits stand after the point."""
    return 0 if currency in WITHOUT_DECIMALS else 3 if currency in THREE_DECIMALS else 2


def known(currency: str | None, *, param: str = "currency") -> str:
    """The currency in lower case, or Stripe's refusal."""
    lower = (currency or "").lower()
    if lower in WITHOUT_DECIMALS or lower in THREE_DECIMALS or lower in TWO_DECIMALS:
        return lower
    raise invalid(
        param, f"Invalid currency: {str(currency)[:20]}. Stripe currently supports these currencies: usd, eur, ..."
    )


def chargeable(amount: int, currency: str, *, param: str = "amount") -> int:
    """The amount, when it is neither too small nor too large."""
    if amount < 1:
        raise invalid(param, "This value must be greater than or equal to 1.", code="parameter_invalid_integer")
    if amount < LEAST.get(currency, 50):
        written = text(LEAST.get(currency, 50), currency)
        raise invalid(param, f"Amount must be at least {written}", code="amount_too_small")
    if amount > MOST:
        raise invalid(param, f"Amount must be no more than {text(MOST, currency)}", code="amount_too_large")
    if decimals(currency) == 3 and amount % 10:
        message = "Amounts in three-decimal currencies must be rounded to the nearest ten."
        raise Problem(400, message, code="invalid_charge_amount", param=param)
    return amount


def fee_of(amount: int, currency: str) -> int:
    """2.9 % and a fixed part of thirty hundredths, in the currency itself: nothing is exchanged here."""
    fixed = {0: 30, 2: 30, 3: 300}[decimals(currency)]
    return min(amount, (amount * 29 + 500) // 1000 + fixed)


def text(amount: int, currency: str) -> str:
    """An amount for people: ``$12.00``, ``¥500``, ``KWD 1.230``."""
    places = decimals(currency)
    whole, part = divmod(abs(amount), 10**places)
    digits = f"{whole:,}" + (f".{part:0{places}d}" if places else "")
    sign = "-" if amount < 0 else ""
    return f"{sign}{_SIGNS[currency]}{digits}" if currency in _SIGNS else f"{sign}{currency.upper()} {digits}"
