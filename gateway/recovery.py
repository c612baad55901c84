"""What becomes of calls whose process died, or only slept.

Promise: when the sweep ends a dead process's hold, the call behind it gets its row in the same transaction, in state
``lost`` and free, with an attempt for each departure; so every departure is explained. A process that was only asleep
and comes back settles late: the row that gave its call up gives way to the true one, in the settlement's transaction.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import Organization
from billing import ledger
from billing.leases import database_now
from billing.operations import Release, Rider, Settle, Verdict
from gateway import rows
from gateway.models import Attempt, Call, Departure
from gateway.models.calls import CallState


class NothingToReplace(RuntimeError):
    """The call's row is there already and is no lost one; somebody must look."""


def stories(hold_ids: Sequence[int]) -> Mapping[int, tuple[Rider, ...]]:
    """The rows that go with the end of these holds, as far as they are calls of ours without one."""
    known = set(Call.unscoped.filter(pk__in=hold_ids).values_list("pk", flat=True))
    departures = Departure.unscoped.filter(call_id__in=set(hold_ids) - known).order_by("call_id", "number")
    now = timezone.now()
    return {
        call_id: rows.lost(of_call, now=now) for call_id, of_call in groupby(departures, lambda one: int(one.call_id))
    }


def close_late(operation: Settle | Release) -> Verdict:
    """End a call whose hold was swept meanwhile, in place of the row that gave it up."""
    try:
        with transaction.atomic():
            organization = Organization.objects.get(pk=operation.organization_id)
            given_up = Call.objects.of(organization).filter(pk=operation.hold_id, state=CallState.LOST)
            if not given_up.delete()[0]:
                message = f"call {operation.hold_id} has ended another way"
                raise NothingToReplace(message)
            Attempt.objects.of(organization).filter(call_id=operation.hold_id).delete()
            return ledger.apply(connection, [operation], database_now())[0]
    finally:
        connections.close_all()
