"""Rates: a card and a plan made ready once, so that pricing many requests is a few integer multiplications.

Every price becomes an integer over one common denominator, in nano-USD per single unit, one tariff per context tier.
Nothing is approximated on the way: the integers are the engine, not a faster copy of it. Beside each tariff stands
the dearest one reachable, from which ceilings for holds are made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm

from billing.money import NANO_PER_USD
from billing.pricing.cards import MILLION, Card, RateList, Unpriced, find
from billing.pricing.modifiers import Modifiers
from billing.pricing.plans import Plan
from billing.pricing.reading import Fields, Malformed
from billing.pricing.unknown import dearest_card
from billing.pricing.usage import ALL_BUCKETS, DIRECTIONS, TEXT_ANSWER, Bucket, Line

Prices = Mapping[Bucket, Fraction]

NEVER_REACHED = Fraction(10**18)  # more than all modifiers together can multiply by
TOKEN_BUCKETS = frozenset(bucket for bucket in ALL_BUCKETS if bucket.unit == "token")


@dataclass(frozen=True, slots=True)
class Table:
    """Prices of single units, as integers over one denominator."""

    numerators: Mapping[Bucket, int]
    denominator: int

    @classmethod
    def of(cls, prices: Prices) -> "Table":
        """Bring exact prices to their common denominator."""
        denominator = lcm(*(price.denominator for price in prices.values()))
        return cls({bucket: int(price * denominator) for bucket, price in prices.items()}, denominator)

    def of_line(self, line: Line) -> int:
        """Return a line's price over the table's denominator; a line without a price is refused unless it is 0."""
        numerator = find(self.numerators, line.bucket)
        if numerator is not None:
            return numerator * line.quantity
        if line.quantity:
            msg = f"There is no price for {line.bucket}."
            raise Unpriced(msg)
        return 0

    def total(self, lines: Iterable[Line]) -> int:
        """Add up lines over the table's denominator."""
        return sum([self.of_line(line) for line in lines])


@dataclass(frozen=True, slots=True)
class Tariff:
    """What one request goes by, in nano-USD: the cost (None when nobody knows it) and the plan's prices.

    `ratios` says how often a token counts under an adjusted_token plan, and is None under every other method.
    """

    cost: Table | None
    price: Table
    ratios: Table | None


@dataclass(frozen=True, slots=True)
class Straight:
    """Question and answer at their dearest, as (input, output, denominator): what most ceilings come down to."""

    cost: tuple[int, int, int] | None
    price: tuple[int, int, int]

    @classmethod
    def of(cls, tariff: Tariff, dearest: Mapping[str, Bucket]) -> "Straight | None":
        """Look both prices up once; None where one is missing, or where tokens are adjusted line by line."""
        price = _both(tariff.price, dearest)
        cost = None if tariff.cost is None else _both(tariff.cost, dearest)
        if tariff.ratios is not None or price is None or (cost is None and tariff.cost is not None):
            return None
        return cls(cost, price)


def _both(table: Table, dearest: Mapping[str, Bucket]) -> tuple[int, int, int] | None:
    question, answer = (find(table.numerators, dearest[direction]) for direction in DIRECTIONS)
    return None if question is None or answer is None else (question, answer, table.denominator)


@dataclass(frozen=True, slots=True)
class Bound:
    """The dearest tariff within reach; each uncached bucket stands for its whole family.

    `any_modality` names for each direction the dearest bucket of tokens, `parts` counts the buckets of tokens that
    usage could be spread over, `straight` holds the prices of those dearest buckets.
    """

    tariff: Tariff
    any_modality: Mapping[str, Bucket]
    parts: Mapping[str, int]
    straight: Straight | None

    @property
    def deciding(self) -> Table:
        """Return the table by which tokens are dear or cheap."""
        return self.tariff.ratios or self.tariff.price

    def dearest(self, direction: str, modality: str | None) -> Bucket:
        """Return the bucket under which tokens of one direction cost most: of any modality, or of one and text."""
        if modality is None:
            return self.any_modality[direction]
        texts = (Bucket(direction, "text"), Bucket(direction, modality))
        return max(texts, key=lambda bucket: find(self.deciding.numerators, bucket) or 0)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan says about one model, its override applied."""

    multiplier: Fraction
    base_nano: Fraction
    own_prices: Prices | None
    min_charge_nano: Fraction
    billable: bool
    allow_loss: bool

    @classmethod
    def of(cls, plan: Plan, model: str) -> "Terms":
        """Resolve a plan for a model; a model missing from a plan's own list is unpriced."""
        override = plan.override(model)
        multiplier = plan.multiplier if override.multiplier is None else override.multiplier
        minimum = plan.min_charge if override.min_charge is None else override.min_charge
        return cls(
            multiplier=multiplier or Fraction(0),
            base_nano=(plan.base_price or Fraction(0)) * Fraction(NANO_PER_USD, MILLION),
            own_prices=_own_prices(plan, model),
            min_charge_nano=minimum * NANO_PER_USD,
            billable=bool(override.billable),
            allow_loss=plan.allow_loss if override.allow_loss is None else override.allow_loss,
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """One plan and one card, prepared for one model.

    `tariffs` and `bounds` run from the base up through the context tiers; `thresholds` says above how many tokens
    each next one begins. `record` is what these rates were made of, ready for snapshots. `least_product` is what
    modifiers must come to for nothing to sell below cost or the plan's margin floor; None where nothing asks for that.
    """

    plan: Plan
    model: str
    card: Card | None
    known_cards: tuple[Card, ...]
    terms: Terms
    thresholds: tuple[int, ...]
    tariffs: tuple[Tariff, ...]
    bounds: tuple[Bound, ...]
    least_product: Fraction | None
    record: Mapping[str, object] = field(compare=False, repr=False)

    @classmethod
    def of(
        cls, *, plan: Plan, card: Card | None, model: str | None = None, known_cards: Sequence[Card] = ()
    ) -> "Rates":
        """Prepare a plan for a model; without a card the plan's rule for unknown models decides, or it is refused."""
        model = model or (card.model if card is not None else None)
        if model is None:
            raise Malformed("An unknown model still needs its name.")
        used = card if card is not None else _stand_in(plan, model, known_cards)
        if used is not None and used.is_free_by_omission:
            msg = f"Every rate of the card of {model!r} is zero and it is not marked free, so it prices nothing."
            raise Unpriced(msg)
        terms = Terms.of(plan, model)
        costs: list[Prices] = [] if used is None else [*used.nano_tables()]
        known: list[Prices | None] = [*costs] or [None]
        reach = range(1, len(costs) + 1)
        tariffs = tuple(_tariff(terms, cost, terms.own_prices) for cost in known)
        return cls(
            plan=plan,
            model=model,
            card=used,
            known_cards=() if used is card else tuple(known_cards),
            terms=terms,
            thresholds=() if used is None else tuple(tier.above_tokens for tier in used.context_tiers),
            tariffs=tariffs,
            bounds=tuple(_bound(terms, costs[:count]) for count in reach) or (_bound(terms, []),),
            least_product=None if terms.allow_loss else _least_product(plan, terms, used, tariffs),
            record=_record(plan, model, card, () if used is card else known_cards),
        )

    @classmethod
    def from_json(cls, source: object) -> "Rates":
        """Prepare the rates of a snapshot again."""
        fields = Fields(source, where="rates")
        rates = cls.of(
            plan=Plan.from_json(fields.take("plan")),
            model=fields.text("model"),
            card=fields.optional("card", lambda name: Card.from_json(fields.take(name))),
            known_cards=[Card.from_json(item) for _, item in fields.items("known_cards")],
        )
        fields.done()
        return rates

    @property
    def follows_cost(self) -> bool:
        """Say whether service tier and hour, which multiply the cost, multiply the price as well."""
        return self.card is not None and self.terms.own_prices is None

    def product_of(self, modifiers: Modifiers) -> Fraction:
        """Return what modifiers multiply these prices by; an arm that would sell at a loss is left out."""
        least = self.least_product
        if modifiers.arm_multiplier >= 1 or least is None or modifiers.product >= least:
            return modifiers.product
        return modifiers.product_without_arm


def _least_product(plan: Plan, terms: Terms, card: Card | None, tariffs: Sequence[Tariff]) -> Fraction | None:
    """Return the largest share of its price that any bucket costs, at the dearest service tier and hour."""
    if card is None:
        return None
    scale = Fraction(1) if terms.own_prices is None else card.dearest_scale
    kept = 1 - (plan.margin_floor or Fraction(0))
    least = Fraction(0)
    for tariff in tariffs:
        for paid, asked in _pairs(tariff):
            least = max(least, Fraction(paid * scale, asked * kept) if asked * kept else NEVER_REACHED)
    return least


def _pairs(tariff: Tariff) -> set[tuple[Fraction, Fraction]]:
    """Return every cost with the price it is sold at, whichever way a bucket finds each of the two."""
    costs, prices = tariff.cost, tariff.price
    if costs is None:
        return set()
    found = {(find(costs.numerators, bucket), find(prices.numerators, bucket)) for bucket in ALL_BUCKETS}
    return {
        (Fraction(cost, costs.denominator), Fraction(price, prices.denominator))
        for cost, price in found
        if cost and price is not None
    }


def _record(plan: Plan, model: str, card: Card | None, known_cards: Sequence[Card]) -> Mapping[str, object]:
    """Write everything rates are made of, of the plan only what concerns the model."""
    return {
        "model": model,
        "plan": plan.for_model(model).to_json(),
        "card": None if card is None else card.to_json(),
        "known_cards": [known.to_json() for known in known_cards],
    }


def _stand_in(plan: Plan, model: str, known_cards: Sequence[Card]) -> Card | None:
    """Apply the plan's rule for a model without a card: None means its tokens count one to one."""
    if plan.on_unknown_model == "highest_known" and known_cards:
        return dearest_card(known_cards, model=model)
    if plan.on_unknown_model == "one_to_one" and plan.method == "adjusted_token":
        return None
    msg = f"The model {model!r} has no cost card, and plan {plan.name} refuses unknown models."
    raise Unpriced(msg)


def _own_prices(plan: Plan, model: str) -> Prices | None:
    """Return the prices a plan names itself, or None when its method multiplies cost."""
    if plan.method == "fixed_list":
        rates = dict(plan.price_list).get(model)
        if rates is None:
            msg = f"Plan {plan.name} has no price for the model {model!r}."
            raise Unpriced(msg)
        return _by_bucket(rates)
    if plan.method == "unit_price":
        return _by_bucket(plan.units)
    if plan.method == "flat_token":
        token = (plan.price or Fraction(0)) * Fraction(NANO_PER_USD, MILLION)
        return {**_by_bucket(plan.units), **dict.fromkeys(TOKEN_BUCKETS, token)}
    return None


def _by_bucket(rates: RateList) -> Prices:
    return {rate.bucket: rate.nano_per_unit for rate in rates}


def _tariff(terms: Terms, cost: Prices | None, own: Prices | None) -> Tariff:
    multiplied = {bucket: price * terms.multiplier for bucket, price in (cost or {}).items()}
    counted = dict.fromkeys(TOKEN_BUCKETS, terms.base_nano) if cost is None else multiplied
    ratios = (
        {bucket: Fraction(price, terms.base_nano) for bucket, price in counted.items()} if terms.base_nano else None
    )
    return Tariff(
        cost=None if cost is None else Table.of(cost),
        price=Table.of(multiplied if own is None else own),
        ratios=None if ratios is None else Table.of(ratios),
    )


def _bound(terms: Terms, costs: Sequence[Prices]) -> Bound:
    cost = dearest(costs) if costs else None
    own = None if terms.own_prices is None else dearest([terms.own_prices])
    if cost and own:
        # Own prices decide which bucket is dearest; costs only tell whether a minimum may apply, and any cost does.
        cost = dict.fromkeys(cost, Fraction(any(cost.values())))
    tariff = _tariff(terms, cost, own)
    deciding = tariff.ratios or tariff.price
    sold = {direction: _sold(tariff, deciding, direction) for direction in DIRECTIONS}
    dearest_of = {
        direction: max(buckets, key=lambda bucket: find(deciding.numerators, bucket) or 0, default=Bucket(direction))
        for direction, buckets in sold.items()
    }
    return Bound(
        tariff=tariff,
        any_modality=dearest_of,
        parts={direction: len(buckets) for direction, buckets in sold.items()},
        straight=Straight.of(tariff, dearest_of),
    )


def _sold(tariff: Tariff, deciding: Table, direction: str) -> list[Bucket]:
    """List the buckets of tokens that have both a cost (where costs are known) and a price."""
    tables = [deciding.numerators] + ([] if tariff.cost is None else [tariff.cost.numerators])
    return sorted(
        bucket
        for bucket in TOKEN_BUCKETS
        if bucket.direction == direction and all(find(table, bucket) is not None for table in tables)
    )


def dearest(tables: Sequence[Prices]) -> dict[Bucket, Fraction]:
    """Return for each family of buckets the dearest price any of them could have.

    Input may turn out to be read from or written to a cache; an answer of any modality may also hold text and
    reasoning. The family's bound stands under its uncached bucket.
    """
    bound: dict[Bucket, Fraction] = {}
    for table in tables:
        for bucket, price in table.items():
            family = bucket._replace(cache="none")
            bound[family] = max(price, bound.get(family, price))
    return {bucket: max(price, *_texts(bound, bucket)) for bucket, price in bound.items()}


def _texts(bound: Prices, bucket: Bucket) -> list[Fraction]:
    """Return the prices of the text and reasoning that an answer of another kind may hold as well."""
    if bucket.direction == "input":
        return [bound[bucket]]
    texts = (bucket._replace(modality=modality) for modality in TEXT_ANSWER)
    return [bound[bucket], *(bound[text] for text in texts if text in bound)]
