"""Reports by mail: whoever works at a shop may ask for its figures every day, week or month.

Promise: a letter holds the cards and the models of the desk's first page for the days it names, made by the same code,
so the two cannot differ; each stretch of days is sent once, whoever runs the task and however often. It goes only to
somebody who may see that shop at that moment. A report that could not be sent for a while comes for the last whole
stretch alone: nobody wants twelve at once.
"""

from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.urls import reverse

from accounts import letters, opening
from accounts.models import Storefront, User
from accounts.operators import scope_of
from analytics import reports
from analytics.reports import Figures, Scope
from desk import front
from desk.lens import Lens
from desk.models import Every, MailedReport
from plumbing.refusals import Refusal

SETTLES_IN = timedelta(hours=3)  # a call that ends after midnight still belongs to its day
MOST_MODELS = 5
MOST_REPORTS = 20


class NotYours(Refusal, ValueError):
    """Nobody gets the figures of a shop they may not see."""

    status = 404
    code = "not_yours"


class TooMany(Refusal, ValueError):
    """One person has so many reports that another one would not be read."""

    status = 409
    code = "too_many_reports"


def ask(*, user: User, storefront: Storefront | None, every: str, now: datetime) -> MailedReport:
    """Send it from the next whole stretch on; asking twice is asking once."""
    scope = scope_of(user)
    if not (scope.may_see(storefront) if storefront else scope.platform):
        raise NotYours("There is no such shop.")
    if MailedReport.objects.filter(user=user).count() >= MOST_REPORTS:
        message = f"{MOST_REPORTS} reports are enough for one person."
        raise TooMany(message)
    last = stretch(Every(every), now=now)[1]
    row, _ = MailedReport.objects.get_or_create(
        user=user, storefront=storefront, every=every, defaults={"sent_until": last, "created_at": now}
    )
    return row


def end(*, user: User, pk: int) -> bool:
    """Send it no more; returns whether it was theirs."""
    gone, _ = MailedReport.objects.filter(user=user, pk=pk).delete()
    return bool(gone)


def stretch(every: Every, *, now: datetime) -> tuple[date, date]:
    """The last whole day, week (from Monday) or month, as its first and last day in UTC."""
    today = (now - SETTLES_IN).date()
    if every == Every.DAY:
        return today - timedelta(days=1), today - timedelta(days=1)
    first = reports.begin_of(today, str(every))
    last = first - timedelta(days=1)
    return reports.begin_of(last, str(every)), last


def send_due(*, now: datetime) -> int:
    """Send what is due; returns how many letters were written."""
    sent = 0
    for row in MailedReport.objects.select_related("user", "storefront").order_by("pk"):
        since, until = stretch(Every(row.every), now=now)
        if row.sent_until >= until:
            continue
        scope = scope_of(row.user)
        if not (scope.may_see(row.storefront) if row.storefront else scope.platform):
            continue  # it waits: whoever comes back to the job finds it
        context = letter(row, since, until)
        with transaction.atomic():
            # Of two tasks at once one moves the day; the other finds nothing to move.
            if MailedReport.objects.filter(pk=row.pk, sent_until__lt=until).update(sent_until=until):
                letters.send(
                    "desk_report",
                    storefront=row.storefront or opening.default_storefront(),
                    recipients=[row.user.email],
                    context=context,
                    key=f"report:{row.pk}:{until}",
                    now=now,
                )
                sent += 1
    return sent


def letter(row: MailedReport, since: date, until: date) -> dict[str, Any]:
    """What the letter says: the cards and the first models of the desk's first page of these days."""
    shops = tuple(Storefront.objects.all()[:2])  # an address names a shop where there is a choice
    lens = Lens("", Scope(since, until, storefront=row.storefront), shops, may_see_all=False, path="")
    by_model = reports.by(lens.scope, "model", "provider")
    total = sum(by_model.values(), Figures())
    cards = front.cards(lens, total, reports.total(lens.scope.before))
    models = front.models_table(lens, by_model)
    return {
        "shop_name": row.storefront.name if row.storefront else "all shops",
        "every": {"day": "daily", "week": "weekly", "month": "monthly"}[row.every],
        "days": lens.words,
        "cards": [{"title": card.title, "value": card.value, "note": card.note} for card in cards],
        "models": [[cell.text for cell in line] for line in list(models.rows)[:MOST_MODELS]],
        "path": reverse("admin:index") + lens.query(),
        "end_path": reverse("admin:desk_reports"),
    }
