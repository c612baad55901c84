"""Calls in both shops, rolled up: what the desk's own pages are about. The second shop's carry the word CANARY."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from accounts import trail
from accounts.models import Organization, User
from analytics import rollups
from billing import pricebook, wallets
from billing.models import Experiment
from billing.models.ledger import Kind
from desk import drafts
from tests.analytics.history import RATES, History

CANARY_MODEL, HOME_MODEL = "CANARY-model", "HOMEMARK-model"
CALLS = 40


def fill_business(organization: Organization, *, model: str, seed: int, author: User) -> History:
    """Sixty days of a few calls, credit, an experiment, a draft of prices; rolled up."""
    now, shop = timezone.now(), organization.storefront
    begin = now - timedelta(days=60)
    history = History(shop, [organization], at=begin, seed=seed)
    for provider in ("north", "south"):
        card = {"provider": provider, "model": model, "rates": RATES}
        pricebook.publish_card(body=card, effective_from=begin, note=f"{model} note", source=trail.SYSTEM)
    history.calls([now - timedelta(hours=30 * n, minutes=10 * seed) for n in range(CALLS)], model=model)
    wallets.credit(organization, 7_000_000_000, f"{model} reason", trail.SYSTEM)
    wallets.credit(organization, 5_000_000_000, f"{model} reason", trail.SYSTEM, kind=Kind.PAID)
    Experiment.objects.create(
        storefront=shop,
        name=f"{model}-try".lower(),
        arms=[{"name": f"{model} control", "multiplier": "1"}, {"name": f"{model} arm", "multiplier": "0.9"}],
        starts_at=now - timedelta(days=20),
        ends_at=now + timedelta(days=20),
    )
    source = trail.Source(user=author)
    draft = drafts.begin(history.plan, source=source, now=now)
    drafts.change(
        draft,
        body={**draft.body, "multiplier": "1.3"},
        effective_from=now,
        note=f"{model} draft",
        source=source,
        now=now,
    )
    roll_up(begin, now)
    return history


def roll_up(since: datetime, until: datetime) -> None:
    rollups.roll(since=since - timedelta(days=1), until=until + timedelta(days=1))


def own_addresses(organization: Organization) -> list[str]:
    """Every page of our own, with the rows of one customer in it."""
    plan = organization.storefront.plan_versions.first()
    draft = organization.storefront.price_drafts.first()
    account: Any = organization.accounts.filter(kind=Kind.PAID).first()
    assert plan
    assert draft
    assert account
    base, month = "/admin/desk/", f"{datetime.now(UTC):%Y-%m}"
    named = f"?customer={organization.public_id}"
    return [
        "/admin/?period=quarter",
        *(f"{base}margins/{tail}" for tail in ("", "?by=plan", "?csv=margins", "?model=CANARY-model&period=quarter")),
        *(f"{base}customers/{tail}" for tail in ("", "?active=1", "?q=canary", "?csv=customers", "?period=quarter")),
        *(f"{base}customers/{organization.pk}/{tail}" for tail in ("", "terms/")),
        *(f"{base}calls/{tail}" for tail in ("", named, "?csv=calls", "?state=failed&period=quarter")),
        *(f"{base}prices/{tail}" for tail in ("", f"plan/{plan.pk}/", f"plan/{plan.pk}/draft/", "?csv=plans")),
        f"{base}drafts/{draft.pk}/",
        *(f"{base}{name}/" for name in ("experiments", "demand", "projection", "reports")),
        *(f"{base}books/?month={month}{tail}" for tail in ("", "&csv=statement", "&csv=acquisition")),
        *(f"{base}ledger/{tail}" for tail in ("", named, "?q=canary", "?csv=entries", "accounts/", "trial-balance/")),
        *(
            f"{base}ledger/accounts/{tail}"
            for tail in (named, "?csv=accounts", f"{account.pk}/", f"{account.pk}/?csv=statement")
        ),
    ]


PLATFORM_PAGES = ("audit/", "operations/", "alarms/", "reconciliation/")
PLATFORM_DEEDS = (
    "operations/replay/",
    "operations/roll-up/",
    "alarms/look/",
    "alarms/1/acknowledge/",
    "audit/",
    "reconciliation/",
)
