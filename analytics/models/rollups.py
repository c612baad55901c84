"""Rollups: what calls amount to, added up so that a page never has to read calls.

Six tables, each a pure function of the calls and the holds that paid for them:

- ``CustomerQuarter``: one organization, member, key, model, provider and country in one quarter of an hour (UTC). The
  finest grain; the others are sums of it. A quarter and not an hour, because a day in Kathmandu (+05:45) begins in
  the middle of one: every zone in force today is a whole number of quarters away from UTC, so any local day of 23, 24
  or 25 hours is an exact sum of rows.
- ``CustomerDay``: the same in one UTC day: what a customer or a desk asks about months.
- ``ShopQuarter``: one storefront, model and provider in one quarter: local days and the last hours for the desk,
  however many customers there are.
- ``ShopDay``: the same in one UTC day.
- ``CountryDay``: one storefront, country and model in one UTC day.
- ``OrganizationDay``: one organization in one UTC day, for the questions that tell customers apart and nothing else.

Hours are four quarters. A call belongs to the moment it was settled (``rollups.moment`` says it to the letter). What is
no plain text token (audio, images, cache writes, searches), and how long things took, is counted by name in ``spread``;
such counters are added up like everything else, so percentiles of a month come from the sum of its days. The finest
grain has them as a list of words (a cell has few calls, and a list is cheap to make), the shop's tables as an object of
counts; a customer's days keep only the usage, so a customer's percentiles are read from its quarters.
"""

from typing import ClassVar

from django.db import models

from accounts.tenancy import TenantModel


class Measures(models.Model):
    """What is added up. Money is nano-USD; zero stands for nobody's key and nobody's member."""

    requests = models.BigIntegerField()
    errors = models.BigIntegerField()
    partial = models.BigIntegerField()
    input_tokens = models.BigIntegerField()  # cached ones included
    cached_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()  # reasoning included
    reasoning_tokens = models.BigIntegerField()
    price_nano = models.BigIntegerField()
    charge_nano = models.BigIntegerField()
    unrecovered_nano = models.BigIntegerField()
    cost_nano = models.BigIntegerField()  # of the calls whose cost is known
    unknown_cost = models.BigIntegerField()  # calls whose cost nobody knows
    unknown_cost_charge_nano = models.BigIntegerField()
    estimated = models.BigIntegerField()  # calls whose usage was estimated
    estimated_charge_nano = models.BigIntegerField()
    cache_savings_nano = models.BigIntegerField()

    class Meta:
        abstract = True


class CustomerMeasures(TenantModel, Measures):
    """The dimensions of a customer's rows."""

    storefront = models.ForeignKey(
        "accounts.Storefront", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    user_id = models.BigIntegerField()
    api_key_id = models.BigIntegerField()
    model = models.CharField(max_length=120)
    provider = models.CharField(max_length=60)
    country = models.CharField(max_length=2)

    class Meta(TenantModel.Meta):
        abstract = True


class CustomerQuarter(CustomerMeasures):
    """What one key did in one quarter of an hour."""

    starts_at = models.DateTimeField()
    spread = models.TextField(default="")  # l57: latency, f31: first byte, s12: speed, input.audio.none.token=9

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [models.Index(fields=["starts_at"], name="customerquarter_by_time")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "starts_at", "api_key_id", "user_id", "model", "provider", "country"],
                name="customerquarter_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}, {self.model}, {self.starts_at:%Y-%m-%d %H:%M}"


class CustomerDay(CustomerMeasures):
    """What one key did in one UTC day."""

    day = models.DateField()
    spread = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [models.Index(fields=["day"], name="customerday_by_time")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["organization", "day", "api_key_id", "user_id", "model", "provider", "country"],
                name="customerday_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}, {self.model}, {self.day}"


class ShopMeasures(Measures):
    """The dimensions of a storefront's rows."""

    storefront = models.ForeignKey(
        "accounts.Storefront", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    model = models.CharField(max_length=120)
    spread = models.JSONField(default=dict)  # {"l57": calls, "f31": calls, "s12": calls, "input.audio.none.token": 9}

    class Meta:
        abstract = True


class ShopQuarter(ShopMeasures):
    """What one storefront sold of one model in one quarter of an hour."""

    starts_at = models.DateTimeField()
    provider = models.CharField(max_length=60)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["starts_at", "storefront", "model", "provider"], name="shopquarter_once")
        ]

    def __str__(self) -> str:
        return f"{self.storefront_id}, {self.model}, {self.starts_at:%Y-%m-%d %H:%M}"


class ShopDay(ShopMeasures):
    """What one storefront sold of one model in one UTC day."""

    day = models.DateField()
    provider = models.CharField(max_length=60)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "storefront", "model", "provider"], name="shopday_once")
        ]

    def __str__(self) -> str:
        return f"{self.storefront_id}, {self.model}, {self.day}"


class CountryDay(ShopMeasures):
    """What one storefront sold to one country in one UTC day."""

    day = models.DateField()
    country = models.CharField(max_length=2)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "storefront", "country", "model"], name="countryday_once")
        ]

    def __str__(self) -> str:
        return f"{self.storefront_id}, {self.country or 'nowhere known'}, {self.day}"


class OrganizationDay(TenantModel, Measures):
    """What one organization did in one UTC day."""

    day = models.DateField()
    storefront = models.ForeignKey(
        "accounts.Storefront", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    spread = models.JSONField(default=dict)

    class Meta(TenantModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "organization"], name="organizationday_once"),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}, {self.day}"


class TokenRatio(models.Model):
    """How often one token of a bucket counts under a plan that adjusts tokens, as an exact fraction."""

    plan_version_id = models.BigIntegerField()
    card_version_id = models.BigIntegerField()
    model = models.CharField(max_length=120)
    bucket = models.CharField(max_length=60)  # direction.modality.cache.unit
    numerator = models.BigIntegerField()
    denominator = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["plan_version_id", "card_version_id", "model", "bucket"], name="tokenratio_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.bucket}: {self.numerator}/{self.denominator}"


class CacheSaving(models.Model):
    """What a million cached input tokens save under one pair of versions, at list price: versions never change."""

    plan_version_id = models.BigIntegerField()
    card_version_id = models.BigIntegerField()
    model = models.CharField(max_length=120)
    nano_per_million = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plan_version_id", "card_version_id", "model"], name="cachesaving_once")
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.nano_per_million}"


class RollupMark(models.Model):
    """One row: everything that was settled before has been rolled up at least once."""

    rolled_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.rolled_until}"


class ArchivedMonth(models.Model):
    """A month of calls that was written to a file and dropped; its rollups are kept as they are."""

    starts_at = models.DateTimeField(unique=True)
    ends_at = models.DateTimeField()
    path = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64)
    calls = models.BigIntegerField()
    attempts = models.BigIntegerField()
    archived_at = models.DateTimeField()
    dropped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-starts_at",)

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m}"
