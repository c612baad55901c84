"""The operator's two pages: events with their deliveries, and the control of time, faults, webhooks and payments."""

import json
from html import escape
from typing import Any

from sandbox.stripe import faults, forms, orders
from sandbox.stripe.api import Answer, Request
from sandbox.stripe.control import Control
from sandbox.stripe.currencies import text
from sandbox.stripe.pages.layout import alert, button, page
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import Object

SHOWN = 50
# what a button beside an object says -> what the object is called, the control's verb, and what else it is told
BUTTONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "resend": ("event", "resend", {}),
    "arrive": ("payment_intent", "money", {"succeeds": True}),
    "bounce": ("payment_intent", "money", {"succeeds": False}),
    "refunded": ("refund", "refund", {"succeeds": True}),
    "refund_fails": ("refund", "refund", {"succeeds": False}),
    "dispute": ("charge", "dispute", {}),
    "inquire": ("charge", "dispute", {"inquiry": True}),
    "won": ("dispute", "decide", {"won": True}),
    "lost": ("dispute", "decide", {"won": False}),
    "escalate": ("dispute", "escalate", {}),
}


def answer(control: Control, request: Request, place: str) -> Answer:
    """The page, after what was asked for is done."""
    said, good = None, True
    if request.method == "POST":
        given = forms.decode(request.body.decode("utf-8", "replace"))
        try:
            said = _do(control, given, request.here)
        except (Problem, KeyError, ValueError) as problem:
            said, good = str(problem), False
    body = _events(control) if place == "events" else _control(control)
    links = f'<a href="{request.here}/control">Control</a><a href="{request.here}/events">Events</a>'
    nav = f'<nav class="panel small">{links}</nav>'
    title = "Events and webhooks" if place == "events" else "Control"
    return page(title, f"{nav}{alert(said, good=good)}{body}", status=200 if good else 400)


def _do(control: Control, given: dict[str, Any], here: str) -> str:
    verb, _, target = str(given.get("do", "")).partition(" ")
    told: dict[str, Any] = {}
    if verb == "fault":
        told = {"what": given["what"], "times": int(given.get("times") or 1)}
    elif verb == "order":
        told = _order(given)
    elif verb == "advance":
        told = {"seconds": float(given.get("seconds") or 3600)}
    elif verb in BUTTONS:
        named, verb, more = BUTTONS[verb]
        told = {named: target, **more}
    elif verb not in {"clear", "release", "reset"}:
        raise Problem(400, "No such button.")
    control.verbs[verb]({"_here": here, **told})
    return "Done."


def _order(given: dict[str, Any]) -> dict[str, Any]:
    kind, number = str(given.get("what")), float(given.get("number") or 0)
    order: dict[str, Any] = {"types": [given.get("types") or "*"], "times": int(given.get("times") or 1)}
    if kind in orders.FORGERIES:
        return order | {"forge": kind}
    ways: dict[str, dict[str, Any]] = {
        "duplicate": {"duplicates": max(1, int(number))},
        "at_once": {"duplicates": max(1, int(number)), "at_once": True},
        "delay": {"delay_s": number or 10},
        "drop": {"drop": True},
        "hold": {"hold": True},
        "old": {"age_s": number or 600},
    }
    return order | ways[kind]


def _form(title: str, inside: str, *, do: str, label: str) -> str:
    return (
        f'<form method="post" class="panel"><h2>{escape(title)}</h2><div class="inline">{inside}'
        f"{button('do', do, label, kind='plain')}</div></form>"
    )


def _field(name: str, label: str, value: str, *, kind: str = "text") -> str:
    return (
        f'<label class="field"><span>{escape(label)}</span><input type="{kind}" name="{name}" value="{escape(value)}">'
        "</label>"
    )


def _select(name: str, label: str, options: tuple[str, ...]) -> str:
    listed = "".join(f"<option>{escape(one)}</option>" for one in options)
    return f'<label class="field"><span>{escape(label)}</span><select name="{name}">{listed}</select></label>'


def _control(control: Control) -> str:
    state = control.state({})
    ahead = state["clock_ahead_s"]
    waiting = [json.dumps(one) for one in (*state["faults"], *state["orders"])]
    ordered = "".join(f"<li><code>{escape(one)}</code></li>" for one in waiting)
    fault = _select("what", "What", faults.KINDS) + _field("times", "How often", "1", kind="number")
    ways = ("duplicate", "at_once", "delay", "drop", "hold", "old", *orders.FORGERIES)
    order = (
        _select("what", "What", ways)
        + _field("number", "Copies or seconds", "", kind="number")
        + _field("types", "Which events", "*")
        + _field("times", "How often", "1", kind="number")
    )
    seconds = _field("seconds", "Seconds", "3600", kind="number")
    forms_ = (
        _form("The next requests go wrong", fault, do="fault", label="Order"),
        _form("The next webhooks suffer", order, do="order", label="Order"),
        _form("Ordered", f"<ul>{ordered}</ul>", do="clear", label="Forget them") if ordered else "",
        _form(f"The clock is {ahead:.0f} s ahead", seconds, do="advance", label="Forward"),
        _form("Held webhooks", "", do="release", label="Release in order"),
        _form("Start over", '<p class="soft">Forgets all customers and payments.</p>', do="reset", label="Reset"),
    )
    return f'<div class="two"><div>{"".join(forms_)}</div><div>{_payments(control)}</div></div>'


def _rows(control: Control, kind: str) -> list[Object]:
    with control.store.reading() as db:
        rows = db.execute("SELECT body FROM objects WHERE type = ? ORDER BY seq DESC LIMIT ?", (kind, SHOWN)).fetchall()
    return [json.loads(row["body"]) for row in rows]


def _payments(control: Control) -> str:
    rows = ""
    for one in _rows(control, "charge"):
        acts = ""
        if one["status"] == "pending":
            acts = _small(f"arrive {one['payment_intent']}", "Money arrives") + _small(
                f"bounce {one['payment_intent']}", "Fails"
            )
        elif one["status"] == "succeeded" and not one["disputed"]:
            acts = _small(f"dispute {one['id']}", "Dispute") + _small(f"inquire {one['id']}", "Inquiry")
        rows += _row(one, one["status"], acts)
    for one in _rows(control, "dispute"):
        acts = ""
        if one["status"] not in {"won", "lost", "warning_closed"}:
            acts = _small(f"won {one['id']}", "Won") + _small(f"lost {one['id']}", "Lost")
            acts += _small(f"escalate {one['id']}", "Escalate") if one["status"].startswith("warning_") else ""
        rows += _row(one, one["status"], acts)
    for one in _rows(control, "refund"):
        acts = _small(f"refunded {one['id']}", "Arrives") if one["status"] == "pending" else ""
        acts += _small(f"refund_fails {one['id']}", "Fails") if one["status"] in {"pending", "succeeded"} else ""
        rows += _row(one, one["status"], acts)
    head = "<tr><th>What</th><th>Amount</th><th>Status</th><th></th></tr>"
    table = f"<h2>Payments, disputes, refunds</h2><table>{head}{rows}</table>"
    return f'<form method="post" class="panel scroll">{table}</form>'


def _small(do: str, label: str) -> str:
    return button("do", do, label, kind="plain small")


def _row(one: Object, status: str, acts: str) -> str:
    amount = text(one["amount"], one["currency"])
    cells = (f"<code>{escape(one['id'])}</code>", escape(amount), escape(status), acts)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _events(control: Control) -> str:
    rows = ""
    for event in _rows(control, "event"):
        with control.store.reading() as db:
            tries = db.execute(
                "SELECT state, attempts, status, answer FROM deliveries WHERE event = ? ORDER BY id", (event["id"],)
            ).fetchall()
        told = "<br>".join(
            escape(f"{one['state']}, {one['attempts']} attempts, {one['status'] or one['answer'] or 'not yet'}")
            for one in tries
        )
        about = event["data"]["object"].get("id", "")
        body = escape(json.dumps(event["data"]["object"], indent=2))
        rows += (
            f"<tr><td>{escape(event['type'])}<br><code>{escape(event['id'])}</code></td><td><code>{escape(str(about))}</code>"
            f"<details><summary>object</summary><pre><code>{body}</code></pre></details></td>"
            f"<td>{told or 'no endpoint'}</td>"
            f"<td>{_small('resend ' + event['id'], 'Resend')}</td></tr>"
        )
    head = "<tr><th>Event</th><th>About</th><th>Deliveries</th><th></th></tr>"
    return f'<form method="post" class="panel scroll"><table>{head}{rows}</table></form>'
