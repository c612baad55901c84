"""Money to its last digit: what is read, what is refused, what is shown."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import (
    MAX_NANO,
    BadAmount,
    Display,
    ceil_ratio,
    dollars,
    exact_text,
    nano_from_usd,
    parse_decimal,
    parse_usd,
    usd_text,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Fraction(0)),
        ("3.75", Fraction(15, 4)),
        ("10", Fraction(10)),
        ("0.10", Fraction(1, 10)),
        ("999999999999999.999999999999999999", Fraction(10**33 - 1, 10**18)),
    ],
)
def test_decimals_are_read_exactly(text: str, value: Fraction) -> None:
    assert parse_decimal(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "+1", "-1", ".5", "1.", "1e3", "1E-9", "NaN", "Infinity", "0x10", "1_000", "1,5", "007"],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadAmount, match="is not a plain decimal number"):
        parse_decimal(text)


@pytest.mark.parametrize("text", ["1" * 16, "0." + "1" * 19, "1" * 35, "9" * 10_000])
def test_endless_digits_are_refused(text: str) -> None:
    with pytest.raises(BadAmount) as refused:
        parse_decimal(text)
    assert str(refused.value) == "A number may have at most 15 digits before and 18 after the point."


def test_the_longest_number_still_fits() -> None:
    assert parse_decimal("1" * 15 + "." + "1" * 18) == Fraction(int("1" * 33), 10**18)


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0", 0), ("1", 10**9), ("0.000000001", 1), ("0.0000000010", 1), ("9223372036.854775807", MAX_NANO)],
)
def test_dollars_become_nano(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


def test_what_would_need_rounding_or_more_than_64_bits_is_refused() -> None:
    with pytest.raises(BadAmount, match=r"^An amount of dollars may have at most nine decimal places"):
        parse_usd("0.0000000001")
    with pytest.raises(BadAmount, match=r"^That amount is larger than any account can hold"):
        parse_usd("9223372036.854775808")
    with pytest.raises(BadAmount, match="larger than any account"):
        nano_from_usd(Fraction(-(10**10)))
    assert nano_from_usd(Fraction(-1, 10**9)) == -1


@pytest.mark.parametrize(
    ("numerator", "denominator", "whole"), [(0, 1, 0), (1, 2, 1), (2, 2, 1), (3, 2, 2), (-1, 2, 0), (-3, 2, -1)]
)
def test_rounding_is_up(numerator: int, denominator: int, whole: int) -> None:
    assert ceil_ratio(numerator, denominator) == whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(1200), "1200"),
        (Fraction(15, 4), "3.75"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(1, 625), "0.0016"),
        (Fraction(1, 1250), "0.0008"),
        (Fraction(-5), "-5"),
        (Fraction(1, 3), "1/3"),
        (Fraction(7, 60), "7/60"),
        (Fraction(1, 10**27), "0." + "0" * 26 + "1"),
    ],
)
def test_text_is_exact(value: Fraction, text: str) -> None:
    assert exact_text(value) == text


@given(st.integers(0, 10**33), st.integers(0, 18))
def test_text_reads_back_as_the_same_number(number: int, places: int) -> None:
    value = Fraction(number, 10**places)
    if value < 10**15:
        assert parse_decimal(exact_text(value)) == value


@pytest.mark.parametrize(
    ("nano", "machine", "people"),
    [
        (0, "0", "$0.00"),
        (1, "0.000000001", "$0.000000001"),
        (13_125_000, "0.013125", "$0.013125"),
        (1_234_500_000_000, "1234.5", "$1,234.50"),
        (-5_000_000_000, "-5", "-$5.00"),
        (-13_125_000, "-0.013125", "-$0.013125"),
        (MAX_NANO, "9223372036.854775807", "$9,223,372,036.854775807"),
    ],
)
def test_dollars_are_shown_to_the_last_digit(nano: int, machine: str, people: str) -> None:
    assert usd_text(nano) == machine
    assert dollars(nano) == people


def test_units_of_display_change_what_is_shown_and_nothing_else() -> None:
    token, credit, usd = Display("token", 20_000), Display("credit", 10**7), Display()
    assert (token.charge(500_000), token.charge(500_001), token.charge(0)) == ("25", "26", "0")
    assert (token.balance(19_500_000), token.balance(19_519_999)) == ("975", "975")
    assert (credit.charge(13_125_000), credit.balance(5_000_000_000)) == ("1.3125", "500")
    assert (usd.charge(13_125_000), usd.balance(1)) == ("0.013125", "0.000000001")


@pytest.mark.parametrize(
    ("unit", "unit_nano", "why"),
    [
        ("token", 0, "worth more than nothing"),
        ("token", -1, "worth more than nothing"),
        ("credit", 10**15 + 1, "at most 1000000 dollars"),
        ("USD", 10**8, "^The display unit USD is worth exactly one dollar.$"),
        ("credit", 30_000_000, "divides a dollar"),
    ],
)
def test_units_that_cannot_be_shown_exactly_are_refused(unit: str, unit_nano: int, why: str) -> None:
    with pytest.raises(BadAmount, match=why):
        Display(unit, unit_nano)  # type: ignore[arg-type]


def test_the_edges_of_display_units() -> None:
    assert Display("token", 30_000).charge(1) == "1"
    assert Display("credit", 1).charge(7) == "7"
    assert Display("credit", 10**15).charge(10**15) == "1"
