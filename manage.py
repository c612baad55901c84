#!/usr/bin/env python3
"""Django's own door. The bootstrap goes first, so that a machine with nothing but Python can knock."""

import os
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)


def main() -> int:
    """Prepare the environment if it is missing, then hand the command to whoever answers it."""
    if sys.version_info < OLDEST_PYTHON:  # before any import of ours, which an older Python could not even read
        sys.exit(
            "tollgate: Python %d.%d or newer is needed and this is %s; start with a newer one: python3.12 manage.py up"
            % (*OLDEST_PYTHON, sys.version.split()[0])
        )
    root = Path(__file__).resolve().parent
    sys.path.insert(0, str(root))
    from config import bootstrap

    bootstrap.ensure(root, sys.argv)
    if sys.argv[1:2] == ["test"]:
        from config import proof

        return proof.main(sys.argv[2:])
    if sys.argv[1:2] == ["new_secrets"]:  # needs no settings: production sends people here when it refuses to start
        from plumbing.management.commands import new_secrets

        new_secrets.Command().run_from_argv(sys.argv)
        return 0
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("TOLLGATE_MODE", "embedded")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018 - reading one setting reads them all
    except ImproperlyConfigured as error:
        sys.exit(f"tollgate: {error}")
    execute_from_command_line(sys.argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
