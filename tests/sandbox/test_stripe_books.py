"""Whatever happens to payments in the sandbox, in whatever order: the amounts add up, and states never go backwards."""

import json
import random
import re
import urllib.parse
from collections import defaultdict

import pytest

from sandbox.stripe import routes
from sandbox.stripe.api import Api, Request
from sandbox.stripe.control import Control
from sandbox.stripe.deliverer import Deliverer
from sandbox.stripe.problems import Problem
from sandbox.stripe.store import Store

KEY = "sk_test_books"
CARDS = (
    "visa",
    "visa_chargeDeclined",
    "bankDebit",
    "bankDebitFails",
    "stablecoin",
    "pendingRefund",
    "refundFail",
    "authenticationRequired",
    "createDispute",
    "createDisputeInquiry",
)
STEPS = 60


class Shop:
    """Everything that can be done, done without HTTP, and what it left behind."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.store = Store()
        self.api = Api(self.store)
        self.api.add_key(KEY)
        self.control = Control(self.api, Deliverer(self.store), key="unused")

    def call(self, method, path, params=None):
        query = urllib.parse.urlencode(params or {})
        headers = {"authorization": f"Bearer {KEY}"}
        body = query.encode() if method == "POST" else b""
        answer = self.api.answer(Request(method, path, "" if body else query, body, headers, "http://here"))
        assert answer.status < 500, answer.body
        return json.loads(answer.body)

    def every(self, path):
        found, after = [], {}
        while True:
            page = self.call("GET", path, {"limit": 100, **after})
            found += page["data"]
            if not page["has_more"]:
                return found
            after = {"starting_after": page["data"][-1]["id"]}

    def pick(self, path, **by):
        found = [one for one in self.every(path) if all(one[name] == value for name, value in by.items())]
        return self.chance.choice(found)["id"] if found else None

    def told(self, verb, **given):
        try:
            return self.control.verbs[verb](given)
        except Problem as problem:
            assert problem.status in {400, 402, 404}
            return None

    # --- steps ---

    def pay(self):
        currency = self.chance.choice(("usd", "jpy", "kwd"))
        amount = self.chance.randrange(100, 3000) * 10
        card = f"pm_card_{self.chance.choice(CARDS)}"
        params = {"amount": amount, "currency": currency, "payment_method": card, "confirm": "true"}
        extra = {"off_session": "true"} if self.chance.random() < 0.5 else {"return_url": "http://here/back"}
        self.call("POST", "/v1/payment_intents", {**params, **extra})

    def check_out(self):
        price = "line_items[0][price_data]"
        params = {
            "success_url": "http://here/",
            "line_items[0][quantity]": self.chance.randrange(1, 4),
            f"{price}[currency]": "usd",
            f"{price}[unit_amount]": self.chance.randrange(50, 2000),
            f"{price}[product_data][name]": "Credit",
            f"{price}[tax_behavior]": self.chance.choice(("inclusive", "exclusive")),
            "line_items[1][quantity]": 1,
            "line_items[1][price_data][currency]": "usd",
            "line_items[1][price_data][unit_amount]": self.chance.randrange(50, 999),
            "line_items[1][price_data][product_data][name]": "More",
            "allow_promotion_codes": "true",
            "automatic_tax[enabled]": self.chance.choice(("true", "false")),
            "invoice_creation[enabled]": self.chance.choice(("true", "false")),
        }
        session = self.call("POST", "/v1/checkout/sessions", params)["id"]
        code = self.chance.choice(("HALF", "ALL", "THREE", None))
        self.told("pay", session=session, card=self.chance.choice(CARDS), code=code, country="DE")

    def refund(self):
        charge = self.pick("/v1/charges")
        if charge:
            amount = {"amount": self.chance.randrange(1, 9000)} if self.chance.random() < 0.7 else {}
            self.call("POST", "/v1/refunds", {"charge": charge, **amount})

    def end_refund(self):
        refund = self.pick("/v1/refunds")
        if refund and self.chance.random() < 0.2:
            self.call("POST", f"/v1/refunds/{refund}/cancel")
        elif refund:
            self.told("refund", refund=refund, succeeds=self.chance.random() < 0.5)

    def dispute(self):
        charge = self.pick("/v1/charges")
        if charge:
            self.told("dispute", charge=charge, inquiry=self.chance.random() < 0.4)

    def end_dispute(self):
        dispute = self.pick("/v1/disputes")
        if dispute and self.chance.random() < 0.3:
            self.told("escalate", dispute=dispute)
        elif dispute:
            self.told("decide", dispute=dispute, won=self.chance.random() < 0.5)

    def money(self):
        intent = self.pick("/v1/payment_intents", status="processing")
        if intent:
            self.told("money", payment_intent=intent, succeeds=self.chance.random() < 0.5)

    def authenticate(self):
        intent = self.pick("/v1/payment_intents", status="requires_action")
        if intent:
            self.told("authenticate", intent=intent, ok=self.chance.random() < 0.7)

    def try_again(self):
        intent = self.pick("/v1/payment_intents")
        if intent and self.chance.random() < 0.2:
            self.call("POST", f"/v1/payment_intents/{intent}/cancel")
        elif intent:
            card = f"pm_card_{self.chance.choice(CARDS)}"
            params = {"payment_method": card, "return_url": "http://here/back"}
            self.call("POST", f"/v1/payment_intents/{intent}/confirm", params)

    def wait(self):
        self.told("advance", seconds=self.chance.choice((1, 150, 90_000, 200_000)))


def adds_up(shop):
    moved = defaultdict(int)
    movements = {one["id"]: one for one in shop.every("/v1/balance_transactions")}
    for one in movements.values():
        assert one["net"] == one["amount"] - one["fee"]
        assert one["fee"] == sum(part["amount"] for part in one["fee_details"])
        moved[one["source"]] += one["amount"]
    refunds, disputes = shop.every("/v1/refunds"), shop.every("/v1/disputes")
    given_back, charged = defaultdict(int), defaultdict(list)
    for refund in refunds:
        kept = 0 if refund["status"] in {"failed", "canceled"} else refund["amount"]
        given_back[refund["charge"]] += kept
        assert moved[refund["id"]] == -kept
    for dispute in disputes:
        taken = dispute["status"] in {"needs_response", "under_review", "lost"}
        assert moved[dispute["id"]] == (-dispute["amount"] if taken else 0)
    for charge in shop.every("/v1/charges"):
        charged[charge["payment_intent"]].append(charge)
        paid = charge["status"] == "succeeded"
        assert (charge["paid"], charge["captured"]) == (paid, paid)
        assert charge["amount_captured"] == (charge["amount"] if paid else 0) == moved[charge["id"]]
        assert 0 <= charge["amount_refunded"] == given_back[charge["id"]] <= charge["amount_captured"]
        assert charge["refunded"] == (paid and charge["amount_refunded"] == charge["amount_captured"])
    for intent in shop.every("/v1/payment_intents"):
        paid = [charge for charge in charged[intent["id"]] if charge["status"] == "succeeded"]
        assert len(paid) == (intent["status"] == "succeeded")
        assert intent["amount_received"] == sum(charge["amount"] for charge in paid)
    balance = shop.call("GET", "/v1/balance")
    for currency in ("usd", "jpy", "kwd"):
        told = sum(
            one["amount"] for kind in ("available", "pending") for one in balance[kind] if one["currency"] == currency
        )
        assert told == sum(one["net"] for one in movements.values() if one["currency"] == currency)


def sessions_add_up(shop):
    intents = {one["id"]: one for one in shop.every("/v1/payment_intents")}
    invoices = {one["id"]: one for one in shop.every("/v1/invoices")}
    for session in shop.every("/v1/checkout/sessions"):
        details = session["total_details"]
        lines = shop.call("GET", f"/v1/checkout/sessions/{session['id']}/line_items")["data"]
        for part in ("subtotal", "total", "discount", "tax"):
            whole = session[f"amount_{part}"] if part in {"subtotal", "total"} else details[f"amount_{part}"]
            assert whole == sum(line[f"amount_{part}"] for line in lines)
        inside = sum(line["amount_tax"] for line in lines if line["price"]["tax_behavior"] == "inclusive")
        taxed = details["amount_tax"] - inside
        assert session["amount_total"] == session["amount_subtotal"] - details["amount_discount"] + taxed >= 0
        intent = intents.get(session["payment_intent"])
        if session["payment_status"] == "paid":
            assert (session["status"], intent["status"]) == ("complete", "succeeded")
            assert intent["amount_received"] == session["amount_total"]
        if session["payment_status"] == "no_payment_required":
            assert (session["amount_total"], intent) == (0, None)
        if session["invoice"]:
            assert invoices[session["invoice"]]["amount_paid"] == session["amount_total"]


@pytest.mark.parametrize("seed", range(8))
def test_amounts_add_up_after_any_history(seed):
    shop = Shop(seed)
    for name, coupon in (("HALF", {"percent_off": 50}), ("ALL", {"percent_off": 100}), ("THREE", {"amount_off": 300})):
        extra = {"currency": "usd"} if "amount_off" in coupon else {}
        made = shop.call("POST", "/v1/coupons", {**coupon, **extra})["id"]
        shop.call("POST", "/v1/promotion_codes", {"code": name, "promotion[type]": "coupon", "promotion[coupon]": made})
    steps = [
        shop.pay,
        shop.pay,
        shop.check_out,
        shop.check_out,
        shop.refund,
        shop.refund,
        shop.end_refund,
        shop.dispute,
    ]
    steps += [shop.end_dispute, shop.money, shop.authenticate, shop.try_again, shop.wait]
    for _ in range(STEPS):
        shop.chance.choice(steps)()
    adds_up(shop)
    sessions_add_up(shop)
    shop.store.close()


def test_histories_reach_every_corner():
    """The walk above proves nothing about what it never meets."""
    met = set()
    for seed in range(8):
        shop = Shop(1000 + seed)
        steps = [shop.pay, shop.pay, shop.refund, shop.end_refund, shop.dispute, shop.end_dispute, shop.money]
        for _ in range(STEPS):
            shop.chance.choice(steps)()
        met |= {event["type"] for event in shop.every("/v1/events")}
        shop.store.close()
    assert met >= {
        "charge.succeeded",
        "charge.failed",
        "charge.pending",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "payment_intent.requires_action",
        "refund.failed",
    }


ODD = (
    "",
    "0",
    "-1",
    "true",
    "x" * 6000,
    "\x00",
    "\u202e",
    "9" * 18,
    "usd",
    "1000",
    "http://here/",
    "pm_card_visa",
    "card",
)


def _odd_form(shape, chance, ids, at=""):
    """Names this address knows and some it does not, with values that mean something, nothing or mischief."""
    for name, kind in shape.items():
        if chance.random() < (0.7 if at or not name.endswith("!") else 0.2):
            continue
        key = f"{at}[{name.rstrip('!')}]" if at else name.rstrip("!")
        inner = kind[0] if isinstance(kind, list) else kind
        key = f"{key}[{chance.choice(('0', '1', '', 'x'))}]" if isinstance(kind, list) else key
        if isinstance(inner, dict) and chance.random() < 0.9:
            yield from _odd_form(inner, chance, ids, key)
        elif inner == "map":
            yield f"{key}[{chance.choice(ODD[:8])}]", chance.choice(ODD)
        elif isinstance(inner, str) and "|" in inner and chance.random() < 0.8:
            yield key, chance.choice(inner.split("|"))
        else:
            yield key, chance.choice((*ODD, *ids))


@pytest.mark.parametrize("seed", range(3))
def test_no_form_however_odd_makes_it_fail(seed):
    shop = Shop(seed)
    steps = [shop.pay, shop.check_out, shop.refund, shop.dispute]
    for step in steps * 3:
        step()
    with shop.store.reading() as db:
        ids = [row["id"] for row in db.execute("SELECT id FROM objects").fetchall()]
    answers = defaultdict(int)
    for _ in range(8):
        for route in routes.ROUTES:
            path = re.sub(r"\{\w+\}", lambda _: shop.chance.choice(ids), route.path)
            form = dict(_odd_form(route.shape, shop.chance, ids))
            answers["error" in shop.call(route.method, path, form)] += 1
    assert min(answers[True], answers[False]) > 30
    adds_up(shop)
    shop.store.close()
