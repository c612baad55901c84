"""The hosted page of a Checkout Session, and the 3-D Secure step: whatever a customer may do, the sad things too."""

from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from sandbox.stripe import cards, checkout, customers
from sandbox.stripe.api import Answer
from sandbox.stripe.cards import Card
from sandbox.stripe.control import Control, authenticate
from sandbox.stripe.currencies import text
from sandbox.stripe.pages.layout import alert, button, go, page, row
from sandbox.stripe.problems import Problem
from sandbox.stripe.selling import COUNTRIES
from sandbox.stripe.world import Object, World

FIRST = (
    "visa",
    "mastercard",
    "visa_chargeDeclined",
    "visa_chargeDeclinedInsufficientFunds",
    "authenticationRequired",
    "bankDebit",
    "bankDebitFails",
    "stablecoin",
)


def show(world: World, session: Object, here: str, *, words: str | None = None, status: int = 200) -> Answer:
    """The page as it stands."""
    if session["status"] != "open":
        return _closed(session)
    title = "Save a card" if session["mode"] == "setup" else "Pay"
    columns = f'<div>{_summary(session)}</div><div class="panel">{_form(world, session)}</div>'
    body = f'{alert(words)}<div class="two">{columns}</div>'
    return page(title, body, status=status, leads_to=(session["success_url"], session["cancel_url"]))


def _closed(session: Object) -> Answer:
    said = {"complete": "This payment is complete.", "expired": "This page has expired. Nothing was charged."}
    back = session["cancel_url"] if session["status"] == "expired" else success_url(session)
    link = f'<p><a class="button" href="{escape(back)}">Back to the shop</a></p>' if back else ""
    return page(
        "All done" if session["status"] == "complete" else "Expired",
        f'<div class="panel"><p>{said[session["status"]]}</p>{link}</div>',
        narrow=True,
    )


def _summary(session: Object) -> str:
    if session["mode"] == "setup":
        return '<div class="panel"><p class="soft">The card is kept for later. Nothing is charged now.</p></div>'
    currency = session["currency"]
    details = session["total_details"]
    lines = "".join(
        row(
            line["description"] + (f", {line['quantity']}" if line["quantity"] > 1 else ""),
            text(line["amount_subtotal"], currency),
        )
        for line in session["_lines"]
    )
    more = row("Subtotal", text(session["amount_subtotal"], currency), kind="soft")
    if details["amount_discount"]:
        more += row("Discount", text(-details["amount_discount"], currency), kind="soft")
    if session["automatic_tax"]["enabled"]:
        known = session["automatic_tax"]["status"] == "complete"
        more += row("Tax", text(details["amount_tax"], currency) if known else "choose a country", kind="soft")
    total = text(session["amount_total"], currency)
    forms = _code_form(session) + _country_form(session)
    return (
        f'<div class="panel"><div class="soft">To pay</div><div class="total">{escape(total)}</div>{lines}{more}'
        f"{row('Total', total, kind='sum')}</div>{forms}"
    )


def _code_form(session: Object) -> str:
    if not session["allow_promotion_codes"]:
        return ""
    applied = bool(session["discounts"])
    drop = button("do", "drop_code", "Remove code", kind="plain small") if applied else ""
    return (
        '<form method="post" class="panel"><div class="inline"><label class="field"><span>Promotion code</span>'
        f'<input type="text" name="code" autocomplete="off"></label>{button("do", "code", "Apply", kind="plain")}{drop}'
        "</div></form>"
    )


def _country_form(session: Object) -> str:
    if not session["automatic_tax"]["enabled"]:
        return ""
    chosen = session["_country"]
    options = "".join(f"<option{' selected' if one == chosen else ''}>{one}</option>" for one in ("", *COUNTRIES))
    return (
        '<form method="post" class="panel"><div class="inline"><label class="field"><span>Country, for the tax</span>'
        f'<select name="country">{options}</select></label>{button("do", "country", "Work out", kind="plain")}'
        "</div></form>"
    )


def _form(world: World, session: Object) -> str:
    details = session["customer_details"] or {}
    email = details.get("email") or ""
    fixed = " readonly" if email else " required"
    free = session["mode"] == "payment" and session["amount_total"] == 0
    ways = "" if free else f"<h2>How to pay</h2>{_saved(world, session)}{_ways(session)}"
    label = "Save the card" if session["mode"] == "setup" else "Complete" if free else _pay_label(session)
    keep = ""
    if session["_save"] and not free and session["mode"] == "payment":
        keep = '<p><label><input type="checkbox" name="save" value="yes"> Save this card for next time</label></p>'
    cancel = session["cancel_url"]
    leave = f'<p class="small"><a href="{escape(cancel)}">Back to the shop without paying</a></p>' if cancel else ""
    return (
        '<form method="post"><label class="field"><span>Email</span><input type="email" name="email" '
        f'value="{escape(email)}"{fixed} autocomplete="email"></label>{ways}{keep}'
        f"{button('do', 'pay', label, kind='wide')}</form>{leave}"
        f'<form method="post">{button("do", "expire", "Let this page expire", kind="plain small")}</form>'
    )


def _pay_label(session: Object) -> str:
    return f"Pay {text(session['amount_total'], session['currency'])}"


def _saved(world: World, session: Object) -> str:
    if not session["customer"]:
        return ""
    owned = world.all("payment_method", customer=session["customer"])
    return "".join(
        _choice(one["id"], f"Saved: {customers.card_of(one).brand.title()}", customers.card_of(one))
        for one in reversed(owned)
    )


def _ways(session: Object) -> str:
    offered = [card for card in cards.CARDS if card.kind in session["payment_method_types"]]
    if session["mode"] == "setup":
        offered = [card for card in offered if card.kind == "card"]
    first = [card for card in offered if card.name in FIRST]
    more = [card for card in offered if card.name not in FIRST]
    shown = "".join(_choice(f"pm_card_{one.name}", one.label, one, chosen=one.name == "visa") for one in first)
    hidden = "".join(_choice(f"pm_card_{one.name}", one.label, one) for one in more)
    return f"{shown}<details><summary>More test cards</summary>{hidden}</details>"


def _choice(value: str, label: str, card: Card, *, chosen: bool = False) -> str:
    mark = " checked" if chosen else ""
    return (
        f'<label class="card"><input type="radio" name="way" value="{escape(value)}"{mark}><span>{escape(label)}</span>'
        f'<span class="soft small">•••• {escape(card.last4)}</span></label>'
    )


def success_url(session: Object) -> str:
    """Where a customer goes who has paid."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", quote(session["id"]))


def act(control: Control, account: str, session_id: str, given: dict[str, Any], here: str) -> Answer:
    """A button was pressed."""
    words: str | None = None
    status = 200
    try:
        moved = control.inside(
            account, lambda world: _do(world, world.get("checkout.session", session_id), given), here=here
        )
        if moved:
            return go(moved)
    except Problem as problem:
        words, status = problem.message, 402 if problem.status == 402 else 400

    def shown(world: World) -> Answer:
        return show(world, world.get("checkout.session", session_id), here, words=words, status=status)

    answer: Answer = control.inside(account, shown, here=here)
    return answer


def _do(world: World, session: Object, given: dict[str, Any]) -> str | None:
    what = given.get("do")
    if what == "code":
        checkout.apply_code(world, session, str(given.get("code", "")))
    elif what == "drop_code":
        checkout.apply_code(world, session, "")
    elif what == "country":
        country = str(given.get("country", ""))
        checkout.locate(world, session, country if country in COUNTRIES else "")
    elif what == "expire":
        checkout.expire(world, {}, id=session["id"])
    elif what == "pay":
        return _pay(world, session, given)
    return None


def _pay(world: World, session: Object, given: dict[str, Any]) -> str:
    way = str(given.get("way", ""))
    method = customers.method(world, way) if way else None
    if method and method["customer"] not in (None, session["customer"]):
        raise Problem(400, "This card is somebody else's.")
    save = given.get("save") == "yes"
    paid = checkout.pay(world, session, method, email=str(given.get("email", ""))[:200], save=save)
    if paid["status"] == "open":
        return f"{world.here}/authenticate/{paid['payment_intent'] or paid['setup_intent']}"
    return success_url(paid)


# --- the 3-D Secure step ---


def challenge(world: World, intent: Object) -> Answer:
    """The bank's page."""
    if intent["status"] != "requires_action":
        return page("Nothing to confirm", '<div class="panel"><p>This step is over.</p></div>', narrow=True)
    amount = f" of {text(intent['amount'], intent['currency'])}" if "amount" in intent else ""
    body = (
        f'<div class="panel"><p>Your bank asks whether this payment{escape(amount)} is yours (3-D Secure).</p>'
        f'<form method="post"><p>{button("do", "ok", "Complete authentication", kind="wide")}</p>'
        f"{button('do', 'fail', 'Fail authentication', kind='plain wide')}</form></div>"
    )
    session = _session_of(world, intent)
    back = (session["success_url"], session["cancel_url"]) if session else (intent.get("_return_url"),)
    return page("Is it you?", body, narrow=True, leads_to=back)


def _session_of(world: World, intent: Object) -> Object | None:
    if intent["object"] == "payment_intent":
        return next(iter(world.all("checkout.session", payment_intent=intent["id"])), None)
    found = [one for one in world.all("checkout.session") if one["setup_intent"] == intent["id"]]
    return found[0] if found else None


def challenged(control: Control, account: str, target: str, given: dict[str, Any], here: str) -> Answer:
    """The customer has answered the bank."""
    ok = given.get("do") == "ok"
    words = None if ok else "The authentication failed. Nothing was charged."
    try:
        control.inside(account, lambda world: authenticate(world, target, ok=ok), here=here)
    except Problem as problem:
        words = problem.message

    def onwards(world: World) -> Answer:
        intent = world.find(target) or {}
        session = _session_of(world, intent)
        if session is not None and session["status"] != "open":
            return go(success_url(session))
        if session is not None:
            return show(world, session, here, words=words, status=402)
        return _returned(intent)

    answer: Answer = control.inside(account, onwards, here=here)
    return answer


def _returned(intent: Object) -> Answer:
    back = intent.get("_return_url")
    if not back:
        return page(
            "Done",
            f'<div class="panel"><p>The status is now <code>{escape(intent["status"])}</code>.</p></div>',
            narrow=True,
        )
    status = "succeeded" if intent["status"] in {"succeeded", "processing"} else "failed"
    query = urlencode({intent["object"]: intent["id"], "redirect_status": status})
    return go(f"{back}{'&' if '?' in back else '?'}{query}")
