"""Money in, as rows: what a customer set out to pay, what came, what was taken back, and everything that was said.

Promise: the database itself admits one credit per payment of a provider, one row per refund or dispute, reversals that
never exceed their payment, one open recharge per organization, one session per purchase attempt, and each outside event
once. ``billing.settling`` writes what the provider did; the flight record keeps every word of how it came to that.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models.bounds import LARGEST_NANO, public_id
from accounts.tenancy import TenantModel
from plumbing.secrets import EncryptedTextField

PLATFORM = "platform"  # the account of the installation itself, from the environment


class PaymentAccount(models.Model):
    """A storefront's own account with a payment company; its keys are sealed at rest and never shown."""

    public_id = public_id("pac")
    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="payment_accounts")
    method = models.SlugField(max_length=20)
    secret_key = EncryptedTextField()
    webhook_secrets = EncryptedTextField(help_text="Newest first, separated by commas while they rotate.")
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("storefront", "method")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["storefront", "method"], condition=Q(is_active=True), name="payment_account_one_active"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} of {self.storefront} (…{self.last_four})"


class TopUpTerms(models.Model):
    """What a storefront asks of a top-up: in which currency, between which bounds, with tax or promotions."""

    storefront = models.OneToOneField("accounts.Storefront", on_delete=models.PROTECT, related_name="top_up_terms")
    currency = models.CharField(max_length=3, default="usd")
    nano_per_minor = models.BigIntegerField(
        default=10_000_000, help_text="Nano-USD of credit for one smallest unit of the currency: 10,000,000 for a cent."
    )
    presets_minor = models.JSONField(default=list, blank=True)
    minimum_minor = models.BigIntegerField(default=500)
    maximum_minor = models.BigIntegerField(default=200_000)
    collect_tax = models.BooleanField(default=False)
    promotion_codes = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "top-up terms"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="topupterms_bounds_in_order",
                condition=Q(minimum_minor__gte=1, maximum_minor__gte=F("minimum_minor"), maximum_minor__lte=10**12),
            ),
            models.CheckConstraint(
                name="topupterms_rate_positive", condition=Q(nano_per_minor__gte=1, nano_per_minor__lte=10**15)
            ),
        ]

    def __str__(self) -> str:
        return f"top-ups of {self.storefront} in {self.currency}"


class State(models.TextChoices):
    """How far a top-up has come. A later word here beats an earlier one, whatever order the news arrives in."""

    STARTED = "started", "Started"
    OPEN = "open", "Waiting for the customer"
    PROCESSING = "processing", "On its way"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"
    FAILED = "failed", "Failed"
    PAID = "paid", "Paid"


class Origin(models.TextChoices):
    """Who wanted it."""

    CHECKOUT = "checkout", "Bought by a member"
    RECHARGE = "recharge", "Recharged by itself"
    OPERATOR = "operator", "Entered by an operator"


RANK = {state: place for place, state in enumerate(State)}
UNDER_WAY = (State.STARTED, State.OPEN, State.PROCESSING)


class TopUp(TenantModel):
    """An order: so much credit for so much money. What is credited comes from here, checked against what came."""

    public_id = public_id("top")
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="top_ups")
    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    origin = models.CharField(max_length=8, choices=Origin)
    state = models.CharField(max_length=10, choices=State, default=State.STARTED)
    attempt_key = models.CharField(max_length=80)
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    nano_per_minor = models.BigIntegerField()
    with_tax = models.BooleanField(default=False)
    with_promotions = models.BooleanField(default=False)
    save_card = models.BooleanField(default=False)
    livemode = models.BooleanField()
    sandbox = models.BooleanField(default=False)
    session_id = models.CharField(max_length=255, null=True, blank=True)
    payment_id = models.CharField(max_length=255, null=True, blank=True)
    url = models.TextField(blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    started_by = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="top_ups"
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("-created_at", "-id")
        indexes: ClassVar = [
            models.Index(fields=["organization", "-created_at", "-id"], name="topup_by_organization"),
            models.Index(fields=["created_at"], name="topup_under_way", condition=Q(state__in=UNDER_WAY)),
            models.Index(fields=["method", "account", "payment_id"], name="topup_by_payment"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="topup_amount_in_range", condition=Q(amount_minor__gte=1, amount_minor__lte=10**12)
            ),
            models.CheckConstraint(name="topup_rate_positive", condition=Q(nano_per_minor__gte=1)),
            models.CheckConstraint(name="topup_state_known", condition=Q(state__in=State.values)),
            models.UniqueConstraint(fields=["organization", "attempt_key"], name="topup_once_per_attempt"),
            models.UniqueConstraint(
                fields=["method", "account", "session_id"],
                condition=Q(session_id__isnull=False),
                name="topup_session_once",
            ),
            models.UniqueConstraint(
                fields=["organization"],
                condition=Q(origin=Origin.RECHARGE, state__in=UNDER_WAY),
                name="topup_one_open_recharge",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.state})"


class Payment(TenantModel):
    """Money that came for an order, credited once. The provider's own number of it is the key of the credit."""

    public_id = public_id("pay")
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="payments")
    top_up = models.ForeignKey(TopUp, on_delete=models.PROTECT, related_name="payments")
    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    outside_id = models.CharField(max_length=255)
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    tax_minor = models.BigIntegerField(default=0)
    discount_minor = models.BigIntegerField(default=0)
    credited_nano = models.BigIntegerField()
    promo_nano = models.BigIntegerField(default=0)
    reversed_nano = models.BigIntegerField(default=0)
    transfer_uid = models.CharField(max_length=120, unique=True)
    sandbox = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["method", "account", "outside_id"], name="payment_credited_once"),
            models.CheckConstraint(
                name="payment_amounts_in_range",
                condition=Q(total_minor__gte=0, tax_minor__gte=0, discount_minor__gte=0)
                & Q(credited_nano__gte=0, credited_nano__lte=LARGEST_NANO)
                & Q(promo_nano__gte=0, promo_nano__lte=LARGEST_NANO),
            ),
            models.CheckConstraint(
                name="payment_reversed_within_credit",
                condition=Q(reversed_nano__gte=0, reversed_nano__lte=F("credited_nano")),
            ),
        ]

    def __str__(self) -> str:
        return self.outside_id

    @property
    def cash_minor(self) -> int:
        """What came without the tax in it."""
        return self.total_minor - self.tax_minor


class Taken(models.TextChoices):
    """Why money went back."""

    REFUND = "refund", "Refund"
    DISPUTE = "dispute", "Dispute"


class ReversalState(models.TextChoices):
    """How far it has come; a later word beats an earlier one. Failed, canceled, won and closed give the money back."""

    REQUESTED = "requested", "Asked for by an operator"
    INQUIRY = "inquiry", "Asked about, nothing moved"
    PENDING = "pending", "Pending"
    DONE = "done", "Money went back"
    LOST = "lost", "Dispute lost"
    CANCELED = "canceled", "Canceled"
    FAILED = "failed", "Failed"
    WON = "won", "Dispute won"


REVERSAL_RANK = {state: place for place, state in enumerate(ReversalState)}
TAKES = frozenset({ReversalState.REQUESTED, ReversalState.PENDING, ReversalState.DONE, ReversalState.LOST})


class Reversal(models.Model):
    """A refund or a dispute: money of one payment that the provider took back, or is about to."""

    public_id = public_id("rev")
    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    kind = models.CharField(max_length=7, choices=Taken)
    outside_id = models.CharField(max_length=255, null=True, blank=True)
    payment_outside_id = models.CharField(max_length=255)
    payment = models.ForeignKey(Payment, null=True, on_delete=models.PROTECT, related_name="reversals")
    currency = models.CharField(max_length=3)
    amount_minor = models.BigIntegerField()
    state = models.CharField(max_length=9, choices=ReversalState)
    posted_nano = models.BigIntegerField(default=0)
    postings = models.PositiveIntegerField(default=0)
    requested_by = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="refunds"
    )
    reason = models.CharField(max_length=200, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        indexes: ClassVar = [
            models.Index(fields=["method", "account", "payment_outside_id"], name="reversal_by_payment"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["method", "account", "outside_id"],
                condition=Q(outside_id__isnull=False),
                name="reversal_once",
            ),
            models.CheckConstraint(name="reversal_amount_positive", condition=Q(amount_minor__gte=1)),
            models.CheckConstraint(name="reversal_posted_not_negative", condition=Q(posted_nano__gte=0)),
            models.CheckConstraint(name="reversal_state_known", condition=Q(state__in=ReversalState.values)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.outside_id or self.public_id} ({self.state})"


class InboxEvent(models.Model):
    """Something a provider told us, as it came. Verified before it is stored, handled once."""

    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    outside_id = models.CharField(max_length=255)
    name = models.CharField(max_length=120)
    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="inbox_events")
    body = models.BinaryField()
    verification = models.CharField(max_length=40)
    received_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    outcome = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=300, blank=True)
    handled_at = models.DateTimeField(null=True, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["method", "account", "outside_id"], name="inbox_event_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["received_at"], name="inbox_unhandled", condition=Q(handled_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.outside_id}"


class Mismatch(models.Model):
    """Something about a payment that does not fit our books: nothing was credited, a person has to look."""

    public_id = public_id("mis")
    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="mismatches")
    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    outside_id = models.CharField(max_length=255)
    what = models.CharField(max_length=40)
    sentence = models.CharField(max_length=300)
    top_up = models.ForeignKey(TopUp, null=True, blank=True, on_delete=models.PROTECT, related_name="mismatches")
    event = models.ForeignKey(InboxEvent, null=True, blank=True, on_delete=models.PROTECT, related_name="mismatches")
    expected = models.JSONField(default=dict)
    found = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        "accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="mismatches_resolved"
    )
    resolution = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name_plural = "mismatches"
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["method", "account", "outside_id", "what"],
                condition=Q(resolved_at__isnull=True),
                name="mismatch_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.what}: {self.outside_id}"


class PaymentEvent(models.Model):
    """One line of a payment's flight record: a request, a webhook, a check, a change of state, a transfer."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="payment_events")
    top_up = models.ForeignKey(TopUp, null=True, on_delete=models.PROTECT, related_name="events")
    kind = models.CharField(max_length=10)
    name = models.CharField(max_length=120)
    outside_id = models.CharField(max_length=255, blank=True)
    outcome = models.CharField(max_length=40, blank=True)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class PaymentCustomer(TenantModel):
    """Who an organization is at a provider."""

    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="payment_customers"
    )
    method = models.SlugField(max_length=20)
    account = models.CharField(max_length=32)
    outside_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "method", "account"], name="payment_customer_one"),
            models.UniqueConstraint(fields=["method", "account", "outside_id"], name="payment_customer_once"),
        ]

    def __str__(self) -> str:
        return self.outside_id


class SavedCard(TenantModel):
    """A card a customer left with the provider; we know what is printed on its receipt, never its number."""

    public_id = public_id("crd")
    organization = models.ForeignKey("accounts.Organization", on_delete=models.PROTECT, related_name="saved_cards")
    customer = models.ForeignKey(PaymentCustomer, on_delete=models.PROTECT, related_name="cards")
    outside_id = models.CharField(max_length=255)
    brand = models.CharField(max_length=30, blank=True)
    last_four = models.CharField(max_length=4, blank=True)
    expires = models.CharField(max_length=7, blank=True)
    seen_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "outside_id"], name="saved_card_once"),
        ]

    def __str__(self) -> str:
        return f"{self.brand} …{self.last_four}"


class AutoRecharge(TenantModel):
    """An organization's standing order: below the threshold, buy this much, but never more than the cap in a month."""

    organization = models.OneToOneField("accounts.Organization", on_delete=models.PROTECT, related_name="auto_recharge")
    is_on = models.BooleanField(default=False)
    threshold_nano = models.BigIntegerField()
    amount_minor = models.BigIntegerField()
    month_cap_minor = models.BigIntegerField()
    card = models.ForeignKey(SavedCard, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_because = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                name="autorecharge_amounts_make_sense",
                condition=Q(threshold_nano__gte=0, threshold_nano__lte=LARGEST_NANO, amount_minor__gte=1)
                & Q(month_cap_minor__gte=F("amount_minor")),
            ),
        ]

    def __str__(self) -> str:
        return f"recharge of {self.organization_id}: {'on' if self.is_on else 'off'}"


class BillingDetails(TenantModel):
    """Whom receipts and statements are made out to."""

    organization = models.OneToOneField(
        "accounts.Organization", on_delete=models.PROTECT, related_name="billing_details", primary_key=True
    )
    name = models.CharField(max_length=120, blank=True)
    address = models.CharField(max_length=600, blank=True, help_text="Lines, from the street to the country.")
    tax_id = models.CharField(max_length=40, blank=True)
    reference = models.CharField(max_length=80, blank=True, help_text="The customer's own, such as an order number.")
    changed_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        verbose_name_plural = "billing details"

    def __str__(self) -> str:
        return f"billing details of {self.organization_id}"
