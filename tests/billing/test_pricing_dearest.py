"""Usage that no card has a price for is counted as the dearest of its direction, and never free."""

from fractions import Fraction

import pytest

from billing.pricing import Bucket, Card, Plan, Rates, Usage, charge
from billing.pricing.dearest import with_prices

PLAN = {"name": "p", "version": "1", "method": "cost_plus", "multiplier": "1"}
TEXT = {"direction": "input", "price": "3"}


def rates(*lines, multiplier="1", plan=None, is_free=False):
    return Rates.of(
        plan=Plan.from_json(plan or PLAN | {"multiplier": multiplier}),
        card=Card.from_json({"provider": "p", "model": "m", "version": "1", "rates": list(lines), "free": is_free}),
    )


def test_a_picture_is_counted_as_the_dearest_question():
    known = rates(
        TEXT, {"direction": "input", "modality": "audio", "price": "40"}, {"direction": "output", "price": "9"}
    )
    asked = Usage.of([(Bucket("input"), 10), (Bucket("input", "image"), 5), (Bucket("output"), 1)])
    usage, moved = with_prices(asked, known)
    assert moved == (Bucket("input", "image"),)
    assert charge(usage=usage, rates=known).charge_nano == 10 * 3_000 + 5 * 40_000 + 9_000
    assert usage.tokens == asked.tokens


SEARCH = Bucket("output", "search", "none", "search")
KNOWN = {"search": Fraction(35_000_000)}  # 35 USD for a thousand


@pytest.mark.parametrize(
    ("searches", "multiplier", "tokens", "charged"),
    [
        (1, "1", 3_889, 3_889 * 9_000),  # 35,000,000 / 9,000, rounded up to whole tokens
        (2, "1", 7_778, 7_778 * 9_000),
        (2, "1.25", 7_778, 7_778 * 11_250),  # the plan multiplies both alike
    ],
)
def test_a_search_without_a_price_costs_what_the_dearest_known_search_costs(searches, multiplier, tokens, charged):
    known = rates(TEXT, {"direction": "output", "price": "9"}, multiplier=multiplier)
    usage, moved = with_prices(Usage.of([(SEARCH, searches)]), known, KNOWN)
    assert moved == (SEARCH,)
    assert usage == Usage.of([(Bucket("output"), tokens)])
    made = charge(usage=usage, rates=known)
    assert made.charge_nano == charged
    assert searches * 35_000_000 <= made.cost_nano < searches * 35_000_000 + 9_000


def test_a_search_with_another_priced_search_goes_by_that_one():
    asked_with = {"direction": "output", "modality": "search", "unit": "search", "price": "10", "per": 1000}
    known = rates(TEXT, {"direction": "output", "price": "9"}, asked_with)
    asked = Usage.of([(Bucket("input"), 10), (SEARCH, 2)])
    assert with_prices(asked, known, KNOWN) == (asked, ())
    assert charge(usage=asked, rates=known).charge_nano == 10 * 3_000 + 2 * 10_000_000


def test_under_a_flat_price_a_search_is_as_many_tokens_as_it_costs():
    flat = {"name": "p", "version": "1", "method": "flat_token", "price": "20"}
    known = rates(TEXT, {"direction": "output", "price": "9"}, plan=flat)
    usage, _ = with_prices(Usage.of([(Bucket("input"), 10), (SEARCH, 1)]), known, KNOWN)
    assert charge(usage=usage, rates=known).charge_nano == 10 * 20_000 + 35_000_000


def test_what_is_free_stays_free_and_what_nobody_knows_counts_one_to_one():
    free = {"direction": "output", "price": "0"}
    known = rates({"direction": "input", "price": "0"}, free, is_free=True)
    usage, _ = with_prices(Usage.of([(SEARCH, 2)]), known, KNOWN)
    assert charge(usage=usage, rates=known).charge_nano == 0
    priced = rates(TEXT, {"direction": "output", "price": "9"})
    assert with_prices(Usage.of([(SEARCH, 2)]), priced)[0] == Usage.of([(Bucket("output"), 2)])


def test_what_has_a_price_is_left_alone():
    known = rates(TEXT, {"direction": "output", "price": "9"})
    asked = Usage.of([(Bucket("input", cache="read"), 10), (Bucket("output", "reasoning"), 2)])
    assert with_prices(asked, known) == (asked, ())
