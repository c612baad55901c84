"""Reports by mail: the same figures as the desk's, once for each stretch of days, to those who may see the shop."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, StorefrontStaff, User
from desk import mailed, tasks
from desk.models import Every, MailedReport
from plumbing import notices
from plumbing.models import OutboxMessage
from tests import factories
from tests.desk.conftest import text_of

Browse = Callable[..., Client]
Busy = tuple[Organization, Organization]
PAGE = "/admin/desk/reports/"


@pytest.mark.parametrize(
    ("every", "now", "since", "until"),
    [
        (Every.DAY, datetime(2026, 3, 1, 3, tzinfo=UTC), date(2026, 2, 28), date(2026, 2, 28)),
        (Every.DAY, datetime(2026, 3, 1, 2, 59, tzinfo=UTC), date(2026, 2, 27), date(2026, 2, 27)),
        (Every.WEEK, datetime(2026, 11, 23, 3, tzinfo=UTC), date(2026, 11, 16), date(2026, 11, 22)),
        (Every.WEEK, datetime(2026, 11, 29, 23, tzinfo=UTC), date(2026, 11, 16), date(2026, 11, 22)),
        (Every.MONTH, datetime(2026, 3, 1, 4, tzinfo=UTC), date(2026, 2, 1), date(2026, 2, 28)),
        (Every.MONTH, datetime(2027, 1, 31, tzinfo=UTC), date(2026, 12, 1), date(2026, 12, 31)),
    ],
)
def test_a_stretch_is_the_last_whole_one(every: Every, now: datetime, since: date, until: date) -> None:
    assert mailed.stretch(every, now=now) == (since, until)


def letters() -> list[OutboxMessage]:
    return list(OutboxMessage.objects.filter(topic=notices.MAIL, payload__kind="desk_report").order_by("pk"))


def due(user: User, organization: Organization | None, every: Every = Every.MONTH) -> MailedReport:
    """A report that covers days long ago, so the next task sends it."""
    shop = organization.storefront if organization else None
    row = mailed.ask(user=user, storefront=shop, every=every, now=timezone.now())
    MailedReport.objects.filter(pk=row.pk).update(sent_until=date(2026, 1, 1))
    return row


def test_what_is_asked_on_the_page_comes_and_says_what_the_desk_says(
    browse: Browse, operator: User, busy: Busy, mailoutbox: list[object]
) -> None:
    client = browse(operator)
    shop = busy[0].storefront
    assert client.post(PAGE, {"shop": shop.public_id, "every": "month"}).status_code == 302
    assert client.post(PAGE, {"shop": shop.public_id, "every": "month"}).status_code == 302
    row = MailedReport.objects.get()
    assert (row.user, row.storefront, row.every) == (operator, shop, "month")
    assert "every month, on the first" in client.get(PAGE).content.decode().lower()
    assert tasks.send_reports() == 0, "the next whole month has not passed yet"
    MailedReport.objects.update(sent_until=date(2026, 1, 1))
    assert tasks.send_reports() == 1
    assert tasks.send_reports() == 0
    since, until = mailed.stretch(Every.MONTH, now=timezone.now())
    told = mailed.letter(row, since, until)
    desk = client.get(told["path"])
    assert desk.status_code == 200
    shown = [{"title": one.title, "value": one.value, "note": one.note} for one in desk.context["parts"].cards]
    assert told["cards"] == shown
    assert int(told["cards"][6]["value"].replace(",", "")) > 0, "a month with calls in it"
    assert f"{since:%-d %b %Y} to {until:%-d %b %Y}" == told["days"]


def test_the_letter_holds_no_word_of_the_other_shop(operator: User, busy: Busy) -> None:
    for every in Every:
        told = mailed.letter(due(operator, busy[0], every), date(2026, 1, 1), timezone.now().date())
        assert "canary" not in str(told).lower()
        assert "HOMEMARK-model" in str(told)


def test_nobody_gets_what_they_may_not_see(browse: Browse, operator: User, busy: Busy) -> None:
    ours, theirs = busy
    client = browse(operator)
    refused = client.post(PAGE, {"shop": theirs.storefront.public_id, "every": "day"})
    assert refused.status_code == 400
    assert client.post(PAGE, {"shop": "", "every": "day"}).status_code == 400, "all shops are the platform's"
    with pytest.raises(mailed.NotYours):
        mailed.ask(user=operator, storefront=None, every="day", now=timezone.now())
    with pytest.raises(mailed.NotYours):
        mailed.ask(user=factories.make_user(), storefront=ours.storefront, every="day", now=timezone.now())
    assert not MailedReport.objects.exists()


def test_who_left_the_job_gets_nothing(operator: User, busy: Busy) -> None:
    due(operator, busy[0], Every.DAY)
    StorefrontStaff.objects.filter(user=operator).delete()
    assert mailed.send_due(now=timezone.now()) == 0
    assert letters() == []


def test_the_platform_may_ask_for_all_shops_and_end_it(browse: Browse, staff: User, operator: User, busy: Busy) -> None:
    row = due(staff, None, Every.WEEK)
    assert mailed.send_due(now=timezone.now()) == 1
    assert len(letters()) == 1
    assert browse(operator).post(f"{PAGE}{row.pk}/end/").status_code == 404, "another person's report"
    client = browse(staff)
    assert "All shops" in text_of(client.get(PAGE))
    assert client.post(f"{PAGE}{row.pk}/end/").status_code == 302
    assert not MailedReport.objects.exists()
    assert mailed.send_due(now=timezone.now() + timedelta(days=9)) == 0


def test_the_letter_reads_well_in_text(operator: User, busy: Busy, mailoutbox: list[object]) -> None:
    from plumbing import outbox

    due(operator, busy[0])
    mailed.send_due(now=timezone.now())
    outbox.drain()
    [mail] = [one for one in mailoutbox if "monthly" in one.subject]  # type: ignore[attr-defined]
    body = mail.body  # type: ignore[attr-defined]
    assert re.search(r"Revenue: \$[\d,.]+ \(", body)
    assert "Models: requests, revenue, cost" in body
    assert "/admin/?since=" in body
    assert "&amp;" not in body, "an address in a plain text is an address"
