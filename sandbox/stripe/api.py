"""One request to the API, from its key to its answer. Plain and synchronous; ``app.py`` brings it to HTTP."""

import base64
import hashlib
import json
import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe import faults, replays, routes
from sandbox.stripe.forms import Params, check, decode
from sandbox.stripe.listing import expanded
from sandbox.stripe.problems import Problem
from sandbox.stripe.replays import Replay
from sandbox.stripe.store import Store, remember, setting
from sandbox.stripe.world import API_VERSION, World, new_id, public

log = logging.getLogger(__name__)
_VERSION = re.compile(r"^\d{4}-\d{2}-\d{2}(\.[a-z_]+)?$")


@dataclass(slots=True)
class Request:
    """What came in. ``here`` is our own address as the caller knows it."""

    method: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str]
    here: str
    id: str = field(default_factory=lambda: new_id("req", length=14))


@dataclass(slots=True)
class Answer:
    """What goes out, and how: whole, ``cut``, after a ``timeout``, or once ``webhook_first`` is true."""

    status: int
    body: bytes
    headers: dict[str, str]
    fault: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def account_id(key: str) -> str:
    """The account a secret key belongs to: always the same one, so that no key needs keeping."""
    return f"acct_{hashlib.sha256(key.encode()).hexdigest()[:16]}"


class Api:
    """Stripe's API over a store."""

    def __init__(self, store: Store, *, webhook_secret: str = "") -> None:
        self.store = store
        self.webhook_secret = webhook_secret

    def add_key(self, key: str) -> str:
        """Open an account for a secret key, once; its id."""
        account = account_id(key)
        with self.store.writing() as db:
            db.execute("INSERT OR IGNORE INTO accounts VALUES (?, ?)", (account, time.time()))
        return account

    def answer(self, request: Request) -> Answer:
        """The whole story of one request."""
        headers = {"request-id": request.id, "stripe-version": request.headers.get("stripe-version", API_VERSION)}
        try:
            account = self._account(request)
            _refuse_version(headers)
            key = request.headers.get("idempotency-key", "") if request.method == "POST" else ""
            if key:
                headers["idempotency-key"] = key
            with self.store.writing() as db:
                fault = faults.due(db, account, request.method, request.path) or {}
                refused = faults.refusal(fault["what"]) if fault.get("what") in {"429", "409"} else None
                before = replays.begin(db, account, key, _fingerprint(request)) if key and not refused else None
        except Problem as problem:
            refused = problem
        if refused is not None:
            return Answer(refused.status, _written(refused.words(request.id)), _heads(headers, refused))
        if before is not None:
            headers |= {"idempotent-replayed": "true", "original-request": before.request_id}
            return Answer(before.status, before.body, headers, fault)
        return self._run(request, account, key, fault, headers)

    def _account(self, request: Request) -> str:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        key = given.strip()
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(key, validate=True).decode().partition(":")[0]
            except ValueError:
                key = ""
        if not key:
            message = (
                "You did not provide an API key. You need to provide your API key in the Authorization header, using "
                "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
            raise Problem(401, message)
        with self.store.reading() as db:
            row = db.execute("SELECT id FROM accounts WHERE id = ?", (account_id(key),)).fetchone()
        if row is None:
            hidden = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)
            raise Problem(401, f"Invalid API Key provided: {hidden}")
        for header in ("stripe-account", "stripe-context"):
            if request.headers.get(header, row["id"]) != row["id"]:
                message = "The provided key does not have access to this account (or that account does not exist)."
                raise Problem(403, message, code="account_invalid")
        return str(row["id"])

    def _run(self, request: Request, account: str, key: str, fault: dict[str, Any], headers: dict[str, str]) -> Answer:
        what = fault.get("what", "")
        if what == "slow":
            time.sleep(float(fault.get("seconds", 1)))
        with self.store.writing() as db:
            if setting(db, "here") != request.here:
                remember(db, "here", request.here)  # for the links in what happens later, without a request
            world = World(
                db,
                account,
                here=request.here,
                request_id=request.id,
                idempotency_key=key or None,
                webhook_secret=self.webhook_secret,
            )
            status, body, begun = self._handled(world, request, fault)
            answer = Answer(status, _written(body), headers, fault if what in faults.AFTER else {}, world.told)
            if key and begun:
                replays.finish(db, account, key, Replay(status, answer.body, request.id))
            elif key:
                replays.forget(db, account, key)
        return answer

    def _handled(self, world: World, request: Request, fault: dict[str, Any]) -> tuple[int, Any, bool]:
        """The status and the body; and whether it had begun, so that a key must remember it."""
        db = world.db
        db.execute("SAVEPOINT handling")
        if fault.get("what") in {"500", "402"}:
            told = _told_to_refuse(fault)
            return told.status, told.words(request.id), True
        begun = False
        try:
            route, ids = routes.find(request.method, request.path)
            params = _params(route, request)
            expand = params.pop("expand", None)
            begun = True
            body = expanded(world, route.handler(world, params, **ids), expand)
        except Problem as problem:
            if not problem.keeps:
                db.execute("ROLLBACK TO handling")
                world.told.clear()
            return problem.status, problem.words(request.id), begun
        except Exception:
            log.exception("the payment sandbox failed at %s %s", request.method, request.path)
            db.execute("ROLLBACK TO handling")
            world.told.clear()
            own = Problem(500, "The payment sandbox has a fault of its own; its log tells.", kind="api_error")
            return 500, own.words(request.id), True
        if fault.get("what") == "500_after":
            return 500, _told_to_refuse(fault).words(request.id), True
        return 200, public(body), True


def _told_to_refuse(fault: dict[str, Any]) -> Problem:
    refusal = faults.refusal(str(fault["what"]))
    assert refusal is not None
    return refusal


def _refuse_version(headers: dict[str, str]) -> None:
    if _VERSION.match(headers["stripe-version"]) is None:
        headers["stripe-version"] = API_VERSION
        raise Problem(400, "Invalid Stripe API version.")


def _fingerprint(request: Request) -> str:
    described = f"{request.method} {request.path}?{request.query}\n".encode() + request.body
    return hashlib.sha256(described).hexdigest()


def _params(route: routes.Route, request: Request) -> Params:
    try:
        raw = request.query if request.method != "POST" else request.body.decode()
    except UnicodeDecodeError:
        raise Problem(400, "The request's form encoding cannot be read.") from None
    return check({**route.shape, "expand": ["text"]}, decode(raw))


def _written(body: Any) -> bytes:
    return json.dumps(body, indent=2, ensure_ascii=False).encode()


def _heads(headers: dict[str, str], problem: Problem) -> dict[str, str]:
    if problem.status == 409:
        return {**headers, "stripe-should-retry": "true"}
    return headers
