"""Recompute a call's charge from its rows: exit code 0 when it agrees with the books, 1 when it does not."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.models import Hold, Transfer
from billing.pricing import explain
from gateway import replays
from gateway.models import Attempt, Call


class Command(BaseCommand):
    help = "Compute a call's charge again from its stored usage and pinned versions, and compare it with the books."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("call", type=int, metavar="CALL", help="the call's id, as x-call-id told it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        call = Call.unscoped.filter(pk=options["call"]).first() if 0 <= options["call"] < 2**63 else None
        if call is None:
            message = f"there is no call {options['call']}"
            raise CommandError(message)
        story = _story(call)
        if options["json"]:
            self.stdout.write(json.dumps(story))
        else:
            for step in story["steps"]:
                self.stdout.write(f"{step['label']:<32} {step['detail']:<60} {step['usd'] or ''}")
            self.stdout.write(
                f"call {call.pk}: rule {call.billing_rule}, priced {call.price_nano}, recomputed"
                f" {story['recomputed_nano']}, charged {story['charged_nano']},"
                f" unrecovered {story['unrecovered_nano']} nano-USD"
            )
            for difference in story["differences"]:
                self.stdout.write(f"DIFFERENT: {difference}")
            self.stdout.write("differs" if story["differences"] else "agrees")
        if story["differences"]:
            raise SystemExit(1)


def _story(call: Call) -> dict[str, Any]:
    hold = Hold.unscoped.filter(pk=call.pk).first()
    attempts = list(Attempt.unscoped.filter(call_id=call.pk).order_by("number"))
    differences = list(replays.differences(call, hold, attempts, replays.Versions()))
    differences += _against_transfers(call, hold)
    try:
        again = replays.replay(call, attempts, replays.Versions())
    except replays.NotRecomputable:
        again = None
    steps = explain(again.made) if again and again.made else ()
    return {
        "call": str(call.pk),
        "rule": call.billing_rule,
        "priced_nano": call.price_nano,
        "recomputed_nano": again.price_nano if again else None,
        "cost_nano": again.cost_nano if again else None,
        "charged_nano": hold.charged_nano if hold else 0,
        "unrecovered_nano": hold.unrecovered_nano if hold else 0,
        "steps": [{"label": step.label, "detail": step.detail, "usd": step.usd} for step in steps],
        "differences": differences,
    }


def _against_transfers(call: Call, hold: Any) -> list[str]:
    """The hold says what was charged; its transfers must say the same."""
    if hold is None:
        return []
    sums = {"usage": 0, "late_usage": 0, "unrecovered": 0}
    for code, value in Transfer.unscoped.filter(hold_id=call.pk).values_list("code", "value_nano"):
        sums[code] = sums.get(code, 0) + value
    told = []
    if (moved := sums["usage"] + sums["late_usage"]) != hold.charged_nano:
        told.append(f"transfers move {moved}, the hold says {hold.charged_nano} nano-USD were charged")
    if sums["unrecovered"] != hold.unrecovered_nano:
        told.append(f"transfers book {sums['unrecovered']} unrecovered, the hold says {hold.unrecovered_nano} nano-USD")
    return told
