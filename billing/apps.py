from importlib import import_module

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from accounts.signals import access_changed, mailbox_proven, organization_created
        from billing import payment_audit, trials, wallets

        payment_audit.register()
        for room in ("inbox", "recharging", "refunds", "tidings", "topups"):
            import_module(f"billing.{room}")  # they hear the outbox

        organization_created.connect(wallets.on_organization_created, dispatch_uid="billing.wallets.open")
        access_changed.connect(wallets.on_access_changed, dispatch_uid="billing.wallets.bump")
        mailbox_proven.connect(trials.on_mailbox_proven, dispatch_uid="billing.trials.give")
