"""Nobody grants what they do not have: every field of every row is posted by people who must not change it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent, Organization, Storefront, StorefrontDomain, StorefrontStaff, User
from tests.desk.conftest import REASON, address, change, form_of, rows_of, snapshot

Browse = Callable[..., Client]


def everything(model: Any) -> dict[str, Any]:
    """A value for every field there is, and for some that are not."""
    values: dict[str, Any] = {"password1": "new-password-1234", "groups": "1", "user_permissions": "1"}
    for field in model._meta.get_fields():
        if not getattr(field, "editable", True) and field.name != "secret_hash":
            pass
        kind = getattr(field, "get_internal_type", str)()
        values[field.name] = (
            "1"
            if kind in {"ForeignKey", "BigIntegerField", "BigAutoField"}
            else "on"
            if kind == "BooleanField"
            else "attack"
        )
    return values


def test_an_onlooker_changes_nothing(browse: Browse, onlooker: User, ours: Organization, shop: Storefront) -> None:
    client, before, newest = browse(onlooker), snapshot(), AuditEvent.objects.count()
    for model, table in admin.site._registry.items():
        for pk in rows_of(shop)[str(model._meta.model_name)]:
            row = model._base_manager.get(pk=pk)
            assert client.post(address(row, "change"), {**everything(model), "reason": REASON}).status_code == 403
            for deed in table.deeds:
                assert client.post(address(row, "deed", deed.slug), {"reason": REASON}).status_code == 403
        add = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        assert client.post(add, {**everything(model), "reason": REASON}).status_code == 403
    assert snapshot() == before
    assert AuditEvent.objects.count() == newest


@pytest.mark.parametrize("who", ["operator", "staff"])
def test_fields_off_the_allow_list_stay_as_they_are(
    request: pytest.FixtureRequest, browse: Browse, who: str, ours: Organization, theirs: Organization, shop: Storefront
) -> None:
    person: User = request.getfixturevalue(who)
    client = browse(person)
    for model, table in admin.site._registry.items():
        allowed = set(table.editable) | (set(table.editable_by_platform) if who == "staff" else set())
        for pk in rows_of(shop)[str(model._meta.model_name)]:
            row = model._base_manager.get(pk=pk)
            page = client.get(address(row, "change"))
            honest = (
                form_of(client, address(row, "change"))
                if page.status_code == 200 and "adminform" in page.context
                else {}
            )
            attack = {name: value for name, value in everything(model).items() if name not in allowed}
            before = model._base_manager.values().get(pk=pk)
            assert client.post(address(row, "change"), {**honest, **attack}).status_code in {200, 302, 403}
            assert model._base_manager.values().get(pk=pk) == before, (model, attack)
    person.refresh_from_db()
    assert not person.is_superuser


def test_a_shops_staff_never_touch_people_domains_or_jobs(
    browse: Browse, operator: User, ours: Organization, shop: Storefront, alice: User
) -> None:
    client, before = browse(operator), snapshot()
    owner = User.objects.get(email="homemark-owner@example.com")
    for values in ({"email": "taken@example.com"}, {"is_staff": "on"}, {"password": "x"}, {"is_active": ""}):
        assert client.post(address(owner, "change"), {**values, "name": "X", "reason": REASON}).status_code == 403
    assert client.post(address(owner, "deed", "erase"), {"reason": REASON}).status_code == 403
    assert client.post(address(operator, "change"), {"is_staff": "on", "reason": REASON}).status_code in {302, 403}
    domain = {"storefront": shop.pk, "host": "evil.test", "is_primary": "on", "reason": REASON}
    assert client.post(reverse("admin:accounts_storefrontdomain_add"), domain).status_code == 403
    job = {"storefront": shop.pk, "user": alice.pk, "can_change": "on", "reason": REASON}
    assert client.post(reverse("admin:accounts_storefrontstaff_add"), job).status_code == 403
    assert client.post(reverse("admin:accounts_storefront_add"), {"name": "Mine", "slug": "mine"}).status_code == 403
    inline = {"domains-TOTAL_FORMS": 1, "domains-INITIAL_FORMS": 0, "domains-0-host": "evil.test"}
    inline |= {
        "staff-TOTAL_FORMS": 1,
        "staff-INITIAL_FORMS": 0,
        "staff-0-user": operator.pk,
        "staff-0-can_change": "on",
    }
    client.post(address(shop, "change"), {**form_of(client, address(shop, "change")), **inline})
    assert snapshot() == before


def test_an_organization_does_not_move_to_another_shop(
    browse: Browse, operator: User, ours: Organization, other_shop: Storefront
) -> None:
    change(browse(operator), ours, storefront=other_shop.pk, slug="other", standing="closed", name="Still here")
    moved = Organization.objects.get(pk=ours.pk)
    assert (moved.storefront_id, moved.slug, moved.standing) == (ours.storefront_id, ours.slug, ours.standing)
    assert moved.name == "Still here"


def test_only_superusers_make_operators_and_never_of_themselves(
    browse: Browse, staff: User, root: User, alice: User
) -> None:
    change(browse(staff), alice, is_staff="on", is_superuser="on", name="Alice")
    alice.refresh_from_db()
    assert not alice.is_staff
    change(browse(root), alice, is_staff="on")
    alice.refresh_from_db()
    assert alice.is_staff
    assert not alice.is_superuser
    assert AuditEvent.objects.filter(action="user.changed", after={"is_staff": True}).exists()
    change(browse(root), root, is_superuser="", is_staff="", name="Root")
    root.refresh_from_db()
    assert root.is_superuser
    assert root.is_staff


def test_staff_do_not_touch_a_superuser_or_each_other(browse: Browse, staff: User, root: User) -> None:
    colleague = User.objects.create_user("colleague@example.com", is_staff=True)
    for other in (root, colleague):
        assert browse(staff).post(address(other, "change"), {"is_active": "", "reason": REASON}).status_code == 403
        answer = browse(staff).post(address(other, "deed", "erase"), {"reason": REASON})
        assert "Only a superuser" in answer.content.decode()
        other.refresh_from_db()
        assert other.is_active


def test_nobody_erases_or_switches_off_themselves(browse: Browse, root: User) -> None:
    answer = browse(root).post(address(root, "deed", "erase"), {"reason": REASON})
    assert "cannot erase yourself" in answer.content.decode()
    change(browse(root), root, is_active="")
    root.refresh_from_db()
    assert root.is_active


def test_deeds_need_a_token_and_a_post(browse: Browse, operator: User, ours: Organization) -> None:
    client = browse(operator, csrf=True)
    for slug in ("suspend", "visit"):
        assert client.post(address(ours, "deed", slug), {"reason": REASON}).status_code == 403
        assert client.get(address(ours, "deed", slug) + f"?reason={REASON}").status_code == 200
    ours.refresh_from_db()
    assert ours.standing == "active"
    assert not ours.impersonations.filter(staff=operator, reason=REASON).exists()


def test_an_operator_key_taken_from_a_shop_is_not_switched_on_by_its_staff(
    browse: Browse, operator: User, ours: Organization, shop: Storefront
) -> None:
    key = shop.operator_keys.get()
    client = browse(operator)
    assert client.post(address(key, "deed", "disable"), {"reason": REASON}).status_code == 302
    assert client.post(address(key, "deed", "enable"), {"reason": REASON}).status_code == 403
    key.refresh_from_db()
    assert key.disabled_at is not None


def test_who_sees_domains_and_jobs(
    browse: Browse, operator: User, staff: User, ours: Organization, shop: Storefront
) -> None:
    StorefrontDomain.objects.create(storefront=shop, host="own-domain.test")
    factories_mail = "second-staff@example.com"
    StorefrontStaff.objects.create(storefront=shop, user=User.objects.create_user(factories_mail))
    seen_by_shop = browse(operator).get(address(shop, "change")).content.decode()
    assert "own-domain.test" in seen_by_shop
    assert factories_mail not in seen_by_shop
    assert factories_mail in browse(staff).get(address(shop, "change")).content.decode()
