"""Triggers on the ledger, and the house's own accounts in money."""

from django.db import migrations
from django.utils import timezone

from billing.models.guards import Guards
from plumbing.append_only import AppendOnly

HOUSE = [
    "revenue",
    "unrecovered_usage",
    "payments",
    "promotions",
    "expired_grants",
    "provider_cost",
    "providers",
]


def open_house(apps, schema_editor):
    account = apps.get_model("billing", "Account")
    account._base_manager.bulk_create(
        account(id=place, kind=kind, unit="nano_usd", created_at=timezone.now())
        for place, kind in enumerate(HOUSE, start=1)
    )
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("SELECT setval(pg_get_serial_sequence('billing_account', 'id'), 100)")


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_ledger")]
    operations = [
        migrations.RunPython(open_house, migrations.RunPython.noop),
        Guards(),
        AppendOnly("billing_transfer"),
        AppendOnly("billing_holdline"),
    ]
