from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Switchboard"

    def ready(self) -> None:
        from config import celery  # noqa: F401 - rooms' shared tasks find their queue by this app existing
