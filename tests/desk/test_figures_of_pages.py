"""The first page, margins, customers and calls: the figures are the reports', and each leads to its rows."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, Organization, User
from analytics import reports, rollups
from analytics.models import RollupMark
from analytics.reports import Scope
from billing.models import Hold, PriceTerms
from billing.models.ledger import Kind
from desk import words
from gateway.models import Call
from tests.desk.business import HOME_MODEL

Browse = Callable[..., Client]
Busy = tuple[Organization, Organization]
BASE = "/admin/desk/"


def cards(client: Client, url: str) -> dict[str, str]:
    return {card.title: card.value for card in client.get(url).context["parts"].cards}


def unspent(organization: Organization) -> int:
    return sum(organization.accounts.exclude(kind=Kind.DEBT).values_list("posted", flat=True))


def month(shop: object) -> reports.Figures:
    today = timezone.now().date()
    return reports.total(Scope(today - timedelta(days=29), today, storefront=shop))  # type: ignore[arg-type]


def test_the_first_page_says_what_the_reports_say(browse: Browse, operator: User, staff: User, busy: Busy) -> None:
    for user, shop in ((operator, busy[0].storefront), (staff, None)):
        figures, shown = month(shop), cards(browse(user), "/admin/")
        assert figures.requests > 10
        assert shown["Revenue"] == words.money(figures.charge_nano)
        assert shown["Gross profit"] == words.money(figures.profit_nano)
        assert shown["Margin on price"] == words.percent(figures.margin)
        assert shown["Requests"] == words.count(figures.requests)
        assert shown["Active customers"] == ("1" if shop else "2")
        assert shown["Unspent credit"] == words.money(sum(unspent(one) for one in busy[: 1 if shop else 2]))


def test_margin_and_markup_are_both_said(browse: Browse, operator: User, busy: Busy) -> None:
    page = browse(operator).get("/admin/").content.decode()
    assert f"markup on cost {words.percent(month(busy[0].storefront).markup)}" in page


def test_charts_have_words_and_a_table(browse: Browse, operator: User, busy: Busy) -> None:
    response = browse(operator).get("/admin/")
    for chart in response.context["parts"].charts:
        assert chart.summary in response.content.decode()
        assert len(chart.lines) == len(chart.labels) == 30
    assert 'role="img"' in response.content.decode()


def test_what_loses_money_is_told_first(browse: Browse, operator: User, staff: User, busy: Busy) -> None:
    Call.unscoped.filter(model_served=HOME_MODEL).update(cost_nano=10**10)
    now = timezone.now()
    for day in range(12):
        rollups.rebuild((now - timedelta(days=day)).date())
    RollupMark.objects.update_or_create(pk=1, defaults={"rolled_until": now - timedelta(hours=3)})
    sentences = [notice.sentence for notice in browse(operator).get("/admin/").context["parts"].warnings]
    assert any(f"{HOME_MODEL} was sold below cost" in sentence for sentence in sentences)
    assert any("3 h old" in sentence for sentence in sentences)
    assert "sold below cost" in browse(operator).get("/admin/desk/customers/").content.decode()


def test_an_empty_shop_has_every_page(browse: Browse, root: User) -> None:
    client = browse(root)
    names = (
        "margins",
        "customers",
        "calls",
        "prices",
        "books",
        "demand",
        "projection",
        "experiments",
        "reconciliation",
    )
    for name in (*names, "ledger", "ledger/accounts", "ledger/trial-balance", "audit", "operations", "alarms"):
        assert client.get(f"/admin/desk/{name}/").status_code == 200, name
    assert "No model was called in these days" in client.get("/admin/").content.decode()


# --- Margins, customers, calls ----------------------------------------------------------------------------------------


def saved(client: Client, url: str) -> list[dict[str, str]]:
    response = client.get(url)
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))  # type: ignore[attr-defined]


def test_margins_add_up_to_the_total(browse: Browse, operator: User, busy: Busy) -> None:
    figures = month(busy[0].storefront)
    for way in ("model", "plan"):
        rows = saved(browse(operator), f"/admin/desk/margins/?by={way}&csv=margins")
        assert sum(Decimal(row["revenue_usd"]) for row in rows) == Decimal(figures.charge_nano) / 10**9
        assert {row["provider"] for row in rows} == {"north", "south"}
    assert browse(operator).get("/admin/desk/margins/?by=colour").status_code == 400


def test_the_plan_of_a_customer_with_own_terms_is_theirs(browse: Browse, operator: User, busy: Busy) -> None:
    PriceTerms.objects.create(storefront=busy[0].storefront, organization=busy[0], plan_name="wholesale")
    rows = saved(browse(operator), "/admin/desk/margins/?by=plan&csv=margins")
    assert {row["plan"] for row in rows} == {"wholesale"}


def test_customers_have_what_the_ledger_says(browse: Browse, operator: User, busy: Busy) -> None:
    [row] = saved(browse(operator), "/admin/desk/customers/?csv=customers")
    gifts = unspent(busy[0]) - busy[0].accounts.get(kind=Kind.PAID).posted
    assert row["customer"] == "HOMEMARK Organization"
    assert [Decimal(row[name]) * 10**9 for name in ("unspent_usd", "gifts_usd")] == [unspent(busy[0]), gifts]
    assert gifts >= 7_000_000_000
    ever = reports.total(Scope(timezone.now().date() - timedelta(days=99), timezone.now().date(), organization=busy[0]))
    assert Decimal(row["lifetime_usd"]) == Decimal(ever.charge_nano) / 10**9
    page = browse(operator).get("/admin/desk/customers/").content.decode()
    for deed in ("deed/visit/", "deed/suspend/", f"adjustment/add/?organization={busy[0].pk}"):
        assert deed in page


def test_price_terms_go_through_the_price_book(browse: Browse, operator: User, busy: Busy) -> None:
    url = f"/admin/desk/customers/{busy[0].pk}/terms/"
    sent = {"plan": "standard", "group": "", "multiplier": "0.9"}
    assert browse(operator).post(url, sent).status_code == 302
    assert PriceTerms.objects.get(organization=busy[0]).multiplier == Decimal("0.9")
    assert AuditEvent.objects.filter(action="price_terms.changed", actor=operator).exists()
    assert browse(operator).post(url, {**sent, "multiplier": "0"}).status_code == 400
    assert browse(operator).post(url, {**sent, "plan": "nobodys"}).status_code == 400


def test_calls_are_read_page_by_page_with_what_was_charged(browse: Browse, operator: User, busy: Busy) -> None:
    client, url = browse(operator), "/admin/desk/calls/?period=quarter"
    rows = saved(client, url + "&csv=calls")
    ids = [int(row["call"]) for row in rows]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 40
    charged = dict(Hold.unscoped.filter(pk__in=ids).values_list("pk", "charged_nano"))
    assert all(Decimal(row["charge_usd"]) * 10**9 == charged[int(row["call"])] for row in rows)
    assert len(saved(client, f"{url}&csv=calls&before={ids[9]}")) == 30
    failed = saved(client, url + "&csv=calls&state=failed")
    assert len(failed) == Call.unscoped.filter(model_served=HOME_MODEL, state="failed").count()


@pytest.mark.parametrize("question", ["state=odd", "before=x", "before=-1", "csv=secrets"])
def test_odd_questions_about_calls(browse: Browse, operator: User, question: str) -> None:
    assert browse(operator).get(f"/admin/desk/calls/?{question}").status_code == 400


def test_every_figure_of_the_main_pages_leads_to_its_rows(browse: Browse, operator: User, busy: Busy) -> None:
    client, ours = browse(operator), busy[0]
    pages = (
        "/admin/",
        f"{BASE}margins/",
        f"{BASE}margins/?by=plan",
        f"{BASE}customers/",
        f"{BASE}customers/{ours.pk}/",
    )
    links = set()
    for page in pages:
        parts = client.get(page).context["parts"]
        bare = [card.title for card in parts.cards if not card.link]
        for table in parts.tables:
            figures = [(column, cell) for line in table.lines for column, cell in line if column.number]
            assert figures, f"{page} has a table without figures"
            bare += [f"{table.title}: {column.title}" for column, cell in figures if not cell.link]
            links |= {cell.link for _, cell in figures}
        assert bare == [], f"{page} shows figures that lead nowhere"
    for link in links:
        assert client.get(link).status_code == 200, link
