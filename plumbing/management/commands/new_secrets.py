"""``manage.py new_secrets``: a fresh set of production secrets, ready for ``.env``."""

import secrets
from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Print a fresh set of production secrets in .env form. Nothing is stored; keep what you use."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line for each secret."""
        fresh = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "API_KEY_PEPPERS": secrets.token_urlsafe(48),
            "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "METRICS_TOKEN": secrets.token_urlsafe(32),
        }
        for name, value in fresh.items():
            self.stdout.write(f"{name}={value}")
