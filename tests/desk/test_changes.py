"""Every change by staff goes through a room and leaves an audit event; what is not allowed does not change."""

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from accounts import members, trail
from accounts.models import (
    ApiKey,
    AuditEvent,
    Organization,
    Storefront,
    StorefrontDomain,
    StorefrontStaff,
    User,
)
from accounts.signals import access_changed
from billing.models import TopUpTerms
from gateway.models import AIModel, Credential, Provider, Route
from tests import factories
from tests.desk.conftest import REASON, address, change, rows_of, snapshot

Browse = Callable[..., Client]


CHANGES: list[tuple[type[Any], dict[str, Any]]] = [
    (Organization, {"name": "Renamed", "cap_day_nano": "12.50", "requests_per_minute": "60"}),
    (Storefront, {"tagline": "New words", "brand_color": "#112233", "is_open": ""}),
    (User, {"name": "Renamed"}),
    (StorefrontStaff, {"can_change": ""}),
    (TopUpTerms, {"minimum_minor": "200", "presets_minor": "[500, 1000]", "collect_tax": "on"}),
    (Provider, {"name": "Renamed", "resale_allowed": "", "allowed_countries": "DE, FR"}),
    (Credential, {"label": "Renamed", "weight": "7"}),
    (AIModel, {"name": "Renamed", "capabilities": "tools vision", "may_be_unpriced": "on"}),
    (Route, {"priority": "7", "policy": '{"refused_patterns": ["launch codes"]}', "is_price_pinned": "on"}),
]


@pytest.mark.parametrize(("model", "values"), CHANGES, ids=[model.__name__ for model, _ in CHANGES])
def test_a_change_leaves_one_event_with_before_after_and_why(
    browse: Browse, root: User, ours: Organization, shop: Storefront, model: Any, values: dict[str, Any]
) -> None:
    row = model._base_manager.get(pk=rows_of(shop)[model._meta.model_name][0])
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True)[0]
    response = change(browse(root), row, **values)
    assert response.status_code == 302
    [event] = AuditEvent.objects.filter(id__gt=newest)
    assert event.actor == root
    assert event.reason == REASON
    assert event.target_id == str(getattr(row, "public_id", row.pk))
    assert set(event.after) == set(event.before) == set(values)
    assert event.before != event.after


def test_every_table_that_can_be_changed_is_tried() -> None:
    changeable = {
        model for model, table in admin.site._registry.items() if table.editable or table.editable_by_platform
    }
    assert changeable == {model for model, _ in CHANGES}


def test_a_change_without_a_reason_is_not_made(browse: Browse, root: User, ours: Organization) -> None:
    response = change(browse(root), ours, name="Renamed", reason="")
    assert response.status_code == 200
    assert "reason" in response.context["adminform"].form.errors
    ours.refresh_from_db()
    assert ours.name != "Renamed"


def test_an_unchanged_form_leaves_no_event(browse: Browse, root: User, ours: Organization) -> None:
    before = AuditEvent.objects.count()
    assert change(browse(root), ours).status_code == 302
    assert AuditEvent.objects.count() == before


def test_caps_are_dollars_in_the_form_and_exact_nano_dollars_in_the_row(
    browse: Browse, root: User, ours: Organization
) -> None:
    client = browse(root)
    for typed, stored in (
        ("0.000000001", 1),
        ("9000000000", 9 * 10**18),
        ("12.5", 12_500_000_000),
        ("", None),
        ("0", 0),
    ):
        assert change(client, ours, cap_day_nano=typed).status_code == 302
        ours.refresh_from_db()
        assert ours.cap_day_nano == stored
    for typed in ("-1", "0.0000000001", "9000000001", "NaN", "Infinity", "1e400", "abc", "\x00"):
        response = change(client, ours, cap_day_nano=typed)
        assert "cap_day_nano" in response.context["adminform"].form.errors, typed
    ours.refresh_from_db()
    assert ours.cap_day_nano == 0


def test_changes_to_a_workspace_are_announced(browse: Browse, root: User, ours: Organization) -> None:
    heard: list[Organization] = []

    def listen(organization: Organization, **rest: Any) -> None:
        heard.append(organization)

    access_changed.connect(listen)
    try:
        change(browse(root), ours, requests_per_day="5")
        browse(root).post(address(ours, "deed", "suspend"), {"reason": REASON})
        browse(root).post(address(ours.api_keys.get(), "deed", "revoke"), {"reason": REASON})
        change(browse(root), User.objects.get(email="homemark-owner@example.com"), is_active="")
    finally:
        access_changed.disconnect(listen)
    assert heard == [ours] * 4


def test_every_deed_happens_by_post_with_a_reason_and_leaves_an_event(
    browse: Browse, root: User, ours: Organization, shop: Storefront
) -> None:
    client = browse(root)
    StorefrontDomain.objects.create(storefront=shop, host="home.test")
    StorefrontDomain.objects.create(storefront=shop, host="other-home.test", is_primary=True)
    factories.make_membership(factories.make_organization(storefront=shop, name="With a developer"))
    done = set()
    for model, table in admin.site._registry.items():
        if model._meta.app_label == "billing":
            continue  # test_money has a story for each of these, and holds that none is missing
        for deed in table.deeds:
            row = next(row for row in model._base_manager.order_by("-pk") if deed.applies(row) and _ours(row, shop))
            url = address(row, "deed", deed.slug)
            rows, newest = snapshot(), AuditEvent.objects.order_by("-id").values_list("id", flat=True)[0]
            assert client.get(url).status_code == 200
            assert client.post(url, {"reason": ""}).status_code == 200
            assert client.post(url).status_code == 200
            assert snapshot() == rows, f"{deed.slug} happened without a reason"
            assert not AuditEvent.objects.filter(id__gt=newest).exists()
            answer = client.post(url, {"reason": REASON})
            assert answer.status_code == 302, f"{deed.slug}: {answer.context and answer.context['form'].errors}"
            assert snapshot() != rows, f"{deed.slug} did nothing"
            event = AuditEvent.objects.filter(id__gt=newest, reason=REASON).first()
            assert event is not None, f"{deed.slug} left no event"
            assert event.actor == root
            done.add(deed.slug)
    assert done == {
        "visit", "suspend", "restore", "erase", "disable", "enable", "revoke", "make-primary", "remove", "dismiss",
        "try", "switch-off", "switch-on", "accept", "refuse",
        "make-owner",
    }  # fmt: skip


def _ours(row: Any, shop: Storefront) -> bool:
    return not isinstance(row, User) or row.email == "homemark-owner@example.com"


def test_bulk_deeds_ask_once_and_leave_one_event_each(
    browse: Browse, operator: User, ours: Organization, shop: Storefront
) -> None:
    factories.make_key(ours, label="second")
    chosen = list(ApiKey.unscoped.filter(organization=ours).values_list("pk", flat=True))
    url = reverse("admin:accounts_apikey_changelist")
    data = {"action": "revoke", helpers.ACTION_CHECKBOX_NAME: chosen, "index": "0"}
    asked = browse(operator).post(url, data)
    assert asked.status_code == 200
    assert "Reason" in asked.content.decode()
    assert not ApiKey.unscoped.filter(pk__in=chosen, revoked_at__isnull=False).exists()
    del data["index"]
    done = browse(operator).post(url, {**data, "reason": REASON})
    assert done.status_code == 302
    assert ApiKey.unscoped.filter(pk__in=chosen, revoked_at__isnull=False).count() == 2
    assert AuditEvent.objects.filter(action="key.revoked", reason=REASON).count() == 2


def test_adding_shops_domains_and_staff_goes_through_the_room(
    browse: Browse, staff: User, shop: Storefront, alice: User
) -> None:
    client = browse(staff)
    new = {
        "name": "New Shop", "slug": "new-shop", "sign_up_policy": "open", "brand_color": "#0f766e",
        "brand_color_dark": "#2dd4bf", "key_prefix": "new", "currency_display": "USD", "reason": REASON,
        "domains-TOTAL_FORMS": 0, "domains-INITIAL_FORMS": 0, "staff-TOTAL_FORMS": 0, "staff-INITIAL_FORMS": 0,
    }  # fmt: skip
    assert client.post(reverse("admin:accounts_storefront_add"), new).status_code == 302
    made = Storefront.objects.get(slug="new-shop")
    domain = {"storefront": made.pk, "host": "new.test", "is_primary": "on", "reason": REASON}
    assert client.post(reverse("admin:accounts_storefrontdomain_add"), domain).status_code == 302
    job = {"storefront": made.pk, "user": alice.pk, "can_change": "on", "reason": REASON}
    assert client.post(reverse("admin:accounts_storefrontstaff_add"), job).status_code == 302
    events = AuditEvent.objects.filter(actor=staff, reason=REASON, storefront=made).order_by("id")
    assert [event.action for event in events] == ["storefront.created", "domain.added", "staff.hired"]


def test_the_installations_own_host_is_no_shops_domain(browse: Browse, staff: User, other_shop: Storefront) -> None:
    for host in ("localhost", "127.0.0.1", "canary.test", "UPPER.test", "with/path", "x" * 300):
        data = {"storefront": other_shop.pk, "host": host, "reason": REASON}
        response = browse(staff).post(reverse("admin:accounts_storefrontdomain_add"), data, follow=True)
        assert response.status_code == 200
        assert StorefrontDomain.objects.count() == 1, host


def picture(**options: Any) -> SimpleUploadedFile:
    written = io.BytesIO()
    Image.new("RGB", (900, 300), "#336699").save(written, "JPEG", **options)
    return SimpleUploadedFile("logo.jpg", written.getvalue(), content_type="image/jpeg")


def test_a_logo_is_uploaded_shown_and_removed(browse: Browse, operator: User, shop: Storefront) -> None:
    client = browse(operator)
    response = change(client, shop, new_logo=picture(comment=b"SECRET COMMENT"))
    assert response.status_code == 302
    shop.refresh_from_db()
    stored = bytes(shop.logo_png)
    assert stored.startswith(b"\x89PNG")
    assert b"SECRET" not in stored
    assert "data:image/png;base64," in client.get(address(shop, "change")).content.decode()
    event = AuditEvent.objects.filter(action="storefront.changed").latest("id")
    assert event.after == {"logo_size_bytes": len(stored)}
    change(client, shop, remove_logo="on")
    shop.refresh_from_db()
    assert shop.logo_png is None


def test_a_picture_that_is_none_is_a_sentence(browse: Browse, operator: User, shop: Storefront) -> None:
    for content in (b"<svg onload='alert(1)'/>", b"\x89PNG broken", b"GIF89a", b"x" * 2_100_000):
        response = change(browse(operator), shop, new_logo=SimpleUploadedFile("logo.png", content, "image/png"))
        assert response.status_code == 200
        assert "new_logo" in response.context["adminform"].form.errors
    shop.refresh_from_db()
    assert shop.logo_png is None


def test_erasing_somebody_keeps_the_books(browse: Browse, staff: User, ours: Organization) -> None:
    owner = User.objects.get(email="homemark-owner@example.com")
    signed_in = browse(owner)
    signed_in.get("/accounts/email/")
    rows = {model.__name__: model._base_manager.count() for model in (Organization, ApiKey, User)}
    response = browse(staff).post(address(owner, "deed", "erase"), {"reason": REASON})
    assert response.status_code == 302
    owner.refresh_from_db()
    assert owner.email == f"{owner.public_id}@erased.invalid"
    assert (owner.name, owner.acquisition, owner.is_active, owner.has_usable_password()) == ("", {}, False, False)
    assert not owner.emailaddress_set.exists()
    assert not ApiKey.unscoped.filter(created_by=owner, revoked_at__isnull=True).exists()
    assert signed_in.get("/accounts/email/").status_code == 302
    event = AuditEvent.objects.get(action="user.erased")
    assert "homemark-owner" not in f"{event.target_name}{event.before}{event.after}"
    assert rows == {model.__name__: model._base_manager.count() for model in (Organization, ApiKey, User)}


def test_an_owner_others_depend_on_is_replaced_before_they_are_erased(
    browse: Browse, staff: User, operator: User, ours: Organization
) -> None:
    owner = User.objects.get(email="homemark-owner@example.com")
    heir = factories.make_membership(ours, factories.make_user("heir@example.com"))
    refused = browse(staff).post(address(owner, "deed", "erase"), {"reason": REASON})
    assert "no other owner" in refused.content.decode()
    owner.refresh_from_db()
    assert owner.email == "homemark-owner@example.com"
    assert browse(operator).post(address(heir, "deed", "make-owner"), {"reason": REASON}).status_code == 403
    assert browse(staff).post(address(heir, "deed", "make-owner"), {"reason": REASON}).status_code == 302
    assert dict(ours.memberships.values_list("user__email", "role")) == {
        "heir@example.com": "owner",
        "homemark-owner@example.com": "admin",
    }
    event = AuditEvent.objects.get(action="ownership.assigned")
    assert (event.before["owners"], event.after, event.reason) == (
        ["homemark-owner@example.com"],
        {"owner": "heir@example.com"},
        REASON,
    )
    assert browse(staff).post(address(owner, "deed", "erase"), {"reason": REASON}).status_code == 302


def test_somebody_who_is_switched_off_owns_nothing(ours: Organization) -> None:
    gone = factories.make_membership(ours, factories.make_user("gone@example.com", is_active=False))
    with pytest.raises(members.MembersRefused, match="switched off"):
        members.appoint(gone, source=trail.SYSTEM, reason=REASON)
    assert ours.memberships.get(role="owner").user.email == "homemark-owner@example.com"


def test_nothing_on_the_desk_is_ever_deleted(browse: Browse, root: User, ours: Organization, shop: Storefront) -> None:
    client = browse(root)
    before = snapshot()
    for model, table in admin.site._registry.items():
        for pk in rows_of(shop)[str(model._meta.model_name)]:
            url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_delete", args=[pk])
            assert client.post(url, {"post": "yes"}).status_code == 403
        data = {"action": "delete_selected", helpers.ACTION_CHECKBOX_NAME: rows_of(shop)[str(model._meta.model_name)]}
        client.post(
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), {**data, "post": "yes"}
        )
        with pytest.raises(PermissionDenied):
            table.delete_model(None, None)  # type: ignore[arg-type]
    assert snapshot() == before


def test_a_visit_shown_in_history_is_read_from_the_trail(browse: Browse, operator: User, ours: Organization) -> None:
    change(browse(operator), ours, name="Renamed once")
    shown = browse(operator).get(address(ours, "history")).content.decode()
    assert "organization.changed" in shown
    assert REASON in shown
    assert "Renamed once" in shown


def test_names_are_text_wherever_they_are_shown(
    browse: Browse, root: User, ours: Organization, shop: Storefront
) -> None:
    attack = "<img src=x onerror=alert(1)>{{ 7|add:7 }}{% now 'Y' %}"
    factories.make_key(ours, label=attack)
    Organization.objects.filter(pk=ours.pk).update(name=attack, standing_reason=attack)
    Storefront.objects.filter(pk=shop.pk).update(name=attack, tagline=attack, terms=attack)
    User.objects.update(name=attack)
    client = browse(root)
    change(client, ours, name=attack + "!")
    for model in admin.site._registry:
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages = [reverse(f"{stem}_changelist")]
        pages += [
            reverse(f"{stem}_{page}", args=[pk])
            for pk in rows_of(shop)[str(model._meta.model_name)]
            for page in ("change", "history")
        ]
        for url in [*pages, "/admin/"]:
            shown = client.get(url).content.decode()
            assert "<img src=x" not in shown, url
            assert ">14<" not in shown


def test_expired_keys_say_so(browse: Browse, operator: User, ours: Organization) -> None:
    key = ours.api_keys.get()
    ApiKey.unscoped.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert "expired" in browse(operator).get(reverse("admin:accounts_apikey_changelist")).content.decode()
