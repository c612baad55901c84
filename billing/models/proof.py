"""How far the audit has come: everything up to a transfer has been proven once."""

from django.db import models


class AuditCheckpoint(models.Model):
    """A clean incremental run; the next one begins here."""

    last_transfer_id = models.BigIntegerField()
    last_hold_id = models.BigIntegerField(default=0)
    transfers = models.BigIntegerField()
    findings = models.IntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"transfers up to {self.last_transfer_id}"
