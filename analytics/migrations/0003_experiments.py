"""Experiments move down to the prices they change. One that was only measured so far ends: nobody agreed to its prices."""

from typing import Any

from django.db import migrations
from django.utils import timezone

ENDED = "Experiments change prices from here on; begin it again if it is to."
COPIED = ("storefront_id", "name", "arms", "starts_at", "ends_at", "stop_below_percent")


def move(apps: Any, schema_editor: Any) -> None:
    made = apps.get_model("billing", "Experiment").objects
    for old in apps.get_model("analytics", "Experiment").objects.all():
        made.create(
            **{name: getattr(old, name) for name in COPIED},
            stopped_at=old.stopped_at or timezone.now(),
            stop_reason=old.stop_reason or ENDED,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0002_desk"),
        ("billing", "0006_experiments"),
    ]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.DeleteModel(name="Experiment"),
    ]
