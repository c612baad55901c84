"""The control of the sandbox: what a test or an operator may make happen. ``POST /_control/<verb>`` with JSON.

It asks for the control key (``X-Sandbox-Control``), and without one there is no control over HTTP; the control page is
for people at this machine. Every verb is one method here, and ``running.py`` gives each a Python name.
"""

import hmac
import json
import random
import time
from collections.abc import Callable
from typing import Any

from sandbox.stripe import (
    charging,
    checkout,
    customers,
    disputes,
    endpoints,
    faults,
    orders,
    refunds,
    setups,
    timers,
)
from sandbox.stripe.api import Answer, Api, Request, account_id
from sandbox.stripe.deliverer import Deliverer
from sandbox.stripe.problems import Problem
from sandbox.stripe.store import forget_everything, owner_of, remember, setting
from sandbox.stripe.world import Object, World, public

Given = dict[str, Any]
PATIENCE_S = 20


class Control:
    """Everything that can be made to happen."""

    def __init__(self, api: Api, deliverer: Deliverer, *, key: str = "") -> None:
        self.api = api
        self.store = api.store
        self.deliverer = deliverer
        self.key = key
        self.verbs: dict[str, Callable[[Given], Any]] = {
            name: getattr(self, name)
            for name in (
                "add_key advance authenticate clear decide deliveries dispute escalate events expire fault money order "
                "pay refund release resend reset rotate send setting settle state"
            ).split()
        }

    def answer(self, request: Request) -> Answer:
        """One verb over HTTP."""
        given_key = request.headers.get("x-sandbox-control", "")
        if not self.key or not hmac.compare_digest(given_key.encode(), self.key.encode()):
            return _json(404, {"error": {"message": "Nothing here.", "type": "invalid_request_error"}})
        verb = self.verbs.get(request.path.removeprefix("/_control/"))
        try:
            given = json.loads(request.body or b"{}")
        except ValueError:
            given = None
        if verb is None or not isinstance(given, dict):
            return _json(
                400, {"error": {"message": "No such verb, or no JSON object.", "type": "invalid_request_error"}}
            )
        given.setdefault("_here", request.here)
        try:
            return _json(200, verb(given))
        except Problem as problem:
            return _json(problem.status, problem.words(request.id))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return _json(400, {"error": {"message": f"Cannot read that: {error!r}", "type": "invalid_request_error"}})

    def inside(self, account: str, work: Callable[[World], Any], *, here: str = "") -> Any:
        """Do something in an account; a refusal that keeps what was done keeps it."""
        refused: Problem | None = None
        result: Any = None
        with self.store.writing() as db:
            world = World(db, account, here=here or setting(db, "here", ""), webhook_secret=self.api.webhook_secret)
            db.execute("SAVEPOINT work")
            try:
                result = work(world)
            except Problem as problem:
                refused = problem
                if not problem.keeps:
                    db.execute("ROLLBACK TO work")
        self.deliverer.wake()
        if refused is not None:
            raise refused
        return result

    def account_of(self, given: str) -> str:
        """Whose object this is."""
        with self.store.reading() as db:
            found = owner_of(db, given)
        if found is None:
            raise Problem(404, f"No such object: '{given[:100]}'", code="resource_missing")
        return found

    def _account(self, given: Given) -> str:
        if "key" in given:
            return account_id(given["key"])
        with self.store.reading() as db:
            row = db.execute("SELECT id FROM accounts ORDER BY created, id LIMIT 1").fetchone()
        if row is None:
            raise Problem(400, "There is no account.")
        return str(row["id"])

    def _on(self, given: Given, target: str, work: Callable[[World], Any]) -> Any:
        return self.inside(self.account_of(target), work, here=given.get("_here", ""))

    # --- accounts, clock, faults ---

    def add_key(self, given: Given) -> Any:
        """Open an account for ``key``."""
        return {"account": self.api.add_key(given["key"])}

    def reset(self, given: Given) -> Any:
        """Forget everything but the accounts."""
        with self.store.writing() as db:
            forget_everything(db)
        return {}

    def setting(self, given: Given) -> Any:
        """``first_retry_s``: how long until a refused webhook is tried again, doubling from there."""
        with self.store.writing() as db:
            remember(db, "first_retry_s", float(given["first_retry_s"]))
        return {}

    def advance(self, given: Given) -> Any:
        """Put the clock forward by ``seconds`` and do what has become due."""
        with self.store.writing() as db:
            ahead = setting(db, "clock_ahead_s", 0) + max(0.0, float(given["seconds"]))
            remember(db, "clock_ahead_s", ahead)
        done = timers.run_due(self.store)
        self.deliverer.wake()
        return {"clock_ahead_s": ahead, "done": done}

    def fault(self, given: Given) -> Any:
        """The next requests go wrong: see ``faults.py``."""
        if given.get("what") not in faults.KINDS:
            raise Problem(400, f"what: one of {', '.join(faults.KINDS)}")
        kept: Given = {name: given[name] for name in ("what", "times", "method", "path", "seconds") if name in given}
        account = self._account(given)
        with self.store.writing() as db:
            faults.order(db, account, kept)
        return {}

    def order(self, given: Given) -> Any:
        """The next webhooks suffer: see ``orders.py``."""
        order = {name: value for name, value in given.items() if name not in {"key", "_here"}}
        unknown = set(order) - orders.KNOWN
        if unknown or order.get("forge", "secret") not in orders.FORGERIES:
            raise Problem(
                400, f"An order knows {', '.join(sorted(orders.KNOWN))}; forge: {', '.join(orders.FORGERIES)}"
            )
        account = self._account(given)
        with self.store.writing() as db:
            orders.stand(db, account, order)
        return {}

    def clear(self, given: Given) -> Any:
        """Forget all faults and orders."""
        with self.store.writing() as db:
            db.execute("DELETE FROM faults")
            db.execute("DELETE FROM settings WHERE name LIKE 'orders %'")
        return {}

    # --- payments ---

    def pay(self, given: Given) -> Any:
        """Do what a customer does on the hosted page of ``session``; a refused card raises Stripe's 402."""
        name = given.get("card", "visa")

        def paid(world: World) -> Object:
            session = world.get("checkout.session", given["session"])
            if given.get("country"):
                checkout.locate(world, session, given["country"])
            if given.get("code"):
                checkout.apply_code(world, session, given["code"])
            free = session["mode"] == "payment" and session["amount_total"] == 0
            method = None if free else customers.method(world, name if name.startswith("pm_") else f"pm_card_{name}")
            checkout.pay(
                world,
                session,
                method,
                email=given.get("email", "customer@example.com"),
                name=given.get("name", "Test Customer"),
                save=bool(given.get("save")),
            )
            return public(session)  # type: ignore[no-any-return]

        return self._on(given, given["session"], paid)

    def authenticate(self, given: Given) -> Any:
        """End the 3-D Secure step of a payment or setup ``intent``; ``ok`` false is one who is not believed."""
        target, ok = given["intent"], bool(given.get("ok", True))

        def ended(world: World) -> Object:
            return public(authenticate(world, target, ok=ok))  # type: ignore[no-any-return]

        return self._on(given, target, ended)

    def money(self, given: Given) -> Any:
        """The pending money of ``payment_intent`` arrives, or fails when ``succeeds`` is false."""
        target, succeeds = given["payment_intent"], bool(given.get("succeeds", True))

        def arrived(world: World) -> Object:
            return public(charging.arrived(world, world.get("payment_intent", target), succeeds=succeeds))  # type: ignore[no-any-return]

        return self._on(given, target, arrived)

    def refund(self, given: Given) -> Any:
        """The pending ``refund`` arrives, or fails when ``succeeds`` is false."""
        target = given["refund"]

        def ended(world: World) -> Object:
            body = world.get("refund", target)
            done = refunds.arrived(world, body) if given.get("succeeds", True) else refunds.fail(world, body)
            return public(done)  # type: ignore[no-any-return]

        return self._on(given, target, ended)

    def expire(self, given: Given) -> Any:
        """A checkout ``session`` runs out of time."""
        target = given["session"]
        return self._on(given, target, lambda world: public(checkout.expire(world, {}, id=target)))

    def dispute(self, given: Given) -> Any:
        """The cardholder disputes a ``charge`` (or the charge of a ``payment_intent``)."""
        target = given.get("charge") or given["payment_intent"]

        def opened(world: World) -> Object:
            body = world.find(target) or {}
            charge = body if body.get("object") == "charge" else world.get("charge", body.get("latest_charge"))
            reason = given.get("reason", "fraudulent")
            made = disputes.open_dispute(
                world, charge, reason=reason, amount=given.get("amount"), inquiry=bool(given.get("inquiry"))
            )
            return public(made)  # type: ignore[no-any-return]

        return self._on(given, target, opened)

    def decide(self, given: Given) -> Any:
        """The bank decides a ``dispute``: ``won`` or not."""
        target, won = given["dispute"], bool(given["won"])
        return self._on(given, target, lambda w: public(disputes.decide(w, w.get("dispute", target), won=won)))

    def escalate(self, given: Given) -> Any:
        """An inquiry (``dispute``) becomes a real dispute."""
        target = given["dispute"]
        return self._on(given, target, lambda w: public(disputes.escalate(w, w.get("dispute", target))))

    # --- webhooks ---

    def send(self, given: Given) -> Any:
        """Tell an event of our own making: ``type`` and ``object``; it suffers ``orders``, and no standing ones."""
        account = self._account(given)

        def told(world: World) -> Object:
            event = world.tell(given["type"], given["object"], queue=False)
            for endpoint in world.all("webhook_endpoint"):
                world.queue(event, endpoint["id"], orders=given.get("orders") or {})
            return event

        return self.inside(account, told)

    def resend(self, given: Given) -> Any:
        """Deliver an ``event`` once more, to every endpoint or to one, with ``orders``."""
        target = given["event"]

        def again(world: World) -> Object:
            event = world.get("event", target)
            wanted = given.get("endpoint")
            for endpoint in world.all("webhook_endpoint"):
                if wanted in (None, endpoint["id"]):
                    world.queue(event, endpoint["id"], orders=given.get("orders") or {})
            return event

        return self._on(given, target, again)

    def release(self, given: Given) -> Any:
        """Deliver what an order held back, one after another: as ``events`` says, or shuffled by ``seed``."""
        with self.store.writing() as db:
            held = [
                dict(row) for row in db.execute("SELECT id, event FROM deliveries WHERE state = 'held' ORDER BY id")
            ]
            wanted = given.get("events")
            if wanted is not None:
                held = [one for event in wanted for one in held if one["event"] == event]
            elif "seed" in given:
                random.Random(given["seed"]).shuffle(held)  # noqa: S311 - an order to repeat, not a secret
            marks = ",".join("?" * len(held))
            db.execute(
                f"UPDATE deliveries SET state = 'waiting', due_at = 9e18 WHERE id IN ({marks})",
                [one["id"] for one in held],
            )
        for one in held:
            self.deliverer.deliver_now(one["id"])
        return {"released": len(held)}

    def rotate(self, given: Given) -> Any:
        """A new secret for an ``endpoint``; the old one signs too."""
        target = given["endpoint"]

        def rotated(world: World) -> Object:
            endpoint = world.get("webhook_endpoint", target)
            return {"secret": endpoints.rotate(world, endpoint, secret=given.get("secret"))}

        return self._on(given, target, rotated)

    def deliveries(self, given: Given) -> Any:
        """What was delivered and what was answered, newest first."""
        with self.store.reading() as db:
            rows = db.execute(
                "SELECT id, event, type, endpoint, state, attempts, status, answer, orders FROM deliveries"
                " WHERE account = ? ORDER BY id DESC LIMIT ?",
                (self._account(given), int(given.get("limit", 100))),
            ).fetchall()
        return {"data": [{**dict(row), "orders": json.loads(row["orders"])} for row in rows]}

    def events(self, given: Given) -> Any:
        """The events told, oldest first."""
        return {"data": self.inside(self._account(given), lambda world: public(world.all("event")))}

    def settle(self, given: Given) -> Any:
        """Wait until every delivery that is due was tried; say whether that came."""
        deadline = time.monotonic() + float(given.get("patience_s", PATIENCE_S))
        while time.monotonic() < deadline:
            with self.store.reading() as db:
                left = db.execute(
                    "SELECT COUNT(*) FROM deliveries WHERE state = 'waiting' AND attempts = 0 AND due_at < 9e17"
                ).fetchone()[0]
            if not left:
                return {"settled": True}
            time.sleep(0.02)
        return {"settled": False}

    def untried(self, events: list[str]) -> int:
        """How many deliveries of these events nobody has tried yet."""
        if not events:
            return 0
        marks = ",".join("?" * len(events))
        statement = f"SELECT COUNT(*) FROM deliveries WHERE event IN ({marks}) AND state = 'waiting' AND attempts = 0"
        with self.store.reading() as db:
            return int(db.execute(statement, events).fetchone()[0])

    def state(self, given: Given) -> Any:
        """A look at all of it."""
        with self.store.reading() as db:
            counted = db.execute("SELECT type, COUNT(*) AS n FROM objects GROUP BY type ORDER BY type").fetchall()
            states = db.execute("SELECT state, COUNT(*) AS n FROM deliveries GROUP BY state").fetchall()
            waiting = db.execute("SELECT body FROM faults ORDER BY id").fetchall()
            ordered = db.execute("SELECT value FROM settings WHERE name LIKE 'orders %'").fetchall()
            timed = db.execute("SELECT job, target, due_at FROM timers ORDER BY due_at LIMIT 100").fetchall()
            return {
                "clock_ahead_s": setting(db, "clock_ahead_s", 0),
                "objects": {row["type"]: row["n"] for row in counted},
                "deliveries": {row["state"]: row["n"] for row in states},
                "faults": [json.loads(row["body"]) for row in waiting],
                "orders": [one for row in ordered for one in json.loads(row["value"])],
                "timers": [dict(row) for row in timed],
            }


def authenticate(world: World, target: str, *, ok: bool) -> Object:
    """The end of the 3-D Secure step, and of the session it belongs to."""
    if target.startswith("seti_"):
        setup = world.get("setup_intent", target)
        _waits(setup)
        if not ok:
            setups.refuse_authentication(world, setup)
            return setup
        setups.attempt(world, setup, world.get("payment_method", setup["payment_method"]), authenticated=True)
        for session in world.all("checkout.session"):
            if session["setup_intent"] == target and session["status"] == "open":
                checkout.completed(world, session)
        return setup
    intent = world.get("payment_intent", target)
    _waits(intent)
    if not ok:
        charging.refuse_authentication(world, intent)
        return intent
    method = world.get("payment_method", intent["payment_method"])
    charging.attempt(world, intent, method, off_session=False, authenticated=True)
    for session in world.all("checkout.session", payment_intent=target):
        if session["status"] == "open":
            checkout.authenticated(world, session, intent)
    return intent


def _waits(intent: Object) -> None:
    if intent["status"] != "requires_action":
        message = f"This intent is {intent['status']}: it does not wait for its cardholder."
        raise Problem(400, message)


def _json(status: int, body: Any) -> Answer:
    return Answer(status, json.dumps(body, indent=2).encode(), {})
