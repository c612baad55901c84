"""What the API of money reads and writes, field by field. Amounts are decimal text with their currency's places."""

from typing import Any

from rest_framework import serializers

from accounts.api.fields import StrictSerializer, Text, Usd, YesNo
from billing import statements
from billing.models import Payment, TopUp, Transfer
from billing.models.ledger import NANO_USD
from billing.models.payments import Origin, State
from billing.payments import currencies

LONGEST_AMOUNT = 20
PUBLIC_ID = r"^[a-z]{2,5}_[0-9a-z]{20}\Z"


def plain(amount_minor: int, currency: str) -> str:
    """An amount as machines read it: 12.50."""
    return currencies.text(amount_minor, currency).partition(" ")[0].replace(",", "")


class GrantShown(serializers.Serializer[Any]):
    """Credit of its own kind: promotional, a package, a trial."""

    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field's own label is another thing
    unit = serializers.CharField(help_text="`usd` for money, else what it counts in.")
    available = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, grant: statements.Grant) -> dict[str, Any]:
        """Money as a decimal string, tokens as a whole number."""
        money = grant.unit == NANO_USD
        return {
            "kind": grant.kind,
            "label": grant.label,
            "unit": "usd" if money else grant.unit,
            "available": Usd().to_representation(grant.available) if money else str(grant.available),
            "expires_at": grant.expires_at.isoformat() if grant.expires_at else None,
        }


class BalanceShown(serializers.Serializer[Any]):
    """What there is to spend; a debt stands beside it, the balance is never below zero."""

    available_usd = Usd(source="available_nano")
    held_usd = Usd(source="held_nano")
    paid_usd = Usd(source="paid_nano")
    debt_usd = Usd(source="debt_nano")
    grants = GrantShown(many=True)


class MovementShown(serializers.Serializer[Any]):
    """One movement of credit."""

    at = serializers.DateTimeField(source="created_at")
    what = serializers.SerializerMethodField()
    code = serializers.CharField()
    amount = serializers.SerializerMethodField()
    unit = serializers.SerializerMethodField()
    reference = serializers.CharField()

    def get_what(self, transfer: Transfer) -> str:
        """In words."""
        return statements.words(transfer)

    def get_amount(self, transfer: Transfer) -> str:
        """More or less, in the unit."""
        signed = statements.signed(transfer)
        if transfer.debit.unit != NANO_USD:
            return str(signed)
        return ("-" if signed < 0 else "") + Usd().to_representation(abs(signed))

    def get_unit(self, transfer: Transfer) -> str:
        """What it counts in."""
        return "usd" if transfer.debit.unit == NANO_USD else str(transfer.debit.unit)


class TermsShown(serializers.Serializer[Any]):
    """What this shop sells credit for."""

    currency = serializers.CharField()
    minimum = serializers.SerializerMethodField()
    maximum = serializers.SerializerMethodField()
    presets = serializers.SerializerMethodField()
    collects_tax = serializers.BooleanField(source="collect_tax")

    def get_minimum(self, terms: Any) -> str:
        """The least at once."""
        return plain(terms.minimum_minor, terms.currency)

    def get_maximum(self, terms: Any) -> str:
        """The most at once."""
        return plain(terms.maximum_minor, terms.currency)

    def get_presets(self, terms: Any) -> list[str]:
        """The amounts on the buttons."""
        from billing import topups  # topups reaches the providers; only this answer needs it

        return [plain(amount, terms.currency) for amount in topups.presets(terms)]


class TopUpStart(StrictSerializer):
    """A wish: how much, under which name of this attempt."""

    amount = Text(max_length=LONGEST_AMOUNT, help_text="In the shop's currency: 25.00")
    attempt_key = serializers.RegexField(
        r"^[A-Za-z0-9_-]{8,80}\Z", help_text="Your own name of this attempt; the same name is the same top-up."
    )
    save_card = YesNo(required=False)


class TopUpShown(serializers.Serializer[Any]):
    """One top-up and how it stands."""

    id = serializers.CharField(source="public_id")
    state = serializers.ChoiceField(choices=State.choices)
    origin = serializers.ChoiceField(choices=Origin.choices)
    amount = serializers.SerializerMethodField()
    currency = serializers.CharField()
    url = serializers.SerializerMethodField(help_text="Where to pay; empty once that is over.")
    failure = serializers.CharField()
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    payments = serializers.SerializerMethodField()

    def get_amount(self, order: TopUp) -> str:
        """What was asked for, before tax and discount."""
        return plain(order.amount_minor, order.currency)

    def get_url(self, order: TopUp) -> str:
        """The provider's page, while there is something to pay."""
        return order.url if order.state == State.OPEN else ""

    def get_payments(self, order: TopUp) -> list[str]:
        """The receipts' ids."""
        return [payment.public_id for payment in order.payments.all()]


class ReceiptShown(serializers.Serializer[Any]):
    """What was paid, line by line."""

    id = serializers.CharField(source="public_id")
    paid_at = serializers.DateTimeField(source="created_at")
    currency = serializers.CharField()
    total = serializers.SerializerMethodField()
    tax = serializers.SerializerMethodField()
    discount = serializers.SerializerMethodField()
    refunded = serializers.SerializerMethodField()
    credit_usd = Usd(source="credited_nano")
    promotional_credit_usd = Usd(source="promo_nano")
    reference = serializers.CharField(source="outside_id")
    play_money = serializers.BooleanField(source="sandbox")

    def get_total(self, payment: Payment) -> str:
        """All that came."""
        return plain(payment.total_minor, payment.currency)

    def get_tax(self, payment: Payment) -> str:
        """Of it, tax."""
        return plain(payment.tax_minor, payment.currency)

    def get_discount(self, payment: Payment) -> str:
        """What did not have to come."""
        return plain(payment.discount_minor, payment.currency)

    def get_refunded(self, payment: Payment) -> str:
        """What has gone back."""
        return plain(statements.returned_minor(payment), payment.currency)


class CardShown(serializers.Serializer[Any]):
    """A saved card."""

    id = serializers.CharField(source="public_id")
    brand = serializers.CharField()
    last_four = serializers.CharField()
    expires = serializers.CharField()


class CardsShown(serializers.Serializer[Any]):
    """All of them: nobody has more than a few."""

    results = CardShown(many=True)


class PortalShown(serializers.Serializer[Any]):
    """A page of the provider."""

    url = serializers.CharField()


class RechargeWrite(StrictSerializer):
    """The standing order as it should be."""

    is_on = YesNo()
    threshold_usd = Usd(source="threshold_nano")
    amount = Text(max_length=LONGEST_AMOUNT)
    month_cap = Text(max_length=LONGEST_AMOUNT)
    card_id = serializers.RegexField(PUBLIC_ID, required=False, help_text="Without it, the card saved last.")


class RechargeShown(serializers.Serializer[Any]):
    """The standing order as it is."""

    is_on = serializers.BooleanField()
    threshold_usd = Usd(source="threshold_nano")
    amount = serializers.SerializerMethodField()
    month_cap = serializers.SerializerMethodField()
    currency = serializers.SerializerMethodField()
    card = CardShown(allow_null=True)
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_because = serializers.CharField()

    def get_amount(self, row: Any) -> str:
        """What each recharge buys."""
        return plain(row.amount_minor, self.context["currency"])

    def get_month_cap(self, row: Any) -> str:
        """The most in a month."""
        return plain(row.month_cap_minor, self.context["currency"])

    def get_currency(self, row: Any) -> str:
        """The shop's."""
        return str(self.context["currency"])


class CodeRedeem(StrictSerializer):
    """A code to turn into credit."""

    code = Text(max_length=40)


class CodeRedeemed(serializers.Serializer[Any]):
    """What it was worth."""

    credit_usd = Usd(source="code.batch.value_nano")
    balance = BalanceShown()
