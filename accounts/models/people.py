"""A user is a person with one email and one sign-in, whatever storefronts and organizations they belong to."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower

from accounts.models.bounds import public_id


class People(BaseUserManager["User"]):
    """Makes users; the email is their name."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a customer or colleague."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create one of the platform's own staff."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Find by email, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person. ``is_staff`` means the platform's staff; a storefront's staff have a ``StorefrontStaff`` row."""

    public_id = public_id("usr")
    email = models.EmailField(unique=True, error_messages={"unique": "An account with this email exists already."})
    name = models.CharField(max_length=120, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(auto_now_add=True)
    # Where they came from, kept once at sign-up: utm_source ... utm_content, referrer, landing path.
    acquisition = models.JSONField(default=dict, blank=True, editable=False)
    terms_accepted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = People()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        db_table = "users"
        ordering = ("email",)
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="user_email_once_whatever_case")]

    def __str__(self) -> str:
        return self.email

    def get_short_name(self) -> str:
        """What a page calls this person."""
        return self.name or self.email.partition("@")[0]
