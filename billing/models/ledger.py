"""The ledger's rows, and the constraints that hold whoever writes them.

Promise: the database itself refuses an overdraft (``held <= posted``), a negative or absurd amount, a transfer across
units, a changed or removed transfer, and a second end of a hold. ``billing.ledger`` is the only writer.

A hold ends in its own row (``outcome``) and not in a row that points at it: one column can hold only one answer, a
trigger keeps the answer for ever, and a small partial index knows the open holds, however many have ended before.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models.bounds import LARGEST_NANO
from accounts.tenancy import TenantModel

NANO_USD = "nano_usd"


class Kind(models.TextChoices):
    """What a customer's account is for; grants are burned in this order."""

    PACKAGE = "package", "Package"
    SUBSCRIPTION = "subscription", "Subscription"
    TRIAL = "trial", "Trial"
    PROMO = "promo", "Promotional credit"
    PAID = "paid", "Paid credit"
    DEBT = "debt", "Debt"


GRANTS = (Kind.PACKAGE, Kind.SUBSCRIPTION, Kind.TRIAL, Kind.PROMO, Kind.PAID)
PRIORITIES = {kind: place for place, kind in enumerate(GRANTS)}


class House(models.TextChoices):
    """What an account of the house is for. These are sums over transfers; no call ever waits for one of their rows."""

    REVENUE = "revenue", "Usage sold"
    UNRECOVERED = "unrecovered_usage", "Usage nobody could be charged for"
    PAYMENTS = "payments", "Money received from and returned to customers"
    PROMOTIONS = "promotions", "Credit given away"
    BREAKAGE = "expired_grants", "Grants that ran out of time"
    PROVIDER_COST = "provider_cost", "What calls cost us"
    PROVIDERS = "providers", "What we owe providers"


# The accounts in money are made by a migration under these ids, so that a charge need not look them up.
HOUSE_IDS = {kind: place for place, kind in enumerate(House, start=1)}


class Outcome(models.TextChoices):
    """How a hold ended."""

    SETTLED = "settled", "Settled"
    RELEASED = "released", "Released"
    EXPIRED = "expired", "Expired"


class Window(models.TextChoices):
    """Over which time a cap counts, in UTC."""

    DAY = "day", "Day"
    MONTH = "month", "Month"
    TOTAL = "total", "Ever"


def _in_range(field: str) -> Q:
    return Q(**{f"{field}__gte": 0, f"{field}__lte": LARGEST_NANO})


class Wallet(TenantModel):
    """One row per organization: what every writer locks first, and the epoch of everything a caller may have cached."""

    organization = models.OneToOneField(
        "accounts.Organization", on_delete=models.PROTECT, related_name="wallet", primary_key=True
    )
    epoch = models.BigIntegerField(default=1)
    suspended = models.BooleanField(default=False)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"wallet of {self.organization_id}"


class Account(TenantModel):
    """A heap of one unit. A customer's carries running totals; one of the house (no organization) never does.

    ``posted`` is credits minus debits; for a debt it is what the customer owes, debits minus credits.
    """

    organization = models.ForeignKey(
        "accounts.Organization", null=True, on_delete=models.PROTECT, related_name="accounts", db_index=False
    )
    kind = models.CharField(max_length=20)
    unit = models.CharField(max_length=80, default=NANO_USD)
    label = models.CharField(max_length=120, blank=True)
    priority = models.SmallIntegerField(default=0)
    expires_at = models.DateTimeField(null=True, blank=True)
    posted = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["organization"], name="account_by_organization"),
            models.Index(fields=["organization"], name="account_with_balance", condition=Q(posted__gt=0)),
            models.Index(fields=["expires_at"], name="account_expiring", condition=Q(posted__gt=F("held"))),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="account_posted_in_range", condition=_in_range("posted")),
            models.CheckConstraint(name="account_held_not_negative", condition=Q(held__gte=0)),
            models.CheckConstraint(name="account_never_overdrawn", condition=Q(held__lte=F("posted"))),
            models.CheckConstraint(name="account_unit_named", condition=~Q(unit="")),
            models.CheckConstraint(
                name="account_kind_fits_owner",
                condition=Q(organization__isnull=False, kind__in=Kind.values)
                | Q(organization__isnull=True, posted=0, held=0) & ~Q(kind__in=Kind.values),
            ),
            models.UniqueConstraint(
                fields=["organization", "kind"],
                condition=Q(kind__in=(Kind.PAID, Kind.DEBT)),
                name="account_one_paid_one_debt",
            ),
            models.UniqueConstraint(
                fields=["kind", "unit"], condition=Q(organization__isnull=True), name="account_one_per_house_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.unit}) of {self.organization_id or 'the house'}"


class ProcessLease(models.Model):
    """A process that may hold customers' money; it says by the database's clock that it still lives."""

    name = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.pk})"


class Hold(TenantModel):
    """Money set aside for one piece of work, until it is settled, released or expired, exactly once."""

    id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="holds", db_index=False
    )
    process = models.ForeignKey(ProcessLease, on_delete=models.PROTECT, related_name="holds", db_index=False)
    held_nano = models.BigIntegerField()
    caps = models.JSONField(default=list)  # [[counter, limit when admitted], ...]
    created_at = models.DateTimeField()
    outcome = models.CharField(max_length=8, null=True, choices=Outcome)
    charged_nano = models.BigIntegerField(default=0)
    unrecovered_nano = models.BigIntegerField(default=0)
    resolved_at = models.DateTimeField(null=True)
    late_settled_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["process"], name="hold_open", condition=Q(outcome__isnull=True)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="hold_held_in_range", condition=_in_range("held_nano")),
            models.CheckConstraint(name="hold_charged_in_range", condition=_in_range("charged_nano")),
            models.CheckConstraint(name="hold_unrecovered_in_range", condition=_in_range("unrecovered_nano")),
            models.CheckConstraint(
                name="hold_open_or_ended",
                condition=Q(
                    outcome__isnull=True,
                    resolved_at__isnull=True,
                    charged_nano=0,
                    unrecovered_nano=0,
                    late_settled_at__isnull=True,
                )
                | Q(outcome=Outcome.SETTLED, resolved_at__isnull=False, late_settled_at__isnull=True)
                | Q(
                    outcome__in=(Outcome.RELEASED, Outcome.EXPIRED),
                    resolved_at__isnull=False,
                    late_settled_at__isnull=False,
                )
                | Q(
                    outcome__in=(Outcome.RELEASED, Outcome.EXPIRED),
                    resolved_at__isnull=False,
                    late_settled_at__isnull=True,
                    charged_nano=0,
                    unrecovered_nano=0,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk} ({self.outcome or 'open'})"


class HoldLine(models.Model):
    """What a hold takes from one account; an extension adds lines under its own step."""

    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="lines", db_index=False)
    step = models.SmallIntegerField()
    position = models.SmallIntegerField()
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="hold_lines", db_index=False)
    amount = models.BigIntegerField()
    value_nano = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="holdline_amount_in_range", condition=Q(amount__gt=0) & _in_range("amount")),
            models.CheckConstraint(name="holdline_value_in_range", condition=_in_range("value_nano")),
            models.UniqueConstraint(fields=["hold", "step", "position"], name="holdline_place"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} from {self.account_id}"


class Transfer(TenantModel):
    """An amount that moved from one account (debit) to another (credit) of the same unit, and why. It never changes.

    One that ends a hold is known by the hold and its place there, any other by ``uid``; either makes a retry harmless.
    """

    uid = models.CharField(max_length=120, null=True)
    organization = models.ForeignKey(
        "accounts.Organization", null=True, on_delete=models.PROTECT, related_name="transfers", db_index=False
    )
    debit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="debits", db_index=False)
    credit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credits", db_index=False)
    amount = models.BigIntegerField()
    value_nano = models.BigIntegerField()  # the same in money; equal to the amount where the unit is money
    code = models.CharField(max_length=32)
    reference = models.CharField(max_length=120, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    hold = models.ForeignKey(Hold, null=True, on_delete=models.PROTECT, related_name="transfers", db_index=False)
    position = models.SmallIntegerField(null=True)
    reverses = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="reversals", db_index=False)
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [
            models.Index(fields=["organization", "id"], name="transfer_by_organization"),
            # Everything but charges: a customer's history is read without passing millions of calls.
            models.Index(fields=["organization", "-id"], name="transfer_of_no_hold", condition=Q(hold__isnull=True)),
            models.Index(fields=["reverses"], name="transfer_reversals", condition=Q(reverses__isnull=False)),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="transfer_amount_in_range", condition=Q(amount__gt=0) & _in_range("amount")),
            models.CheckConstraint(name="transfer_value_in_range", condition=_in_range("value_nano")),
            models.CheckConstraint(name="transfer_between_two", condition=~Q(debit=F("credit"))),
            models.CheckConstraint(name="transfer_has_code", condition=~Q(code="")),
            models.CheckConstraint(
                name="transfer_known_by_one_name",
                condition=Q(uid__isnull=True, hold__isnull=False, position__isnull=False)
                | Q(uid__isnull=False, hold__isnull=True, position__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["hold", "position"], condition=Q(hold__isnull=False), name="transfer_place_in_hold"
            ),
            models.UniqueConstraint(fields=["uid"], condition=Q(uid__isnull=False), name="transfer_uid_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.amount}"


class CapCounter(TenantModel):
    """What one scope has spent and holds in one window. A hold counts in the window of its admission."""

    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="cap_counters", db_index=False
    )
    scope_kind = models.CharField(max_length=16)
    scope_id = models.BigIntegerField()
    window = models.CharField(max_length=5, choices=Window)
    window_start = models.DateField()
    spent = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)

    class Meta(TenantModel.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(name="capcounter_spent_in_range", condition=_in_range("spent")),
            models.CheckConstraint(name="capcounter_held_in_range", condition=_in_range("held")),
            models.CheckConstraint(name="capcounter_window_known", condition=Q(window__in=Window.values)),
            models.UniqueConstraint(
                fields=["organization", "scope_kind", "scope_id", "window", "window_start"], name="capcounter_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope_kind} {self.scope_id}, {self.window} of {self.window_start}"
