"""Money on the desk: payments with their whole story, what does not fit, corrections by two people, codes.

Promise: every deed goes through a room with a reason; amounts, states and records are looked at and never edited; keys
of payment accounts go in and never come out.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from accounts import trail
from accounts.deeds import Deed, ReasonedForm
from accounts.scoped_admin import ScopedAdmin, ScopedInline, StorefrontFilter, ThroughOrganization
from billing import adjustments, codes, inbox, mismatches, money, refunds, terms, topups
from billing.models import (
    Adjustment,
    AutoRecharge,
    CodeBatch,
    InboxEvent,
    Mismatch,
    Payment,
    PaymentAccount,
    PaymentEvent,
    RedemptionCode,
    Reversal,
    TopUp,
    TopUpTerms,
)
from billing.payments import currencies


class Flight(ScopedInline):
    """The flight record: everything that was asked, heard, checked, decided and moved."""

    model = PaymentEvent
    fk_name = "top_up"
    storefront_paths = ("storefront",)
    fields = readonly_fields = ("created_at", "kind", "name", "outcome", "outside_id", "told")
    verbose_name_plural = "flight record"
    tab = False
    show_change_link = False

    @display(description="Told")
    def told(self, event: PaymentEvent) -> str:
        """In words; the theme would colour JSON with inline styles, which the content policy refuses."""
        return ", ".join(f"{name}: {value}" for name, value in event.detail.items() if value not in {"", None})


class Payments(ScopedInline):
    """What came for an order."""

    model = Payment
    storefront_paths = ("organization__storefront",)
    fields = readonly_fields = ("outside_id", "total", "credited", "reversed_so_far", "created_at")

    @display(description="Paid")
    def total(self, payment: Payment) -> str:
        """With tax."""
        return currencies.text(payment.total_minor, payment.currency)

    @display(description="Credited")
    def credited(self, payment: Payment) -> str:
        """Cash and gift."""
        return money.dollars(payment.credited_nano + payment.promo_nano)

    @display(description="Taken back")
    def reversed_so_far(self, payment: Payment) -> str:
        """By refunds and disputes."""
        return money.dollars(payment.reversed_nano)


class Reversals(ScopedInline):
    """What was taken back of a payment."""

    model = Reversal
    storefront_paths = ("payment__organization__storefront",)
    fields = readonly_fields = ("kind", "outside_id", "amount_minor", "currency", "state", "requested_by", "failure")
    show_change_link = False


def _look(request: HttpRequest, order: TopUp, reason: str) -> None:
    topups.look_now(order, source=trail.source_of(request), reason=reason, now=timezone.now())


@admin.register(TopUp)
class TopUpAdmin(ScopedAdmin):
    """Orders, each with its timeline."""

    storefront_paths = ("organization__storefront",)
    list_display = ("public_id", "organization", "amount", "state", "origin", "method", "created_at")
    list_filter = (ThroughOrganization, "state", "origin", "sandbox", "created_at")
    list_select_related = ("organization",)
    search_fields = ("public_id", "session_id", "payment_id", "organization__name")
    ordering = ("-created_at", "-id")
    inlines = (Payments, Flight)
    fieldsets = (
        (
            "Top-up",
            {
                "fields": (
                    *("public_id", "organization", "amount", "state", "origin", "failure", "started_by"),
                    *("method", "account", "livemode", "sandbox", "session_id", "payment_id"),
                    *("with_tax", "with_promotions", "save_card", "created_at", "expires_at", "paid_at"),
                )
            },
        ),
    )
    deeds = (
        Deed(
            slug="look",
            title="Ask the provider",
            icon="sync",
            warning="Reads how this payment stands at the provider and settles what it says, through the usual checks.",
            act=_look,
            applies=lambda order: bool(order.session_id or order.payment_id),
        ),
    )

    @display(description="Amount", ordering="amount_minor")
    def amount(self, order: TopUp) -> str:
        """In its currency."""
        return currencies.text(order.amount_minor, order.currency)


def _refund_all(request: HttpRequest, payment: Payment, reason: str) -> None:
    refunds.ask(
        payment,
        amount_minor=refunds.refundable_minor(payment),
        source=trail.source_of(request),
        reason=reason,
        now=timezone.now(),
    )


@admin.register(Payment)
class PaymentAdmin(ScopedAdmin):
    """Money that came."""

    storefront_paths = ("organization__storefront",)
    list_display = ("outside_id", "organization", "total", "credited", "taken_back", "created_at")
    list_filter = (ThroughOrganization, "sandbox", "created_at")
    list_select_related = ("organization",)
    search_fields = ("public_id", "outside_id", "organization__name", "top_up__public_id")
    inlines = (Reversals,)
    fieldsets = (
        (
            "Payment",
            {
                "fields": (
                    *("public_id", "outside_id", "organization", "top_up", "total", "tax_minor", "discount_minor"),
                    *("credited", "taken_back", "refundable", "method", "account", "sandbox", "created_at"),
                )
            },
        ),
    )
    deeds = (
        Deed(
            slug="refund",
            title="Refund what is unspent",
            icon="undo",
            warning="Gives back all of this payment that is neither spent nor returned. The credit is taken from the "
            "wallet now, the provider is asked within moments, and the customer hears of it.",
            act=_refund_all,
            applies=lambda payment: refunds.refundable_minor(payment) > 0,
            in_bulk=False,
            grave=True,
        ),
    )

    @display(description="Paid", ordering="total_minor")
    def total(self, payment: Payment) -> str:
        """With tax."""
        return currencies.text(payment.total_minor, payment.currency)

    @display(description="Credited", ordering="credited_nano")
    def credited(self, payment: Payment) -> str:
        """Cash, then gift."""
        gift = f" + {money.dollars(payment.promo_nano)} promotional" if payment.promo_nano else ""
        return f"{money.dollars(payment.credited_nano)}{gift}"

    @display(description="Taken back", ordering="reversed_nano")
    def taken_back(self, payment: Payment) -> str:
        """By refunds and disputes."""
        return money.dollars(payment.reversed_nano)

    @display(description="Refundable now")
    def refundable(self, payment: Payment) -> str:
        """What is unspent of it."""
        return currencies.text(refunds.refundable_minor(payment), payment.currency)


@admin.register(Reversal)
class ReversalAdmin(ScopedAdmin):
    """Refunds and disputes."""

    storefront_paths = ("payment__organization__storefront",)
    list_display = ("kind", "outside_id", "payment", "amount", "state", "changed_at")
    list_filter = ("kind", "state", "created_at")
    list_select_related = ("payment",)
    search_fields = ("public_id", "outside_id", "payment_outside_id")
    fieldsets = (
        (
            "Refund or dispute",
            {
                "fields": (
                    *("public_id", "kind", "outside_id", "payment", "amount", "state", "posted", "failure"),
                    *("requested_by", "reason", "created_at", "changed_at"),
                )
            },
        ),
    )

    @display(description="Amount", ordering="amount_minor")
    def amount(self, row: Reversal) -> str:
        """In its currency."""
        return currencies.text(row.amount_minor, row.currency)

    @display(description="Credit taken back")
    def posted(self, row: Reversal) -> str:
        """In the ledger."""
        return money.dollars(row.posted_nano)


def _replay(request: HttpRequest, mismatch: Mismatch, reason: str) -> None:
    mismatches.replay(mismatch, source=trail.source_of(request), reason=reason, now=timezone.now())


def _resolve(request: HttpRequest, mismatch: Mismatch, reason: str) -> None:
    mismatches.resolve(mismatch, source=trail.source_of(request), resolution=reason, now=timezone.now())


@admin.register(Mismatch)
class MismatchAdmin(ScopedAdmin):
    """What does not fit and waits for a person."""

    storefront_paths = ("storefront",)
    list_display = ("what", "sentence", "outside_id", "storefront", "created_at", "resolved_at")
    list_filter = (StorefrontFilter, "created_at", "resolved_at")
    list_select_related = ("storefront",)
    search_fields = ("public_id", "outside_id", "top_up__public_id")
    fieldsets = (
        (
            "Mismatch",
            {
                "fields": (
                    *("public_id", "what", "sentence", "outside_id", "top_up", "event", "its_expected", "its_found"),
                    *("storefront", "method", "account", "created_at", "resolved_at", "resolved_by", "resolution"),
                )
            },
        ),
    )
    deeds = (
        Deed(
            slug="replay",
            title="Replay",
            icon="replay",
            warning="Handles the event again, through the same checks. If it fits now, it is settled and this closes.",
            act=_replay,
            applies=lambda mismatch: mismatch.resolved_at is None and mismatch.event_id is not None,
        ),
        Deed(
            slug="resolve",
            title="Close",
            icon="task_alt",
            warning="Says that you have seen to it. It moves no money.",
            act=_resolve,
            applies=lambda mismatch: mismatch.resolved_at is None,
        ),
    )

    @display(description="Expected")
    def its_expected(self, mismatch: Mismatch) -> str:
        """By our order."""
        return ", ".join(f"{name}: {value}" for name, value in mismatch.expected.items()) or "-"

    @display(description="Found")
    def its_found(self, mismatch: Mismatch) -> str:
        """At the provider."""
        return ", ".join(f"{name}: {value}" for name, value in mismatch.found.items()) or "-"


def _handle_again(request: HttpRequest, event: InboxEvent, reason: str) -> None:
    inbox.replay(event, source=trail.source_of(request), reason=reason, now=timezone.now())


@admin.register(InboxEvent)
class InboxEventAdmin(ScopedAdmin):
    """What providers told us."""

    storefront_paths = ("storefront",)
    list_display = ("name", "outside_id", "outcome", "attempts", "received_at", "handled_at", "parked_at")
    list_filter = (StorefrontFilter, "received_at", "parked_at")
    search_fields = ("outside_id", "name")
    fieldsets = (
        (
            "Event",
            {
                "fields": (
                    *("name", "outside_id", "storefront", "method", "account", "verification", "outcome"),
                    *("attempts", "error", "received_at", "handled_at", "parked_at"),
                )
            },
        ),
    )
    deeds = (
        Deed(
            slug="replay",
            title="Replay",
            icon="replay",
            warning="Handles the event again. What it already did is not done twice.",
            act=_handle_again,
        ),
    )


def _approve(request: HttpRequest, row: Adjustment, reason: str) -> None:
    adjustments.approve(row, source=trail.source_of(request), reason=reason, now=timezone.now())


def _decline(request: HttpRequest, row: Adjustment, reason: str) -> None:
    adjustments.decline(row, source=trail.source_of(request), reason=reason, now=timezone.now())


class AdjustmentForm(ReasonedForm):
    """An amount in dollars, and why."""

    amount_usd = forms.CharField(max_length=24, label="Amount in USD", help_text="-5.00 takes five dollars away.")

    def clean_amount_usd(self) -> int:
        """Exactly, or not at all."""
        text = self.cleaned_data["amount_usd"].strip()
        try:
            amount = money.parse_usd(text.removeprefix("-"))
        except money.BadAmount as error:
            raise forms.ValidationError(str(error)) from error
        return -amount if text.startswith("-") else amount


@admin.register(Adjustment)
class AdjustmentAdmin(ScopedAdmin):
    """Credit given or taken by hand."""

    form = AdjustmentForm
    storefront_paths = ("organization__storefront",)
    list_display = ("public_id", "organization", "amount", "is_paid", "state", "asked_by", "approved_by", "created_at")
    list_filter = (ThroughOrganization, "is_paid", "created_at")
    list_select_related = ("organization", "asked_by", "approved_by")
    search_fields = ("public_id", "organization__name")
    autocomplete_fields = ("organization",)
    deeds = (
        Deed(
            slug="approve",
            title="Agree",
            icon="how_to_reg",
            warning="Posts this correction. You cannot agree with your own.",
            act=_approve,
            applies=lambda row: not (row.posted_at or row.declined_at),
            grave=True,
        ),
        Deed(
            slug="decline",
            title="Decline",
            icon="block",
            warning="The correction does not happen.",
            act=_decline,
            applies=lambda row: not (row.posted_at or row.declined_at),
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is asked when one is made, what is shown afterwards."""
        if obj is None:
            return [("Correction", {"fields": ("organization", "amount_usd", "is_paid", "reason")})]
        shown = ("public_id", "organization", "amount", "is_paid", "state", "its_reason", "asked_by", "approved_by")
        return [("Correction", {"fields": (*shown, "created_at", "posted_at", "declined_at")})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever runs a shop."""
        return self.may_change(request, None)

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """What is asked."""
        return ("organization", "amount_usd", "is_paid")

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> Adjustment:
        """Through the room."""
        return adjustments.ask(
            values["organization"],
            amount_nano=values["amount_usd"],
            is_paid=values["is_paid"],
            reason=reason,
            source=trail.source_of(request),
            now=timezone.now(),
        )

    @display(description="Amount", ordering="amount_nano")
    def amount(self, row: Adjustment) -> str:
        """In dollars."""
        return money.dollars(row.amount_nano)

    @display(description="State")
    def state(self, row: Adjustment) -> str:
        """In a word."""
        if row.posted_at:
            return "posted"
        return "declined" if row.declined_at else "waits for a second person"

    @display(description="Reason")
    def its_reason(self, row: Adjustment) -> str:
        """As it was given."""
        return row.reason


def _revoke(request: HttpRequest, batch: CodeBatch, reason: str) -> None:
    codes.revoke(batch, source=trail.source_of(request), reason=reason, now=timezone.now())


def _export(request: HttpRequest, batch: CodeBatch, reason: str) -> HttpResponse:
    trail.record("code_batch.exported", source=trail.source_of(request), target=batch, reason=reason)
    answer = StreamingHttpResponse(codes.as_csv(batch), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{batch.public_id}.csv"'
    return answer  # type: ignore[return-value]  # a response all the same


class CodeBatchForm(ReasonedForm):
    """A batch to make."""

    value_usd = forms.CharField(max_length=24, label="Worth of each code in USD")
    count = forms.IntegerField(min_value=1, max_value=codes.MOST_CODES, label="How many codes")

    def clean_value_usd(self) -> int:
        """Exactly, or not at all."""
        try:
            return money.parse_usd(self.cleaned_data["value_usd"].strip())
        except money.BadAmount as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(CodeBatch)
class CodeBatchAdmin(ScopedAdmin):
    """Redemption codes, made in batches."""

    form = CodeBatchForm
    storefront_paths = ("storefront",)
    list_display = ("name", "storefront", "value", "codes_made", "uses_per_code", "expires_at", "revoked_at")
    list_filter = (StorefrontFilter, "created_at")
    list_select_related = ("storefront",)
    search_fields = ("name", "public_id")
    deeds = (
        Deed(
            slug="export",
            title="Download as CSV",
            icon="download",
            warning="The file holds codes that are worth money; it notes who took it and why.",
            act=_export,
            in_bulk=False,
        ),
        Deed(
            slug="revoke",
            title="Withdraw",
            icon="block",
            warning="None of its codes can be used from now on. Credit that was given stays given.",
            act=_revoke,
            applies=lambda batch: batch.revoked_at is None,
            grave=True,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What is asked, what is shown."""
        if obj is None:
            asked = ("storefront", "name", "value_usd", "count", "uses_per_code", "credit_days", "expires_at")
            return [("Batch", {"fields": (*asked, "reason")})]
        shown = ("name", "storefront", "value", "codes_made", "codes_used", "uses_per_code", "credit_days")
        return [("Batch", {"fields": (*shown, "expires_at", "revoked_at", "made_by", "created_at", "public_id")})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever runs a shop."""
        return self.may_change(request, None)

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """What is asked."""
        return ("storefront", "name", "value_usd", "count", "uses_per_code", "credit_days", "expires_at")

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> CodeBatch:
        """Through the room."""
        return codes.make_batch(
            storefront=values["storefront"],
            wish=codes.Batch(
                name=values["name"],
                value_nano=values["value_usd"],
                count=values["count"],
                uses_per_code=values["uses_per_code"],
                credit_days=values["credit_days"],
                expires_at=values["expires_at"],
            ),
            source=trail.source_of(request),
            reason=reason,
            now=timezone.now(),
        )

    @display(description="Each worth", ordering="value_nano")
    def value(self, batch: CodeBatch) -> str:
        """In dollars."""
        return money.dollars(batch.value_nano)

    @display(description="Codes")
    def codes_made(self, batch: CodeBatch) -> int:
        """How many."""
        return batch.codes.count()

    @display(description="Used")
    def codes_used(self, batch: CodeBatch) -> int:
        """How many of them at least once."""
        return RedemptionCode.objects.filter(batch=batch, used__gt=0).count()


@admin.register(AutoRecharge)
class AutoRechargeAdmin(ScopedAdmin):
    """Standing orders of customers."""

    storefront_paths = ("organization__storefront",)
    list_display = ("organization", "is_on", "amount_minor", "month_cap_minor", "paused_at", "paused_because")
    list_filter = (ThroughOrganization, "is_on", "paused_at")
    list_select_related = ("organization",)
    search_fields = ("organization__name",)
    fieldsets = (
        (
            "Auto-recharge",
            {
                "fields": (
                    *("organization", "is_on", "threshold_nano", "amount_minor", "month_cap_minor"),
                    *("card", "paused_at", "paused_because", "changed_at"),
                )
            },
        ),
    )


@admin.register(TopUpTerms)
class TopUpTermsAdmin(ScopedAdmin):
    """What each shop asks of a top-up."""

    storefront_paths = ("storefront",)
    list_display = ("storefront", "currency", "minimum_minor", "maximum_minor", "collect_tax", "promotion_codes")
    list_select_related = ("storefront",)
    fieldsets = (("Terms", {"fields": ("storefront", *terms.FIELDS)}),)
    editable = terms.FIELDS

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever runs a shop."""
        return self.may_change(request, None)

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """The shop, too."""
        return ("storefront", *terms.FIELDS)

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> TopUpTerms:
        """Through the room."""
        return terms.set_terms(source=trail.source_of(request), reason=reason, **values)

    def change_row(self, request: HttpRequest, row: Any, changes: dict[str, Any], reason: str) -> None:
        """Through the room."""
        terms.set_terms(row.storefront, source=trail.source_of(request), reason=reason, **changes)


class PaymentAccountForm(ReasonedForm):
    """Keys that go in and never come out."""

    new_key = forms.CharField(max_length=300, label="Secret key", widget=forms.PasswordInput(render_value=False))
    new_webhook_secret = forms.CharField(
        max_length=300, label="Webhook secret", widget=forms.PasswordInput(render_value=False)
    )


def _close(request: HttpRequest, row: PaymentAccount, reason: str) -> None:
    terms.close_account(row, source=trail.source_of(request), reason=reason)


@admin.register(PaymentAccount)
class PaymentAccountAdmin(ScopedAdmin):
    """Shops' own accounts with a payment company."""

    form = PaymentAccountForm
    storefront_paths = ("storefront",)
    list_display = ("storefront", "method", "last_four", "is_active", "created_at")
    list_filter = (StorefrontFilter, "is_active", "created_at")
    list_select_related = ("storefront",)
    deeds = (
        Deed(
            slug="close",
            title="Switch off",
            icon="toggle_off",
            warning="New payments go through the installation's own account again, if it has one.",
            act=_close,
            applies=lambda row: row.is_active,
            grave=True,
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keys are asked once and not shown again."""
        if obj is None:
            return [("Account", {"fields": ("storefront", "new_key", "new_webhook_secret", "reason")})]
        return [("Account", {"fields": ("storefront", "method", "last_four", "is_active", "webhook", "created_at")})]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever runs a shop."""
        return self.may_change(request, None)

    def add_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """What is asked."""
        return ("storefront", "new_key", "new_webhook_secret")

    def add_row(self, request: HttpRequest, values: dict[str, Any], reason: str) -> PaymentAccount:
        """Through the room."""
        return terms.open_account(
            values["storefront"],
            secret_key=values["new_key"],
            webhook_secret=values["new_webhook_secret"],
            source=trail.source_of(request),
            reason=reason,
        )

    @display(description="Webhook address")
    def webhook(self, row: PaymentAccount) -> str:
        """What to enter at the provider."""
        return terms.webhook_address(row.storefront, row.method)
