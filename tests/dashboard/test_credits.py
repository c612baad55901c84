"""The pages of credit, payments and statements: what they show of the books, to whom, and in how many questions."""

import csv
import io
import re
import zlib
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from analytics import statements
from billing import recharging
from billing.models import Account, AutoRecharge, BillingDetails, Payment, PaymentCustomer, SavedCard, TopUp
from billing.models.payments import ReversalState, State
from billing.money import dollars
from dashboard import papers, payment_words
from plumbing import outbox
from sandbox.stripe.running import running_stripe
from tests import factories
from tests.billing.payment_stage import configure
from tests.dashboard.rich import DOLLAR, furnish
from tests.dashboard.test_pages import visit

pytestmark = pytest.mark.django_db
MONTH = f"{timezone.now():%Y-%m}"
SEEN = {
    "credits": (),
    "credits_payments": (),
    "credits_statements": (),
    "credits_statement": (MONTH,),
    "credits_statement_pdf": (MONTH,),
    "credits_statement_csv": (MONTH,),
}
SPENT = {"credits_details": ()}
MAY_SEE, MAY_SPEND = {"owner", "admin", "billing"}, {"owner", "admin", "billing"}
MOST_QUERIES = 7  # of a page's own: with the five that every signed-in page asks, twelve
OF_THE_FRAME = ("accounts_storefront", "django_session", "users", "usersessions_usersession", "accounts_membership")


def page(name, organization, *rest):
    return reverse(f"dashboard:{name}", args=[organization.slug, *rest])


@pytest.fixture
def furnished(organization, settings):
    configure(settings)
    return furnish(organization)


def as_role(organization, role):
    if role == "owner":
        return organization.memberships.get(role="owner").user
    return factories.make_membership(organization, role=role).user


def content_of(response):
    return b"".join(response.streaming_content) if response.streaming else response.content


@pytest.mark.parametrize("role", ["owner", "admin", "billing", "developer", "viewer"])
def test_each_role_sees_what_it_may(client, organization, role):
    client.force_login(as_role(organization, role))
    for names, allowed in ((SEEN, MAY_SEE), (SPENT, MAY_SPEND)):
        for name, rest in names.items():
            expected = 200 if role in allowed else 403
            assert client.get(page(name, organization, *rest)).status_code == expected, name


@pytest.mark.parametrize("name", [*SEEN, *SPENT])
def test_outsiders_find_nothing(client, organization, charlie, name):
    address = page(name, organization, *(SEEN | SPENT)[name])
    assert client.get(address)["Location"].startswith("/accounts/login/")
    client.force_login(charlie)
    assert client.get(address).status_code == 404
    assert client.post(address, {"name": "mine"}).status_code in {404, 405}


def is_of_the_frame(sql):
    """Who asks, at which shop, in which of their organizations: what every page begins with."""
    tables = any(f'FROM "{table}"' in sql or f'UPDATE "{table}"' in sql for table in OF_THE_FRAME)
    return tables or sql.startswith(("SAVEPOINT", "RELEASE"))


def test_a_page_asks_few_questions(client, furnished, organization, alice):
    client.force_login(alice)
    for name, rest in (SEEN | SPENT | {"credits_top_up": (furnished["top_up"].public_id,)}).items():
        address = page(name, organization, *rest)
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address).status_code == 200
        own = [query["sql"] for query in asked if not is_of_the_frame(query["sql"])]
        assert len(own) <= MOST_QUERIES, "\n".join([name, *(sql[:120] for sql in own)])


def test_the_balance_tells_what_is_held_and_what_burns_first(client, furnished, organization, alice):
    client.force_login(alice)
    told = client.get(page("credits", organization)).content.decode()
    heaps = re.findall(r"<li><div><b>(.*?)</b>", told)
    assert heaps[:4] == ["Trial", "Gift: Launch week", "Gift: Code from spring fair", "Paid credit"]
    assert "$0.42 is held for calls under way" in told
    assert "tokens of any model" in told
    assert "The bank wants to see the card&#x27;s holder." in told


def test_the_order_shown_is_the_order_in_which_the_ledger_draws(client, furnished, organization, alice):
    client.force_login(alice)
    stage, spent = furnished["stage"], {}
    before = dict(Account.objects.of(organization).values_list("label", "posted"))
    hold, _ = stage.reserve(4 * DOLLAR)
    stage.settle(hold, 4 * DOLLAR)
    for label, posted in Account.objects.of(organization).values_list("label", "posted"):
        spent[label] = before[label] - posted
    assert spent["Launch week"] > 0
    assert spent["Code from spring fair"] == 4 * DOLLAR - spent["Launch week"]


# --- Buying -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Choose an amount, or write your own."),
        ({"preset": "own"}, "Choose an amount, or write your own."),
        ({"preset": "25.00", "amount": "7.00"}, "You chose an amount and wrote another one"),
        ({"preset": "own", "amount": "0.001"}, "at most 2 decimal places"),
        ({"preset": "own", "amount": "-5"}, "Write the amount as a plain number"),
        ({"preset": "1e9"}, "Write the amount as a plain number"),
        ({"preset": "own", "amount": "1.00"}, "A top-up is between 5.00 USD and 2,000.00 USD."),
    ],
)
def test_what_cannot_be_bought_is_said_and_nothing_begins(client, organization, alice, settings, given, words):
    configure(settings)
    client.force_login(alice)
    answer = client.post(page("credits_buy", organization), {"attempt_key": "attempt-12345", **given})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not TopUp.objects.of(organization).exists()


def test_a_shop_without_a_way_to_pay_says_so(client, organization, alice):
    client.force_login(alice)
    told = client.get(page("credits", organization)).content.decode()
    assert "This shop has not set up a way to pay yet." in told
    assert "Go to payment" not in told


def test_a_viewer_of_bills_sees_no_buttons(client, organization):
    visit(client, factories.make_staff(), organization)
    told = client.get(page("credits", organization)).content.decode()
    assert "Balance" in told
    assert "Buy credit" not in told
    for name in ("credits_buy", "credits_redeem", "credits_recharge", "credits_cards"):
        assert client.post(page(name, organization)).status_code == 403


# --- The standing order -----------------------------------------------------------------------------------------------


def test_a_standing_order_is_set_and_its_faults_are_told_at_their_fields(client, furnished, organization, alice):
    client.force_login(alice)
    address = page("credits_recharge", organization)
    good = {"is_on": "on", "threshold": "7.50", "amount": "30", "month_cap": "90"}
    for change, words in (
        ({"month_cap": "20"}, "must allow at least one recharge"),
        ({"amount": "1.00"}, "A top-up is between"),
        ({"amount": "thirty"}, "Write the amount as a plain number"),
        ({"threshold": "0"}, "Write an amount above zero"),
    ):
        answer = client.post(address, good | change)
        assert answer.status_code == 400
        assert words in answer.content.decode()
    assert client.post(address, good).status_code == 302
    row = AutoRecharge.objects.of(organization).get()
    assert (row.threshold_nano, row.amount_minor, row.month_cap_minor, row.paused_at) == (
        7_500_000_000,
        3_000,
        9_000,
        None,
    )


def test_one_of_several_cards_is_charged(client, furnished, organization, alice):
    older = SavedCard.objects.of(organization).get()
    newer = SavedCard.objects.of(organization).create(
        organization=organization,
        customer=older.customer,
        outside_id="pm_newer",
        brand="mastercard",
        last_four="4444",
        seen_at=timezone.now(),
    )
    client.force_login(alice)
    told = client.get(page("credits", organization)).content.decode()
    assert "Mastercard ending in 4444" in told
    good = {"is_on": "on", "threshold": "5", "amount": "25", "month_cap": "50"}
    for given, charged in (({}, newer), ({"card": older.public_id}, older)):
        assert client.post(page("credits_recharge", organization), good | given).status_code == 302
        assert AutoRecharge.objects.of(organization).get().card == charged
    wrong = client.post(page("credits_recharge", organization), good | {"card": "crd_of_somebody"})
    assert wrong.status_code == 400


def test_back_from_the_page_of_cards_the_page_knows_which_are_left(client, organization, alice, settings):
    with running_stripe(key="sk_test_cards") as box:
        configure(settings, key=box.key, base=box.url)
        client.force_login(alice)
        leaving = client.post(page("credits_cards", organization))
        assert leaving["Location"].startswith(box.url)
        customer = PaymentCustomer.objects.of(organization).get()
        gone = SavedCard.objects.of(organization).create(
            organization=organization, customer=customer, outside_id="pm_gone", last_four="0000", seen_at=timezone.now()
        )
        assert "ending in 0000" in client.get(page("credits", organization)).content.decode()
        assert "ending in 0000" not in client.get(page("credits", organization) + "?from=cards").content.decode()
        gone.refresh_from_db()
        assert gone.removed_at


def test_what_was_recharged_this_month_counts_against_the_cap(furnished, organization):
    now = timezone.now()
    TopUp.objects.of(organization).filter(state__in=(State.PROCESSING, State.FAILED)).update(
        origin="recharge", created_at=now
    )
    assert recharging.standing(organization, now=now).month_minor == 2_500
    assert recharging.this_month_minor(organization, now=now) == 2_500
    assert recharging.this_month_minor(organization, now=now + timedelta(days=32)) == 0


# --- Payments in words ------------------------------------------------------------------------------------------------


def test_every_state_has_its_words():
    assert set(payment_words.TOP_UPS) == set(State.values)
    assert set(payment_words.REFUNDS) == set(payment_words.DISPUTES) == set(ReversalState.values)


def test_payments_say_how_they_stand(client, furnished, organization, alice):
    client.force_login(alice)
    told = client.get(page("credits_payments", organization)).content.decode()
    for words in (
        "Refund under way",
        "15.00 USD",
        "The bank has a question",
        "Waiting for you",
        "The bank said: insufficient funds. Nothing was charged.",
    ):
        assert words in told
    receipt = page("credits_pdf", organization, furnished["payment"].public_id)
    assert receipt in told
    assert client.get(page("credits_payments", organization) + "?page=x").status_code == 200


# --- Statements -------------------------------------------------------------------------------------------------------


def test_the_months_chain_on_the_page(client, furnished, organization, alice):
    client.force_login(alice)
    client.get(page("credits_statements", organization))
    told = statements.months(organization, now=timezone.now())
    assert len(told) >= 3
    for newer, older in pairwise(told):
        assert newer.opening_nano == older.closing_nano
    accounts = Account.objects.of(organization).filter(unit="nano_usd").exclude(kind="debt")
    assert told[0].closing_nano == sum(accounts.values_list("posted", flat=True))


def test_the_spreadsheet_adds_up_from_balance_to_balance(client, furnished, organization, alice):
    client.force_login(alice)
    name = "=cmd()"
    stage = furnished["stage"]
    hold, _ = stage.reserve(1_000)
    factories.make_call(organization, id=hold, model_served=name)
    stage.settle(hold, 1_000)
    for month in {f"{one.month:%Y-%m}" for one in statements.months(organization, now=timezone.now())} | {MONTH}:
        answer = client.get(page("credits_statement_csv", organization, month))
        rows = list(csv.DictReader(io.StringIO(content_of(answer).decode().lstrip("\ufeff"))))
        assert (rows[0]["part"], rows[-1]["part"]) == ("opening balance", "closing balance")
        amounts = [Fraction(row["amount_usd"]) for row in rows]
        assert sum(amounts[:-1]) == amounts[-1]
        if month == MONTH:
            assert "'=cmd()" in {row["what"] for row in rows}
            assert "=cmd()" not in {row["what"] for row in rows}


def text_of_pdf(made):
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.DOTALL)
    text = b"".join(zlib.decompress(stream) for stream in streams if stream[:1] == b"x")
    return text.replace(b"\\(", b"(").replace(b"\\)", b")").decode("latin-1")


def test_the_paper_says_what_the_page_says(client, furnished, organization, alice):
    client.force_login(alice)
    answer = client.get(page("credits_statement_pdf", organization, MONTH))
    assert answer.content.startswith(b"%PDF")
    assert f"statement-{organization.slug}-{MONTH}.pdf" in answer["Content-Disposition"]
    told = text_of_pdf(answer.content)
    [this_month] = [one for one in statements.months(organization, now=timezone.now()) if f"{one.month:%Y-%m}" == MONTH]
    for words in (
        dollars(this_month.opening_nano),
        dollars(this_month.closing_nano),
        "Acme Robotics GmbH",
        "DE123456789",
        "Refund",
    ):
        assert words in told, words


@pytest.mark.parametrize("month", ["2026-13", "1999-01", "2099-01", "2026-1", "x", "2026-11-01", "%00"])
def test_a_month_that_never_was_is_not_found(client, organization, alice, month):
    client.force_login(alice)
    for ending in ("/", ".pdf", ".csv"):
        address = page("credits_statements", organization) + month + ending
        assert client.get(address).status_code == 404


def test_much_that_is_new_is_added_up_in_the_background(client, furnished, organization, alice, monkeypatch):
    monkeypatch.setattr(statements, "SLICE", 2)
    client.force_login(alice)
    answer = client.get(page("credits_statement", organization, MONTH))
    assert answer.status_code in {200, 404}  # the month may not have been reached yet
    answer = client.get(page("credits_statements", organization))
    assert answer["Refresh"] == "3"
    assert "Being added up" in answer.content.decode()
    assert client.get(page("credits_statement_pdf", organization, MONTH)).status_code == 302
    outbox.drain()
    answer = client.get(page("credits_statements", organization))
    assert "Refresh" not in answer


# --- Billing details --------------------------------------------------------------------------------------------------


def test_billing_details_are_kept_and_printed(client, organization, alice):
    _, payment = factories.make_payment(organization)
    client.force_login(alice)
    wanted = {"name": "Acme", "address": " Street 1 \n\n Berlin ", "tax_id": "DE 123456789", "reference": "PO-7"}
    assert client.post(page("credits_details", organization), wanted).status_code == 302
    row = BillingDetails.objects.of(organization).get()
    assert (row.address, row.tax_id) == ("Street 1\nBerlin", "DE 123456789")
    told = text_of_pdf(client.get(page("credits_pdf", organization, payment.public_id)).content)
    assert "Acme, Street 1, Berlin, Tax id DE 123456789" in told
    assert Payment.objects.of(organization).count() == 1


@pytest.mark.parametrize(
    "wrong",
    [{"tax_id": "<>"}, {"name": "a\u202eb"}, {"address": "x\n" * 9}, {"address": "x" * 81}, {"reference": "y" * 81}],
)
def test_strange_details_are_refused(client, organization, alice, wrong):
    client.force_login(alice)
    answer = client.post(page("credits_details", organization), wrong)
    assert answer.status_code == 400
    assert 'class="errors"' in answer.content.decode()
    assert not BillingDetails.objects.of(organization).exists()


def test_a_month_is_over_when_utc_says_so(organization):
    found = statements.months(organization, now=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))[0]
    assert not papers.paper(organization, found, now=datetime(2026, 11, 30, 23, 59, tzinfo=UTC)).is_over
    assert papers.paper(organization, found, now=datetime(2026, 12, 1, tzinfo=UTC)).is_over
