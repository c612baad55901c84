"""One shop's staff walk every page of our own: not a word of the other shop; its rows answer as if there were none."""

import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization, User
from billing.models.ledger import Kind
from desk.models import PriceDraft
from tests.desk.business import PLATFORM_DEEDS, PLATFORM_PAGES, own_addresses
from tests.desk.conftest import CANARY, text_of

Browse = Callable[..., Client]
Busy = tuple[Organization, Organization]
ASKED = re.compile(
    r"(?i)[?&;](amp;)?(q|model)=canary(-model)?|value=\"canary(-model)?\"|margin of canary-model|model: canary-model"
)
MOST_QUERIES = {"/admin/": 25, "/admin/desk/books/": 20}
QUERIES = 17  # nine of them are the session, the person, the shop's host, the scope and the menu


def seen(client: Client, url: str) -> tuple[int, str]:
    response = client.get(url)
    return response.status_code, ASKED.sub("", text_of(response))


def test_every_page_shows_ours_and_never_theirs(browse: Browse, operator: User, busy: Busy) -> None:
    ours, theirs = busy
    client, shown = browse(operator), ""
    for url in own_addresses(ours):
        status, text = seen(client, url)
        assert status == 200, url
        assert CANARY.lower() not in text.lower(), f"{url} shows another shop"
        shown += text
    assert "HOMEMARK Organization" in shown
    assert "HOMEMARK-model" in shown
    for url in own_addresses(theirs):
        status, text = seen(client, url)
        assert status in {200, 404}, url
        assert CANARY.lower() not in text.lower(), f"{url} shows another shop"


def test_rows_of_the_other_shop_are_not_there(browse: Browse, operator: User, busy: Busy) -> None:
    _, theirs = busy
    client = browse(operator)
    account = theirs.accounts.filter(kind=Kind.PAID).get()
    plan, draft = theirs.storefront.plan_versions.first(), PriceDraft.objects.get(storefront=theirs.storefront)
    experiment = theirs.storefront.experiments.get()
    assert plan is not None
    base = "/admin/desk/"
    named = [f"customers/{theirs.pk}/", f"customers/{theirs.pk}/terms/", f"ledger/accounts/{account.pk}/"]
    named += [f"prices/plan/{plan.pk}/", f"prices/plan/{plan.pk}/draft/", f"drafts/{draft.pk}/"]
    for path in [*named, "prices/card/1/", "prices/card/1/draft/"]:
        assert client.get(base + path).status_code == 404, path
        assert client.post(base + path, {"do": "discard"}).status_code == 404, path
    assert client.post(f"{base}experiments/{experiment.pk}/stop/").status_code == 404
    closing = {"month": "2026-01", "shop": theirs.storefront.public_id}
    assert client.post(f"{base}books/close/", closing).status_code == 404
    assert client.post(f"{base}books/close/", {"month": "2026-01"}).status_code == 404
    for page in (
        "margins",
        "customers",
        "calls",
        "ledger",
        "books",
        "demand",
        "ledger/accounts",
        "ledger/trial-balance",
    ):
        assert client.get(f"{base}{page}/?shop={theirs.storefront.public_id}").status_code == 404, page
    experiment.refresh_from_db()
    draft.refresh_from_db()
    assert (experiment.stopped_at, draft.state) == (None, "draft")


@pytest.mark.parametrize("page", PLATFORM_PAGES)
def test_pages_of_the_platform_are_its_own(browse: Browse, operator: User, staff: User, page: str) -> None:
    assert browse(operator).get(f"/admin/desk/{page}").status_code == 404
    assert browse(staff).get(f"/admin/desk/{page}").status_code == 200


@pytest.mark.parametrize("deed", PLATFORM_DEEDS)
def test_deeds_of_the_platform_are_its_own(browse: Browse, operator: User, deed: str) -> None:
    assert browse(operator).post(f"/admin/desk/{deed}").status_code == 404


def test_an_onlooker_changes_nothing(browse: Browse, onlooker: User, busy: Busy) -> None:
    ours, _ = busy
    client, base = browse(onlooker), "/admin/desk/"
    draft, plan = PriceDraft.objects.get(storefront=ours.storefront), ours.storefront.plan_versions.first()
    assert plan is not None
    assert client.get(f"{base}drafts/{draft.pk}/").status_code == 200
    for deed in ("save", "weigh", "submit", "approve", "discard"):
        assert client.post(f"{base}drafts/{draft.pk}/", {"do": deed}).status_code == 404
    assert client.post(f"{base}prices/plan/{plan.pk}/draft/").status_code == 404
    assert client.get(f"{base}customers/{ours.pk}/terms/").status_code == 404
    assert client.post(f"{base}experiments/{ours.storefront.experiments.get().pk}/stop/").status_code == 404
    shown = client.get(f"{base}customers/{ours.pk}/").content.decode()
    assert "Price terms" not in shown
    assert "/deed/suspend/" not in shown


def test_customers_and_strangers_find_nothing(browse: Browse, busy: Busy) -> None:
    ours, _ = busy
    owner = User.objects.get(email="homemark-owner@example.com")
    for url in own_addresses(ours)[:6]:
        assert browse(owner).get(url).status_code == 404
        assert browse(None).get(url).status_code == 302


def test_every_post_wants_a_token(browse: Browse, staff: User, busy: Busy) -> None:
    client = browse(staff, csrf=True)
    for deed in (*PLATFORM_DEEDS, "books/close/", f"customers/{busy[0].pk}/terms/"):
        assert client.post(f"/admin/desk/{deed}").status_code == 403, deed


def test_a_page_asks_a_bounded_number_of_questions(browse: Browse, staff: User, busy: Busy) -> None:
    client = browse(staff)
    for url in own_addresses(busy[0]):
        path = url.partition("?")[0]
        with CaptureQueriesContext(connection) as asked:
            client.get(url)
        assert len(asked) <= MOST_QUERIES.get(path, QUERIES), (url, len(asked))


@pytest.mark.parametrize(
    "question",
    [
        *("?period=year", "?since=yesterday", "?since=2026-02-01&until=2026-01-01", "?since=1999-01-01"),
        "?until=2026-13-01",
    ],
)
@pytest.mark.parametrize("page", ["", "desk/margins/", "desk/customers/", "desk/calls/", "desk/ledger/"])
def test_a_question_without_an_answer_is_a_sentence(browse: Browse, staff: User, page: str, question: str) -> None:
    response = browse(staff).get(f"/admin/{page}{question}")
    assert response.status_code == 400
    assert "This cannot be shown" in response.content.decode()
