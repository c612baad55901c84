from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Switchboard"

    def ready(self) -> None:
        # The queue exists for the rooms' shared tasks by this app existing; the doctor's questions by being imported.
        from config import celery, diagnoses  # noqa: F401
