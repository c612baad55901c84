"""The desk in a real browser: both themes pass axe, the strict policy breaks nothing, and attacks stay text."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, sync_playwright

from accounts.models import Organization, User
from tests import factories
from tests.axe import serious
from tests.desk.conftest import REASON

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
ARGUMENTS = ["--no-sandbox", "--headless=new", "--disable-gpu", "--disable-background-networking"]
ATTACK = "<img src=x onerror=\"document.title='HACKED'\">{{constructor.constructor('document.title=1')()}}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright keeps an event loop in this thread
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser, live_server: Any, browse: Callable[..., Client]) -> Iterator[Callable[..., Page]]:
    """A page at an address, signed in, in a theme; every complaint of the console fails the test."""
    contexts, complaints = [], []

    def opened(user: User | None, path: str, *, theme: str = "light", width_px: int = 1280) -> Page:
        context = chromium.new_context(
            color_scheme=theme,
            viewport={"width": width_px, "height": 900},
            base_url=live_server.url,  # type: ignore[arg-type]
        )
        contexts.append(context)
        if user is not None:
            session = browse(user).cookies[settings.SESSION_COOKIE_NAME].value
            assert SessionStore(session_key=session).exists(session)
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        page.wait_for_load_state("networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def photograph(page: Page, name: str) -> None:
    """Where the environment names a folder, leave a picture to look at."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"admin-{name}.png"), full_page=True)


def refuse_findings(page: Page) -> None:
    assert serious(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_desk_can_be_used_by_everybody(
    open_page: Callable[..., Page], operator: User, ours: Organization, theme: str
) -> None:
    key = ours.api_keys.get()
    pages = {
        "index": reverse("admin:index"),
        "organizations": reverse("admin:accounts_organization_changelist"),
        "organization": reverse("admin:accounts_organization_change", args=[ours.pk]),
        "storefront": reverse("admin:accounts_storefront_change", args=[ours.storefront_id]),
        "key": reverse("admin:accounts_apikey_change", args=[key.pk]),
        "suspend": reverse("admin:accounts_organization_deed", args=[ours.pk, "suspend"]),
        "history": reverse("admin:accounts_organization_history", args=[ours.pk]),
        "events": reverse("admin:accounts_auditevent_changelist"),
    }
    for name, path in pages.items():
        page = open_page(operator, path, theme=theme)
        photograph(page, f"{name}-{theme}")
        refuse_findings(page)
    page = open_page(None, reverse("admin:index"), theme=theme)
    assert "/accounts/login/" in page.url
    photograph(page, f"login-{theme}")
    refuse_findings(page)


def test_boxes_that_ask_as_one_types_have_a_name(open_page: Callable[..., Page], root: User) -> None:
    page = open_page(root, reverse("admin:accounts_storefrontstaff_add"))
    page.locator(".select2-selection__rendered[aria-label=Storefront]").wait_for()
    page.locator(".select2-selection__rendered[aria-label=User]").wait_for()
    refuse_findings(page)


def test_the_desk_on_a_phone(open_page: Callable[..., Page], operator: User, ours: Organization) -> None:
    for name, path in (("index", "admin:index"), ("organizations", "admin:accounts_organization_changelist")):
        page = open_page(operator, reverse(path), width_px=360)
        photograph(page, f"{name}-phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_search_tabs_filters_and_bulk_deeds_work_under_the_policy(
    open_page: Callable[..., Page], operator: User, ours: Organization
) -> None:
    factories.make_organization(storefront=ours.storefront, name="Second Organization")
    page = open_page(operator, reverse("admin:accounts_organization_changelist"))
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially("homemark org")
    page.locator("#command-results-list a").first.wait_for()
    photograph(page, "search")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator("a", has_text="Filters").first.click()
    page.get_by_text("Suspended").first.wait_for()
    photograph(page, "filters")
    page = open_page(operator, reverse("admin:accounts_organization_changelist"))
    for box in page.locator("input.action-select:not(#action-toggle)").all():
        box.check()
    page.locator("select[name=action]").select_option("suspend")
    photograph(page, "bulk")
    page.get_by_role("button", name="Run").click()
    page.get_by_label("Reason").fill(REASON)
    photograph(page, "bulk-reason")
    page.get_by_role("button", name="Suspend").click()
    page.get_by_text("Suspend: 2 done.").wait_for()
    assert set(Organization.objects.values_list("standing", flat=True)) == {"suspended"}


def test_a_visit_begins_and_ends(open_page: Callable[..., Page], operator: User, ours: Organization) -> None:
    page = open_page(operator, reverse("admin:accounts_organization_change", args=[ours.pk]))
    page.get_by_role("link", name="Visit as support").click()
    page.get_by_label("Reason").fill(REASON)
    page.get_by_role("button", name="Visit as support").click()
    page.get_by_role("button", name="End the visit").wait_for()
    assert page.url.endswith(f"/app/{ours.slug}/")
    photograph(page, "visit")
    page.get_by_role("button", name="End the visit").click()
    page.wait_for_url("**/admin/**")
    assert ours.impersonations.get(reason=REASON).ended_at is not None


def test_attacks_in_names_stay_text(open_page: Callable[..., Page], root: User, ours: Organization) -> None:
    factories.make_key(ours, label=ATTACK[:80])
    Organization.objects.filter(pk=ours.pk).update(name=ATTACK[:80], standing_reason=ATTACK)
    User.objects.update(name=ATTACK[:120])
    for path in ("admin:index", "admin:accounts_organization_changelist", "admin:accounts_apikey_changelist"):
        assert "HACKED" not in open_page(root, reverse(path)).title()
    page = open_page(root, reverse("admin:accounts_organization_change", args=[ours.pk]))
    assert page.title() not in {"HACKED", "1"}
