"""How long each page of the customer's dashboard takes over many calls, beside its bars, on PostgreSQL.

    python -m benchmarks.pages [--calls 10000000] [--organizations 1000] [--days 10] [--statements]

Half of all calls are one organization's; its pages are opened by a member of it. Bars, held by ``manage.py page_times``
which prints the table: 100 ms of server time at the 95th percentile, and 12 questions to the database.
"""

import argparse
from datetime import timedelta

from tests.simulator.worlds import say, world

KEYS, MEMBERS = 40, 8


def main() -> int:
    """Load, roll up, furnish the busiest organization, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--organizations", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--statements", action="store_true", help="print what each page asks the database")
    arguments = parser.parse_args()
    with world("postgresql"):
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from analytics import rollups
    from gateway.seed import stock

    call_command("loaddata_scale", calls=arguments.calls, organizations=arguments.organizations, days=arguments.days)
    now = timezone.now()
    for n in range(arguments.days + 1):
        start = rollups.day_of((now - timedelta(days=n)).date())
        rollups.roll(since=start, until=start + rollups.DAY)
    _furnish()
    from accounts.models import Storefront

    stock(Storefront.objects.get(is_default=True), sandbox_url="http://127.0.0.1:9/sandbox/provider", now=now)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    say(f"{arguments.calls:,} calls of {arguments.organizations:,} organizations in {arguments.days} days")
    try:
        call_command("page_times", rounds=arguments.rounds, statements=arguments.statements)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def _furnish() -> None:
    """Give the busiest organization keys with caps, and members: a page of nothing would be quick."""
    from accounts import keys, trail
    from accounts.models import Membership, Role, User
    from accounts.models.keys import KeyKind
    from dashboard import timing

    organization = timing.busiest()
    assert organization is not None
    people = User.objects.bulk_create(
        User(email=f"p{n}@load.tollgate.localhost", name=f"P {n}") for n in range(MEMBERS)
    )
    Membership.objects.of(organization).bulk_create(
        Membership(organization=organization, user=user, role=Role.DEVELOPER) for user in people
    )
    for n in range(KEYS):
        keys.create(
            organization=organization,
            storefront=None,
            made_by=people[n % MEMBERS],
            kind=KeyKind.INFERENCE,
            label=f"service {n}",
            source=trail.SYSTEM,
            cap_month_nano=10**12,
        )


if __name__ == "__main__":
    raise SystemExit(main())
