"""One shop's staff walk the whole desk, every address of it, and never meet a row of the other shop.

A list can be asked in some hundred ways. Each run takes a sample of them, another one each time, which the seed that
pytest prints repeats; ``DESK_WALK=all`` takes all.
"""

import os
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import helpers
from django.db.models import ForeignKey, Model
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.models import Organization, Storefront, User
from accounts.scoped_admin import ScopedAdmin
from desk.pages.urls import urls
from tests.desk.conftest import CANARY, rows_of, text_of

Browse = Callable[..., Client]
TABLES: list[tuple[type[Model], ScopedAdmin]] = list(admin.site._registry.items())  # type: ignore[arg-type]
ECHO = re.compile(r'value="canary"|q%3dcanary|[?&;](q|s)=canary|=canac?\b')
NAMES = [model._meta.model_name for model, _ in TABLES]
SAMPLE = 24
PARAMETERLESS = {"index", "search", "autocomplete", "jsi18n", "login", "logout", "password_change"}


@pytest.fixture(params=TABLES, ids=NAMES)
def table(request: Any) -> Any:
    return request.param


def address(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def refuse_canaries(client: Client, url: str, **data: Any) -> Any:
    response = client.post(url, data) if data else client.get(url)
    assert response.status_code < 500, url
    shown = text_of(response).lower()
    if "?" in url:  # a word that was asked for comes back in the search box and in links; a row never comes alone
        shown = ECHO.sub("", shown)
    assert CANARY.lower() not in shown, f"{url} shows another shop"
    return response


def said(response: Any) -> str:
    """A page without what is new in every answer: its request id."""
    return re.sub(r"req_\w+", "", response.content.decode())


def some(addresses: Iterator[str]) -> list[str]:
    """A sample, and all where that is wanted."""
    found = list(addresses)
    return found if os.environ.get("DESK_WALK") == "all" else random.sample(found, min(SAMPLE, len(found)))


def list_addresses(model: type[Model], table: ScopedAdmin, theirs: dict[str, list[int]]) -> Iterator[str]:
    """Every way to ask a list."""
    base = address(model, "changelist")
    yield f"{base}?_popup=1"
    yield f"{base}?_popup=1&_to_field=id"
    yield f"{base}?all=1&p=1"
    for column in range(len(table.list_display) + 2):
        yield f"{base}?o=-{column}"
    for word in (CANARY, "canary", "home", "example.com", "%", "_" * 50):
        yield f"{base}?q={word}"
    for name in ("standing", "kind", "role", "is_active", "is_open", "sign_up_policy", "can_change", "is_primary"):
        yield f"{base}?{name}__exact=1"
    for field in model._meta.get_fields():
        for suffix in ("__exact", "__startswith", "__name__startswith"):
            yield f"{base}?{field.name}{suffix}=C"
    for path in ("organization__storefront__id", "storefront__id", "storefront", "shop", "created_by__password__gte"):
        for pk in [*theirs["storefront"], *theirs["organization"]]:
            yield f"{base}?{path}={pk}"
            yield f"{base}?{path}__exact={pk}"


def test_lists_show_ours_and_never_theirs(
    table: Any, browse: Browse, operator: User, shared: User, other_shop: Storefront, shop: Storefront
) -> None:
    model, registered = table
    client = browse(operator)
    theirs = rows_of(other_shop)
    for url in [address(model, "changelist"), *some(list_addresses(model, registered, theirs))]:
        refuse_canaries(client, url)
    page = client.get(address(model, "changelist"))
    if registered.storefront_paths:
        # What the walk did not see was not merely an empty page.
        ours = rows_of(shop)[str(model._meta.model_name)]
        assert page.status_code == 200
        assert set(page.context["cl"].queryset.values_list("pk", flat=True)) == set(ours)
    else:
        assert page.status_code == 403


def test_the_other_shops_filter_value_gives_an_empty_list(
    browse: Browse, operator: User, shared: User, other_shop: Storefront
) -> None:
    page = browse(operator).get(reverse("admin:accounts_organization_changelist"), {"shop": other_shop.public_id})
    assert page.status_code == 200
    assert page.context["cl"].result_count == 0


def test_every_page_of_a_foreign_row_answers_as_if_it_never_existed(
    table: Any, browse: Browse, operator: User, shared: User, other_shop: Storefront, shop: Storefront
) -> None:
    model, registered = table
    client = browse(operator)
    name = str(model._meta.model_name)
    foreign = set(rows_of(other_shop)[name]) - set(rows_of(shop)[name])
    assert foreign
    pages = [("change", ()), ("history", ()), ("delete", ()), *(("deed", (deed.slug,)) for deed in registered.deeds)]
    for pk in foreign:
        for page, rest in pages:
            for ending in ("", random.choice(("?_popup=1", "?_to_field=id"))):
                absent = refuse_canaries(client, address(model, page, 987654321, *rest) + ending)
                present = refuse_canaries(client, address(model, page, pk, *rest) + ending)
                assert (present.status_code, said(present)) == (absent.status_code, said(absent))
                assert present.status_code in {302, 403}
                assert present.headers.get("Location") == absent.headers.get("Location")
            posted = refuse_canaries(
                client, address(model, page, pk, *rest), reason="because", name="taken", post="yes"
            )
            assert posted.status_code in {302, 403}
        refuse_canaries(client, f"/admin/{model._meta.app_label}/{name}/{pk}/")


def test_pages_of_our_own_rows_show_nothing_of_theirs(
    table: Any, browse: Browse, operator: User, shared: User, shop: Storefront
) -> None:
    model, registered = table
    client = browse(operator)
    for pk in rows_of(shop)[str(model._meta.model_name)]:
        expected = 200 if registered.storefront_paths else 403
        assert refuse_canaries(client, address(model, "change", pk)).status_code == expected
        assert refuse_canaries(client, address(model, "history", pk)).status_code == expected
        assert refuse_canaries(client, address(model, "delete", pk)).status_code == 403
        for deed in registered.deeds:
            answer = refuse_canaries(client, address(model, "deed", pk, deed.slug))
            assert answer.status_code in {200, 403}
    refuse_canaries(client, address(model, "add"))
    refuse_canaries(client, address(model, "add") + "?_popup=1")


def test_autocomplete_of_every_field_knows_our_rows_alone(browse: Browse, operator: User, shared: User) -> None:
    client = browse(operator)
    asked = 0
    for model, _ in TABLES:
        for field in model._meta.get_fields(include_hidden=True):
            for term in ("", "canary", "e", "\x00", "x" * 10_000) if isinstance(field, ForeignKey) else ("e",):
                query = {
                    "app_label": model._meta.app_label,
                    "model_name": model._meta.model_name,
                    "field_name": field.name,
                    "term": term,
                }
                response = client.get(reverse("admin:autocomplete"), query)
                assert response.status_code in ({400} if "\x00" in term else {200, 403, 404})
                assert CANARY.lower() not in text_of(response).lower()
                asked += response.status_code == 200
    assert asked > 20


def test_bulk_deeds_leave_foreign_rows_alone(
    table: Any, browse: Browse, operator: User, shared: User, other_shop: Storefront, shop: Storefront
) -> None:
    model, registered = table
    client = browse(operator)
    name = str(model._meta.model_name)
    foreign = sorted(set(rows_of(other_shop)[name]) - set(rows_of(shop)[name]))
    before = list(model._base_manager.filter(pk__in=foreign).values())
    for slug in [deed.slug for deed in registered.deeds] + ["delete_selected", "no_such_deed"]:
        for extra in ({}, {"select_across": "1"}, {"index": "0"}):
            data = {"action": slug, helpers.ACTION_CHECKBOX_NAME: foreign, "reason": "because", **extra}
            refuse_canaries(client, address(model, "changelist"), **data)
    assert list(model._base_manager.filter(pk__in=foreign).values()) == before


def test_front_page_search_and_menu_stay_in_scope(browse: Browse, operator: User, shared: User) -> None:
    client = browse(operator)
    index = refuse_canaries(client, reverse("admin:index"))
    assert "HOMEMARK" in text_of(index)
    for word in ("canary", "CANARY", "example", "shop", "org_", "\x00", "x" * 5000, "% _"):
        refuse_canaries(client, reverse("admin:search") + f"?extended=1&s={word}")
        refuse_canaries(client, reverse("admin:search") + f"?s={word}&page=abc")
    assert "HOMEMARK" in text_of(client.get(reverse("admin:search"), {"extended": "1", "s": "homemark"}))
    refuse_canaries(client, "/admin/accounts/")


def test_search_forgets_with_the_job(browse: Browse, root: User, operator: User, shared: User) -> None:
    client = browse(root)
    query = {"extended": "1", "s": "canary"}
    assert CANARY in text_of(client.get(reverse("admin:search"), query))
    User.objects.filter(pk=root.pk).update(is_staff=False, is_superuser=False)
    root.storefront_jobs.create(storefront=Storefront.objects.get(is_default=True))
    assert CANARY.lower() not in text_of(client.get(reverse("admin:search"), query)).lower()


def test_secrets_are_on_no_page_even_for_superusers(
    browse: Browse, root: User, ours: Organization, shop: Storefront
) -> None:
    client = browse(root)
    owner = User.objects.get(email="homemark-owner@example.com")
    key = ours.api_keys.get()
    secrets = {owner.password, owner.password.rpartition("$")[2], key.secret_hash, "HOMEMARKhash", "sk-upstream-HOME"}
    for model, _ in TABLES:
        for pk in rows_of(shop)[str(model._meta.model_name)]:
            for page in ("change", "history"):
                shown = text_of(client.get(address(model, page, pk)))
                assert not any(secret in shown for secret in secrets), (model, page)
        shown = text_of(client.get(address(model, "changelist")))
        assert not any(secret in shown for secret in secrets)


def test_the_walk_knows_every_address_of_the_desk() -> None:
    per_table = {"changelist", "add", "history", "delete", "change", "deed"}
    known = {f"{model._meta.app_label}_{model._meta.model_name}_{page}" for model, _ in TABLES for page in per_table}
    known |= PARAMETERLESS | {"password_change_done", "app_list"}
    known |= {pattern.name for pattern in urls(admin.site)}  # test_walk_of_our_pages.py walks these
    unknown = {pattern.name for pattern in _patterns(admin.site.get_urls()) if pattern.name} - known
    assert not unknown, f"teach the walk about {unknown}"


def _patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from _patterns(pattern.url_patterns)


def test_links_on_our_pages_lead_to_pages_that_open(browse: Browse, operator: User, shared: User) -> None:
    """A crawl from the front page: whatever the desk links to opens, and stays in scope."""
    client = browse(operator)
    waiting, seen = [reverse("admin:index")], set()
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        response = refuse_canaries(client, url)
        assert response.status_code in {200, 302}, url
        if "html" in response.headers.get("Content-Type", ""):
            waiting += re.findall(r'href="(/admin/[^"#?]*)', response.content.decode())
    assert len(seen) > 40
