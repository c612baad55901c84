"""Small functions that make one row each, with good defaults."""

import time
from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction
from django.utils import timezone

from accounts import keys, organizations, trail
from accounts.models import ApiKey, Membership, Organization, Storefront, StorefrontDomain, StorefrontStaff, User
from accounts.models.keys import KeyKind
from billing import settling, topups
from billing.models import Payment, TopUp
from billing.payments.driver import ProviderAccount
from billing.payments.facts import Came, Paid
from plumbing.identifiers import new_id

PASSWORD = "correct horse battery staple"


def make_storefront(*, name: str = "Tollgate", host: str = "", is_default: bool = False, **fields: Any) -> Storefront:
    """A shop; with a host of its own unless it is the default one."""
    if is_default and (found := Storefront.objects.filter(is_default=True).first()):
        return found
    fields.setdefault("slug", new_id("shop")[5:17])
    storefront = Storefront.objects.create(name=name, is_default=is_default, **fields)
    if host:
        StorefrontDomain.objects.create(storefront=storefront, host=host, is_primary=True)
    return storefront


def make_user(email: str = "", *, password: str | None = PASSWORD, **fields: Any) -> User:
    """A person whose mailbox is verified."""
    user = User.objects.create_user(email or f"{new_id('u')[2:12]}@example.com", password, **fields)
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    return user


def make_staff(storefront: Storefront | None = None, email: str = "", *, can_change: bool = True) -> User:
    """The platform's staff, or one storefront's."""
    if storefront is None:
        return make_user(email, is_staff=True, is_superuser=True)
    user = make_user(email)
    StorefrontStaff.objects.create(storefront=storefront, user=user, can_change=can_change)
    return user


def make_organization(*, storefront: Storefront, owner: User | None = None, name: str = "Acme") -> Organization:
    """A customer with an owner."""
    return organizations.create(storefront=storefront, owner=owner or make_user(), name=name, source=trail.SYSTEM)


def make_membership(organization: Organization, user: User | None = None, *, role: str = "developer") -> Membership:
    """A place in an organization."""
    return Membership.objects.create(organization=organization, user=user or make_user(), role=role)


def make_key(
    organization: Organization, *, kind: KeyKind = KeyKind.INFERENCE, label: str = "test key", **bounds: Any
) -> tuple[ApiKey, str]:
    """A key and its secret."""
    owner = organization.memberships.order_by("id").first()
    assert owner is not None
    minted = keys.create(
        organization=organization,
        storefront=None,
        made_by=owner.user,
        kind=kind,
        label=label,
        source=trail.SYSTEM,
        **bounds,
    )
    return minted.key, minted.secret


def make_payment(organization: Organization, *, amount_minor: int = 2_000) -> tuple[TopUp, Payment]:
    """A top-up that was paid by bank transfer, with its payment and its credit."""
    now = timezone.now()
    account = ProviderAccount("operator", "platform", organization.storefront_id, "", (), livemode=False, sandbox=False)
    order = TopUp.objects.of(organization).create(
        organization=organization,
        attempt_key=new_id("try"),
        origin="operator",
        session_id=new_id("bank"),
        **topups.order_fields(topups.terms_of(organization.storefront), account, amount_minor, now),
    )
    paid = Paid(
        came=Came.PAID,
        livemode=False,
        currency=order.currency,
        order_id=order.public_id,
        session_id=order.session_id,
        payment_id=f"transfer-{order.public_id}",
        subtotal_minor=amount_minor,
        total_minor=amount_minor,
    )
    with transaction.atomic():
        settling.apply(account, [paid], now=now)
    order.refresh_from_db()
    return order, Payment.objects.of(organization).get(top_up=order)


def make_call(organization: Organization, **fields: Any) -> Any:
    """A call that failed and cost nothing, as a row alone."""
    from gateway.models import Call  # only where a call is wanted

    now = timezone.now()
    defaults = {"id": time.time_ns() // 1000, "created_at": now, "ended_at": now, "state": "failed", "endpoint": "chat"}
    names = {"model_asked": "m", "model_served": "m", "plan_version_id": 0, "billing_rule": "failed_free"}
    return Call.objects.create(organization=organization, **{**defaults, **names, **fields})


def make_alert(organization: Organization, *, sentence: str = "The balance is low.") -> Any:
    """A warning that waits for an answer."""
    from dashboard.models import Alert  # only where one is wanted

    return Alert.objects.of(organization).create(
        organization=organization,
        kind="low_balance",
        occasion=new_id("why"),
        sentence=sentence,
        created_at=timezone.now(),
    )
