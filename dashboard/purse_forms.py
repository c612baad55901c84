"""What people may enter about money: how much to buy, a code, the standing order, a member's caps, whom bills are for.

Promise: an amount of money is read in the storefront's currency exactly, or the field says what is wrong with it; the
rooms hold the rules, and say theirs through the same fields.
"""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from billing import money
from billing.models import AutoRecharge, BillingDetails, SavedCard, TopUpTerms
from billing.payments import currencies
from dashboard.forms import TextField, UsdField
from plumbing.identifiers import new_id

OWN = "own"


def plain(amount_minor: int, currency: str) -> str:
    """An amount as people type it: ``1250.00``."""
    return currencies.text(amount_minor, currency).partition(" ")[0].replace(",", "")


class MinorField(forms.CharField):
    """Money of the storefront's currency on the page, whole smallest units inside."""

    def __init__(self, **options: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=20, widget=widget, **options)
        self.currency = "usd"

    def clean(self, value: Any) -> Any:
        """Read it exactly, or say what is wrong."""
        text = super().clean(value)
        if not text:
            return None
        try:
            return currencies.minor(text, self.currency)
        except currencies.BadAmount as error:
            raise ValidationError(error.sentence, code="amount") from error


class InCurrency(forms.Form):
    """A form whose amounts are in the storefront's currency."""

    def __init__(self, *arguments: Any, terms: TopUpTerms, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.currency = terms.currency
        for field in self.fields.values():
            if isinstance(field, MinorField):
                field.currency = terms.currency
                field.label = f"{field.label} ({terms.currency.upper()})"


class TopUpForm(InCurrency):
    """How much credit to buy. The attempt's name makes a second press of the button the same purchase."""

    preset = forms.CharField(max_length=20, required=False)
    amount = MinorField(label="Another amount", required=False)
    attempt_key = forms.RegexField(r"^[A-Za-z0-9_-]{8,80}\Z", widget=forms.HiddenInput)
    save_card = forms.BooleanField(
        label="Keep this card for automatic recharges",
        required=False,
        help_text="The payment company keeps it; we only ever see its last four digits.",
    )

    def clean(self) -> dict[str, Any]:
        """One amount, not two that differ."""
        given: dict[str, Any] = super().clean() or {}
        own, preset = given.get("amount"), given.get("preset")
        if preset and preset != OWN:
            try:
                chosen = currencies.minor(preset, self.currency)
            except currencies.BadAmount as error:
                raise ValidationError(error.sentence) from error
            if own not in {None, chosen}:
                message = "You chose an amount and wrote another one; leave one of them."
                raise ValidationError({"amount": message})
            given["amount"] = chosen
        elif own is None and "amount" not in self.errors:
            raise ValidationError({"amount": "Choose an amount, or write your own."})
        return given

    @property
    def chosen(self) -> str:
        """The amount that is picked when the page opens; one's own where that is what has to be mended."""
        return OWN if self.is_bound and self.errors.get("amount") else str(self["preset"].value() or OWN)


def fresh_top_up(terms: TopUpTerms, *, preset: str = "") -> TopUpForm:
    """The form of a purchase that nobody has begun."""
    return TopUpForm(initial={"attempt_key": new_id("try"), "preset": preset}, terms=terms)


class CodeForm(forms.Form):
    """A redemption code."""

    code = forms.CharField(
        label="Redemption code",
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )


class RechargeForm(InCurrency):
    """The standing order."""

    is_on = forms.BooleanField(label="Recharge by itself", required=False)
    threshold = UsdField(label="Balance below (USD)")
    amount = MinorField(label="Buy for")
    month_cap = MinorField(label="Most per month")
    card = forms.ChoiceField(label="With the card", required=False)

    def __init__(
        self, *arguments: Any, row: AutoRecharge | None, terms: TopUpTerms, cards: Sequence[SavedCard], **options: Any
    ) -> None:
        if row is not None:
            options["initial"] = {
                "is_on": row.is_on,
                "threshold": money.usd_text(row.threshold_nano),
                "amount": plain(row.amount_minor, terms.currency),
                "month_cap": plain(row.month_cap_minor, terms.currency),
                "card": row.card.public_id if row.card else "",
            }
        super().__init__(*arguments, terms=terms, auto_id="recharge_%s", **options)
        self.cards = {card.public_id: card for card in cards}
        field = self.fields["card"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(card.public_id, f"{card.brand.title()} ending in {card.last_four}") for card in cards]

    @property
    def card_to_charge(self) -> SavedCard | None:
        """The chosen card, or the newest where there was nothing to choose."""
        return self.cards.get(self.cleaned_data["card"]) or next(iter(self.cards.values()), None)


class MemberCapsForm(forms.Form):
    """What one member's keys may spend."""

    cap_day_nano = UsdField(label="Most per day (USD)", required=False)
    cap_month_nano = UsdField(label="Most per month (USD)", required=False)
    cap_total_nano = UsdField(label="Most ever (USD)", required=False)


class DetailsForm(forms.Form):
    """Whom receipts and statements are made out to."""

    name = TextField(
        label="Name",
        max_length=120,
        required=False,
        help_text="Of the company or person who pays. Empty: the organization's name.",
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    address = forms.CharField(
        label="Address",
        max_length=800,
        required=False,
        help_text="As on an envelope, eight lines at most, the country last.",
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "street-address"}),
    )
    tax_id = TextField(label="Tax id", max_length=40, required=False, help_text="Such as a VAT number: DE123456789.")
    reference = TextField(
        label="Your reference", max_length=80, required=False, help_text="A purchase order or a cost centre."
    )

    def __init__(self, *arguments: Any, row: BillingDetails, **options: Any) -> None:
        options["initial"] = {name: getattr(row, name) for name in ("name", "address", "tax_id", "reference")}
        super().__init__(*arguments, **options)
