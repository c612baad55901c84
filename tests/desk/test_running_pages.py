"""Ledger, audit, operations, alarms, books and outlook: what they show is the rooms', what they do leaves a trace."""

from collections.abc import Callable
from datetime import timedelta

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, Organization, User
from analytics import books
from analytics.models import Alarm, BillLine, ClosedMonth
from billing.models import AuditCheckpoint, Transfer
from desk import words
from gateway.models import Provider
from plumbing.models import OutboxMessage

Browse = Callable[..., Client]
Busy = tuple[Organization, Organization]
BASE = "/admin/desk/"


def test_the_ledger_is_searched_and_drilled_into(browse: Browse, staff: User, busy: Busy) -> None:
    client, ours = browse(staff), busy[0]
    gift = Transfer.unscoped.get(organization=ours, amount=7_000_000_000)
    page = client.get(f"{BASE}ledger/?q={gift.uid}").content.decode()
    assert "$7.00" in page
    assert "$5.00" not in page
    statement = client.get(f"{BASE}ledger/accounts/{gift.credit_id}/").content.decode()
    assert "HOMEMARK-model reason" in statement
    assert client.get(f"{BASE}ledger/accounts/{gift.debit_id}/").status_code == 404  # the house's have no statement


def test_the_trial_balance_balances(browse: Browse, staff: User, busy: Busy) -> None:
    page = browse(staff).get(f"{BASE}ledger/trial-balance/")
    shown = {card.title: card.value for card in page.context["parts"].cards}
    total = sum(Transfer.unscoped.values_list("amount", flat=True))
    assert shown["Debits"] == shown["Credits"] == words.money(total)
    assert shown["Difference"] == "$0.00"


def test_the_audit_runs_now_and_keeps_its_end(browse: Browse, staff: User, busy: Busy) -> None:
    client = browse(staff)
    assert "never proven" in client.get(f"{BASE}audit/").content.decode()
    assert client.post(f"{BASE}audit/", {"how": "new"}).status_code == 200
    kept = AuditCheckpoint.objects.get()
    assert AuditEvent.objects.get(action="audit.run").after["findings"] == kept.findings


def test_parked_messages_are_replayed(browse: Browse, staff: User) -> None:
    row = OutboxMessage.objects.create(topic="notices.send", key="one", parked_at=timezone.now(), tries=12)
    client = browse(staff)
    assert "notices.send" in client.get(f"{BASE}operations/").content.decode()
    client.post(f"{BASE}operations/replay/", {"message": [str(row.pk), "x", "9" * 30]})
    row.refresh_from_db()
    assert (row.parked_at, row.tries) == (None, 0)
    assert AuditEvent.objects.get(action="outbox.replayed").actor == staff


def test_days_are_rolled_up_again(browse: Browse, staff: User, busy: Busy) -> None:
    today, client = timezone.now().date(), browse(staff)
    sent = {"since": f"{today - timedelta(days=3)}", "until": f"{today}"}
    assert client.post(f"{BASE}operations/roll-up/", sent).status_code == 302
    assert AuditEvent.objects.filter(action="rollups.run").exists()
    for bad in (
        {"since": "x", "until": "y"},
        {**sent, "since": "2020-01-01"},
        {"since": sent["until"], "until": sent["since"]},
    ):
        assert client.post(f"{BASE}operations/roll-up/", bad).status_code == 400


def test_alarms_are_acknowledged_once(browse: Browse, staff: User, root: User) -> None:
    now = timezone.now()
    alarm = Alarm.objects.create(
        kind="provider_down", subject="north", sentence="It is down.", first_seen_at=now, last_seen_at=now
    )
    assert "One alarm waits" in browse(staff).get("/admin/").content.decode()
    for user in (staff, root):
        assert browse(user).post(f"{BASE}alarms/{alarm.pk}/acknowledge/").status_code == 302
    alarm.refresh_from_db()
    assert alarm.acknowledged_by == staff
    assert "One alarm waits" not in browse(staff).get("/admin/").content.decode()
    assert browse(staff).get(f"{BASE}alarms/1/acknowledge/").status_code == 405


def test_a_month_is_closed_when_it_is_over(browse: Browse, operator: User, busy: Busy) -> None:
    client, shop = browse(operator), busy[0].storefront
    now = timezone.now()
    last = (now.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    made = books.statement(last, storefront=shop)
    page = client.get(f"{BASE}books/?month={last:%Y-%m}").content.decode()
    assert words.money(made.revenue) in page
    assert f"Close {last:%B %Y}" in page
    sent = {"month": f"{last:%Y-%m}", "shop": shop.public_id}
    assert client.post(f"{BASE}books/close/", sent).status_code == 302
    kept = ClosedMonth.objects.get()
    assert (kept.storefront, kept.closed_by, kept.figures["revenue"]) == (shop, operator, made.revenue)
    assert client.post(f"{BASE}books/close/", {**sent, "month": f"{now:%Y-%m}"}).status_code == 400
    assert "Nothing has moved since" in client.get(f"{BASE}books/?month={last:%Y-%m}").content.decode()


def test_a_bill_is_brought_in_and_its_gap_named(browse: Browse, staff: User, busy: Busy) -> None:
    Provider.objects.create(slug="north", name="North", kind="openai")
    today, client = timezone.now().date(), browse(staff)

    def bring(text: bytes, **sent: str) -> int:
        file = SimpleUploadedFile("bill.csv", text)
        return client.post(
            f"{BASE}reconciliation/", {"provider": "north", "kind": "generic", "bill": file, **sent}
        ).status_code

    assert bring(f"day,model,cost\n{today},HOMEMARK-model,1.5\n".encode()) == 302
    assert BillLine.objects.get().cost_nano == 1_500_000_000
    page = client.get(f"{BASE}reconciliation/?provider=north").content.decode()
    assert "$1.50" in page
    assert "missing on the bill" in page
    assert AuditEvent.objects.filter(action="bill.imported", actor=staff).count() == 1
    assert bring(b"day,model,cost\nx,y,z\n") == 400
    assert bring(b"\xff\xfe") == 400
    assert bring(b"a", kind="odd") == 400
    assert bring(b"a", provider="nobody") == 400


def test_an_experiment_shows_its_arms_and_stops(browse: Browse, operator: User, busy: Busy) -> None:
    client, one = browse(operator), busy[0].storefront.experiments.get()
    page = client.get(f"{BASE}experiments/").content.decode()
    assert "HOMEMARK-model arm" in page
    assert client.post(f"{BASE}experiments/{one.pk}/stop/").status_code == 302
    one.refresh_from_db()
    assert one.stopped_at is not None


def test_an_experiment_is_begun_with_a_form_and_refused_with_a_sentence(
    browse: Browse, operator: User, busy: Busy
) -> None:
    client, shop = browse(operator), busy[0].storefront
    stage = {"shop": shop.public_id, "name": "autumn", "stop_below": "-20", "arms": "control 1\ncheaper 0.95 2"}
    stage["until"] = f"{timezone.now() + timedelta(days=9):%Y-%m-%d}"

    def begin(**changes: str) -> tuple[int, str]:
        answer = client.post(f"{BASE}experiments/", stage | changes)
        return answer.status_code, answer.content.decode()

    status, page = begin()
    assert status == 400
    assert "homemark-model-try runs in that time" in page
    shop.experiments.update(stopped_at=timezone.now())
    for changes, said in (
        ({"arms": "control"}, "is no arm"),
        ({"arms": "control 1\ncheaper 0.7"}, "below cost, or the margin floor"),
        ({"arms": "control 1\ncheaper 0.95 x"}, "weight"),
        ({"until": "2020-01-01"}, "not in the past"),
        ({"name": "two words"}, "slug"),
        ({"shop": busy[1].storefront.public_id}, "valid choice"),
    ):
        status, page = begin(**changes)
        assert status == 400, changes
        assert said in page, changes
    assert begin()[0] == 302
    made = shop.experiments.get(name="autumn")
    assert [arm["weight"] for arm in made.arms] == [1, 2]
    assert AuditEvent.objects.filter(action="experiment.begun").count() == 1


def test_demand_and_projection(browse: Browse, operator: User, busy: Busy) -> None:
    client = browse(operator)
    charts = client.get(f"{BASE}demand/").context["parts"].charts
    assert [chart.title for chart in charts] == ["HOMEMARK-model"]
    page = client.get(f"{BASE}projection/?users=1000&messages=20&price=0.002&margin=20")
    shown = {card.title: card.value for card in page.context["parts"].cards}
    assert shown["Revenue a month"] == "$1,200.00"
    assert shown["Profit a month"] == "$240.00"
    for bad in ("users=-1", "users=x&messages=1&price=1&margin=1", "users=1&messages=1&price=1&margin=100"):
        assert client.get(f"{BASE}projection/?{bad}").status_code == 400
