"""Customers by the ten thousand, written straight into an empty database: each with a key, two grants and one cap.

    python -m benchmarks.customers --upstream URL --organizations 10000 --keys FILE [--empty 0]

Money goes through the ledger itself, so the books are provable afterwards; the rest is written in bulk, in the form the
rooms would have written it. ``FILE`` gets one key a line in the order in which a load should use them: by Zipf's law, a
few customers make most of the calls. ``--empty`` is the percentage of customers without any credit.
"""

import argparse
import os
import random
from pathlib import Path

MODEL = "bench"
LINES = 50_000
CREDIT_NANO = 10**15
CAP_NANO = 10**15
SLICE = 2_000


def main() -> None:
    """Fill the database that the environment names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--organizations", type=int, default=10_000)
    parser.add_argument("--empty", type=int, default=0)
    parser.add_argument("--keys", type=Path, required=True)
    asked = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    _shelve(asked.upstream)
    secrets = _customers(asked.organizations, empty_percent=asked.empty)
    asked.keys.write_text("\n".join(_by_zipf(secrets)))


def _shelve(upstream: str) -> None:
    """One model, sold at a markup, served by the address that is measured against."""
    from django.utils import timezone

    from accounts import opening, trail
    from billing import pricebook
    from gateway.models import AIModel, Credential, Provider, Route

    now = timezone.now()
    storefront = opening.default_storefront()
    provider = Provider.objects.create(
        slug="upstream", name="Upstream", kind="openai_compatible", base_url=upstream, may_be_private=True
    )
    Credential.objects.create(provider=provider, label="bench", secret="upstream")  # noqa: S106 - it opens nothing
    model = AIModel.objects.create(
        slug=MODEL, name="Bench", vendor="Bench", context_tokens=200_000, max_output_tokens=64_000
    )
    Route.objects.create(model=model, provider=provider, upstream_model="mock")
    pricebook.publish_plan(
        storefront=storefront,
        name=pricebook.DEFAULT_PLAN,
        body={"method": "cost_plus", "percent": "25"},
        effective_from=now,
        note="bench",
        source=trail.SYSTEM,
    )
    rates = [{"direction": "input", "price": "3.00"}, {"direction": "output", "price": "15.00"}]
    pricebook.publish_card(
        body={"provider": "upstream", "model": "mock", "rates": rates},
        effective_from=now,
        note="bench",
        source=trail.SYSTEM,
    )


def _customers(many: int, *, empty_percent: int) -> list[str]:
    from django.db import connection, transaction
    from django.utils import timezone

    from accounts import keys, opening
    from accounts.models import ApiKey, Membership, Organization, Role, User
    from accounts.models.keys import KeyKind
    from billing import ledger
    from billing.models import Account, Wallet
    from billing.models.ledger import Kind
    from billing.operations import Credit

    now, storefront = timezone.now(), opening.default_storefront()
    secrets: list[str] = []
    for start in range(0, many, SLICE):
        numbers = range(start, min(start + SLICE, many))
        users = User.objects.bulk_create(User(email=f"customer{n}@example.com", password="!") for n in numbers)  # noqa: S106 - nobody signs in
        shops = Organization.objects.bulk_create(
            Organization(storefront=storefront, name=f"Customer {n}", slug=f"customer-{n}", cap_month_nano=CAP_NANO)
            for n in numbers
        )
        pairs = list(zip(users, shops, strict=True))
        Membership.unscoped.bulk_create(Membership(organization=o, user=u, role=Role.OWNER) for u, o in pairs)
        fresh = [keys._new_secret("tg", KeyKind.INFERENCE) for _ in numbers]  # noqa: SLF001 - minted in bulk
        ApiKey.unscoped.bulk_create(
            ApiKey(
                organization=o,
                created_by=u,
                label="bench",
                secret_hash=keys.hashes(secret)[0],
                visible_start=secret[:9],
                last_four=secret[-4:],
            )
            for (u, o), secret in zip(pairs, fresh, strict=True)
        )
        Wallet.unscoped.bulk_create(Wallet(organization=o) for o in shops)
        Account.unscoped.bulk_create(
            Account(organization=o, kind=kind, priority=4, created_at=now)
            for o in shops
            for kind in (Kind.PAID, Kind.DEBT)
        )
        funded = [o for place, o in enumerate(shops) if place % 100 >= empty_percent]
        credits_due = [
            Credit(f"bench-{kind}-{o.pk}", o.pk, CREDIT_NANO, kind) for o in funded for kind in (Kind.PROMO, Kind.PAID)
        ]
        with transaction.atomic():
            ledger.apply(connection, credits_due, now)
        secrets += fresh
    return secrets


def _by_zipf(secrets: list[str]) -> list[str]:
    chance = random.Random(1)  # noqa: S311 - the same order every time is the point
    weights = [1 / (place + 1) for place in range(len(secrets))]
    return chance.choices(secrets, weights, k=LINES)


if __name__ == "__main__":
    main()
