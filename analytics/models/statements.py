"""A customer's months, added up from transfers: what statements are made of.

Promise: a row is a pure sum of the transfers of one organization in one UTC month, and the mark says how far the sums
have come; both move in one transaction, so every transfer is in exactly one month, once. ``analytics.statements`` is
the only writer.
"""

from typing import ClassVar

from django.db import models

from accounts.tenancy import TenantModel


class StatementMark(TenantModel):
    """The last transfer of an organization that its months hold."""

    organization = models.OneToOneField(
        "accounts.Organization", on_delete=models.PROTECT, related_name="statement_mark", primary_key=True
    )
    last_transfer_id = models.BigIntegerField(default=0)

    class Meta(TenantModel.Meta):
        pass

    def __str__(self) -> str:
        return f"statements of {self.organization_id} up to {self.last_transfer_id}"


class StatementMonth(TenantModel):
    """One UTC month: what changed in money, and the sums it is made of.

    A line is ``[unit, code, name, amount, count]``: the unit of the account, the transfer's code, for a charge the
    model it was for, what it changed in what the customer has, and how many movements (for charges: calls) there were.
    """

    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="statement_months", db_index=False
    )
    month = models.DateField()
    net_nano = models.BigIntegerField(default=0)
    lines = models.JSONField(default=list)

    class Meta(TenantModel.Meta):
        ordering = ("month",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "month"], name="statement_month_once"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} of {self.organization_id}"
