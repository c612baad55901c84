"""``manage.py rotate_secrets``: close every sealed value again with the newest key.

Safe while the shop is open: each row is changed only if it still holds what was read, in short slices.
"""

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models
from django.db.models.functions import Cast

from plumbing import secrets

SLICE = 200


class Command(BaseCommand):
    help = "Re-encrypt every sealed field with the first key in ENCRYPTION_KEYS; afterwards the older keys may go."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--slice", type=int, default=SLICE, help="Rows read at a time.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Walk all fields; rows that no key opens are counted, left alone and make the command fail."""
        closed = 0
        for model, field in sealed_fields():
            resealed, unreadable = reseal_field(model, field, rows_per_slice=max(1, options["slice"]))
            closed += unreadable
            self.stdout.write(f"{model._meta.label}.{field}: {resealed} resealed, {unreadable} unreadable")
        if closed:
            message = f"{closed} sealed values cannot be opened with any key in ENCRYPTION_KEYS; keep the old keys"
            raise CommandError(message)


def sealed_fields() -> list[tuple[type[models.Model], str]]:
    """Every field of every model that is sealed at rest."""
    return [
        (model, field.attname)
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, secrets.EncryptedTextField) and field.model is model
    ]


def reseal_field(model: type[models.Model], field: str, *, rows_per_slice: int) -> tuple[int, int]:
    """Reseal one column; return how many rows were closed again and how many no key opens."""
    raw = Cast(field, models.TextField())
    everything = model._base_manager
    rows = everything.filter(**{f"{field}__isnull": False}).annotate(sealed_as_is=raw)
    resealed = unreadable = last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", "sealed_as_is")[:rows_per_slice]):
        for key, old in batch:
            try:
                new = secrets.reseal(old)
            except secrets.CannotUnseal:
                unreadable += 1
                continue
            same = rows.filter(pk=key, sealed_as_is=old)
            resealed += same.update(**{field: models.Value(new, output_field=models.TextField())})
        last = batch[-1][0]
    return resealed, unreadable
