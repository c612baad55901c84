"""Usage that no card has a price for is counted as the dearest of its direction, and never free."""

from billing.pricing import Bucket, Card, Plan, Rates, Usage, charge
from billing.pricing.dearest import with_prices

PLAN = {"name": "p", "version": "1", "method": "cost_plus", "multiplier": "1"}
TEXT = {"direction": "input", "price": "3"}


def rates(*lines):
    return Rates.of(
        plan=Plan.from_json(PLAN),
        card=Card.from_json({"provider": "p", "model": "m", "version": "1", "rates": list(lines)}),
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


def test_a_search_without_a_price_costs_something_and_a_line_with_one_stays():
    known = rates(TEXT, {"direction": "output", "price": "9"})
    asked = Usage.of([(Bucket("input"), 10), (Bucket("output", "search", "none", "search"), 2)])
    usage, moved = with_prices(asked, known)
    assert [bucket.modality for bucket in moved] == ["search"]
    assert charge(usage=usage, rates=known).charge_nano == 10 * 3_000 + 2 * 9_000


def test_what_has_a_price_is_left_alone():
    known = rates(TEXT, {"direction": "output", "price": "9"})
    asked = Usage.of([(Bucket("input", cache="read"), 10), (Bucket("output", "reasoning"), 2)])
    assert with_prices(asked, known) == (asked, ())
