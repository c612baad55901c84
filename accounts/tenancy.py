"""How tenant rows are reached: ``.objects.of(organization)``, or ``.unscoped`` where the linter allows it.

Promise: a query that forgets its tenant does not run. ``objects`` has one door, ``of()``; anything else raises
``TenantMissing``. ``unscoped`` serves Django's own machinery, the admin, tasks and the audit; a test keeps every
other file from naming it.
"""

from typing import TYPE_CHECKING, Any, Self

from django.db import models

if TYPE_CHECKING:
    from accounts.models import Organization


class TenantMissing(RuntimeError):
    """A tenant's table was queried without saying whose rows are meant."""


class TenantObjects(models.Manager[Any]):
    """The manager of tenant rows; it answers only after it was told the organization."""

    def of(self, organization: "Organization") -> models.QuerySet[Any]:
        """Return the rows of one organization."""
        return super().get_queryset().filter(organization=organization)

    def create(self, **fields: Any) -> Any:
        """Add a row; its tenant is one of the fields."""
        if "organization" not in fields:
            self.get_queryset()
        return super().get_queryset().create(**fields)

    def get_queryset(self) -> models.QuerySet[Any]:
        """Refuse: whoever comes here has forgotten the tenant."""
        message = f"{self.model.__name__} belongs to tenants; use .objects.of(organization)"
        raise TenantMissing(message)


class TenantModel(models.Model):
    """Base of every row a customer owns; the model itself declares ``organization``."""

    unscoped = models.Manager[Self]()
    objects = TenantObjects()

    class Meta:
        abstract = True
        # Related managers (organization.api_keys) and Django's own look-ups use the plain manager.
        default_manager_name = "unscoped"
        base_manager_name = "unscoped"
