"""A storefront is a reseller's shop: its brand, its hosts, its rules for signing up, and the staff who run it."""

from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from accounts.models.bounds import public_id

HOST = RegexValidator(
    r"^(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z",
    "Write the host alone, in lower case, without scheme, port or path: shop.example.com",
)
COLOR = RegexValidator(r"^#[0-9a-f]{6}\Z", "Write the colour as six hexadecimal digits: #0f766e")
KEY_PREFIX = RegexValidator(r"^[a-z0-9]{2,12}\Z", "Two to twelve lower-case letters or digits.")


class SignUpPolicy(models.TextChoices):
    """Who may open an account."""

    OPEN = "open", "Anyone"
    INVITED = "invited", "Only people with an invitation"
    CLOSED = "closed", "Nobody"


class Storefront(models.Model):
    """One shop: what customers see of it, and what its keys look like."""

    public_id = public_id("shop")
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=40, unique=True)
    is_default = models.BooleanField(default=False, help_text="Answers on localhost and the installation's own host.")
    is_open = models.BooleanField(default=True, help_text="A closed shop answers its customers but sells nothing new.")
    tagline = models.CharField(max_length=160, blank=True)
    brand_color = models.CharField(max_length=7, default="#0f766e", validators=[COLOR])
    brand_color_dark = models.CharField(max_length=7, default="#2dd4bf", validators=[COLOR])
    logo_png = models.BinaryField(null=True, blank=True, editable=False, max_length=262_144)
    support_email = models.EmailField(blank=True)
    support_url = models.URLField(blank=True)
    terms = models.TextField(
        blank=True, max_length=100_000, help_text="Markdown. Empty shows the template from TERMS.md."
    )
    key_prefix = models.CharField(max_length=12, default="tg", validators=[KEY_PREFIX])
    currency_display = models.CharField(max_length=3, default="USD")
    sign_up_policy = models.CharField(max_length=8, choices=SignUpPolicy, default=SignUpPolicy.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="storefront_one_default"),
            models.CheckConstraint(
                condition=Q(sign_up_policy__in=SignUpPolicy.values), name="storefront_sign_up_policy_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class StorefrontDomain(models.Model):
    """A host that belongs to a storefront; mails link to the primary one, whatever the Host header said."""

    storefront = models.ForeignKey(Storefront, on_delete=models.CASCADE, related_name="domains")
    host = models.CharField(max_length=253, unique=True, validators=[HOST])
    is_primary = models.BooleanField(default=False)

    class Meta:
        ordering = ("host",)
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["storefront"], condition=Q(is_primary=True), name="storefront_one_primary_domain"
            ),
        ]

    def __str__(self) -> str:
        return self.host


class StorefrontStaff(models.Model):
    """Somebody who works at one storefront and sees nothing of the others."""

    storefront = models.ForeignKey(Storefront, on_delete=models.CASCADE, related_name="staff")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="storefront_jobs")
    can_change = models.BooleanField(default=True, help_text="Off: may look, not touch.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "storefront staff"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["storefront", "user"], name="storefront_staff_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.storefront}"
