"""Start a whole installation on this machine: database, shop, server and background work, in one process tree."""

import os
import socket
import threading
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from django.utils import timezone
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from accounts import opening, trail
from billing.wallets import credit
from gateway.seed import stock
from gateway.shipped import load
from gateway.suppliers import adopt_environment

PATIENCE_S = 60
DRAIN_S = 60
FIRST_CREDIT_NANO = 5_000_000_000
FIRST_CALL = '{"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}]}'


class Command(BaseCommand):
    help = "Serve Tollgate on this machine; the first start makes a shop, an operator and a key, and prints them once."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--host", default="127.0.0.1")

    def handle(self, *, host: str, port: int, **options: Any) -> None:
        if settings.MODE != "embedded":
            message = "up runs the embedded mode; in production start an ASGI server on config.asgi:application"
            raise CommandError(message)
        os.umask(0o077)  # what an installation keeps is its owner's alone
        _claim(host, port)
        call_command("migrate", interactive=False, verbosity=0)
        made = opening.open_shop()
        stock(made.storefront, sandbox_url=f"http://127.0.0.1:{port}/sandbox/provider", now=timezone.now())
        load(now=timezone.now(), source=trail.SYSTEM)
        adopt_environment(settings.PROVIDER_KEYS, source=trail.SYSTEM)
        if made.organization is not None:
            credit(made.organization, FIRST_CREDIT_NANO, "Play money of the sandbox", trail.SYSTEM)
        connections.close_all()
        shown_host = "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not bound
        shown_host = f"[{shown_host}]" if ":" in shown_host else shown_host
        _announce(shown_host, port)
        greeting = threading.Thread(target=self._greet, args=(f"http://{shown_host}:{port}", made), daemon=True)
        greeting.start()
        serve(host, port)
        self.stdout.write("Stopped. Everything is kept; the next start continues here.")

    def _greet(self, address: str, made: opening.Opening) -> None:
        """Once the server answers, say where it is and what this start made."""
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(f"{address}/ready"):
            if time.monotonic() > deadline:
                self.stderr.write("The server has not become ready; its log above says why.")
                return
            time.sleep(0.05)
        lines = ["", f"  Tollgate is open     {address}", f"  Operator's desk      {address}/admin/"]
        if made.operator_password:
            lines.append(f"  Operator sign-in     {opening.OPERATOR_EMAIL}  {made.operator_password}")
        if made.key_secret:
            lines += [
                f"  First API key        {made.key_secret}",
                "",
                "  Try it:",
                f'  curl -s {address}/v1/chat/completions -H "Authorization: Bearer {made.key_secret}" \\',
                f"    -H 'Content-Type: application/json' -d '{FIRST_CALL}'",
            ]
        if made.operator_password or made.key_secret:
            lines += ["", "  Password and key are shown this once; only their hashes are kept."]
        lines += [
            f"  Database             {connection.vendor}, secrets and letters in {settings.DATA_DIR}",
            "  Stop with Ctrl-C.",
            "",
        ]
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def _announce(host: str, port: int) -> None:
    """Tell the server process where people reach it: links in mails lead where the greeting says."""
    hosts = list(dict.fromkeys([host, *settings.PLATFORM_HOSTS]))
    if "PLATFORM_HOSTS" not in os.environ:
        os.environ["PLATFORM_HOSTS"] = ",".join(hosts)
        settings.PLATFORM_HOSTS = hosts  # a forked server process has read its settings already
    if "PUBLIC_PORT" not in os.environ:
        os.environ["PUBLIC_PORT"] = str(port)
        settings.PUBLIC_PORT = port
    if not settings.STRIPE_SECRET_KEY and not settings.STRIPE_API_BASE:  # payments go to the sandbox at our own address
        settings.STRIPE_API_BASE = os.environ["STRIPE_API_BASE"] = f"http://127.0.0.1:{port}/sandbox/stripe"


def serve(host: str, port: int) -> None:
    """Run the one server process until it is told to stop, then drain it."""
    Granian(
        "config.asgi:application",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        workers_kill_timeout=DRAIN_S,
        log_level=LogLevels.warning,
        log_access=False,
        websockets=False,
    ).serve()


def _claim(host: str, port: int) -> None:
    """Refuse a port that is taken, or an address that is not ours, before anything is started."""
    if not port:
        message = "--port 0 would be any port; choose one that people can be told"
        raise CommandError(message)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"port {port} on {host} cannot be used ({reason}); choose another with --port"
            raise CommandError(message) from error


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
