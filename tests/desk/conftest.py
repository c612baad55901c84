"""Two shops, both full of rows; whatever belongs to the second one carries the word CANARY."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import organizations, trail
from accounts.models import ApiKey, AuditEvent, Impersonation, Invitation, Membership, Organization, Storefront, User
from accounts.models.keys import KeyKind
from gateway.models import AIModel, Credential, PriceProposal, Provider, Route
from tests import factories
from tests.desk.business import CANARY_MODEL, HOME_MODEL, fill_business
from tests.desk.money_rows import fill_money, money_rows_of

CANARY = "CANARY"
REASON = "because the customer asked"


def fill(shop: Storefront, mark: str) -> Organization:
    """One of everything, named with the mark."""
    owner = factories.make_user(f"{mark.lower()}-owner@example.com", name=f"{mark} Owner")
    owner.acquisition = {"utm_source": f"{mark}-campaign"}
    owner.save()
    organization = factories.make_organization(storefront=shop, owner=owner, name=f"{mark} Organization")
    factories.make_key(organization, label=f"{mark} key", allowed_models=[f"{mark}-model"])
    ApiKey.unscoped.create(
        storefront=shop,
        kind=KeyKind.OPERATOR,
        label=f"{mark} operator key",
        secret_hash=mark.ljust(64, "0"),
        visible_start=f"sk-{mark[:6].lower()}-op",
        last_four="zzzz",
        created_by=owner,
    )
    Invitation.objects.create(
        organization=organization,
        email=f"{mark.lower()}-guest@example.com",
        role="developer",
        token_hash=f"{mark}hash",
        invited_by=owner,
        expires_at=timezone.now() + timedelta(days=7),
    )
    staff = factories.make_staff(shop, f"{mark.lower()}-staff@example.com")
    now = timezone.now()
    visit = Impersonation.objects.create(
        staff=staff,
        organization=organization,
        reason=f"{mark} reason",
        started_at=now,
        expires_at=now + timedelta(minutes=5),
    )
    source = trail.Source(user=staff)
    organizations.update(organization, source=source, reason=f"{mark} why", standing_reason=f"{mark} words")
    trail.record("impersonation.started", source=source, target=visit, organization=organization, reason=f"{mark} v")
    trail.record("user.signed_up", source=source, target=owner, storefront=shop)
    trail.record("storefront.changed", source=source, target=shop, after={"tagline": f"{mark} tagline"})
    fill_supply(mark)
    fill_money(organization, mark)
    return organization


def fill_supply(mark: str) -> None:
    """The platform's own rows belong to no shop; their names tell which walk they are for."""
    provider = Provider.objects.create(
        name=f"{mark} provider",
        slug=f"{mark.lower()}-provider",
        kind="openai",
        base_url="http://127.0.0.1:9/v1",
        may_be_private=True,
    )
    for active in (True, False):
        Credential.objects.create(
            provider=provider, label=f"{mark} key", secret=f"sk-upstream-{mark}-{active}", is_active=active
        )
    model = AIModel.objects.create(slug=f"{mark.lower()}-model", name=f"{mark} model", vendor=mark)
    Route.objects.create(model=model, provider=provider, upstream_model=f"{mark.lower()}-upstream")
    body = {"provider": provider.slug, "rates": [{"direction": "input", "price": "1"}]}
    for number in range(2):
        PriceProposal.objects.create(
            provider=provider.slug,
            model=f"{mark.lower()}-model-{number}",
            body={**body, "model": f"{mark.lower()}-model-{number}"},
            differences=[{"field": f"rates[{mark}]", "before": "1", "after": "2"}],
            reasons=[f"{mark} moves."],
            source=f"{mark} list",
            seen_at=timezone.now(),
        )


@pytest.fixture
def ours(shop: Storefront) -> Organization:
    """What the operator of the first shop may see."""
    shop.name = "HOME Shop"
    shop.save()
    return fill(shop, "HOMEMARK")


@pytest.fixture
def theirs(other_shop: Storefront) -> Organization:
    """What they must never see."""
    other_shop.name, other_shop.slug, other_shop.tagline = "CANARY Shop", "canary-shop", "CANARY tagline"
    other_shop.support_email, other_shop.terms = "canary-support@example.com", "CANARY terms"
    other_shop.save()
    return fill(other_shop, CANARY)


@pytest.fixture
def shared(ours: Organization, theirs: Organization) -> User:
    """Somebody who is a customer of both shops."""
    user = factories.make_user("shared@example.com", name="Shared Person")
    user.acquisition = {"utm_source": "CANARY-shared-campaign"}
    user.save()
    factories.make_membership(ours, user)
    factories.make_membership(theirs, user, role="owner")
    return user


@pytest.fixture
def operator(ours: Organization) -> User:
    """Runs the first shop."""
    return User.objects.get(email="homemark-staff@example.com")


@pytest.fixture
def onlooker(shop: Storefront) -> User:
    """Works at the first shop and may touch nothing."""
    return factories.make_staff(shop, "onlooker@example.com", can_change=False)


@pytest.fixture
def staff(shop: Storefront) -> User:
    """The platform's staff, without a superuser's powers."""
    return factories.make_user("platform@example.com", is_staff=True)


@pytest.fixture
def root(shop: Storefront) -> User:
    """A superuser."""
    return factories.make_staff(email="root@example.com")


@pytest.fixture
def browse() -> Callable[..., Client]:
    """A signed-in client at the default shop's host; csrf=True checks tokens as a browser would meet them."""

    def signed_in(user: User | None, *, csrf: bool = False) -> Client:
        client = Client(HTTP_HOST="localhost", enforce_csrf_checks=csrf)
        if user is not None:
            client.force_login(user)
        return client

    return signed_in


def text_of(response: Any) -> str:
    """What was answered, headers included: redirects and messages can tell tales too."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    cookies = " ".join(morsel.value for morsel in response.cookies.values())
    return f"{response.headers} {cookies} {body.decode()}"


def rows_of(shop: Storefront) -> dict[str, list[int]]:
    """The primary keys of a shop's rows, by model."""
    within = {"organization__storefront": shop}
    mark = CANARY.lower() if CANARY in shop.name else "homemark"
    supply = {
        "provider": Provider.objects.filter(slug__startswith=mark),
        "credential": Credential.objects.filter(provider__slug__startswith=mark),
        "aimodel": AIModel.objects.filter(slug__startswith=mark),
        "route": Route.objects.filter(model__slug__startswith=mark),
        "priceproposal": PriceProposal.objects.filter(model__startswith=mark),
    }
    return {
        **{name: list(rows.values_list("pk", flat=True)) for name, rows in supply.items()},
        "storefront": [shop.pk],
        "organization": list(Organization.objects.filter(storefront=shop).values_list("pk", flat=True)),
        "membership": list(Membership.unscoped.filter(**within).values_list("pk", flat=True)),
        "invitation": list(Invitation.unscoped.filter(**within).values_list("pk", flat=True)),
        "apikey": list(ApiKey.unscoped.filter(**within).values_list("pk", flat=True))
        + list(ApiKey.unscoped.filter(storefront=shop).values_list("pk", flat=True)),
        "impersonation": list(Impersonation.objects.filter(**within).values_list("pk", flat=True)),
        "auditevent": list(shop.audit_events.values_list("pk", flat=True)),
        "storefrontdomain": list(shop.domains.values_list("pk", flat=True)),
        "storefrontstaff": list(shop.staff.values_list("pk", flat=True)),
        "user": list(
            User.objects.filter(memberships__organization__storefront=shop).distinct().values_list("pk", flat=True)
        ),
        **money_rows_of(shop),
    }


def address(row: Any, page: str, *rest: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk, *rest])


def form_of(client: Client, url: str) -> dict[str, Any]:
    """What a browser would send back unchanged."""
    form = client.get(url).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    data = {
        name: ("on" if value is True else value)
        for name, value in values.items()
        if value is not None and value is not False
    }
    for inline in client.get(url).context["inline_admin_formsets"]:
        data |= {f"{inline.formset.prefix}-{part}": 0 for part in ("TOTAL_FORMS", "INITIAL_FORMS")}
    return {**data, "reason": REASON}


def change(client: Client, row: Any, **values: Any) -> Any:
    url = address(row, "change")
    return client.post(url, {**form_of(client, url), **values})


def snapshot() -> dict[str, list[dict[str, Any]]]:
    return {
        model.__name__: list(model._base_manager.order_by("pk").values())
        for model in admin.site._registry
        if model is not AuditEvent
    }


@pytest.fixture
def busy(ours: Organization, theirs: Organization, staff: User) -> tuple[Organization, Organization]:
    """Both shops with customers who call, pay and are priced."""
    fill_business(ours, model=HOME_MODEL, seed=1, author=staff)
    fill_business(theirs, model=CANARY_MODEL, seed=2, author=staff)
    return ours, theirs
