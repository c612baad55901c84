"""What runs the shop: the proof of the books, queues and leases, rollups, and alarms; the platform's pages.

Promise: looking changes nothing; an act is a POST that calls the room it belongs to and leaves its event in the trail.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.models import User
from analytics import alarms as alarm_room
from analytics import rollups
from analytics.models import Alarm, RollupMark
from analytics.reports import BadQuestion
from billing import audit as audit_room
from billing.models import AuditCheckpoint, ProcessLease
from desk import tables, words
from desk.pages.base import exported, platform_only, show
from desk.tables import BAD, GOOD, Card, Column, Parts, Table
from plumbing import outbox
from plumbing.models import OutboxMessage

MOST = 100
MOST_DAYS_AGAIN = 31
LEASE_IS_DEAD = timedelta(seconds=30)


# --- The proof of the books -------------------------------------------------------------------------------------------


@platform_only
def audit(request: HttpRequest) -> HttpResponse:
    """The last runs; and with a POST a run now, whose findings are shown."""
    report, findings = None, Table("findings", "Findings", (), [], "")
    if request.method == "POST":
        report = audit_room.run(full=request.POST.get("how") == "whole")
        kept = audit_room.checkpoint(report, now=timezone.now())
        told = {"findings": len(report.findings), "checks": report.checks, "transfers": report.transfers}
        trail.record("audit.run", source=trail.source_of(request), target=kept, after=told)
        findings = _findings(report)
    runs = list(AuditCheckpoint.objects.all()[:MOST])
    parts = Parts(cards=_audit_cards(runs, report), tables=[*([findings] if report else []), _runs(runs)])
    return exported(request, parts, "audit") or show(request, "desk/audit.html", title="Audit", parts=parts)


def _audit_cards(runs: list[AuditCheckpoint], report: audit_room.Report | None) -> list[Card]:
    last = runs[0] if runs else None
    cards = [
        Card("Last run", words.moment(last.created_at) if last else "never", "UTC" if last else "run it now"),
        Card(
            "Findings",
            words.count(last.findings) if last else words.DASH,
            "nothing is wrong" if last and not last.findings else "",
            tone=(BAD if last.findings else GOOD) if last else "",
        ),
        Card("Transfers looked at", words.count(last.transfers) if last else words.DASH, "in that run"),
    ]
    if report is not None:
        cards.append(Card("Checks", words.count(report.checks), f"in {report.seconds:.1f} s, just now"))
    return cards


def _findings(report: audit_room.Report) -> Table:
    columns = (
        *(Column("invariant", "Invariant"), Column("check", "Check"), Column("table", "Table")),
        *(
            Column("row", "Row", number=True),
            Column("account", "Account", number=True),
            Column("detail", "What is wrong"),
        ),
    )
    lines = [
        [
            *(tables.text(one.invariant), tables.text(one.check), tables.text(one.table)),
            *(tables.count(one.row), tables.count(one.account), tables.text(one.detail, tone=BAD)),
        ]
        for one in report.findings
    ]
    return Table("findings", "Findings of this run", columns, lines, "Nothing is wrong.")


def _runs(runs: list[AuditCheckpoint]) -> Table:
    columns = (
        *(Column("when_utc", "When (UTC)"), Column("transfers", "Transfers looked at", number=True)),
        *(Column("up_to", "Up to entry", number=True), Column("findings", "Findings", number=True)),
    )
    lines = [
        [
            *(tables.moment(one.created_at), tables.count(one.transfers), tables.count(one.last_transfer_id)),
            tables.count(one.findings, tone=BAD if one.findings else GOOD),
        ]
        for one in runs
    ]
    return Table("runs", "Runs", columns, lines, "The books were never proven. Run the audit now.", export="?csv=runs")


# --- Queues, leases, rollups ------------------------------------------------------------------------------------------


@platform_only
def operations(request: HttpRequest) -> HttpResponse:
    """What waits, who holds, how far rollups are."""
    now = timezone.now()
    state, mark = outbox.state(now=now), RollupMark.objects.first()
    leases = list(ProcessLease.objects.order_by("-heartbeat_at")[:20])
    living = [one for one in leases if one.ended_at is None and one.heartbeat_at > now - LEASE_IS_DEAD]
    cards = [
        Card("Waiting messages", words.count(state.pending), f"the oldest due for {words.span(state.oldest_age_s)}"),
        Card("Given up", words.count(state.parked), "wait for a person", tone=BAD if state.parked else ""),
        Card("Living processes", words.count(len(living)), "may hold customers' money"),
        Card(
            "Rolled up until",
            words.moment(mark.rolled_until) if mark else "never",
            f"{words.span((now - mark.rolled_until).total_seconds())} ago" if mark else "no call has been folded yet",
        ),
    ]
    parked = list(
        OutboxMessage.objects.filter(parked_at__isnull=False)
        .defer("confidential", "payload")
        .order_by("-parked_at")[:MOST]
    )
    parts = Parts(cards=cards, tables=[_leases(leases, now)])
    return show(
        request,
        "desk/operations.html",
        title="Operations",
        parts=parts,
        parked=parked,
        today=now.date(),
        most=MOST_DAYS_AGAIN,
    )


def _leases(leases: list[ProcessLease], now: datetime) -> Table:
    columns = (
        *(Column("process", "Process"), Column("since_utc", "Since (UTC)"), Column("heartbeat", "Last sign of life")),
        Column("state", "State"),
    )
    lines = []
    for one in leases:
        is_dead = one.heartbeat_at <= now - LEASE_IS_DEAD
        word, tone = ("ended", "soft") if one.ended_at else ("dead, being swept", BAD) if is_dead else ("lives", GOOD)
        age = f"{words.span((now - one.heartbeat_at).total_seconds())} ago"
        lines.append(
            [tables.text(str(one)), tables.moment(one.started_at), tables.text(age), tables.text(word, tone=tone)]
        )
    return Table(
        "leases", "Process leases", columns, lines, "No process has held money yet.", note="The latest twenty."
    )


@platform_only
@require_POST
def replay(request: HttpRequest) -> HttpResponse:
    """Give parked messages all their tries again."""
    chosen = [int(one) for one in request.POST.getlist("message") if one.isascii() and one.isdigit() and len(one) <= 18]
    returned = outbox.unpark(chosen, now=timezone.now())
    if returned:
        trail.record("outbox.replayed", source=trail.source_of(request), after={"messages": chosen})
    messages.success(request, f"{returned} messages are tried again." if returned else "Nothing was chosen.")
    return HttpResponseRedirect(reverse("admin:desk_operations"))


@platform_only
@require_POST
def roll_again(request: HttpRequest) -> HttpResponse:
    """Compute the rollups of some days again from their calls; a repetition changes nothing."""
    since, until = (_written_day(request.POST.get(name, "")) for name in ("since", "until"))
    if not since <= until < since + timedelta(days=MOST_DAYS_AGAIN):
        message = f"Choose from one to {MOST_DAYS_AGAIN} days, the first before the last."
        raise BadQuestion(message)
    start = datetime(since.year, since.month, since.day, tzinfo=UTC)
    rolled = rollups.roll(since=start, until=start + (until - since + timedelta(days=1)))
    told = {"since": since, "until": until, "cells": rolled.total}
    trail.record("rollups.run", source=trail.source_of(request), after=told)
    messages.success(request, f"Rolled up {since} to {until} again: {rolled.total:,} cells were looked at.")
    return HttpResponseRedirect(reverse("admin:desk_operations"))


def _written_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadQuestion("A day is written like 2026-11-24.") from error


# --- Alarms -----------------------------------------------------------------------------------------------------------


@platform_only
def alarms(request: HttpRequest) -> HttpResponse:
    """What goes on, and what is over."""
    going_on = list(Alarm.objects.filter(ended_at=None).select_related("acknowledged_by")[:MOST])
    over = list(Alarm.objects.filter(ended_at__isnull=False).order_by("-ended_at")[:MOST])
    columns = (
        *(Column("kind", "Kind"), Column("sentence", "What it was")),
        *(Column("began_utc", "Began (UTC)"), Column("ended_utc", "Ended (UTC)"), Column("seen", "Seen", number=True)),
    )
    lines: list[list[Any]] = [
        [
            *(tables.text(one.kind.replace("_", " ")), tables.text(one.sentence)),
            *(tables.moment(one.first_seen_at), tables.moment(one.ended_at), tables.count(one.seen)),
        ]
        for one in over
    ]
    parts = Parts(tables=[Table("over", "Over", columns, lines, "No alarm has ended yet.", export="?csv=over")])
    return exported(request, parts, "alarms") or show(
        request, "desk/alarms.html", title="Alarms", parts=parts, going_on=going_on
    )


@platform_only
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody has looked."""
    alarm = get_object_or_404(Alarm, pk=pk)
    assert isinstance(request.user, User)
    alarm_room.acknowledge(alarm, by=request.user, now=timezone.now())
    trail.record("alarm.acknowledged", source=trail.source_of(request), target=alarm)
    messages.success(request, "Noted that you have looked; it stays here until it is over.")
    return HttpResponseRedirect(reverse("admin:desk_alarms"))


@platform_only
@require_POST
def look(request: HttpRequest) -> HttpResponse:
    """Run every check now instead of at the next beat."""
    fresh = alarm_room.look(now=timezone.now())
    messages.success(request, f"Looked: {len(fresh)} new." if fresh else "Looked: nothing new.")
    return HttpResponseRedirect(reverse("admin:desk_alarms"))
