"""Steps: a charge told line by line, from what was consumed to what is paid, for receipts and `manage.py quote`.

Every figure is exact, and every step says what it does and what it arrives at. Steps that show cost, ratio or markup
are private: they are for the desk, and no customer sees them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from billing.money import NANO_PER_USD, exact_text, usd_text
from billing.pricing.cards import MILLION, PER_MILLION_UNITS, find
from billing.pricing.engine import Charge
from billing.pricing.rates import Table
from billing.pricing.usage import Line


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `usd` is the exact amount it arrives at, or None where it only explains."""

    label: str
    detail: str
    usd: str | None = None
    private: bool = False


def explain(made: Charge) -> tuple[Step, ...]:
    """Tell a charge in steps."""
    return (*_cost_steps(made), *_price_steps(made), *_modifier_steps(made), *_guard_steps(made))


def _cost_steps(made: Charge) -> Iterator[Step]:
    table = made.rates.tariffs[made.tier].cost
    if table is None or made.cost is None:
        yield Step("Cost", "unknown: nobody has a card for this model", private=True)
        return
    for line in _consumed(made):
        amount, rate = _amount(table, line, Fraction(*made.scale))
        yield Step(f"Cost of {line.bucket}", f"{line.quantity:,} x {rate}", amount, private=True)
    yield from (Step(label, detail, private=True) for label, detail in _scale_words(made))
    kind = "the dearest known card" if made.cost_is_estimate else "the card"
    yield Step("Cost", f"by {kind}", _usd(Fraction(*made.cost)), private=True)


def _scale_words(made: Charge) -> Iterator[tuple[str, str]]:
    """Name what already stands in the rates above: the context tier, the service tier, the hour."""
    card, circumstances = made.rates.card, made.circumstances
    if made.tier:
        yield "Context tier", f"above {made.rates.thresholds[made.tier - 1]:,} input tokens"
    if card is not None and circumstances.service_tier is not None:
        multiplier = card.service_multiplier(circumstances.service_tier)
        yield "Service tier", f"{circumstances.service_tier}: rates x {exact_text(multiplier)}"
    window = None if card is None else card.peak_window(circumstances.at)
    if window is not None:
        hours = window.to_json()
        yield "Hour", f"{hours['from']} to {hours['to']} UTC: rates x {hours['multiplier']}"


def _price_steps(made: Charge) -> Iterator[Step]:
    rates, tariff = made.rates, made.rates.tariffs[made.tier]
    scale = Fraction(*made.scale) if rates.follows_cost else Fraction(1)
    if rates.follows_cost:
        yield Step("Multiplier on cost", f"x {exact_text(rates.terms.multiplier)}", private=True)
    for line, adjusted in zip(made.usage.lines, made.adjusted or [None] * len(made.usage.lines), strict=True):
        if not line.quantity:
            continue
        if tariff.ratios is None or adjusted is None:
            amount, rate = _amount(tariff.price, line, scale)
            yield Step(f"Price of {line.bucket}", f"{line.quantity:,} x {rate}", amount)
        else:
            yield from _adjusted_steps(made, tariff.ratios, line, adjusted, scale)
    product = made.rates.product_of(made.circumstances.modifiers)
    if product:
        yield Step("Price", "by the plan", _usd(Fraction(*made.price) * Fraction(1, product)))


def _adjusted_steps(made: Charge, ratios: Table, line: Line, adjusted: int, scale: Fraction) -> Iterator[Step]:
    ratio = _exact(ratios, line) * scale
    yield Step(f"Ratio of {line.bucket}", f"x {exact_text(ratio)}, rounded up to whole tokens", private=True)
    base = made.rates.terms.base_nano
    detail = f"{line.quantity:,} count as {adjusted:,} x ${_usd(base * MILLION)} per {MILLION:,}"
    yield Step(f"Price of {line.bucket}", detail, _usd(adjusted * base))


def _modifier_steps(made: Charge) -> Iterator[Step]:
    modifiers = made.circumstances.modifiers
    written = modifiers.to_json()
    if not written:
        return
    arm = f"arm {modifiers.arm_name}: x {exact_text(modifiers.arm_multiplier)}"
    if made.rates.product_of(modifiers) != modifiers.product:
        arm = f"arm {modifiers.arm_name}: not for this model"
    names = {
        "group_multiplier": ("Group", f"x {written.get('group_multiplier')}"),
        "organization_multiplier": ("Organization", f"x {written.get('organization_multiplier')}"),
        "coupon_percent": ("Coupon", f"less {written.get('coupon_percent')} %"),
        "arm": ("Experiment", arm),
    }
    yield from (Step(*names[name]) for name in written)
    yield Step("Price", "after modifiers", _usd(Fraction(*made.price)))


def _guard_steps(made: Charge) -> Iterator[Step]:
    if made.minimum_applied:
        yield Step("Minimum charge", "per request", _usd(made.rates.terms.min_charge_nano))
    quantum = made.rates.plan.quantum_nano
    yield Step("Charge", f"rounded up once, to {quantum:,} nano-USD", usd_text(made.charge_nano))
    if made.below_cost:
        yield Step("Below cost", "this charge is less than what it cost", private=True)
    if made.below_margin_floor:
        yield Step("Below the margin floor", "this charge keeps less than the plan asks", private=True)


def _consumed(made: Charge) -> list[Line]:
    return [line for line in made.usage.lines if line.quantity]


def _amount(table: Table, line: Line, scale: Fraction) -> tuple[str, str]:
    """Return a line's exact amount, and its rate in words."""
    nano = _exact(table, line) * scale
    per = MILLION if line.bucket.unit in PER_MILLION_UNITS else 1
    words = f"${_usd(nano * per)}" + (f" per {per:,}" if per > 1 else "")
    return _usd(nano * line.quantity), words


def _exact(table: Table, line: Line) -> Fraction:
    return Fraction(find(table.numerators, line.bucket) or 0, table.denominator)


def _usd(nano: Fraction) -> str:
    return exact_text(nano * Fraction(1, NANO_PER_USD))
