"""``manage.py page_times``: how long each page takes and how often it asks, on whatever this database holds.

Meant for a database filled by ``loaddata_scale``: it looks at the organization with most calls, as a member made for
the purpose, and fails when a page is slower or asks more often than a page may. ``cpu`` is what the page took of this
process alone: where it is far below p50, the machine was busy with something else, or the database was.
"""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Membership, Organization, Role, User
from dashboard import timing
from gateway import service

MOST_MS, MOST_QUERIES = 100, 12
LONGEST_SHOWN = 2000
NO_QUESTIONS = {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"}


class Command(BaseCommand):
    help = "Measure the server time and the queries of each page of the customer's dashboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=20)
        parser.add_argument("--statements", action="store_true", help="print what each page asks the database")
        parser.add_argument("--zone", default="", help="the organization's time zone; empty leaves it")

    def handle(self, *, rounds: int, zone: str, statements: bool, **options: Any) -> None:
        if settings.PRODUCTION:
            message = "Measuring makes a member of an organization, and is refused in production."
            raise CommandError(message)
        organization = timing.busiest()
        if organization is None:
            message = "There are no rollups; fill the database with loaddata_scale and run rollup first."
            raise CommandError(message)
        if zone:
            Organization.objects.filter(pk=organization.pk).update(time_zone=zone)
        client = _member_of(organization)
        slow = 0
        for name, address in timing.addresses(organization).items():
            with service.lent_picture():
                milliseconds, cpu_ms, asked = _measure(client, address, rounds)
            queries = len(asked)
            p95 = sorted(milliseconds)[min(len(milliseconds) - 1, len(milliseconds) * 19 // 20)]
            bad = p95 > MOST_MS or queries > MOST_QUERIES
            slow += bad
            middle = sorted(milliseconds)[len(milliseconds) // 2]
            self.stdout.write(
                f"{name:<28} p50 {middle:6.1f} ms   p95 {p95:6.1f} ms   cpu {cpu_ms:5.1f} ms   {queries:2} queries"
                f"{'   !' * bad}"
            )
            for query in asked if statements else ():
                self.stdout.write(f"    {float(query['time']) * 1000:6.1f} ms  {query['sql'][:LONGEST_SHOWN]}")
        if slow:
            raise SystemExit(1)


def _member_of(organization: Organization) -> Client:
    user, _ = User.objects.get_or_create(email="page-times@load.tollgate.localhost", defaults={"name": "Page times"})
    Membership.objects.of(organization).get_or_create(
        user=user, defaults={"organization": organization, "role": Role.OWNER}
    )
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    client.get(reverse("dashboard:overview", args=[organization.slug]))
    return client


def _measure(client: Client, address: str, rounds: int) -> tuple[list[float], float, list[dict[str, str]]]:
    with CaptureQueriesContext(connection) as asked:
        response = client.get(address)
    if response.status_code != 200:
        message = f"{address} answered {response.status_code}"
        raise CommandError(message)
    ours = [query for query in asked if query["sql"].split(" ", 1)[0].upper() not in NO_QUESTIONS]
    milliseconds = []
    cpu_before = time.process_time()
    for _ in range(rounds):
        cache.clear()  # what is kept for a minute is made anew, or it would not be measured
        started_at = time.perf_counter()
        b"".join(client.get(address))
        milliseconds.append((time.perf_counter() - started_at) * 1000)
    return milliseconds, (time.process_time() - cpu_before) * 1000 / rounds, ours
