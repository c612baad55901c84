"""The pages that explain money: what they show of the books, whom they answer, and what they never say."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics import call_lists, customer, rollups
from analytics.call_lists import Wanted
from analytics.reports import UTC_ZONE
from billing.models import Hold
from dashboard import charts, lookouts, periods, purse, streams
from dashboard.templatetags import figures
from gateway import service
from gateway.callid import first_id
from gateway.models import Call
from gateway.seed import stock
from tests import factories

pytestmark = pytest.mark.django_db
PAGES = ("overview", "activity", "usage", "models")
MOST_QUERIES = 12  # the same as of manage.py page_times, which measures over millions of calls


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


@pytest.fixture
def demo(settings):
    """Three hundred calls of the demonstration, and who made most of them."""
    from accounts.models import Organization
    from analytics import demo as story

    story.make(calls=400)
    return Organization.objects.get(name="Acme Robotics")


def owner_of(organization):
    return organization.memberships.select_related("user").get(role="owner").user


def text_of(response):
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return content.decode()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("role", ["owner", "developer", "billing", "viewer"])
def test_every_member_sees_them_and_nobody_else(client, organization, charlie, role, name):
    user = owner_of(organization) if role == "owner" else factories.make_membership(organization, role=role).user
    assert client.get(page(name, organization))["Location"].startswith("/accounts/login/")
    client.force_login(charlie)
    assert client.get(page(name, organization)).status_code == 404
    client.force_login(user)
    assert client.get(page(name, organization)).status_code == 200


def test_the_balance_is_for_those_who_see_the_bill(client, organization):
    client.force_login(factories.make_membership(organization, role="viewer").user)
    assert "Balance" not in client.get(page("overview", organization)).content.decode()
    client.force_login(factories.make_membership(organization, role="billing").user)
    assert "Balance" in client.get(page("overview", organization)).content.decode()


def test_what_is_empty_says_what_comes_next(client, organization, alice):
    client.force_login(alice)
    for name, words in (("overview", "First steps"), ("activity", "No calls yet"), ("usage", "Nothing in this time")):
        assert words in client.get(page(name, organization)).content.decode()


def test_a_page_asks_few_questions_and_shows_what_the_books_say(client, demo):
    stock(demo.storefront, sandbox_url="http://127.0.0.1:9/sandbox/provider", now=timezone.now())
    client.force_login(owner_of(demo))
    call = Call.objects.of(demo).filter(state="done").latest("pk")
    spent = sum(Hold.objects.of(demo).values_list("charged_nano", flat=True))
    addresses = [page(name, demo) for name in PAGES]
    addresses += [page("usage", demo) + "?range=90d&by=key&compare=1", page("activity", demo) + "?state=failed"]
    addresses += [page("receipt", demo, call.pk), "/", "/models", "/status", page("model", demo, "sandbox-standard")]
    addresses += [page(name, demo) for name in ("keys", "members", "alerts", "playground", "first_steps", "settings")]
    for address in addresses:
        client.get(address)
        with service.lent_picture(), CaptureQueriesContext(connection) as asked:
            response = client.get(address)
        assert response.status_code == 200, address
        queries = [query["sql"] for query in asked if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
        assert len(queries) <= MOST_QUERIES, "\n".join([address, *(query[:110] for query in queries)])
        assert response.status_code == 200, address
        assert "cost_nano" not in response.content.decode()
    stretches = customer.slots(
        since=timezone.now().date() - timedelta(days=95), until=timezone.now().date(), zone=UTC_ZONE
    )
    assert customer.total(customer.series(demo, stretches, by="model")).charge_nano == spent


def test_the_page_of_a_model_that_is_sold(client, shop, organization, alice):
    stock(shop, sandbox_url="http://127.0.0.1:9/sandbox/provider", now=timezone.now())
    client.force_login(alice)
    for address in (page("model", organization, "sandbox-standard"), "/model/sandbox-standard"):
        told = client.get(address)
        assert told.status_code == 200, address
        assert "sandbox-standard" in told.content.decode()


def test_a_receipt_tells_its_whole_arithmetic_and_no_cost(client, demo):
    client.force_login(owner_of(demo))
    call = Call.objects.of(demo).filter(state="done", cached_tokens__gt=0).latest("pk")
    told = client.get(page("receipt", demo, call.pk)).content.decode()
    charged = Hold.objects.of(demo).get(pk=call.pk).charged_nano
    assert figures.money.usd_text(charged) in told
    assert "agrees to the last digit" in told
    assert "/fair-billing#used" in told
    assert figures.money.usd_text(call.cost_nano) not in told
    assert call.provider not in told
    assert "Multiplier" not in told


def test_a_failed_call_says_that_it_was_not_charged(client, demo):
    client.force_login(owner_of(demo))
    call = Call.objects.of(demo).filter(state="failed").first() or factories.make_call(demo)
    told = client.get(page("receipt", demo, call.pk)).content.decode()
    assert "Not charged" in told
    assert "/fair-billing#failed_free" in told


@pytest.mark.parametrize("number", ["0", "9223372036854775808", "99999999999999999999999"])
def test_a_call_that_never_was_is_not_found(client, organization, alice, number):
    client.force_login(alice)
    assert client.get(page("activity", organization) + f"{number}/").status_code == 404


def test_a_call_of_another_organization_is_not_found(client, organization, charlie):
    call = factories.make_call(organization)
    own = charlie.memberships.get().organization
    client.force_login(charlie)
    assert client.get(page("receipt", own, call.pk)).status_code == 404


def make_calls(organization, many, **fields):
    start = first_id(datetime(2026, 11, 1, tzinfo=UTC))
    return [factories.make_call(organization, id=start + n * 1000, **fields) for n in range(many)]


def test_pages_follow_each_other_without_a_gap(organization):
    made = make_calls(organization, 120)
    seen, before = [], None
    for _ in range(5):
        found = call_lists.page(organization, Wanted(), before=before)
        seen += [row.call.pk for row in found.rows]
        before = found.older
        if before is None:
            break
    assert seen == [call.pk for call in reversed(made)]


def test_a_rare_call_is_found_in_steps(organization, monkeypatch):
    monkeypatch.setattr(call_lists, "LOOKED_AT", 40)
    made = make_calls(organization, 100)
    rare = made[3]
    Call.objects.of(organization).filter(pk=rare.pk).update(label="rare")
    before, steps = None, 0
    while True:
        found = call_lists.page(organization, Wanted(having={"label": "rare"}), before=before)
        steps += 1
        if found.rows:
            assert [row.call.pk for row in found.rows] == [rare.pk]
            break
        assert found.looked_back_to is not None
        before = found.older
    assert steps == 3


def test_filters_narrow_and_nonsense_is_told(client, organization, alice):
    key, _ = factories.make_key(organization, label="mine")
    make_calls(organization, 3, model_asked="other")
    start = first_id(datetime(2026, 11, 2, tzinfo=UTC))
    wanted = factories.make_call(organization, id=start, model_asked="this", api_key_id=key.pk, price_nano=1_160_000)
    client.force_login(alice)
    address = page("activity", organization)
    for query in (f"?key={key.public_id}", "?model=this", "?least=0.001", f"?request_id={wanted.pk}"):
        told = client.get(address + query).content.decode()
        assert page("receipt", organization, wanted.pk) in told
        assert "other" not in told.split("<tbody>")[1]
    for query in ("?key=key_nothing", "?least=-4", "?before=x&after", "?since=yesterday", "?range=%00", "?state=odd"):
        assert client.get(address + query).status_code == 200
    assert "errors" in client.get(address + "?least=many").content.decode()


def test_the_tail_brings_what_came_since(client, organization, alice):
    made = make_calls(organization, 3)
    client.force_login(alice)
    told = client.get(page("activity", organization) + f"?live=1&after={made[1].pk}").content.decode()
    assert page("receipt", organization, made[2].pk) in told
    assert page("receipt", organization, made[1].pk) not in told
    assert f"after={made[2].pk}" in told


def test_calls_go_into_a_file_that_runs_nothing(client, organization, alice):
    make_calls(organization, 2, label="=HYPERLINK(1)")
    client.force_login(alice)
    response = client.get(page("calls_file", organization))
    assert "attachment" in response["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(text_of(response).lstrip("\ufeff"))))
    assert [row["label"] for row in rows] == ["'=HYPERLINK(1)"] * 2
    assert "cost" not in " ".join(rows[0])
    told = json.loads(text_of(client.get(page("calls_file", organization) + "?format=json")))
    assert told[0]["label"] == "=HYPERLINK(1)"
    assert json.loads(text_of(client.get(page("calls_file", organization) + "?format=json&model=none"))) == []


@pytest.mark.parametrize("kind", ["use", "labels", "focus"])
def test_files_add_up_to_what_was_charged(client, demo, kind):
    client.force_login(owner_of(demo))
    since = (timezone.now() - timedelta(days=95)).date()
    address = page("usage_file", demo, kind) + f"?since={since}&range=custom"
    rows = list(csv.DictReader(io.StringIO(text_of(client.get(address)).lstrip("\ufeff"))))
    column = "BilledCost" if kind == "focus" else "charged_usd"
    spent = sum(Hold.objects.of(demo).values_list("charged_nano", flat=True))
    assert sum(Fraction(row[column]) for row in rows) == Fraction(spent, 10**9)
    assert {row["name"] for row in json.loads(text_of(client.get(address + "&format=json")))} if kind == "use" else True


def test_a_file_is_streamed_to_an_asynchronous_server():
    async def read():
        return [piece async for piece in streams.csv_file(iter(["a\n"] * 450), name="x")]

    pieces = asyncio.run(read())
    assert len(pieces) == 3
    assert b"".join(pieces).decode() == "\ufeff" + "a\n" * 450


def test_a_file_of_no_kind_is_not_found(client, organization, alice):
    client.force_login(alice)
    assert client.get(page("usage_file", organization, "secrets")).status_code == 404


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/New_York"])
def test_hours_days_and_all_of_it_agree_in_any_zone(demo, zone):
    today = timezone.now().date()
    span = periods.read({"range": "7d"}, zone=periods.ZoneInfo(zone), now=timezone.now())
    sums = set()
    for period in ("hour", "day", "week"):
        slots = customer.slots(since=span.since, until=span.until, zone=span.zone, period=period)
        sums.add(customer.total(customer.series(demo, slots, by="key")).charge_nano)
    sums.add(customer.total(customer.series(demo, span.whole())).charge_nano)
    assert len(sums) == 1
    assert today >= span.since


@pytest.mark.parametrize(
    ("query", "days", "step"),
    [
        ({}, 30, "day"),
        ({"range": "today"}, 1, "hour"),
        ({"range": "90d", "step": "week"}, 90, "week"),
        ({"range": "90d", "step": "hour"}, 90, "day"),
        ({"since": "2026-11-01", "until": "2026-11-02"}, 2, "hour"),
        ({"since": "2026-11-09", "until": "2026-11-02"}, 30, "day"),
        ({"since": "0001-01-01"}, 324, "week"),
        ({"range": "never", "since": "x"}, 30, "day"),
    ],
)
def test_times_are_read_from_the_address(query, days, step):
    span = periods.read(query, zone=UTC_ZONE, now=datetime(2026, 11, 20, 12, tzinfo=UTC))
    assert (span.days, span.step) == (days, step)


def test_runway_and_month_end_are_made_of_whole_days():
    days = [0] * 22 + [10, 10, 10, 10, 10, 10, 10, 4]
    assert purse.pace_nano(days) == 10
    assert purse.runway_days(62, 10) == Fraction(31, 5)
    assert purse.runway_days(62, 0) is None
    month = purse.month_end(days, today=datetime(2026, 11, 24, tzinfo=UTC).date())
    assert month.so_far_nano == 74
    assert month.nano == 74 + 6 * 10 + 6  # six days to come, and the rest of today
    assert month.error_percent is None
    assert purse.month_end([0] * 30, today=datetime(2026, 11, 24, tzinfo=UTC).date()) is None


def test_a_stack_adds_up_to_the_whole():
    slots = customer.slots(
        since=datetime(2026, 11, 1, tzinfo=UTC).date(), until=datetime(2026, 11, 2, tzinfo=UTC).date(), zone=UTC_ZONE
    )
    found = {(n % 2, f"m{n}"): customer.Use(charge_nano=n + 1) for n in range(10)}
    chart = charts.stacked(
        chart_id="x", title="x", metric="spend", stretches=slots, found=found, step="day", naming=str
    )
    assert chart.names == ["m9", "m8", "m7", "m6", "m5", "Other"]
    assert chart.total == sum(range(1, 11))


def test_a_key_near_its_cap_and_one_about_to_end_are_told(organization):
    now = timezone.now()
    key, _ = factories.make_key(organization, label="near", cap_total_nano=100)
    factories.make_key(organization, label="ending", expires_at=now + timedelta(days=2))
    rows = list(lookouts.keys_with_counters(organization, now=now))
    assert len(lookouts.of_keys(rows, now=now)) == 1
    for row in rows:
        if row.pk == key.pk:
            row.total_nano = 85
    assert [one.kind for one in lookouts.of_keys(rows, now=now)] == ["info", "warn"] or {
        one.kind for one in lookouts.of_keys(rows, now=now)
    } == {"info", "warn"}


@pytest.mark.parametrize(
    ("nano", "short"),
    [
        (0, "$0.00"),
        (1_160_000, "$0.00116"),
        (1_163_217, "$0.00116"),
        (5, "$0.000000005"),
        (999_999_999, "$1.00"),
        (1_234_567_890_123, "$1,234.57"),
        (-1_163_217, "-$0.00116"),
    ],
)
def test_an_amount_keeps_the_digits_that_count(nano, short):
    assert figures.needed(nano) == short


def test_shares_are_never_rounded_to_all_or_nothing():
    assert figures.percent(Fraction(9_999, 10_000)) == "99.9 %"
    assert figures.percent(Fraction(1)) == "100 %"
    assert figures.percent(Fraction(1, 100_000)) == "< 0.1 %"
    assert figures.percent(None) == "\N{EN DASH}"


@pytest.mark.parametrize("address", ["/models", "/status", "/fair-billing"])
@pytest.mark.usefixtures("catalogue")
def test_the_public_pages_are_open(client, shop, address):
    assert client.get(address).status_code == 200


def test_the_catalogue_is_searched_priced_and_sorted(client, shop, catalogue):
    told = client.get("/models").content.decode()
    assert "sandbox-standard" in told
    slugs = [offer.slug for offer in service.picture().offers.values()]
    response = client.get("/models?sort=cheapest&input_tokens=1000&output_tokens=100&purpose=chat")
    costs = [one.yours_nano for one in response.context["models"]]
    assert costs == sorted(costs)
    assert len(response.context["models"]) <= len(slugs)
    assert "No model can do that here" in client.get("/models?text=zebra").content.decode()
    for query in ("?input_tokens=-1", "?input_tokens=99999999999", "?sort=odd", "?takes=%00"):
        assert client.get("/models" + query).status_code == 200


def test_a_model_has_a_page_and_nothing_else_does(client, shop, catalogue):
    told = client.get("/model/sandbox-standard").content.decode()
    assert "Price history" in told
    assert "$3.75" in told or "$3.00" in told or "Input" in told
    assert client.get("/model/nothing").status_code == 404


def test_the_fair_billing_page_is_the_programs_own_table(client, shop):
    from gateway.fair_billing import TABLE

    told = client.get("/fair-billing").content.decode()
    for rule in TABLE:
        assert f'id="{rule.value}"' in told


def test_names_that_were_stored_are_text(client, organization, alice):
    hostile = "<img src=x onerror=alert(1)>"
    key, _ = factories.make_key(organization, label=hostile)
    [call] = make_calls(organization, 1, model_asked=hostile, label=hostile, api_key_id=key.pk, error=hostile)
    rollups.roll(since=call.created_at - timedelta(days=1), until=timezone.now() + timedelta(hours=1))
    client.force_login(alice)
    for address in (
        page("overview", organization),
        page("activity", organization),
        page("usage", organization) + "?by=key&metric=requests",
        page("receipt", organization, call.pk),
    ):
        assert hostile not in client.get(address).content.decode()
