"""Modifiers: what a customer, a coupon or an experiment multiplies the price by.

They are exact products, so their order never matters, and they come before the guards: no coupon reaches below the
minimum charge. An arm of an experiment that would sell a model below what the plan itself may is left out for that
model, which ``Rates.product_of`` decides.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from billing.money import exact_text
from billing.pricing.cards import MAX_MULTIPLIER
from billing.pricing.reading import Fields

ONE = Fraction(1)


@dataclass(frozen=True, slots=True)
class Modifiers:
    """The factors of one request or order."""

    group_multiplier: Fraction = ONE
    organization_multiplier: Fraction = ONE
    coupon: Fraction = Fraction(0)
    arm_name: str | None = None
    arm_multiplier: Fraction = ONE
    product: Fraction = field(init=False, compare=False, repr=False)
    product_without_arm: Fraction = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Multiply once, so that pricing need not."""
        without_arm = self.group_multiplier * self.organization_multiplier * (1 - self.coupon)
        object.__setattr__(self, "product_without_arm", without_arm)
        object.__setattr__(self, "product", without_arm * self.arm_multiplier)

    @classmethod
    def from_json(cls, source: object) -> "Modifiers":
        """Read modifiers, strictly; an absent one multiplies by 1."""
        fields = Fields(source, where="modifiers")
        group = fields.optional("group_multiplier", lambda name: fields.decimal(name, most=MAX_MULTIPLIER))
        organization = fields.optional(
            "organization_multiplier", lambda name: fields.decimal(name, most=MAX_MULTIPLIER)
        )
        coupon = fields.optional("coupon_percent", lambda name: fields.percent(name, most=100))
        arm_name, arm_multiplier = fields.optional("arm", lambda name: _read_arm(fields.take(name))) or (None, ONE)
        fields.done()
        return cls(
            group_multiplier=ONE if group is None else group,
            organization_multiplier=ONE if organization is None else organization,
            coupon=Fraction(0) if coupon is None else coupon,
            arm_name=arm_name,
            arm_multiplier=arm_multiplier,
        )

    def to_json(self) -> dict[str, object]:
        """Write the modifiers that change anything, and the arm wherever there is one."""
        written: dict[str, object] = {}
        if self.group_multiplier != 1:
            written["group_multiplier"] = exact_text(self.group_multiplier)
        if self.organization_multiplier != 1:
            written["organization_multiplier"] = exact_text(self.organization_multiplier)
        if self.coupon:
            written["coupon_percent"] = exact_text(self.coupon * 100)
        if self.arm_name is not None:
            written["arm"] = {"name": self.arm_name, "multiplier": exact_text(self.arm_multiplier)}
        return written


NO_MODIFIERS = Modifiers()


def _read_arm(source: object) -> tuple[str, Fraction]:
    fields = Fields(source, where="modifiers.arm")
    arm = (fields.text("name"), fields.decimal("multiplier", most=MAX_MULTIPLIER))
    fields.done()
    return arm
