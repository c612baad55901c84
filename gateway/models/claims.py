"""Idempotency keys that were claimed, and the answers that organizations let us keep for them."""

from typing import ClassVar

from django.db import models

from accounts.tenancy import TenantModel
from gateway.models.calls import Call


class IdempotencyClaim(TenantModel):
    """An idempotency key of one API key, and the call that answers it. Written with the hold, forgotten after a day."""

    call_id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    api_key_id = models.BigIntegerField()
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    claimed_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [models.Index(fields=["claimed_at"], name="claim_by_age")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["api_key_id", "key"], name="idempotency_key_once"),
        ]

    def __str__(self) -> str:
        return f"claim of call {self.call_id}"

    def call(self) -> Call | None:
        """The call that answers it, once it has ended."""
        found: Call | None = Call.objects.of(self.organization).filter(pk=self.call_id).first()
        return found


class KeptAnswer(TenantModel):
    """What a call answered, for an organization that stores content. Forgotten with its claim."""

    call_id = models.BigIntegerField(primary_key=True)
    organization = models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    status = models.PositiveSmallIntegerField()
    body = models.BinaryField()
    kept_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        indexes: ClassVar = [models.Index(fields=["kept_at"], name="kept_answer_by_age")]

    def __str__(self) -> str:
        return f"answer of call {self.call_id}"
