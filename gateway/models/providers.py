"""A provider is an account we buy from; it names a kind, and kinds are code. Its credentials are sealed at rest."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from plumbing.secrets import EncryptedTextField


class PriceListShape(models.TextChoices):
    """How a provider writes down what it charges."""

    OPENROUTER = "openrouter", "OpenRouter: a list of models with prices per token"
    PLAIN = "plain", "Plain JSON: models with prices per million"


class Provider(models.Model):
    """One account with one company, with what its own terms allow us."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80)
    kind = models.SlugField(max_length=40)
    base_url = models.URLField(max_length=300, blank=True, help_text="Empty uses the kind's own address.")
    is_active = models.BooleanField(default=True)
    is_sandbox = models.BooleanField(default=False, editable=False)
    # Loopback and private addresses are reached only where the command line said so.
    may_be_private = models.BooleanField(default=False, editable=False)
    resale_allowed = models.BooleanField(default=True)
    allowed_countries = models.JSONField(
        default=list, blank=True, help_text="Two-letter codes; empty means everywhere."
    )
    refused_countries = models.JSONField(default=list, blank=True)
    # Checks before anything goes to this account, beside those of the route; see ``gateway.policy``.
    policy = models.JSONField(default=dict, blank=True)
    price_list_url = models.URLField(max_length=300, blank=True, help_text="Asked once a day; empty asks nobody.")
    price_list_shape = models.CharField(max_length=10, choices=PriceListShape, blank=True)
    connect_timeout_ms = models.PositiveIntegerField(default=5_000)
    first_byte_timeout_ms = models.PositiveIntegerField(default=60_000)
    idle_timeout_ms = models.PositiveIntegerField(default=60_000)
    total_timeout_ms = models.PositiveIntegerField(default=600_000)
    # How long we listen on after a client left, so that the charge is exact.
    drain_s = models.PositiveIntegerField(default=30)
    drain_bytes = models.PositiveIntegerField(default=1_000_000)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.CheckConstraint(
                name="provider_timeouts_positive",
                condition=Q(connect_timeout_ms__gt=0, first_byte_timeout_ms__gt=0, idle_timeout_ms__gt=0)
                & Q(total_timeout_ms__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Credential(models.Model):
    """One upstream key. Write-only: sealed at rest, shown masked, sent to its provider's address alone."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="credentials")
    label = models.CharField(max_length=80, default="key")
    secret = EncryptedTextField()
    last_four = models.CharField(max_length=4, editable=False, blank=True)
    is_active = models.BooleanField(default=True)
    weight = models.PositiveSmallIntegerField(default=1)
    # What the provider said when somebody last asked whether it takes this key.
    tried_at = models.DateTimeField(null=True, editable=False)
    tried_says = models.CharField(max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("provider", "id")

    def __str__(self) -> str:
        return f"{self.provider}: {self.label} …{self.last_four}"
