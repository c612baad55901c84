"""The rows of plumbing: what must happen after commit, and who holds a lease."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from plumbing.secrets import EncryptedTextField


class OutboxMessage(models.Model):
    """Something that must happen because a transaction was committed; see ``plumbing.outbox``.

    Raw writers (riders of the ledger's batch) insert ``topic``, ``key`` and ``payload`` (JSON text) alone; the database
    fills in the rest.
    """

    topic = models.CharField(max_length=64)
    key = models.CharField(max_length=200)
    payload = models.JSONField(db_default=models.Value({}, models.JSONField()))
    confidential = EncryptedTextField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), help_text="May be taken from then on; the lease's end.")
    tries = models.PositiveSmallIntegerField(db_default=0)
    lease = models.CharField(max_length=32, db_default="")
    done_at = models.DateTimeField(null=True)
    parked_at = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=120, db_default="")
    error_sentence = models.CharField(max_length=300, db_default="")

    class Meta:
        db_table = "outbox_messages"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["topic", "key"], name="outbox_topic_key_once"),
            models.CheckConstraint(condition=~Q(topic="") & ~Q(key=""), name="outbox_topic_key_named"),
            models.CheckConstraint(
                condition=Q(done_at__isnull=True) | Q(parked_at__isnull=True), name="outbox_done_or_parked"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["topic", "due_at", "id"], condition=Q(done_at=None, parked_at=None), name="outbox_due"
            ),
            models.Index(fields=["parked_at"], condition=Q(parked_at__isnull=False), name="outbox_parked"),
            models.Index(fields=["done_at"], condition=Q(done_at__isnull=False), name="outbox_done"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.key}"


class Lease(models.Model):
    """Who does, for now, what only one process should do; see ``plumbing.locks``."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()

    class Meta:
        db_table = "leases"

    def __str__(self) -> str:
        return f"{self.name} until {self.until:%H:%M:%S}"
