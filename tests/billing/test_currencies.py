import pytest

from billing.payments import currencies


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "text"),
    [
        ("500", "jpy", 500, "500 JPY"),
        ("1.234", "kwd", 1_234, "1.234 KWD"),
        ("12.5", "usd", 1_250, "12.50 USD"),
        ("12", "EUR", 1_200, "12.00 EUR"),
        ("0.01", "usd", 1, "0.01 USD"),
        ("1000000", "krw", 1_000_000, "1,000,000 KRW"),
    ],
)
def test_amounts_go_both_ways_exactly(amount, currency, minor, text) -> None:
    assert currencies.minor(amount, currency) == minor
    assert currencies.text(minor, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        *(("0.5", "jpy"), ("1.2345", "kwd"), ("1.234", "usd"), ("-5", "usd"), ("1e3", "usd"), ("", "usd")),
        *(("1,5", "eur"), ("\u0661", "usd"), ("9" * 13, "usd"), (".5", "usd"), ("nan", "usd")),
    ],
)
def test_what_is_no_amount_of_a_currency_is_refused(amount, currency) -> None:
    with pytest.raises(currencies.BadAmount):
        currencies.minor(amount, currency)


@pytest.mark.parametrize("currency", ["", "xxx", "usdc", "us", "usd ", "₿"])
def test_an_unknown_currency_is_refused(currency) -> None:
    with pytest.raises(currencies.UnknownCurrency):
        currencies.minor("5", currency)


def test_a_negative_amount_is_shown_as_one() -> None:
    assert currencies.text(-1_250, "usd") == "-12.50 USD"
