"""What happened: a call is one request of a client, an attempt one wire request upstream.

Promise: a call's id is also its hold's, so a charge and its call cannot lose each other; ids are made by the server, in
order of time, and on PostgreSQL the tables are cut by month along them. Rows ride with the ledger's transactions and
are never changed: a departure before anything is sent, the call and its attempts together with the end of the hold,
whoever ends it. Only the row of a call that was given up as lost gives way, when its process comes back.
"""

from typing import ClassVar

from django.db import models

from accounts.tenancy import TenantModel


class CallState(models.TextChoices):
    """How a call ended."""

    DONE = "done", "Answered"
    PARTIAL = "partial", "Ended early"
    FAILED = "failed", "Failed, free"
    LOST = "lost", "Ended with its server, free"


class UsageSource(models.TextChoices):
    """Where the counts came from."""

    NONE = "none", "Nothing was used"
    REPORTED = "reported", "Reported by the provider"
    ESTIMATED = "estimated", "Estimated from what was delivered"


class Call(TenantModel):
    """One request of a client, from admission to settlement."""

    id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="calls", db_index=False, db_constraint=False
    )
    api_key_id = models.BigIntegerField(null=True)
    user_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    state = models.CharField(max_length=8, choices=CallState)
    endpoint = models.CharField(max_length=40)
    streamed = models.BooleanField(default=False)
    model_asked = models.CharField(max_length=120)
    model_served = models.CharField(max_length=120)
    provider = models.CharField(max_length=60, blank=True)
    # What prices it: versions never change, so these and the usage recompute the charge.
    plan_version_id = models.BigIntegerField()
    card_version_id = models.BigIntegerField(null=True)
    circumstances = models.JSONField(default=dict)
    usage = models.JSONField(default=list)
    usage_source = models.CharField(max_length=9, choices=UsageSource, default=UsageSource.NONE)
    billing_rule = models.CharField(max_length=40, blank=True)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    hold_nano = models.BigIntegerField(default=0)
    # What the usage is priced at; the hold says how much of it was charged and how much nobody could pay.
    price_nano = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    first_byte_ms = models.PositiveIntegerField(null=True)
    status = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=60, blank=True)
    finish = models.CharField(max_length=40, blank=True)
    country = models.CharField(max_length=2, blank=True)
    label = models.CharField(max_length=80, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("-id",)
        indexes: ClassVar = [models.Index(fields=["organization", "-id"], name="call_by_organization")]

    def __str__(self) -> str:
        return f"call {self.pk}"


class Departure(TenantModel):
    """A wire request that is about to leave, written in the transaction that holds the money for it."""

    id = models.BigIntegerField(primary_key=True)
    call_id = models.BigIntegerField()
    organization = models.ForeignKey(
        "accounts.Organization",
        on_delete=models.PROTECT,
        related_name="departures",
        db_index=False,
        db_constraint=False,
    )
    api_key_id = models.BigIntegerField(null=True)
    number = models.PositiveSmallIntegerField(default=1)
    model = models.CharField(max_length=120)
    provider = models.CharField(max_length=60)
    endpoint = models.CharField(max_length=40)
    leaves_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ("id",)

    def __str__(self) -> str:
        return f"departure {self.number} of {self.call_id}"


class Attempt(TenantModel):
    """One wire request upstream, and what it cost us."""

    id = models.BigIntegerField(primary_key=True)
    call_id = models.BigIntegerField()
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="attempts", db_index=False, db_constraint=False
    )
    number = models.PositiveSmallIntegerField(default=1)
    provider = models.CharField(max_length=60)
    credential_id = models.BigIntegerField(null=True)
    upstream_model = models.CharField(max_length=160)
    started_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=60, blank=True)
    usage = models.JSONField(default=list)
    card_version_id = models.BigIntegerField(null=True)  # what its cost is by; the price stays that of the first route
    cost_nano = models.BigIntegerField(null=True)
    cost_told = models.BooleanField(default=False, db_default=False)  # by its provider, not by the card
    first_byte_ms = models.PositiveIntegerField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)
    upstream_request_id = models.CharField(max_length=120, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ("id",)
        indexes: ClassVar = [models.Index(fields=["call_id"], name="attempt_by_call")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.call_id}"
