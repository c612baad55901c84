"""The doctor's questions about what is bought and sold: providers, prices, and a customer's key that does not work."""

from collections.abc import Iterator

from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey
from billing import pricebook
from billing.models import Account
from billing.models.ledger import NANO_USD, Kind
from gateway import callers, catalog, reaching
from gateway.errors import GatewayError
from gateway.models import AIModel, Credential, PriceProposal, Provider
from gateway.models.prices import Decision
from plumbing.diagnosis import Finding, Grade, Visit, examines


@examines("providers")
def the_providers(visit: Visit) -> Iterator[Finding]:
    """Are they there, do they take our keys, and is there credit left."""
    bought = [provider for provider in Provider.objects.filter(is_active=True) if _keys(provider)]
    if not bought:
        yield Finding("providers", "bad", "No provider has a key.", "manage.py provider add --name ... --key ...")
    for provider in bought:
        if provider.is_sandbox:
            yield Finding("providers", "note", "The sandbox is on: its models answer with made-up text.")
            continue
        for credential in _keys(provider) if visit.leaves_the_house else ():
            reached = reaching.reach(provider, credential)
            fine = reached.is_there and reached.key_works is not False
            yield Finding(
                "providers",
                "good" if fine and reached.key_works else "note" if fine else "bad",
                f"{credential}: {reached.sentence}",
                "" if fine else "Check the address, the firewall and the key; routes to it rest meanwhile.",
            )
            if fine and (left := reaching.credit_left(provider, credential)) is not None:
                grade: Grade = "good" if left > reaching.LOW_CREDIT_USD else "bad"
                remedy = "" if grade == "good" else "Top up there, or calls will fail over or fail."
                yield Finding("providers", grade, f"{provider.name} says that {left:.2f} USD are left.", remedy)


def _keys(provider: Provider) -> list[Credential]:
    return list(provider.credentials.filter(is_active=True))


@examines("catalogue")
def the_catalogue(visit: Visit) -> Iterator[Finding]:
    """What is sold, and what waits for somebody."""
    picture = catalog.take_picture(timezone.now())
    unpriced = sorted(
        offer.slug
        for offer in picture.offers.values()
        if not offer.served_as
        and any((serving.provider, serving.upstream_model) not in picture.cards for serving in offer.servings)
    )
    yield Finding(
        "catalogue",
        "good" if picture.offers else "bad",
        f"{len(picture.offers)} of {AIModel.objects.filter(is_active=True).count()} names have a route with a key.",
        "" if picture.offers else "Give a provider a key, or add a model: manage.py model add.",
    )
    if not picture.plans:
        yield Finding("catalogue", "bad", "No price plan is in force, so nothing is sold.", "Publish one on the desk.")
    if unpriced:
        named = ", ".join(unpriced[:5]) + (" ..." if len(unpriced) > 5 else "")
        yield Finding(
            "catalogue",
            "note",
            f"{len(unpriced)} models have a route without a cost and are not sold by it: {named}",
            "manage.py model add SLUG --provider ... --input ... --output ...",
        )
    waiting = PriceProposal.objects.filter(state=Decision.WAITING).count()
    if waiting:
        yield Finding(
            "catalogue", "note", f"{waiting} new prices wait for a person.", "Accept or refuse them on the desk."
        )
    for card in pricebook.cards_in_force(at=timezone.now()):
        for plan, problems in pricebook.losses(card, at=timezone.now()).items():
            yield Finding(
                "catalogue",
                "bad",
                f"Plan {plan} loses money on {card.provider}/{card.model}: {problems[0].sentence}",
                "Publish a plan that covers the cost.",
            )


@examines("key")
def the_key(visit: Visit) -> Iterator[Finding]:
    """Why a customer's key does not work: its form, its row, its end, its money, its permissions."""
    if not visit.api_key:
        return
    if not keys.well_formed(visit.api_key):
        yield Finding("key", "bad", "The key is not well-formed.", "Copy it again; one character is missing or wrong.")
        return
    now = timezone.now()
    row = ApiKey.unscoped.filter(secret_hash__in=keys.hashes(visit.api_key)).first()
    if row is None:
        yield Finding("key", "bad", "No key of this installation has this secret.", "Make a new key.")
        return
    yield Finding("key", "good", f"It is the key {row.label!r} ({row.masked}) of {row.organization}.")
    try:
        caller = callers.load(visit.api_key, now=now)
    except GatewayError as error:
        yield Finding("key", "bad", error.message, "See its row on the desk.")
        return
    assert row.organization is not None
    accounts = list(Account.objects.of(row.organization).exclude(kind=Kind.DEBT))
    left = sum(account.posted - account.held for account in accounts if account.unit == NANO_USD)
    tokens = sum(account.posted - account.held for account in accounts if account.unit != NANO_USD)
    and_tokens = f" and {tokens} free tokens" if tokens else ""
    yield Finding(
        "key",
        "good" if left > 0 or tokens > 0 else "bad",
        f"Its organization has {left / 1_000_000_000:.2f} USD{and_tokens} available.",
        "" if left > 0 or tokens > 0 else "Top up the credit.",
    )
    offers = catalog.take_picture(now).listed(
        storefront=caller.storefront, plan=caller.plan, allowed=caller.allowed_models
    )
    yield Finding("key", "good" if offers else "bad", f"It may call {len(offers)} models.")
