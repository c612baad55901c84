"""Prices as rows: versions of plans and of cost cards that never change, and the terms that say whose plan is whose.

A version is inserted once, with its author and a note, and the database refuses to change it; what is in force at a
moment is the newest version whose time has come. The body is the pricing engine's own JSON, so a row and the engine
cannot disagree about what was meant.
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class PlanVersion(models.Model):
    """One version of one storefront's price plan. Insert-only."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="plan_versions")
    name = models.SlugField(max_length=60)
    version = models.PositiveIntegerField()
    body = models.JSONField()
    effective_from = models.DateTimeField()
    author = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="plan_versions")
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("storefront", "name", "-version")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "name", "version"], name="plan_version_once"),
            models.CheckConstraint(condition=Q(version__gte=1), name="plan_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class CostCardVersion(models.Model):
    """One version of what a provider's account charges us for a model, both by slug. Insert-only."""

    provider = models.SlugField(max_length=60)
    model = models.CharField(max_length=120)
    version = models.PositiveIntegerField()
    body = models.JSONField()
    effective_from = models.DateTimeField()
    author = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="cost_card_versions")
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("provider", "model", "-version")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "model", "version"], name="cost_card_version_once"),
            models.CheckConstraint(condition=Q(version__gte=1), name="cost_card_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} v{self.version}"


class PriceGroup(models.Model):
    """Customers of one storefront who share a multiplier: wholesale, friends, students."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="price_groups")
    name = models.CharField(max_length=60)
    multiplier = models.DecimalField(max_digits=12, decimal_places=6)

    class Meta:
        ordering = ("storefront", "name")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "name"], name="price_group_once"),
            models.CheckConstraint(
                condition=Q(multiplier__gt=0, multiplier__lte=1000), name="price_group_multiplier_in_range"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PriceTerms(models.Model):
    """Which plan applies: one row without organization for the storefront, one each for customers with their own."""

    storefront = models.ForeignKey("accounts.Storefront", on_delete=models.PROTECT, related_name="price_terms")
    organization = models.OneToOneField(
        "accounts.Organization", null=True, blank=True, on_delete=models.PROTECT, related_name="price_terms"
    )
    plan_name = models.SlugField(max_length=60)
    group = models.ForeignKey(PriceGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="terms")
    multiplier = models.DecimalField(max_digits=12, decimal_places=6, default=1)

    class Meta:
        ordering = ("storefront", "id")
        verbose_name_plural = "price terms"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["storefront"], condition=Q(organization__isnull=True), name="price_terms_one_default"
            ),
            models.CheckConstraint(
                condition=Q(multiplier__gt=0, multiplier__lte=1000), name="price_terms_multiplier_in_range"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organization or self.storefront}: {self.plan_name}"
