"""What is sold: a model is a name on the price list, a route is one way to serve it."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class Purpose(models.TextChoices):
    """Which front doors a model answers at."""

    CHAT = "chat", "Chat"
    EMBEDDING = "embedding", "Embeddings"
    MODERATION = "moderation", "Moderation"
    RERANK = "rerank", "Rerank"
    REALTIME = "realtime", "Realtime"
    IMAGE = "image", "Images"
    SPEECH = "speech", "Speech"
    TRANSCRIPTION = "transcription", "Transcription"


class AIModel(models.Model):
    """A name on the price list. An alias is charged at the price of what serves it, and the catalogue says so."""

    slug = models.CharField(max_length=120, unique=True)
    name = models.CharField(max_length=120)
    vendor = models.CharField(max_length=60, blank=True)
    purpose = models.CharField(max_length=13, choices=Purpose, default=Purpose.CHAT)
    description = models.CharField(max_length=400, blank=True)
    alias_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="aliases")
    is_active = models.BooleanField(default=True)
    is_sandbox = models.BooleanField(default=False, editable=False)
    hidden_in = models.ManyToManyField("accounts.Storefront", blank=True, related_name="hidden_models")
    context_tokens = models.PositiveIntegerField(default=128_000)
    max_output_tokens = models.PositiveIntegerField(default=16_384)
    # What a request without a limit is given: not the ceiling, or every hold would be huge.
    default_output_tokens = models.PositiveIntegerField(default=4_096)
    input_modalities = models.JSONField(default=list, blank=True)
    output_modalities = models.JSONField(default=list, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    recommended_for = models.JSONField(default=list, blank=True, help_text="Occasions: everyday, power, speed.")
    # What the shipped catalogue last said of it; where a row still says the same, a newer catalogue may change it.
    shipped = models.JSONField(default=dict, blank=True, editable=False)
    # Sold although nobody knows its cost (the one-to-one rule); an operator's decision, with an alarm.
    may_be_unpriced = models.BooleanField(default=False)
    retired_on = models.DateField(null=True, blank=True)
    released_on = models.DateField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("slug",)
        verbose_name = "model"
        constraints: ClassVar = [
            models.CheckConstraint(
                name="aimodel_default_output_within_ceiling",
                condition=Q(default_output_tokens__gt=0, default_output_tokens__lte=F("max_output_tokens")),
            ),
            models.CheckConstraint(name="aimodel_not_its_own_alias", condition=~Q(alias_of=F("id"))),
        ]

    def __str__(self) -> str:
        return self.slug


class Route(models.Model):
    """One way to serve a model: a provider and the name it goes by there. Lower priority numbers are tried first."""

    model = models.ForeignKey(AIModel, on_delete=models.PROTECT, related_name="routes")
    provider = models.ForeignKey("gateway.Provider", on_delete=models.PROTECT, related_name="routes")
    upstream_model = models.CharField(max_length=160)
    priority = models.PositiveSmallIntegerField(default=100)
    weight = models.PositiveSmallIntegerField(default=1)
    is_active = models.BooleanField(default=True)
    # A pinned price is the operator's own: no price list touches it.
    is_price_pinned = models.BooleanField(default=False)
    # Checks before the upstream, off unless configured; ``gateway.policy`` says what may stand here.
    policy = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("model", "priority", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "provider", "upstream_model"], name="route_once"),
        ]

    def __str__(self) -> str:
        return f"{self.model} by {self.provider}"
