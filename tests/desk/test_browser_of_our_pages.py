"""Pages of our own in a real browser: both themes pass axe, charts are drawn under the strict policy, phones fit."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from accounts.models import Organization, User
from desk.models import PriceDraft
from tests.desk.test_browser import chromium, open_page, photograph, refuse_findings

__all__ = ["chromium", "open_page"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = (
    "margins",
    "customers",
    "prices",
    "books",
    "ledger",
    "operations",
    "alarms",
    "audit",
    "reconciliation",
    "projection",
)
PHONE_PX = 390


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_our_pages_can_be_used_by_everybody(
    open_page: Callable[..., Page],
    staff: User,
    busy: tuple[Organization, Organization],
    theme: str,
) -> None:
    page = open_page(staff, "/admin/", theme=theme)
    assert page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets.length") == 3
    refuse_findings(page)
    paths = [f"/admin/desk/{name}/" for name in PAGES]
    for path in [
        *paths,
        f"/admin/desk/drafts/{PriceDraft.objects.first().pk}/",
        f"/admin/desk/customers/{busy[0].pk}/",
    ]:  # type: ignore[union-attr]  # there is one
        page.goto(path)
        page.wait_for_load_state("networkidle")
        refuse_findings(page)
        page.set_viewport_size({"width": PHONE_PX, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE_PX, path
        page.set_viewport_size({"width": 1280, "height": 900})
    photograph(page, f"customer-{theme}")
