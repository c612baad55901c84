"""What the audit says of calls, what becomes of those whose process died, and that a late one is still charged."""

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections
from django.db.models import F
from django.db.models.functions import Now

from billing import audit, leases
from billing.commit import Committer
from billing.leases import DEAD_AFTER, Lease
from billing.models import Hold, ProcessLease, Wallet
from billing.operations import Reserve, Settle
from gateway import recovery, rows
from gateway.fair_billing import Rule
from gateway.models import Attempt, Call, Departure
from gateway.models.calls import CallState
from tests.gateway.houses import open_house, sell
from tests.gateway.test_settlement import CHAT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]


def worked():
    """A server that answered, failed and failed over; its organization."""
    with open_house() as house:
        house.post("/v1/chat/completions", CHAT)
        sell("broken", "sandbox-standard+status=500")
        house.post("/v1/chat/completions", {**CHAT, "model": "broken"})
        house.post("/v1/chat/completions", {**CHAT, "stream": True})
    return house.organization


def test_the_audit_finds_what_is_wrong_with_calls_and_nothing_else():
    worked()
    assert audit.run().findings == []
    assert audit.run(full=False).findings == []
    first, failed, last = Call.unscoped.order_by("pk")

    def findings():
        return {(finding.invariant, finding.check) for finding in audit.run().findings}

    def broken(rows_, change, undo, *wanted):
        rows_.update(**change)
        assert findings() == set(wanted)
        rows_.update(**undo)
        assert findings() == set()

    row = Call.unscoped.filter(pk=first.pk)
    recomputes = ("I7", "the charge recomputes")
    broken(row, {"price_nano": F("price_nano") + 1}, {"price_nano": first.price_nano}, recomputes)
    broken(row, {"cost_nano": 1}, {"cost_nano": first.cost_nano}, recomputes)
    broken(row, {"usage": []}, {"usage": first.usage}, recomputes)
    broken(row, {"plan_version_id": 10**6}, {"plan_version_id": first.plan_version_id}, recomputes)
    broken(row, {"billing_rule": "free"}, {"billing_rule": first.billing_rule}, recomputes)
    broken(row, {"billing_rule": Rule.FAILED_FREE}, {"billing_rule": first.billing_rule}, recomputes)
    attempt = Attempt.unscoped.filter(call_id=last.pk)
    [known] = attempt.values_list("pk", flat=True)
    broken(attempt, {"id": 5}, {"id": known}, ("I6", "every departure is an attempt"), ("I6", "every attempt departed"))
    for state in (first, failed):
        [kept] = Call.unscoped.filter(pk=state.pk).values()
        Call.unscoped.filter(pk=state.pk).delete()
        assert len(findings()) == 1
        Call.unscoped.create(**kept)
    departure = Departure.unscoped.filter(pk=Departure.unscoped.get(call_id=last.pk).pk)
    broken(
        departure,
        {"call_id": 5},
        {"call_id": last.pk},
        ("I6", "nothing leaves without a hold"),
        ("I6", "every attempt departed"),
    )


def left_behind(organization, number=77):
    """A call whose process is dead: its hold is open, its departures are there."""
    lease = Lease("victim")
    lease.take()
    departures = [
        (number + extra, number, organization.pk, 1, extra + 1, "m", "p", "chat", datetime.now(UTC))
        for extra in range(2)
    ]
    rider = rows.Rider("gateway_departure", rows.DEPARTURE_COLUMNS, departures)
    committer = Committer()
    committer.start()
    epoch = Wallet.unscoped.get(organization=organization).epoch
    reserve = Reserve(number, organization.pk, lease.process_id, epoch, 100, 100, riders=(rider,))
    asyncio.run(committer.submit(reserve))
    committer.stop()
    ProcessLease.objects.filter(pk=lease.process_id).update(heartbeat_at=Now() - DEAD_AFTER - timedelta(seconds=1))
    return number


def test_the_call_of_a_dead_process_is_lost_free_and_explained():
    organization = worked()
    number = left_behind(organization)
    assert leases.sweep() == 1
    lost = Call.unscoped.get(pk=number)
    assert (lost.state, lost.billing_rule, lost.price_nano) == (CallState.LOST, Rule.SERVER_DIED, 0)
    assert list(Attempt.unscoped.filter(call_id=number).values_list("id", "number")) == [(number, 1), (number + 1, 2)]
    assert Hold.unscoped.get(pk=number).outcome == "expired"
    assert leases.sweep() == 0
    assert audit.run().findings == []


def test_a_process_that_only_slept_charges_late_and_its_call_is_no_longer_lost():
    organization = worked()
    number = left_behind(organization)
    leases.sweep()
    [like] = Call.unscoped.filter(state=CallState.DONE).order_by("pk").values()[:1]
    lost_attempts = list(Attempt.unscoped.filter(call_id=number).values())
    row = tuple((like | {"id": number})[name] for name in rows.CALL_COLUMNS)
    told = {name: like[name] for name in ("usage", "card_version_id", "cost_nano")}
    lost_attempts[-1] |= told
    attempts = [tuple(one[name] for name in rows.ATTEMPT_COLUMNS) for one in lost_attempts]
    riders = (
        rows.Rider("gateway_call", rows.CALL_COLUMNS, [row]),
        rows.Rider("gateway_attempt", rows.ATTEMPT_COLUMNS, attempts),
    )
    settle = Settle(number, organization.pk, like["price_nano"], exact=True, riders=riders)
    verdict = recovery.close_late(settle)
    assert (verdict.charged_nano, verdict.late) == (like["price_nano"], True)
    assert Call.unscoped.get(pk=number).state == CallState.DONE
    assert Attempt.unscoped.filter(call_id=number).count() == 2
    assert audit.run().findings == []
    with pytest.raises(recovery.NothingToReplace):
        recovery.close_late(settle)


def test_a_reserve_whose_caller_is_gone_leaves_an_explained_call():
    """The hold was committed, nobody waited for the answer: its release brings the call's row along."""
    organization = worked()
    committer = Committer()
    lease = Lease("gateway")
    lease.take()
    number = 99
    rider = rows.Rider(
        "gateway_departure",
        rows.DEPARTURE_COLUMNS,
        [(number, number, organization.pk, 1, 1, "m", "p", "chat", datetime.now(UTC))],
    )

    class Stand:
        call_id, organization_id, api_key_id, number = 99, organization.pk, 1, 1
        model, provider, endpoint, leaves_at, id = "m", "p", "chat", datetime.now(UTC), 99

    reserve = Reserve(
        number,
        organization.pk,
        lease.process_id,
        Wallet.unscoped.get(organization=organization).epoch,
        100,
        100,
        riders=(rider,),
        if_abandoned=lambda: rows.lost([Stand()], now=datetime.now(UTC)),
    )

    async def leave():
        committer.start()
        asking = asyncio.ensure_future(committer.submit(reserve))
        await asyncio.sleep(0)
        for _ in range(5_000):  # blocks the loop on purpose: the answer must not be seen
            if Hold.unscoped.filter(pk=number).exists():
                break
            time.sleep(0.001)  # noqa: ASYNC251 - that is the point
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        connections.close_all()  # this task's own

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        asyncio.run(leave())
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    committer.stop()
    assert Hold.unscoped.get(pk=number).outcome == "released"
    assert Call.unscoped.filter(pk=number).exists()
    assert audit.run().findings == []
