from django.apps import AppConfig


class PlumbingConfig(AppConfig):
    name = "plumbing"
    verbose_name = "Plumbing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from plumbing import notices, outbox, secrets  # noqa: F401 - notices registers its handlers by being imported

        secrets.check_keys()
        outbox.register_gauges()
