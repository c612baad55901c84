"""What loses money is told before it has: found from rollups and rows, told once, and kept until somebody has looked.

Promise: the same trouble is one row for as long as it goes on, and one notice; a notice names its subject and a figure.
When a single look finds more than ``MOST_NOTICES`` new troubles, the rest are told in one sentence, so a bad hour is no
storm of mail. A trouble that is no longer seen ends by itself; if it comes back it is new.
Notices go by mail and by signed webhook through ``plumbing.notices``, in the transaction that writes the row.

Each check is a generator of troubles below, registered by its name; other rooms add theirs with ``register``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Max, Min

from accounts import access, opening
from accounts.models import User
from analytics import reports
from analytics.models import Alarm
from analytics.reports import Figures, Scope
from analytics.rows import read_moment
from billing.models import AuditCheckpoint, InboxEvent
from billing.money import dollars
from gateway.callid import first_id
from gateway.models import AIModel
from plumbing import notices, outbox

MOST_NOTICES = 5
FEW_REQUESTS = 20  # fewer say nothing about a margin
ESTIMATED_PERCENT = 1
UNRECOVERED_NANO = 10_000_000  # a cent a day
OLDEST_S = 300
SILENCE = timedelta(minutes=30)
SILENCE_LOOKS_BACK = timedelta(days=1)
DOWN_MINUTES = 15
DOWN_ATTEMPTS = 5
DOWN_SHARE = 0.8
OUT_OF_FUNDS = 402


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing somebody should look at."""

    kind: str
    subject: str
    sentence: str


Check = Callable[[datetime], Iterator[Trouble]]
_checks: dict[str, Check] = {}


def register(name: str) -> Callable[[Check], Check]:
    """Add a check; it is told the time and yields troubles."""

    def keep(check: Check) -> Check:
        _checks[name] = check
        return check

    return keep


def look(*, now: datetime) -> list[Alarm]:
    """Run every check, keep what it found, tell what is new, end what is over; returns the new ones."""
    troubles = {(trouble.kind, trouble.subject[:160]): trouble for check in _checks.values() for trouble in check(now)}
    with transaction.atomic():
        open_now = {(alarm.kind, alarm.subject): alarm for alarm in Alarm.objects.filter(ended_at__isnull=True)}
        gone = [alarm.pk for key, alarm in open_now.items() if key not in troubles]
        Alarm.objects.filter(pk__in=gone).update(ended_at=now)
        fresh = []
        for key, trouble in sorted(troubles.items()):
            if key in open_now:
                Alarm.objects.filter(pk=open_now[key].pk).update(
                    last_seen_at=now, seen=F("seen") + 1, sentence=trouble.sentence[:300]
                )
            else:
                fresh.append(_open(trouble, now))
        _tell([alarm for alarm in fresh if alarm], now)
        return [alarm for alarm in fresh if alarm]


def acknowledge(alarm: Alarm, *, by: User | None, now: datetime) -> None:
    """Somebody has looked; it stays on the list until it is over."""
    Alarm.objects.filter(pk=alarm.pk, acknowledged_at__isnull=True).update(acknowledged_at=now, acknowledged_by=by)


def _open(trouble: Trouble, now: datetime) -> Alarm | None:
    """Two lookers may see the same at once; the constraint lets one of them be the first."""
    alarm, made = Alarm.objects.get_or_create(
        kind=trouble.kind,
        subject=trouble.subject[:160],
        ended_at=None,
        defaults={"sentence": trouble.sentence[:300], "first_seen_at": now, "last_seen_at": now},
    )
    return alarm if made else None


def _tell(fresh: list[Alarm], now: datetime) -> None:
    told, rest = fresh[:MOST_NOTICES], fresh[MOST_NOTICES:]
    for alarm in told:
        _send(alarm.sentence, alarm.kind, f"alarm:{alarm.pk}", now)
    if rest:
        kinds = ", ".join(sorted({alarm.kind.replace("_", " ") for alarm in rest}))
        _send(f"{len(rest)} more troubles began at the same time: {kinds}.", "several", f"alarms:{rest[0].pk}", now)
    Alarm.objects.filter(pk__in=[alarm.pk for alarm in fresh]).update(told_at=now)


def _send(sentence: str, kind: str, key: str, now: datetime) -> None:
    storefront = opening.default_storefront()
    shop = notices.Shop(name=storefront.name, base_url=access.canonical_base(storefront), color=storefront.brand_color)
    context = {"sentence": sentence, "kind": kind.replace("_", " ")}
    recipients: list[notices.Mailbox | notices.Endpoint] = [notices.Mailbox(one) for one in settings.ALARM_EMAILS]
    if settings.ALARM_WEBHOOK_URL:
        recipients.append(notices.Endpoint(settings.ALARM_WEBHOOK_URL, (settings.ALARM_WEBHOOK_SECRET,)))
    for recipient in recipients:
        notices.send("alarm", recipient=recipient, context=context, key=key, shop=shop, now=now)


# --- Checks -----------------------------------------------------------------------------------------------------------


def _last_day(now: datetime) -> Scope:
    """Yesterday and today: a whole day at least, wherever in the day it is."""
    return Scope((now - timedelta(days=1)).date(), now.date())


@register("margin_below_floor")
def _margins(now: datetime) -> Iterator[Trouble]:
    scope = _last_day(now)
    for what in ("model", "provider", "organization_id"):
        for (name,), figures in reports.by(scope, what).items():
            if figures.requests >= FEW_REQUESTS and _is_thin(figures):
                margin = figures.margin
                shown = f"{float(100 * margin):.1f} per cent" if margin is not None else "all of the cost"
                word = "customer" if what == "organization_id" else what
                yield Trouble(
                    "margin_below_floor",
                    f"{word} {name}",
                    f"The margin of the {word} {name} is {shown}, below the floor of"
                    f" {settings.MARGIN_FLOOR_PERCENT} per cent: {dollars(figures.charge_nano)} charged,"
                    f" {dollars(figures.cost_nano)} cost.",
                )


def _is_thin(figures: Figures) -> bool:
    if figures.margin is None:
        return figures.cost_nano > 0
    return bool(100 * figures.margin < settings.MARGIN_FLOOR_PERCENT)


@register("estimated_usage")
def _estimated(now: datetime) -> Iterator[Trouble]:
    for (provider,), figures in reports.by(_last_day(now), "provider").items():
        share = figures.estimated_share
        if figures.requests >= FEW_REQUESTS and share is not None and 100 * share > ESTIMATED_PERCENT:
            yield Trouble(
                "estimated_usage",
                provider,
                f"{float(100 * share):.1f} per cent of what was charged for {provider} is estimated, not reported.",
            )


@register("unrecovered_usage")
def _unrecovered(now: datetime) -> Iterator[Trouble]:
    for (organization,), figures in reports.by(_last_day(now), "organization_id").items():
        if figures.unrecovered_nano >= UNRECOVERED_NANO:
            yield Trouble(
                "unrecovered_usage",
                f"customer {organization}",
                f"The customer {organization} used {dollars(figures.unrecovered_nano)} that nobody could charge.",
            )


@register("unknown_cost")
def _unknown(now: datetime) -> Iterator[Trouble]:
    for (model,), figures in reports.by(_last_day(now), "model").items():
        if figures.unknown_cost:
            yield Trouble(
                "unknown_cost", model, f"{figures.unknown_cost} calls of {model} were sold at a cost nobody knows."
            )


@register("unpriced_model")
def _unpriced(now: datetime) -> Iterator[Trouble]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT provider, model FROM billing_costcardversion")
        priced = set(cursor.fetchall())
    models = AIModel.objects.filter(is_active=True, alias_of__isnull=True).prefetch_related("routes__provider")
    for model in models:
        routes = [route for route in model.routes.all() if route.is_active]
        if routes and not any((route.provider.slug, route.upstream_model) in priced for route in routes):
            yield Trouble("unpriced_model", model.slug, f"{model.slug} is on the shelf and no cost card prices it.")


@register("queue_age")
def _queues(now: datetime) -> Iterator[Trouble]:
    state = outbox.state(now=now)
    if state.oldest_age_s > OLDEST_S:
        yield Trouble("queue_age", "outbox", f"A message has waited for {state.oldest_age_s / 60:.0f} minutes.")
    if state.parked:
        yield Trouble("parked_messages", "outbox", f"{state.parked} messages failed for good and wait for a person.")


@register("inbox_age")
def _inbox(now: datetime) -> Iterator[Trouble]:
    """Events of payment providers that nobody has handled, those that were given up among them."""
    waiting = InboxEvent.objects.filter(handled_at__isnull=True)
    told = waiting.aggregate(many=Count("id"), oldest=Min("received_at"), parked=Count("parked_at"))
    if told["many"] and (now - told["oldest"]).total_seconds() > OLDEST_S:
        parked = f", {told['parked']} of them given up" if told["parked"] else ""
        oldest = f"{told['oldest']:%Y-%m-%d %H:%M} UTC"
        yield Trouble(
            "inbox_age", "payments", f"{told['many']} events of payments wait{parked}, the oldest since {oldest}."
        )


@register("webhook_silence")
def _silence(now: datetime) -> Iterator[Trouble]:
    """Money came that we had to ask for: the provider's webhooks do not reach us."""
    since, until = (_written(now - ago) for ago in (SILENCE_LOOKS_BACK, SILENCE))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT method, account, count(*), max(created_at) FROM billing_payment"
            " WHERE created_at >= %s AND created_at < %s AND method <> 'operator' GROUP BY method, account",
            [since, until],
        )
        found = cursor.fetchall()
    for method, account, many, newest in found:
        events = InboxEvent.objects.filter(method=method, account=account)
        heard = events.aggregate(last=Max("received_at"))["last"]
        if heard is None or heard < read_moment(newest) - SILENCE:
            last = f"the last one came {heard:%Y-%m-%d %H:%M} UTC" if heard else "none ever came"
            yield Trouble(
                "webhook_silence",
                f"{method} {account}",
                f"{many} payments came by {method} ({account}) within a day without a webhook; {last}.",
            )


def _written(moment: datetime) -> Any:
    """A moment as both engines compare it in plain SQL."""
    return moment if connection.vendor == "postgresql" else f"{moment:%Y-%m-%d %H:%M:%S}"


@register("provider_down")
def _providers(now: datetime) -> Iterator[Trouble]:
    since = first_id(now - timedelta(minutes=DOWN_MINUTES))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT provider, count(*), sum(CASE WHEN status = 0 OR status >= 500 OR status = 429 THEN 1 ELSE 0 END),"
            f" sum(CASE WHEN status = {OUT_OF_FUNDS} THEN 1 ELSE 0 END) FROM gateway_attempt WHERE id >= %s"
            " GROUP BY provider",
            [since],
        )
        found = cursor.fetchall()
    for provider, many, failed, unpaid in found:
        if unpaid:
            yield Trouble("out_of_funds", provider, f"{provider} answers that our account with it is empty.")
        if many >= DOWN_ATTEMPTS and failed / many >= DOWN_SHARE:
            yield Trouble("provider_down", provider, f"{failed} of the last {many} requests to {provider} failed.")


@register("audit_finding")
def _audited(now: datetime) -> Iterator[Trouble]:
    last: Any = AuditCheckpoint.objects.order_by("-id").first()
    if last is not None and last.findings:
        yield Trouble("audit_finding", "books", f"The audit found {last.findings} things wrong; run manage.py audit.")
