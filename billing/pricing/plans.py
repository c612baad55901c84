"""Plans: how a storefront turns cost into a price, as an effective-dated version.

Five methods cover every shop we know: `cost_plus` multiplies cost, `flat_token` asks the same for every token,
`adjusted_token` counts dear tokens several times, `unit_price` and `fixed_list` name prices of their own. A plan
holds one canonical markup, the multiplier on cost; percent is only another way to write it.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, cast

from billing.money import MAX_DISPLAY_UNIT_USD, NANO_PER_USD, BadAmount, Display, DisplayUnit, exact_text, usd_text
from billing.pricing.cards import MAX_MULTIPLIER, MAX_USD_PER_UNIT, MILLION, RateList, read_rates, read_version
from billing.pricing.reading import MAX_QUANTITY, Fields, Malformed, listed

MAX_PERCENT = 10**6
MAX_GUARD_USD = 10**6
MAX_TRIAL_TOKENS = 10**9
MAX_QUANTUM_NANO = NANO_PER_USD
DISPLAY_UNITS = ("USD", "credit", "token")
UNKNOWN_MODEL_RULES = ("reject", "one_to_one", "highest_known")
METHODS = ("cost_plus", "flat_token", "adjusted_token", "unit_price", "fixed_list")
MULTIPLYING = ("cost_plus", "adjusted_token")

DOLLARS = Display()
NOTHING = Fraction(0)

Method = Literal["cost_plus", "flat_token", "adjusted_token", "unit_price", "fixed_list"]
UnknownModel = Literal["reject", "one_to_one", "highest_known"]


@dataclass(frozen=True, slots=True)
class Volume:
    """A discount on the price of one order from a number of tokens or dollars on."""

    threshold: Fraction
    discount: Fraction
    of: Literal["tokens", "usd"]

    def to_json(self) -> dict[str, object]:
        """Write the discount; a threshold in tokens is a whole number, one in dollars a decimal."""
        threshold = int(self.threshold) if self.of == "tokens" else exact_text(self.threshold)
        return {"threshold": threshold, "percent": exact_text(self.discount * 100), "of": self.of}


@dataclass(frozen=True, slots=True)
class Override:
    """What one model does differently from the rest of the plan; None means as the plan says."""

    multiplier: Fraction | None = None
    min_charge: Fraction | None = None
    billable: bool | None = None
    allow_loss: bool | None = None

    def to_json(self) -> dict[str, object]:
        """Write only what differs."""
        found = {
            "multiplier": None if self.multiplier is None else exact_text(self.multiplier),
            "min_charge": None if self.min_charge is None else exact_text(self.min_charge),
            "billable": self.billable,
            "allow_loss": self.allow_loss,
        }
        return {name: value for name, value in found.items() if value is not None}


NO_OVERRIDE = Override()


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a price plan."""

    name: str
    version: str | int
    method: Method
    multiplier: Fraction | None = None
    price: Fraction | None = None
    base_price: Fraction | None = None
    units: RateList = ()
    price_list: tuple[tuple[str, RateList], ...] = ()
    min_charge: Fraction = NOTHING
    min_charge_free_models: bool = False
    min_profit: Fraction = NOTHING
    volume: Volume | None = None
    margin_floor: Fraction | None = None
    allow_loss: bool = False
    on_unknown_model: UnknownModel = "reject"
    models: tuple[tuple[str, Override], ...] = ()
    quantum_nano: int = 1
    display: Display = DOLLARS
    trial_tokens: int = 0

    @classmethod
    def from_json(cls, source: object) -> "Plan":
        """Read a plan, strictly; a field of another method is refused like a misspelt one."""
        fields = Fields(source, where="plan")
        method = cast("Method", fields.choice("method", METHODS))
        default_rule = "one_to_one" if method == "adjusted_token" else "reject"
        plan = cls(
            name=fields.text("name"),
            version=read_version(fields),
            method=method,
            multiplier=_read_multiplier(fields, required=True) if method in MULTIPLYING else None,
            price=fields.decimal("price", most=MAX_USD_PER_UNIT * MILLION) if method == "flat_token" else None,
            base_price=_read_base_price(fields) if method == "adjusted_token" else None,
            units=_read_units(fields, method),
            price_list=_read_list(fields) if method == "fixed_list" else (),
            min_charge=fields.optional("min_charge", lambda name: fields.decimal(name, most=MAX_GUARD_USD)) or NOTHING,
            min_charge_free_models=fields.flag("min_charge_free_models"),
            min_profit=fields.optional("min_profit", lambda name: fields.decimal(name, most=MAX_GUARD_USD)) or NOTHING,
            volume=fields.optional("volume", lambda name: _read_volume(fields.take(name))),
            margin_floor=fields.optional("margin_floor", lambda name: fields.decimal(name, most=1)),
            allow_loss=fields.flag("allow_loss"),
            on_unknown_model=cast("UnknownModel", fields.choice("on_unknown_model", UNKNOWN_MODEL_RULES, default_rule)),
            models=_read_overrides(fields, method),
            quantum_nano=fields.optional("rounding", lambda name: _read_rounding(fields.take(name))) or 1,
            display=fields.optional("display", lambda name: _read_display(fields.take(name))) or DOLLARS,
            trial_tokens=fields.optional("trial_tokens", lambda name: fields.integer(name, most=MAX_TRIAL_TOKENS)) or 0,
        )
        fields.done()
        return plan

    def to_json(self) -> dict[str, object]:
        """Write the plan in its normal form: percent as multiplier, defaults named, nothing of other methods."""
        return {
            "name": self.name,
            "version": self.version,
            "method": self.method,
            **self._method_json(),
            "min_charge": exact_text(self.min_charge),
            "min_charge_free_models": self.min_charge_free_models,
            "min_profit": exact_text(self.min_profit),
            **({} if self.volume is None else {"volume": self.volume.to_json()}),
            **({} if self.margin_floor is None else {"margin_floor": exact_text(self.margin_floor)}),
            "allow_loss": self.allow_loss,
            "on_unknown_model": self.on_unknown_model,
            "models": {name: override.to_json() for name, override in self.models},
            "rounding": {"mode": "ceil", "quantum_nano": self.quantum_nano, "scope": "request"},
            "display": {"unit": self.display.unit, "unit_value": usd_text(self.display.unit_nano)},
            "trial_tokens": self.trial_tokens,
        }

    def for_model(self, model: str) -> "Plan":
        """Return the plan without what it says about other models."""
        return replace(
            self,
            models=tuple(pair for pair in self.models if pair[0] == model),
            price_list=tuple(pair for pair in self.price_list if pair[0] == model),
        )

    def _method_json(self) -> dict[str, object]:
        single = {"multiplier": self.multiplier, "price": self.price, "base_price": self.base_price}
        written: dict[str, object] = {name: exact_text(value) for name, value in single.items() if value is not None}
        if self.units:
            written["units"] = [rate.to_json() for rate in self.units]
        if self.method == "fixed_list":
            written["list"] = {model: [rate.to_json() for rate in rates] for model, rates in self.price_list}
        return written

    def override(self, model: str) -> Override:
        """Return what a model does differently."""
        return dict(self.models).get(model, NO_OVERRIDE)


def _read_multiplier(fields: Fields, *, required: bool) -> Fraction | None:
    percent = fields.optional("percent", lambda name: 1 + fields.percent(name, least=-100, most=MAX_PERCENT))
    if percent is None and required:
        return fields.decimal("multiplier", most=MAX_MULTIPLIER)
    multiplier = fields.optional("multiplier", lambda name: fields.decimal(name, most=MAX_MULTIPLIER))
    if percent is not None and multiplier is not None:
        msg = f"{fields.where}: write either 'multiplier' or 'percent', not both."
        raise Malformed(msg)
    return multiplier if percent is None else percent


def _read_base_price(fields: Fields) -> Fraction:
    return fields.decimal("base_price", most=MAX_USD_PER_UNIT * MILLION, above_zero=True)


def _read_units(fields: Fields, method: str) -> RateList:
    if method not in ("flat_token", "unit_price"):
        return ()
    units = read_rates(fields, "units")
    if method == "unit_price" and not units:
        msg = "plan: a unit_price plan needs at least one rate in 'units'."
        raise Malformed(msg)
    if method == "flat_token" and any(rate.bucket.unit == "token" for rate in units):
        msg = "plan: a flat_token plan has one price for every token; 'units' is for what is not tokens."
        raise Malformed(msg)
    return units


def _read_list(fields: Fields) -> tuple[tuple[str, RateList], ...]:
    models = fields.pairs("list")
    if not models:
        msg = "plan: a fixed_list plan needs at least one model in 'list'."
        raise Malformed(msg)
    return tuple((model, _rates_of(rates, where=f"plan.list.{model}")) for model, rates in models)


def _rates_of(source: object, *, where: str) -> RateList:
    listed(source, where=where)
    return read_rates(Fields({"rates": source}, where=where), "rates")


def _read_volume(source: object) -> Volume:
    fields = Fields(source, where="plan.volume")
    of = cast("Literal['tokens', 'usd']", fields.choice("of", ("tokens", "usd")))
    if of == "usd" and fields.is_text("threshold"):
        threshold = fields.decimal("threshold", most=MAX_QUANTITY)
    else:
        threshold = Fraction(fields.integer("threshold"))
    volume = Volume(threshold, fields.percent("percent", most=100), of)
    fields.done()
    return volume


def _read_rounding(source: object) -> int:
    fields = Fields(source, where="plan.rounding")
    fields.choice("mode", ("ceil",), "ceil")
    fields.choice("scope", ("request",), "request")
    quantum = fields.optional("quantum_nano", lambda name: fields.integer(name, least=1, most=MAX_QUANTUM_NANO))
    fields.done()
    return quantum or 1


def _read_display(source: object) -> Display:
    fields = Fields(source, where="plan.display")
    unit = cast("DisplayUnit", fields.choice("unit", DISPLAY_UNITS))
    if unit == "USD" and not fields.has("unit_value"):
        fields.done()
        return DOLLARS
    try:
        display = Display(unit, fields.usd("unit_value", most=MAX_DISPLAY_UNIT_USD))
    except BadAmount as reason:
        msg = f"plan.display: {reason}"
        raise Malformed(msg) from reason
    fields.done()
    return display


def _read_overrides(fields: Fields, method: str) -> tuple[tuple[str, Override], ...]:
    return tuple(
        (model, _read_override(source, where, method))
        for model, source in fields.pairs("models")
        for where in (f"plan.models.{model}",)
    )


def _read_override(source: object, where: str, method: str) -> Override:
    fields = Fields(source, where=where)
    override = Override(
        multiplier=_read_multiplier(fields, required=False) if method in MULTIPLYING else None,
        min_charge=fields.optional("min_charge", lambda name: fields.decimal(name, most=MAX_GUARD_USD)),
        billable=fields.flag("billable") if fields.has("billable") else None,
        allow_loss=fields.flag("allow_loss") if fields.has("allow_loss") else None,
    )
    fields.done()
    return override
