"""Who comes in, what is on the desk at all, and the content policy behind the door."""

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse
from unfold.admin import ModelAdmin

from accounts.models import AuditEvent, Organization, Storefront, User
from accounts.scoped_admin import ScopedAdmin, ScopedInline
from desk.site import ROOMS, OperatorSite
from tests.desk.conftest import rows_of

Browse = Callable[..., Client]


def every_address(shop: Storefront) -> list[str]:
    found = [reverse(f"admin:{page}") for page in ("index", "search", "autocomplete", "jsi18n", "password_change")]
    found += ["/admin/accounts/", "/admin/nothing/", "/admin/r/1/1/"]
    rows = rows_of(shop)
    for model, table in admin.site._registry.items():
        stem = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found += [reverse(f"{stem}_changelist"), reverse(f"{stem}_add")]
        for pk in [*rows[str(model._meta.model_name)][:1], 987654321]:
            found += [reverse(f"{stem}_{page}", args=[pk]) for page in ("change", "history", "delete")]
            found += [reverse(f"{stem}_deed", args=[pk, deed.slug]) for deed in table.deeds]
    return found


def test_strangers_are_led_to_the_sign_in_everybody_uses(
    browse: Browse, shop: Storefront, theirs: Organization, other_shop: Storefront
) -> None:
    for url in every_address(other_shop):
        for response in (browse(None).get(url), browse(None).post(url, {"reason": "because"})):
            assert response.status_code == 302, url
            assert response["Location"].startswith("/admin/login/?next=/admin/"), url
    login = browse(None).get("/admin/login/", {"next": "/admin/accounts/user/"})
    assert login["Location"] == "/accounts/login/?next=/admin/accounts/user/"


def test_customers_find_nothing_at_these_addresses(
    browse: Browse, theirs: Organization, other_shop: Storefront, charlie: User
) -> None:
    owner = User.objects.get(email="canary-owner@example.com")
    for person in (charlie, owner):
        client = browse(person)
        for url in [*every_address(other_shop), reverse("admin:login"), reverse("admin:logout")]:
            assert client.get(url).status_code == 404, url
            assert client.post(url, {"reason": "because"}).status_code == 404, url


def test_former_staff_are_customers_again(browse: Browse, operator: User) -> None:
    client = browse(operator)
    assert client.get("/admin/").status_code == 200
    operator.storefront_jobs.all().delete()
    assert client.get("/admin/").status_code == 404


def test_passwords_and_sign_out_are_where_everybody_has_them(browse: Browse, operator: User) -> None:
    client = browse(operator)
    assert client.get(reverse("admin:password_change"))["Location"] == reverse("account_change_password")
    assert client.post(reverse("admin:logout"))["Location"] == reverse("account_logout")
    assert client.get(reverse("admin:login"))["Location"] == reverse("admin:index")


def test_only_our_rooms_and_only_scoped_tables_are_on_the_desk() -> None:
    assert isinstance(admin.site, OperatorSite)
    for model, table in admin.site._registry.items():
        assert model._meta.app_label in ROOMS
        assert isinstance(table, ScopedAdmin), f"{model.__name__} is shown without a scope"
        assert all(issubclass(inline, ScopedInline) for inline in table.inlines)
    assert {"user", "organization", "apikey", "auditevent"} <= {
        model._meta.model_name for model in admin.site._registry
    }


def test_a_plain_table_of_ours_does_not_get_onto_the_desk() -> None:
    site = OperatorSite(name="trial")
    with pytest.raises(ImproperlyConfigured, match="ScopedAdmin"):
        site.register(Organization, ModelAdmin)
    with pytest.raises(ImproperlyConfigured, match="ScopedAdmin"):
        site.register(Organization)


def test_a_filter_that_would_list_everybodys_values_is_an_error_at_start() -> None:
    class Leaky(ScopedAdmin):
        storefront_paths = ("storefront",)
        list_filter = ("storefront", "name", "standing")
        inlines = ()

    errors = [error.msg for error in Leaky(Organization, admin.site).check() if error.id == "desk.E001"]
    assert len(errors) == 2
    assert "'storefront'" in errors[0]
    assert "'name'" in errors[1]


def test_a_table_without_a_room_writes_nothing(rf: object, root: User) -> None:
    table = ScopedAdmin(Organization, admin.site)
    with pytest.raises(ImproperlyConfigured, match="room"):
        table.change_row(None, None, {}, "")  # type: ignore[arg-type]
    with pytest.raises(ImproperlyConfigured, match="room"):
        table.add_row(None, {}, "")  # type: ignore[arg-type]


def test_the_looser_policy_is_the_desks_alone_and_allows_nothing_inline(browse: Browse, operator: User) -> None:
    client = browse(operator)
    desk = client.get("/admin/")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in desk
    assert "'unsafe-inline'" not in desk
    elsewhere = browse(None).get("/accounts/login/")["Content-Security-Policy"]
    assert "unsafe" not in elsewhere
    for directive in ("default-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "object-src 'none'"):
        assert directive in desk
        assert directive in elsewhere


def test_the_desk_never_uses_djangos_own_log(browse: Browse, root: User, ours: Organization) -> None:
    client = browse(root)
    client.post(reverse("admin:accounts_organization_change", args=[ours.pk]), {"name": "Renamed", "reason": "typo"})
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        "?p=abc", "?p=99999999999999999999", "?o=999.-5.x", "?o=" + "9" * 400, "?e=1", "?q=%00", "?q=" + "%25_" * 2000,
        "?created_at__gte=nonsense", "?created_at__gte=99999-01-01", "?standing__exact=%00", "?all=maybe", "?shop=%00",
        "?_to_field=password", "?_to_field=secret_hash", "?_popup=x", "?id__in=1,2", "?pk=abc", "?nothing=1",
        "?created_at__year=" + "9" * 30, "?_changelist_filters=x", "?_facets=maybe", "?date_joined__isnull=perhaps",
    ],
)  # fmt: skip
def test_hostile_questions_to_a_list_are_answered_without_breaking(browse: Browse, operator: User, query: str) -> None:
    client = browse(operator)
    for name in ("organization", "user", "apikey", "auditevent"):
        response = client.get(reverse(f"admin:accounts_{name}_changelist") + query)
        assert response.status_code in {200, 302, 400}, (name, query)


@pytest.mark.parametrize("object_id", ["0", "-1", "abc", "9" * 40, "%00", "1_2f", "1;2", "..", "1%27"])
def test_hostile_row_ids_are_answered_without_breaking(browse: Browse, operator: User, object_id: str) -> None:
    client = browse(operator)
    for page in ("change", "history", "delete", "deed/suspend"):
        response = client.get(f"/admin/accounts/organization/{object_id}/{page}/")
        assert response.status_code in {302, 403, 404}, page
    assert not AuditEvent.objects.filter(actor=operator, action="organization.suspended").exists()
