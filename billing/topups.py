"""Top-ups: a customer sets out to pay, comes back from paying, or gives up.

Promise: one attempt key is one order and one session at the provider, however often it is sent; the same key with
other wishes is refused (409); bounds, currency and rate are the storefront's and are pinned on the order when it
begins. Coming back from the provider's page credits nothing: at most it asks the provider, whose answer goes through
the same checks as every other news.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import access, trail
from accounts.models import Organization, Storefront, User
from accounts.models.bounds import LARGEST_NANO
from accounts.models.organizations import Standing
from billing import flight, settling
from billing.models import Payment, PaymentCustomer, SavedCard, TopUp, TopUpTerms
from billing.models.payments import UNDER_WAY, Origin, State
from billing.payments import currencies, registry
from billing.payments.driver import Declined, Order, ProviderAccount
from plumbing import outbox
from plumbing.refusals import Refusal

PRESETS_MINOR = (1_000, 2_500, 5_000, 10_000)
CLAIM = timedelta(seconds=60)  # longer than the client's own tries
PATIENCE_S = 10.0
LOOK_AGAIN_AFTER = timedelta(seconds=3)


class OutOfBounds(Refusal, ValueError):
    """Less or more than the shop sells at once."""

    status = 400
    code = "amount_out_of_bounds"


class OtherWishes(Refusal):
    """The attempt key was used for another amount."""

    code = "attempt_key_reused"


class BusyStarting(Refusal):
    """The first request with this key is still talking to the provider."""

    code = "attempt_in_progress"


class ShopClosed(Refusal):
    """The shop sells nothing new, or not to this organization."""

    status = 403
    code = "not_for_sale"


class NotOpen(Refusal):
    """There is nothing to cancel."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a customer asked for."""

    amount_minor: int
    attempt_key: str
    save_card: bool = False


def terms_of(storefront: Storefront) -> TopUpTerms:
    """What this shop asks; dollars and ordinary bounds where it has said nothing."""
    found = TopUpTerms.objects.filter(storefront=storefront).first()
    return found or TopUpTerms(storefront=storefront, presets_minor=list(PRESETS_MINOR))


def presets(terms: TopUpTerms) -> list[int]:
    """The amounts on the buttons: whole ones, within the bounds."""
    offered = terms.presets_minor or [terms.minimum_minor * step for step in (1, 2, 5, 10)]
    return [
        amount for amount in offered if isinstance(amount, int) and terms.minimum_minor <= amount <= terms.maximum_minor
    ]


def check_amount(terms: TopUpTerms, amount_minor: int) -> None:
    """Within the bounds, a multiple of what the currency can be charged in, and a credit that fits an account."""
    least, most = (currencies.text(bound, terms.currency) for bound in (terms.minimum_minor, terms.maximum_minor))
    if not terms.minimum_minor <= amount_minor <= terms.maximum_minor:
        message = f"A top-up is between {least} and {most}."
        raise OutOfBounds(message)
    if amount_minor % currencies.step(terms.currency):
        smallest = currencies.text(currencies.step(terms.currency), terms.currency)
        message = f"Amounts in {terms.currency.upper()} go in steps of {smallest}."
        raise OutOfBounds(message)
    if amount_minor * terms.nano_per_minor > LARGEST_NANO:
        message = "That is more credit than an account can hold."
        raise OutOfBounds(message)


# --- Starting ---------------------------------------------------------------------------------------------------------


def start(*, organization: Organization, user: User | None, wish: Wish, source: trail.Source, now: datetime) -> TopUp:
    """Begin a top-up and return it with the address of the provider's page. Safe to repeat with the same key."""
    account = registry.account_for(organization.storefront)
    order = _order(organization, user, wish, account, source, now)
    if order.url or order.state != State.STARTED:
        return order
    if not _claim(order, now):
        return _wait_for_the_other(order)
    try:
        _ask(order, account, now)
    except Declined as refusal:
        with transaction.atomic():
            settling.advance(_locked(order), State.FAILED, now=now, failure=refusal.sentence)
        raise
    finally:
        TopUp.unscoped.filter(pk=order.pk).update(claimed_until=None)
    order.refresh_from_db()
    return order


@transaction.atomic
def _order(
    organization: Organization,
    user: User | None,
    wish: Wish,
    account: ProviderAccount,
    source: trail.Source,
    now: datetime,
) -> TopUp:
    """Our order, committed before the provider hears of it."""
    known = TopUp.objects.of(organization).filter(attempt_key=wish.attempt_key).first()
    if known is None:
        terms = terms_of(organization.storefront)
        _check_open(organization)
        check_amount(terms, wish.amount_minor)
        known, made = TopUp.objects.of(organization).get_or_create(
            organization=organization,
            attempt_key=wish.attempt_key,
            defaults=order_fields(terms, account, wish.amount_minor, now)
            | {"origin": Origin.CHECKOUT, "save_card": wish.save_card, "started_by": user},
        )
        if made:
            trail.record("top_up.started", source=source, target=known, organization=organization, after=_told(known))
            flight.record(flight.REQUEST, "asked for", now=now, top_up=known, **_told(known))
    if (known.amount_minor, known.save_card, known.origin) != (wish.amount_minor, wish.save_card, Origin.CHECKOUT):
        message = "This attempt key was used for another top-up; send a fresh one."
        raise OtherWishes(message)
    found: TopUp = known
    return found


def order_fields(terms: TopUpTerms, account: ProviderAccount, amount_minor: int, now: datetime) -> dict[str, Any]:
    """What every order pins when it begins."""
    currencies.places(terms.currency)
    return {
        "method": account.method,
        "account": account.name,
        "currency": terms.currency.lower(),
        "amount_minor": amount_minor,
        "nano_per_minor": terms.nano_per_minor,
        "with_tax": terms.collect_tax,
        "with_promotions": terms.promotion_codes,
        "livemode": account.livemode,
        "sandbox": account.sandbox,
        "created_at": now,
    }


def _told(order: TopUp) -> dict[str, Any]:
    return {"amount_minor": order.amount_minor, "currency": order.currency, "method": order.method}


def _check_open(organization: Organization) -> None:
    if not organization.storefront.is_open:
        message = "This shop sells nothing new at the moment."
        raise ShopClosed(message)
    if organization.standing == Standing.CLOSED:
        message = "This organization is closed."
        raise ShopClosed(message)


def _claim(order: TopUp, now: datetime) -> bool:
    """One request talks to the provider; the others wait for its answer."""
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    return bool(
        TopUp.unscoped.filter(free, pk=order.pk, state=State.STARTED, session_id=None).update(claimed_until=now + CLAIM)
    )


def _wait_for_the_other(order: TopUp) -> TopUp:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        order.refresh_from_db()
        if order.state != State.STARTED or order.url:
            return order
        time.sleep(0.05)
    message = "The first request with this attempt key is still being answered; ask again in a moment."
    raise BusyStarting(message)


def _ask(order: TopUp, account: ProviderAccount, now: datetime) -> None:
    """Talk to the provider with no transaction open, then keep what it said."""
    driver = registry.driver(order.method)
    asked = order_for_driver(order, customer_id=customer_of(order.organization, account))
    started = driver.start(account, asked, now=now)
    with transaction.atomic():
        fresh = _locked(order)
        fresh.session_id, fresh.url, fresh.expires_at = started.session_id, started.url, started.expires_at
        fresh.payment_id = fresh.payment_id or started.payment_id or None
        fresh.save(update_fields=["session_id", "url", "expires_at", "payment_id"])
        flight.record(flight.REQUEST, "session made", now=timezone.now(), top_up=fresh, outside_id=started.session_id)
        settling.advance(fresh, State.OPEN, now=now)


def _locked(order: TopUp) -> TopUp:
    return TopUp.unscoped.select_for_update(of=("self",)).select_related("organization__storefront").get(pk=order.pk)


def order_for_driver(order: TopUp, *, customer_id: str = "", card_id: str = "") -> Order:
    """Our order in the words of a driver; the same each time it is asked."""
    storefront = order.organization.storefront
    back = f"{access.canonical_base(storefront)}/app/{order.organization.slug}/credits/{order.public_id}/"
    return Order(
        public_id=order.public_id,
        currency=order.currency,
        amount_minor=order.amount_minor,
        description="Prepaid credit",
        customer_id=customer_id,
        success_url=f"{back}?from=provider",
        cancel_url=f"{back}?from=provider&left=1",
        with_tax=order.with_tax,
        with_promotions=order.with_promotions,
        save_card=order.save_card,
        card_id=card_id,
    )


def customer_of(organization: Organization, account: ProviderAccount) -> str:
    """Who the organization is at the provider; made known there first, if need be."""
    here = {"method": account.method, "account": account.name}
    known = PaymentCustomer.objects.of(organization).filter(**here).first()
    if known is None:
        owner = organization.memberships.filter(role="owner").select_related("user").order_by("id").first()
        made = registry.driver(account.method).new_customer(
            account,
            name=organization.name,
            email=owner.user.email if owner else "",
            reference=organization.public_id,
        )
        known, _ = PaymentCustomer.objects.of(organization).get_or_create(
            organization=organization, **here, defaults={"outside_id": made}
        )
    return str(known.outside_id)


# --- Coming back ------------------------------------------------------------------------------------------------------


def look(order: TopUp, *, now: datetime) -> TopUp:
    """Ask the provider how it stands, unless that is known or was asked a moment ago."""
    if order.state in UNDER_WAY and (order.session_id or order.payment_id):
        recently = Q(looked_at=None) | Q(looked_at__lt=now - LOOK_AGAIN_AFTER)
        if TopUp.unscoped.filter(recently, pk=order.pk).update(looked_at=now):
            account = registry.account_named(order.organization.storefront, order.method, order.account)
            read(account, session_id=order.session_id or "", payment_id=order.payment_id or "", now=now)
            order.refresh_from_db()
    return order


def look_now(order: TopUp, *, source: trail.Source, reason: str, now: datetime) -> None:
    """An operator wants to know: the errand goes out after the transaction, and the answer stands in the record."""
    trail.record("top_up.looked_at", source=source, target=order, organization=order.organization, reason=reason)
    flight.record(flight.REQUEST, "asked by an operator", now=now, top_up=order, by=str(source.user or ""))
    outbox.add(
        topic=settling.LOOK,
        key=f"{order.public_id}:{now.timestamp()}",
        payload={
            "method": order.method,
            "account": order.account,
            "storefront": order.organization.storefront_id,
            "session": order.session_id or "",
            "payment": order.payment_id or "",
        },
    )


def read(account: ProviderAccount, *, session_id: str, payment_id: str, now: datetime) -> str:
    """Ask the provider with no transaction open, then settle its answer in one."""
    facts = registry.driver(account.method).read(account, session_id=session_id, payment_id=payment_id)
    with transaction.atomic():
        return settling.apply(account, facts, now=now)


@outbox.handles(settling.LOOK)
def _look_later(message: outbox.Message) -> None:
    asked = message.payload
    storefront = Storefront.objects.get(pk=asked["storefront"])
    account = registry.account_named(storefront, asked["method"], asked["account"])
    read(account, session_id=asked["session"], payment_id=asked["payment"], now=timezone.now())


@transaction.atomic
def cancel(order: TopUp, *, source: trail.Source, now: datetime) -> TopUp:
    """The customer gives up. If money comes all the same, it is credited: canceling and paying compete for one row."""
    fresh = _locked(order)
    if fresh.state not in UNDER_WAY or fresh.origin != Origin.CHECKOUT:
        message = "This top-up is no longer open."
        raise NotOpen(message)
    if settling.advance(fresh, State.CANCELED, now=now):
        trail.record("top_up.canceled", source=source, target=fresh, organization=fresh.organization)
    return fresh


def may_still_pay(order: TopUp, *, currency: str, amount_minor: int) -> bool:
    """For providers that ask before they take money: the order stands, and is for exactly this."""
    wanted = (order.currency, order.amount_minor)
    active = order.organization.standing == Standing.ACTIVE
    return active and order.state in UNDER_WAY and wanted == (currency.lower(), amount_minor)


def plays(organization: Organization) -> bool:
    """Whether it ever bought credit in the payment sandbox: then it calls sandbox models alone."""
    return Payment.objects.of(organization).filter(sandbox=True).exists()


# --- Cards ------------------------------------------------------------------------------------------------------------


def refresh_cards(organization: Organization, account: ProviderAccount, *, now: datetime) -> list[SavedCard]:
    """See which cards the customer left with the provider."""
    customer = PaymentCustomer.objects.of(organization).filter(method=account.method, account=account.name).first()
    if customer is None:
        return []
    found = registry.driver(account.method).cards(account, customer.outside_id)
    with transaction.atomic():
        for card in found:
            SavedCard.objects.of(organization).update_or_create(
                organization=organization,
                customer=customer,
                outside_id=card.outside_id,
                defaults={
                    "brand": card.brand[:30],
                    "last_four": card.last_four[:4],
                    "expires": card.expires[:7],
                    "seen_at": now,
                    "removed_at": None,
                },
            )
        gone = SavedCard.objects.of(organization).filter(customer=customer, removed_at=None)
        gone.exclude(outside_id__in=[card.outside_id for card in found]).update(removed_at=now)
    return list(SavedCard.objects.of(organization).filter(customer=customer, removed_at=None))


def look_at_cards(organization: Organization, *, now: datetime) -> None:
    """Somebody comes back from the provider's page of cards: see which are left, unless that was asked a moment ago."""
    if cache.add(f"billing.cards:{organization.pk}", 1, timeout=int(LOOK_AGAIN_AFTER.total_seconds())):
        refresh_cards(organization, registry.account_for(organization.storefront), now=now)


def portal(organization: Organization, *, return_url: str) -> str:
    """Where the customer sees and removes cards."""
    account = registry.account_for(organization.storefront)
    customer = customer_of(organization, account)
    return registry.driver(account.method).portal(account, customer, return_url=return_url)
