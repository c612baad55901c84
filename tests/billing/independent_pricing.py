"""A second opinion on every price, in whole numbers only.

The shop's engine works in exact decimals. This file answers the same questions with nothing but
Python's integers, a numerator over a denominator, and was written from the pricing vocabulary by
somebody who had not read the engine. Where the two agree on every vector, neither can be wrong by a
habit of its arithmetic; where they differ, one of them misread the rule. It is kept slow, plain and
small on purpose, and must never import anything from `billing`. `answer(vector)` is its one door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from itertools import product
from math import gcd
from typing import Any, NamedTuple

NANO_PER_USD = 10**9
MILLION = 10**6
CENT_NANO = 10**7
TOKENS_PER_MESSAGE = 16

Row = Mapping[str, Any]
Key = tuple[str, str, str, str]


class Unpriced(Exception):
    """No price is known for something that was used, so there is no charge to name."""


class Ratio(NamedTuple):
    """An exact number: an integer over a positive integer."""

    top: int
    bottom: int = 1

    def plus(self, other: Ratio) -> Ratio:
        return Ratio(self.top * other.bottom + other.top * self.bottom, self.bottom * other.bottom)

    def times(self, other: Ratio) -> Ratio:
        return Ratio(self.top * other.top, self.bottom * other.bottom)

    def over(self, other: Ratio) -> Ratio:
        return Ratio(self.top * other.bottom, self.bottom * other.top)

    def below(self, other: Ratio) -> bool:
        return self.top * other.bottom < other.top * self.bottom

    def ceiling(self) -> int:
        return -(-self.top // self.bottom)


ZERO, ONE, HUNDRED = Ratio(0), Ratio(1), Ratio(100)
Book = dict[Key, Ratio]


class Line(NamedTuple):
    """One bucket of usage."""

    direction: str
    modality: str
    cache: str
    unit: str
    quantity: int

    @property
    def key(self) -> Key:
        return (self.direction, self.modality, self.cache, self.unit)


class Priced(NamedTuple):
    """What a method makes of some usage; `adjusted` is filled by adjusted_token alone."""

    price: Ratio
    adjusted: tuple[int, ...] = ()


Finder = Callable[[Book, Line], Ratio]
Rates = Sequence[Ratio | None]


# Numbers in and out


def exact(text: str) -> Ratio:
    whole, _, digits = text.partition(".")
    return Ratio(int(whole + digits), 10 ** len(digits))


def decimal_text(value: Ratio) -> str | None:
    """The value as a decimal without trailing zeros, or None if it never ends."""
    shared = gcd(value.top, value.bottom)
    top, bottom = value.top // shared, value.bottom // shared
    places = 0
    while 10**places % bottom:
        places += 1
        if places > bottom.bit_length():
            return None
    digits = str(top * 10**places // bottom).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def largest(values: Sequence[Ratio]) -> Ratio:
    best = values[0]
    for value in values[1:]:
        best = value if best.below(value) else best
    return best


def total(values: Sequence[Ratio]) -> Ratio:
    result = ZERO
    for value in values:
        result = result.plus(value)
    return result


# Cards and price lists


def key_of(row: Row) -> Key:
    return (
        row["direction"],
        row.get("modality", "text"),
        row.get("cache", "none"),
        row.get("unit", "token"),
    )


def usual_per(unit: str) -> int:
    return MILLION if unit in {"token", "character"} else 1


def book_of(rates: Sequence[Row]) -> Book:
    """The price of one unit, by key."""
    return {
        key_of(rate): exact(rate["price"]).over(Ratio(rate.get("per", usual_per(key_of(rate)[3])))) for rate in rates
    }


def find(book: Book, line: Line) -> Ratio:
    """The line's own rate; else reasoning as text; else cached as not cached; else nothing."""
    direction, modality, cache, unit = line.key
    modalities = [modality, "text"] if modality == "reasoning" else [modality]
    for cache_class in dict.fromkeys((cache, "none")):
        for name in modalities:
            if (direction, name, cache_class, unit) in book:
                return book[direction, name, cache_class, unit]
    raise Unpriced(line)


def dearest(book: Book, line: Line) -> Ratio:
    """The highest rate any token of this direction could meet, for holds."""
    rates = [rate for key, rate in book.items() if (key[0], key[3]) == (line.direction, line.unit)]
    if not rates:
        raise Unpriced(line)
    return largest(rates)


def refuse_silent_giveaway(card: Row) -> None:
    rates = [*card["rates"], *(rate for tier in card.get("context_tiers", ()) for rate in tier["rates"])]
    if not card.get("free") and all(exact(rate["price"]).top == 0 for rate in rates):
        raise Unpriced(card["model"])


def card_books(card: Row, input_tokens: int) -> list[Book]:
    """The base book and, for each tier a request of this size passes, the book it then meets."""
    refuse_silent_giveaway(card)
    base = book_of(card["rates"])
    passed = [tier for tier in card.get("context_tiers", ()) if tier["above_tokens"] < input_tokens]
    passed.sort(key=lambda tier: int(tier["above_tokens"]))
    return [base, *({**base, **book_of(tier["rates"])} for tier in passed)]


def service_multiplier(card: Row, context: Row) -> Ratio:
    tier = context.get("service_tier")
    tiers = card.get("service_tiers", {})
    if tier in tiers:
        return exact(tiers[tier])
    if tier in {None, "default"}:
        return ONE
    raise Unpriced(tier)


def peak_multiplier(card: Row, at: str | None) -> Ratio:
    windows = card.get("peak", ())
    if not windows:
        return ONE
    if at is None:
        return largest([ONE, *(exact(window["multiplier"]) for window in windows)])
    clock = datetime.fromisoformat(at).astimezone(UTC).time()
    for window in windows:
        if contains(time.fromisoformat(window["from"]), time.fromisoformat(window["to"]), clock):
            return exact(window["multiplier"])
    return ONE


def contains(start: time, end: time, clock: time) -> bool:
    if start < end:
        return start <= clock < end
    return clock >= start or clock < end


def input_tokens_of(lines: Sequence[Line]) -> int:
    return sum(line.quantity for line in lines if (line.direction, line.unit) == ("input", "token"))


def card_rates(card: Row, vector: Row, lines: Sequence[Line]) -> list[Ratio]:
    """What we pay for one unit of each line; an unused line needs no rate."""
    book = card_books(card, input_tokens_of(lines))[-1]
    context = vector.get("context", {})
    multiplier = service_multiplier(card, context).times(peak_multiplier(card, vector.get("at")))
    return [find(book, line).times(multiplier) if line.quantity else ZERO for line in lines]


# Models without a card


def rates_for(vector: Row, plan: Row, lines: Sequence[Line]) -> Rates:
    if vector.get("card"):
        return card_rates(vector["card"], vector, lines)
    adjusts = plan["method"] == "adjusted_token"
    policy = plan.get("on_unknown_model", "one_to_one" if adjusts else "reject")
    if policy == "highest_known":
        return [highest_known(vector, line) for line in lines]
    if policy == "one_to_one" and adjusts:
        return [None] * len(lines)
    raise Unpriced(policy)


def highest_known(vector: Row, line: Line) -> Ratio:
    found = []
    for card in vector.get("context", {}).get("known_cards", ()):
        try:
            found += card_rates(card, vector, [line])
        except Unpriced:
            continue
    if not found:
        raise Unpriced(line)
    return largest(found)


def cost_of(lines: Sequence[Line], rates: Rates) -> Ratio | None:
    known = [rate.times(Ratio(line.quantity)) for line, rate in zip(lines, rates, strict=True) if rate is not None]
    return total(known) if len(known) == len(rates) else None


# Methods


def multiplier_of(plan: Row) -> Ratio:
    if "multiplier" in plan:
        return exact(plan["multiplier"])
    return ONE.plus(exact(plan["percent"]).over(HUNDRED))


def cost_plus(plan: Row, lines: Sequence[Line], rates: Rates, _seek: Finder) -> Priced:
    return Priced((cost_of(lines, rates) or ZERO).times(multiplier_of(plan)))


def listed(rows: Sequence[Row], lines: Sequence[Line], seek: Finder) -> Ratio:
    book = book_of(rows)
    return total([seek(book, line).times(Ratio(line.quantity)) for line in lines if line.quantity])


def unit_price(plan: Row, lines: Sequence[Line], _rates: Rates, seek: Finder) -> Priced:
    return Priced(listed(plan["units"], lines, seek))


def fixed_list(plan: Row, lines: Sequence[Line], _rates: Rates, seek: Finder) -> Priced:
    if plan["model"] not in plan["list"]:
        raise Unpriced(plan["model"])
    return Priced(listed(plan["list"][plan["model"]], lines, seek))


def flat_token(plan: Row, lines: Sequence[Line], _rates: Rates, seek: Finder) -> Priced:
    tokens = Ratio(sum(line.quantity for line in lines if line.unit == "token"), MILLION)
    others = [line for line in lines if line.unit != "token"]
    return Priced(exact(plan["price"]).times(tokens).plus(listed(plan.get("units", ()), others, seek)))


def adjusted_token(plan: Row, lines: Sequence[Line], rates: Rates, _seek: Finder) -> Priced:
    token_price = exact(plan["base_price"]).over(Ratio(MILLION))
    adjusted, price = [], ZERO
    for line, rate in zip(lines, rates, strict=True):
        quantity = Ratio(line.quantity)
        if line.unit == "token":
            ratio = ONE if rate is None else rate.over(token_price).times(multiplier_of(plan))
            adjusted.append(quantity.times(ratio).ceiling())
        elif rate is not None:
            price = price.plus(quantity.times(rate).times(multiplier_of(plan)))
        elif line.quantity:
            raise Unpriced(line)
    return Priced(price.plus(token_price.times(Ratio(sum(adjusted)))), tuple(adjusted))


METHODS: dict[str, Callable[[Row, Sequence[Line], Rates, Finder], Priced]] = {
    "cost_plus": cost_plus,
    "flat_token": flat_token,
    "adjusted_token": adjusted_token,
    "unit_price": unit_price,
    "fixed_list": fixed_list,
}


# Modifiers, guards, rounding


def plan_for(vector: Row) -> dict[str, Any]:
    """The plan as it stands for this model, which it then names."""
    plan = dict(vector["plan"])
    card = vector.get("card") or {}
    plan["model"] = card.get("model", vector.get("context", {}).get("model"))
    override = plan.get("models", {}).get(plan["model"], {})
    if {"multiplier", "percent"} & set(override):
        plan.pop("multiplier", None)
        plan.pop("percent", None)
    return {**plan, **override}


def modified(price: Ratio, modifiers: Row) -> Ratio:
    coupon = exact(modifiers.get("coupon_percent", "0"))
    left = HUNDRED.plus(Ratio(-coupon.top, coupon.bottom)).over(HUNDRED)
    arm = modifiers.get("arm", {}).get("multiplier", "1")
    for name in ("group_multiplier", "organization_multiplier"):
        price = price.times(exact(modifiers.get(name, "1")))
    return price.times(left).times(exact(arm))


def without_a_losing_arm(plan: Row, vector: Row) -> Row:
    """The modifiers that count: a cheaper arm is nobody's where anything of the model would sell at a loss by it."""
    modifiers = vector.get("modifiers", {})
    arm = exact(modifiers.get("arm", {}).get("multiplier", "1"))
    if not arm.below(ONE) or plan.get("allow_loss") or not vector.get("card"):
        return modifiers
    floor = exact(plan.get("margin_floor", "0"))
    kept = ONE.plus(Ratio(-floor.top, floor.bottom))
    for cost, price in unit_costs_and_prices(plan, vector["card"]):
        if modified(price, modifiers).times(kept).below(cost):
            return {name: value for name, value in modifiers.items() if name != "arm"}
    return modifiers


def unit_costs_and_prices(plan: Row, card: Row) -> Iterator[tuple[Ratio, Ratio]]:
    """What one unit of anything may cost us at the worst, in every tier, and what the plan asks for it."""
    own = plan["method"] in {"flat_token", "unit_price", "fixed_list"}
    hours = [exact(window["multiplier"]) for window in card.get("peak", ())]
    services = [exact(multiplier) for multiplier in card.get("service_tiers", {}).values()]
    scale = largest([ONE, *hours]).times(largest([ONE, *services])) if own else ONE
    for book in card_books(card, 10**15):
        rows = [*book, *map(key_of, plan.get("units", ())), *map(key_of, plan.get("list", {}).get(plan["model"], ()))]
        modalities, caches, units = ({key[place] for key in rows} for place in (1, 2, 3))
        for key in product(("input", "output"), modalities | {"text", "reasoning"}, caches | {"none"}, units):
            line = Line(*key, quantity=1)
            try:
                cost = find(book, line)
                price = METHODS[plan["method"]](plan, [line], [cost], find).price if own else None
            except Unpriced:
                continue
            yield cost.times(scale), cost.times(multiplier_of(plan)) if price is None else price


def minimum_applies(plan: Row, lines: Sequence[Line], cost: Ratio | None) -> bool:
    if plan.get("billable"):
        return True
    if not any(line.quantity for line in lines):
        return False
    return cost is None or cost.top > 0 or bool(plan.get("min_charge_free_models"))


def charge_nano(plan: Row, vector: Row, lines: Sequence[Line], cost: Ratio | None, price: Ratio) -> int:
    price = modified(price, without_a_losing_arm(plan, vector))
    if minimum_applies(plan, lines, cost):
        price = largest([price, exact(plan.get("min_charge", "0"))])
    quantum = plan.get("rounding", {}).get("quantum_nano", 1)
    return price.times(Ratio(NANO_PER_USD, quantum)).ceiling() * int(quantum)


def nano(usd: Ratio) -> int:
    return usd.times(Ratio(NANO_PER_USD)).ceiling()


def shown(charge: int, display: Row) -> str | None:
    units = Ratio(charge, NANO_PER_USD).over(exact(display.get("unit_value", "1")))
    return str(units.ceiling()) if display["unit"] == "token" else decimal_text(units)


# The three questions


def answer(vector: Row) -> dict[str, Any]:
    """Everything that can be said about a vector, in the words of its `expect`."""
    question = next(name for name in QUESTIONS if name in vector)
    try:
        return QUESTIONS[question](vector)
    except Unpriced:
        return {"error": "unpriced"}


def request(vector: Row) -> dict[str, Any]:
    plan = plan_for(vector)
    lines = [Line(*key_of(row), quantity=row["quantity"]) for row in vector["usage"]]
    rates = rates_for(vector, plan, lines)
    cost = cost_of(lines, rates)
    priced = METHODS[plan["method"]](plan, lines, rates, find)
    charge = charge_nano(plan, vector, lines, cost, priced.price)
    result: dict[str, Any] = {"charge_nano": charge, "cost_nano": None}
    if cost is not None:
        result |= {"cost_nano": nano(cost), "cost_usd": decimal_text(cost)}
        result["below_cost"] = charge < nano(cost) and not plan.get("allow_loss", False)
    if plan["method"] == "adjusted_token":
        result |= adjustments(lines, priced)
    if "display" in plan:
        result["display"] = shown(charge, plan["display"])
    return result | {"unit_prices": unit_prices(plan, lines, rates)}


def adjustments(lines: Sequence[Line], priced: Priced) -> dict[str, Any]:
    tokens = [line for line in lines if line.unit == "token"]
    components = [
        {"direction": line.direction, "modality": line.modality, "adjusted": adjusted}
        for line, adjusted in zip(tokens, priced.adjusted, strict=True)
    ]
    return {"adjusted_tokens": sum(priced.adjusted), "components": components}


def unit_prices(plan: Row, lines: Sequence[Line], rates: Rates) -> dict[str, str | None]:
    """The price of a million tokens (or of one unit) of each text line in use, and as a page shows it."""
    prices: dict[str, str | None] = {}
    for line, rate in zip(lines, rates, strict=True):
        if line.quantity and (line.modality, line.cache) == ("text", "none"):
            sample = line._replace(quantity=usual_per(line.unit))
            price = METHODS[plan["method"]](plan, [sample], [rate], find).price
            cents = price.times(Ratio(100)).ceiling()
            prices[line.direction] = decimal_text(price)
            prices[f"{line.direction}_shown"] = f"{cents // 100}.{cents % 100:02}"
    return prices


def order(vector: Row) -> dict[str, Any]:
    plan, sale = plan_for(vector), vector["order"]
    cost = exact(sale["cost"]) if "cost" in sale else package_cost(vector, sale)
    price = modified(cost.times(multiplier_of(plan)), vector.get("modifiers", {}))
    price = discounted(price, plan.get("volume"), sale.get("tokens", 0))
    price = largest([price, cost.plus(exact(plan.get("min_profit", "0")))])
    return {"cost_nano": nano(cost), "price_nano": nano(price), "profit_nano": nano(price) - nano(cost)}


def package_cost(vector: Row, sale: Row) -> Ratio:
    if not vector.get("card"):
        raise Unpriced(sale["model"])
    sides = [Line(side, "text", "none", "token", 1) for side in ("input", "output")]
    if sale.get("input_share") in {"0", "1"}:
        sides = [sides[0] if sale["input_share"] == "1" else sides[1]]
        return card_rates(vector["card"], vector, sides)[0].times(Ratio(sale["tokens"]))
    paid, made = card_rates(vector["card"], vector, sides)
    if "input_share" not in sale:
        return largest([paid, made]).times(Ratio(sale["tokens"]))
    share = exact(sale["input_share"])
    rest = ONE.plus(Ratio(-share.top, share.bottom))
    return paid.times(share).plus(made.times(rest)).times(Ratio(sale["tokens"]))


def discounted(price: Ratio, volume: Row | None, tokens: int) -> Ratio:
    if volume is None:
        return price
    size = Ratio(tokens) if volume["of"] == "tokens" else price
    if size.below(exact(str(volume["threshold"]))):
        return price
    return modified(price, {"coupon_percent": volume["percent"]})


def hold(vector: Row) -> dict[str, Any]:
    plan, bounds = plan_for(vector), vector["bounds"]
    sizes = {
        "input": bounds["input_bytes"] + TOKENS_PER_MESSAGE * bounds.get("messages", 0),
        "output": bounds.get("n", 1) * output_bound(bounds),
    }
    lines = [Line(side, "text", "none", "token", size) for side, size in sizes.items()]
    rates = hold_rates(vector, plan, lines)
    priced = METHODS[plan["method"]](plan, lines, rates, dearest)
    return {"hold_nano": charge_nano(plan, vector, lines, cost_of(lines, rates), priced.price)}


def output_bound(bounds: Row) -> int:
    model = bounds.get("model", {})
    wanted = bounds.get("max_output_tokens")
    if wanted is None:
        wanted = model["default_output_tokens"]
    return min(int(wanted), int(model.get("max_output_tokens", wanted)))


def hold_rates(vector: Row, plan: Row, lines: Sequence[Line]) -> Rates:
    card = vector.get("card")
    if not card:
        return rates_for(vector, plan, lines)
    service = largest([ONE, service_multiplier(card, vector.get("context", {}))])
    multiplier = service.times(peak_multiplier(card, vector.get("at")))
    books = card_books(card, input_tokens_of(lines))
    return [
        largest([dearest(book, line) for book in books]).times(multiplier) if line.quantity else ZERO for line in lines
    ]


QUESTIONS: dict[str, Callable[[Row], dict[str, Any]]] = {"usage": request, "order": order, "bounds": hold}
