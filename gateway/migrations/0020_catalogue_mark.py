from django.db import migrations

from plumbing.change_marks import ChangeMark


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0002_organization_stores_content"),
        ("billing", "0005_money_in"),
        ("gateway", "0010_settlement"),
    ]

    operations = [
        ChangeMark(
            "gateway_cataloguemark",
            [
                "accounts_storefront",
                "accounts_storefrontdomain",
                "billing_costcardversion",
                "billing_planversion",
                "gateway_aimodel",
                "gateway_aimodel_hidden_in",
                "gateway_credential",
                "gateway_provider",
                "gateway_route",
            ],
        ),
    ]
