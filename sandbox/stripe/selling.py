"""What a session sells and what it comes to: lines, discount, tax, total, always adding up line by line."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from sandbox.stripe import promotions
from sandbox.stripe.blanks import blank
from sandbox.stripe.currencies import known
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import invalid, missing
from sandbox.stripe.world import Object, World, new_id

TAX_PERCENT = {
    "AT": 20,
    "CA": 5,
    "CH": 8,
    "DE": 19,
    "ES": 21,
    "FR": 20,
    "GB": 20,
    "IT": 22,
    "JP": 10,
    "NL": 21,
    "PL": 23,
}
COUNTRIES = ("US", *sorted(TAX_PERCENT))
MOST_LINES = 100


def lines_of(world: World, given: list[Params]) -> list[Object]:
    """The lines a request describes."""
    if len(given) > MOST_LINES:
        raise invalid("line_items", f"At most {MOST_LINES} line items.")
    lines = [_line(world, one, f"line_items[{place}]") for place, one in enumerate(given)]
    if len({line["currency"] for line in lines}) > 1:
        raise invalid("line_items", "All line items must be in the same currency.")
    return lines


def _line(world: World, given: Params, param: str) -> Object:
    quantity = given.get("quantity")
    if quantity is None:
        raise missing(f"{param}[quantity]")
    if not 1 <= quantity <= 999_999:
        raise invalid(f"{param}[quantity]", "This value must be greater than or equal to 1.")
    price = _price(world, given, param)
    product = world.get("product", price["product"])
    amount = price["unit_amount"] * quantity
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "discounts": [],
        "metadata": merged({}, given.get("metadata") or {}),
        "price": price,
        "quantity": quantity,
        "taxes": [],
    }


def _price(world: World, given: Params, param: str) -> Object:
    if given.get("price"):
        return world.named("price", given["price"], param=f"{param}[price]")
    data = given.get("price_data")
    if not data:
        raise missing(f"{param}[price]")
    if data.get("product"):
        product = world.named("product", data["product"], param=f"{param}[price_data][product]")
    elif data.get("product_data"):
        product = make_product(world, data["product_data"])
    else:
        raise missing(f"{param}[price_data][product_data]")
    return make_price(world, data, product["id"], param=f"{param}[price_data]")


def make_product(world: World, data: Params) -> Object:
    """A product."""
    return world.add(
        blank(
            "product",
            id=new_id("prod", length=14),
            active=True,
            created=world.now,
            description=data.get("description"),
            images=data.get("images") or [],
            marketing_features=[],
            metadata=merged({}, data.get("metadata") or {}),
            name=data["name"],
            tax_code=data.get("tax_code"),
            type="service",
            unit_label=data.get("unit_label"),
            updated=world.now,
        )
    )


def make_price(world: World, data: Params, product: str, *, param: str = "") -> Object:
    """A price, for one time."""
    name = f"{param}[unit_amount]" if param else "unit_amount"
    amount = data.get("unit_amount")
    if amount is None and data.get("unit_amount_decimal"):
        amount = _whole(data["unit_amount_decimal"], f"{name}_decimal")
    if amount is None:
        raise missing(name)
    if amount < 0:
        raise invalid(name, "Invalid non-negative integer", code="parameter_invalid_integer")
    return world.add(
        blank(
            "price",
            id=new_id("price"),
            active=True,
            billing_scheme="per_unit",
            created=world.now,
            currency=known(data["currency"], param=f"{param}[currency]" if param else "currency"),
            metadata=merged({}, data.get("metadata") or {}),
            nickname=data.get("nickname"),
            product=product,
            tax_behavior=data.get("tax_behavior") or "unspecified",
            type="one_time",
            unit_amount=amount,
            unit_amount_decimal=str(amount),
        )
    )


def _whole(given: str, param: str) -> int:
    try:
        return int(Decimal(given).quantize(Decimal(1), ROUND_HALF_UP))
    except (InvalidOperation, ValueError):
        raise invalid(param, f"Invalid decimal: {given[:100]}") from None


def priced(world: World, session: Object) -> Object:
    """Work the session's amounts out again, from its lines."""
    lines = session["_lines"]
    subtotal = sum(line["amount_subtotal"] for line in lines)
    discount, coupon = _discounted(world, session, subtotal)
    percent = _percent(session)
    left_over = discount
    for place, line in enumerate(lines):
        last = place == len(lines) - 1
        share = left_over if last else discount * line["amount_subtotal"] // max(subtotal, 1)
        left_over -= share
        _settle(world, line, share, percent, session)
        line["discounts"] = [{"amount": share, "discount": coupon}] if coupon else []
    session |= {"amount_subtotal": subtotal, "amount_total": sum(line["amount_total"] for line in lines)}
    taxes = [one for line in lines for one in line["taxes"]]
    session["total_details"] = {
        "amount_discount": discount,
        "amount_shipping": 0,
        "amount_tax": sum(line["amount_tax"] for line in lines),
        "_breakdown": {"discounts": [{"amount": discount, "discount": coupon}] if coupon else [], "taxes": taxes},
    }
    return session


def _discounted(world: World, session: Object, subtotal: int) -> tuple[int, Object | None]:
    if not session["discounts"]:
        return 0, None
    given = session["discounts"][0]
    code = world.find(given["promotion_code"], "promotion_code")
    coupon = world.get("coupon", code["promotion"]["coupon"] if code else given["coupon"])
    if coupon["amount_off"] is not None and coupon["currency"] != session["currency"]:
        raise invalid("discounts", "The coupon's currency does not match the currency of the session.")
    discount = blank(
        "discount",
        id=new_id("di"),
        checkout_session=session["id"],
        customer=session["customer"],
        promotion_code=code["id"] if code else None,
        source={"coupon": coupon["id"], "type": "coupon"},
        start=world.now,
    )
    return promotions.off(coupon, subtotal), discount


def _percent(session: Object) -> int:
    tax = session["automatic_tax"]
    if not tax["enabled"]:
        return 0
    country = session["_country"]
    tax |= {"provider": "stripe", "status": "complete" if country else "requires_location_inputs"}
    return TAX_PERCENT.get(country or "", 0)


def _settle(world: World, line: Object, discount: int, percent: int, session: Object) -> None:
    amount = line["amount_subtotal"] - discount
    inclusive = line["price"]["tax_behavior"] == "inclusive"
    base = 100 + percent if inclusive else 100
    tax = (amount * percent * 2 + base) // (2 * base)
    line |= {"amount_discount": discount, "amount_tax": tax, "amount_total": amount + (0 if inclusive else tax)}
    line["taxes"] = []
    if percent:
        rate = {
            "id": new_id("txr"),
            "object": "tax_rate",
            "active": True,
            "country": session["_country"],
            "created": world.now,
            "description": None,
            "display_name": "VAT",
            "effective_percentage": float(percent),
            "flat_amount": None,
            "inclusive": inclusive,
            "jurisdiction": session["_country"],
            "jurisdiction_level": "country",
            "livemode": False,
            "metadata": {},
            "percentage": float(percent),
            "rate_type": "percentage",
            "state": None,
            "tax_type": "vat",
        }
        taxable = amount - tax if inclusive else amount
        line["taxes"] = [
            {"amount": tax, "rate": rate, "taxability_reason": "standard_rated", "taxable_amount": taxable}
        ]
