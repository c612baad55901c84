"""Cards, plans, usage and bounds at random, in the JSON form in which they arrive."""

from typing import Any

from hypothesis import strategies as st

from billing import pricing
from billing.pricing.usage import ALL_BUCKETS, CACHES

Json = dict[str, Any]
SERVICE_TIERS = ["flex", "priority"]
PERS = [None, 1, 3, 60, 1000]
COMMON = [
    ("input", "text", "none", "token"),
    ("output", "text", "none", "token"),
    ("input", "text", "read", "token"),
    ("input", "text", "write_5m", "token"),
    ("input", "text", "write_1h", "token"),
    ("output", "reasoning", "none", "token"),
    ("input", "audio", "none", "token"),
    ("output", "audio", "none", "token"),
    ("input", "image", "none", "image"),
    ("output", "search", "none", "search"),
    ("input", "text", "none", "character"),
    ("output", "audio", "none", "second"),
]
CANDIDATES = sorted(
    {pricing.Bucket(*bucket) for bucket in COMMON}
    | {bucket for bucket in ALL_BUCKETS if bucket.unit == "token" and bucket.modality in ("text", "audio", "reasoning")}
)
TOKEN_MODALITIES = {"input": ("text", "audio"), "output": ("text", "reasoning", "audio")}


def rows(bucket: tuple[str, ...]) -> Json:
    return dict(zip(("direction", "modality", "cache", "unit"), bucket, strict=True))


@st.composite
def decimals(draw: st.DrawFn, most: int = 1000, places: int = 4) -> str:
    scale = draw(st.integers(0, places))
    number = str(draw(st.integers(0, most * 10**scale))).zfill(scale + 1)
    return number[: len(number) - scale] + ("." + number[-scale:] if scale else "")


def multipliers() -> st.SearchStrategy[str]:
    return decimals(most=3, places=3)


@st.composite
def rate(draw: st.DrawFn, bucket: tuple[str, ...]) -> Json:
    per = draw(st.sampled_from(PERS))
    return {**rows(bucket), "price": draw(decimals()), **({} if per is None else {"per": per})}


@st.composite
def rate_lists(draw: st.DrawFn, *, least: int = 0) -> list[Json]:
    buckets = draw(st.lists(st.sampled_from(COMMON), unique=True, min_size=least))
    return [draw(rate(bucket)) for bucket in buckets]


@st.composite
def peaks(draw: st.DrawFn) -> list[Json]:
    found = []
    for _ in range(draw(st.integers(0, 2))):
        start, end = draw(st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True))
        found.append({"from": f"{start:02}:30", "to": f"{end:02}:00", "multiplier": draw(multipliers())})
    return found


@st.composite
def cards(draw: st.DrawFn) -> Json:
    """A card that prices text both ways, and more or less beyond it; free, so that zero prices are allowed."""
    extra = [bucket for bucket in COMMON[2:] if draw(st.booleans())]
    tiers = draw(st.lists(st.integers(0, 2000), unique=True, max_size=2))
    return {
        "provider": "openai",
        "model": "m",
        "version": 1,
        "rates": [draw(rate(bucket)) for bucket in [*COMMON[:2], *extra]],
        "context_tiers": [{"above_tokens": above, "rates": draw(rate_lists())} for above in tiers],
        "service_tiers": {name: draw(multipliers()) for name in SERVICE_TIERS},
        "peak": draw(peaks()),
        "free": True,
    }


@st.composite
def plans(draw: st.DrawFn) -> Json:
    method = draw(st.sampled_from(["cost_plus", "flat_token", "adjusted_token", "unit_price", "fixed_list"]))
    plan: Json = {"name": "p", "version": 1, "method": method}
    full = [draw(rate(bucket)) for bucket in COMMON]
    if method in ("cost_plus", "adjusted_token"):
        plan |= draw(st.one_of(multipliers().map(_multiplier), decimals(most=100).map(_percent)))
    if method == "adjusted_token":
        plan["base_price"] = draw(st.sampled_from(["10.00", "3", "7", "0.5"]))
    if method == "flat_token":
        plan |= {"price": draw(decimals(most=50)), "units": [row for row in full if row["unit"] != "token"]}
    if method == "unit_price":
        plan["units"] = full
    if method == "fixed_list":
        plan["list"] = {"m": full, "other": full[:1]}
    override: Json = {}
    if draw(st.booleans()):
        override["min_charge"] = draw(decimals(most=1))
    if draw(st.booleans()):
        override["billable"] = draw(st.booleans())
    if draw(st.booleans()):
        override["allow_loss"] = draw(st.booleans())
    return plan | {
        "min_charge": draw(st.sampled_from(["0", "0.001", "0.0000000015"])),
        "min_charge_free_models": draw(st.booleans()),
        "allow_loss": draw(st.booleans()),
        "rounding": {"quantum_nano": draw(st.sampled_from([1, 7, 1000]))},
        "models": {"m": override},
    }


def _multiplier(text: str) -> Json:
    return {"multiplier": text}


def _percent(text: str) -> Json:
    return {"percent": text}


@st.composite
def modifiers(draw: st.DrawFn) -> Json:
    found: Json = {}
    if draw(st.booleans()):
        found["group_multiplier"] = draw(multipliers())
    if draw(st.booleans()):
        found["organization_multiplier"] = draw(multipliers())
    if draw(st.booleans()):
        found["coupon_percent"] = draw(decimals(most=100))
    if draw(st.booleans()):
        found["arm"] = {"name": "B", "multiplier": draw(multipliers())}
    return found


def moments() -> st.SearchStrategy[str]:
    return st.builds("2026-11-21T{:02}:{:02}:59Z".format, st.integers(0, 23), st.integers(0, 59))


@st.composite
def usages(draw: st.DrawFn, *, priced: list[Json], most: int = 3000) -> list[Json]:
    """Usage among buckets that a card prices, itself or by fallback."""
    known = {tuple(row[name] for name in ("direction", "modality", "cache", "unit")) for row in priced}
    buckets = draw(st.lists(st.sampled_from(sorted(known | set(COMMON[:6]))), unique=True))
    return [{**rows(bucket), "quantity": draw(st.integers(0, most))} for bucket in buckets]


@st.composite
def requests(draw: st.DrawFn) -> Json:
    """A whole vector without its answer: card, plan, modifiers, usage, context and time."""
    card = draw(cards())
    return {
        "card": card,
        "plan": draw(plans()),
        "modifiers": draw(modifiers()),
        "usage": draw(usages(priced=card["rates"])),
        "context": {"service_tier": draw(st.sampled_from(["default", *SERVICE_TIERS]))},
        "at": draw(moments()),
    }


@st.composite
def within(draw: st.DrawFn, bounds: pricing.Bounds, sold: set[pricing.Bucket]) -> pricing.Usage:
    """Any usage within bounds, spread over cache classes and modalities as it pleases."""
    question = [bounds.question, "text"] if bounds.question else TOKEN_MODALITIES["input"]
    answer = [bounds.answer, "text", "reasoning"] if bounds.answer else TOKEN_MODALITIES["output"]
    inputs = [pricing.Bucket("input", modality, cache) for modality in question for cache in CACHES]
    outputs = [pricing.Bucket("output", modality) for modality in answer]
    quantities: dict[pricing.Bucket, int] = {}
    for buckets, most in ((inputs, bounds.input_bytes + 16 * bounds.messages), (outputs, bounds.output_tokens)):
        left = most
        for bucket in draw(st.permutations(sorted({bucket for bucket in buckets if bucket in sold}))):
            quantities[bucket] = draw(st.integers(0, left))
            left -= quantities[bucket]
    for line in bounds.lines:
        quantities[line.bucket] = quantities.get(line.bucket, 0) + draw(st.integers(0, line.quantity))
    return pricing.Usage.of(quantities.items())


def sold_buckets(rates: pricing.Rates) -> set[pricing.Bucket]:
    """Every bucket that these rates can price in every context tier."""

    def is_sold(bucket: pricing.Bucket) -> bool:
        try:
            for tokens in (0, 10**9):
                circumstances = pricing.Circumstances(context_tokens=tokens, at=NOON)
                pricing.charge(usage=pricing.Usage.of([(bucket, 1)]), rates=rates, circumstances=circumstances)
        except pricing.Unpriced:
            return False
        return True

    return {bucket for bucket in CANDIDATES if is_sold(bucket)}


NOON = pricing.Circumstances.from_json({"at": "2026-11-21T12:00:00Z"}).at
