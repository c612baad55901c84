"""A storm of webhooks and what must be left when it is over.

Every payment has a story with a known end (``worth``, in cents). Its events are delivered late, in any order and
several times, among forgeries that would credit somebody; one in twenty deliveries and handlings meets a failing
database. The sender behaves like Stripe: what was not answered with 200 comes again.
"""

import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from billing import audit, inbox
from billing.models import Account, InboxEvent, Payment
from plumbing import outbox
from plumbing.models import OutboxMessage
from tests.billing.payment_stage import CENT, Till, sign
from tests.simulator.worlds import make_organizations

FAILING = 0.05
FORGED = 0.20
LATEST = 2_000  # how many places a delivery may be behind its time
WRONG_SECRETS = ("", " ", "None", "whsec_", "whsec_somebody-elses", "sk_test_made_up")
# How a payment may go, the share of it, and what is left of 2,000 cents.
STORIES = (("card", 60, 2_000), ("later", 12, 2_000), ("never", 8, 0), ("part back", 8, 1_500), ("all back", 4, 0))
STORIES += (("dispute lost", 3, 0), ("dispute won", 3, 2_000), ("tampered", 2, 0))


@dataclass
class Storm:
    """What is delivered, and what was seen."""

    payments: int
    deliveries: int
    seed: int
    expected: Counter[int] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    acknowledged_s: list[float] = field(default_factory=list)
    forged_accepted: int = 0
    injected: int = 0
    events: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.lock = threading.Lock()
        self.queue: deque[tuple[bytes, str]] = deque()

    # --- Making it ---

    def gather(self) -> None:
        organizations = Organization.objects.in_bulk(make_organizations(max(10, self.payments // 100), credit=0))
        pool = list(organizations.values())
        self.address = f"/webhooks/stripe/{pool[0].storefront.public_id}"
        genuine: list[bytes] = []
        for _ in range(self.payments):
            organization = self.random.choice(pool)
            till = Till(organization)
            name, _, worth = self.random.choices(STORIES, weights=[share for _, share, _ in STORIES])[0]
            self.expected[organization.pk] += worth * CENT
            for event in told(name, till):
                self.events.add(event["id"])
                genuine.append(json.dumps(event).encode())
        forged = int(self.deliveries * FORGED)
        repeated = self.random.choices(genuine, k=max(0, self.deliveries - forged - len(genuine)))
        sent = [(body, "genuine") for body in genuine + repeated]
        sent += [(self._forgery(self.random.choice(genuine)), "forged") for _ in range(forged)]
        self.random.shuffle(sent)
        late = sorted(range(len(sent)), key=lambda place: place + self.random.random() ** 3 * LATEST)
        self.queue.extend(sent[place] for place in late)
        connections.close_all()

    def _forgery(self, body: bytes) -> bytes:
        return body.replace(b'"evt_', b'"evt_forged_', 1)

    # --- Sending it ---

    def blow(self, *, rate: float, senders: int = 4) -> float:
        """Deliver at this rate; return how long it took."""
        started_at = time.perf_counter()
        self.next_at = started_at
        self.over = False
        working = threading.Thread(target=self._work)
        crowd = [threading.Thread(target=self._send, args=(rate, number)) for number in range(senders)]
        for thread in (working, *crowd):
            thread.start()
        for thread in crowd:
            thread.join()
        took_s = time.perf_counter() - started_at
        self.over = True
        working.join()
        self._finish()
        return took_s

    def _send(self, rate: float, number: int) -> None:
        chance = random.Random(self.seed * 100 + number)
        client = Client(raise_request_exception=False)
        try:
            while delivery := self._next(rate):
                body, kind = delivery
                secret = chance.choice(WRONG_SECRETS) if kind == "forged" else None
                signature = sign(body) if secret is None else sign(body, secret=secret)
                began_at = time.perf_counter()
                with self._failing_at_times(chance):
                    answer = client.post(
                        self.address,
                        body,
                        content_type="application/json",
                        headers={"host": "localhost", "Stripe-Signature": signature},
                    )
                with self.lock:
                    self.acknowledged_s.append(time.perf_counter() - began_at)
                    self.answers[f"{kind} {answer.status_code}"] += 1
                    self.forged_accepted += kind == "forged" and answer.status_code == 200
                    if kind == "genuine" and answer.status_code != 200:
                        self.queue.append(delivery)  # as Stripe would
        finally:
            connections.close_all()

    def _next(self, rate: float) -> tuple[bytes, str] | None:
        with self.lock:
            if not self.queue:
                return None
            self.next_at = max(self.next_at + 1 / rate, time.perf_counter() - 1)
            wait_s, delivery = self.next_at - time.perf_counter(), self.queue.popleft()
        if wait_s > 0:
            time.sleep(wait_s)
        return delivery

    def _work(self) -> None:
        chance = random.Random(self.seed + 1)
        try:
            while not self.over:
                with self._failing_at_times(chance, of=0.5):  # a shift has about ten messages
                    try:
                        handled = outbox.drain(limit=10)
                    except OperationalError:
                        handled = 1
                if not handled:
                    time.sleep(0.02)
        finally:
            connections.close_all()

    def _finish(self) -> None:
        """The waits pass, and the database is well again."""
        while OutboxMessage.objects.filter(done_at=None, parked_at=None).exists():
            OutboxMessage.objects.filter(done_at=None, parked_at=None).update(due_at=timezone.now())
            outbox.drain(limit=10_000)

    @contextmanager
    def _failing_at_times(self, chance: random.Random, of: float = FAILING) -> Iterator[None]:
        """One statement somewhere in the block meets a lost connection."""
        if chance.random() >= of:
            yield
            return
        left = chance.randrange(1, 40 if of > FAILING else 8)

        def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
            nonlocal left
            left -= 1
            if left == 0:
                self.injected += 1
                raise OperationalError("injected")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail):
            yield

    # --- Judging it ---

    def wrongs(self) -> list[str]:
        """Everything that is not as it must be."""
        found = []
        rows = Account.unscoped.exclude(organization=None).values_list("organization_id", "kind", "posted")
        balances = {(organization, kind): posted for organization, kind, posted in rows}
        for organization, expected in self.expected.items():
            paid, debt = balances[organization, "paid"], balances[organization, "debt"]
            if (paid, debt) != (expected, 0):
                found.append(f"organization {organization}: paid {paid}, debt {debt}, expected {expected}")
        if self.forged_accepted:
            found.append(f"{self.forged_accepted} forgeries were accepted")
        strangers = InboxEvent.objects.exclude(outside_id__in=self.events).count() if len(self.events) < 30_000 else 0
        strangers += InboxEvent.objects.filter(outside_id__startswith="evt_forged").count()
        if strangers:
            found.append(f"{strangers} events in the inbox were never sent")
        if unhandled := InboxEvent.objects.filter(handled_at=None).count():
            found.append(f"{unhandled} events were not handled")
        if parked := OutboxMessage.objects.exclude(parked_at=None).count():
            found.append(f"{parked} messages are parked")
        return found + [str(finding) for finding in audit.run().findings]

    def figures(self, took_s: float) -> str:
        waits = sorted(self.acknowledged_s)
        p50, p99 = (waits[int(len(waits) * share)] * 1_000 for share in (0.50, 0.99))
        return (
            f"{self.payments:,} payments, {len(waits):,} deliveries ({dict(sorted(self.answers.items()))}), "
            f"{Payment.unscoped.count():,} credited, {self.injected:,} database failures injected, "
            f"{len(waits) / took_s:.0f} deliveries/s, acknowledged p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"worst {waits[-1] * 1_000:.0f} ms, forged accepted {self.forged_accepted}"
        )

    @property
    def p99_s(self) -> float:
        return sorted(self.acknowledged_s)[int(len(self.acknowledged_s) * 0.99)]


def told(story: str, till: Till) -> list[dict[str, Any]]:
    """The events of one story."""
    paid = [till.session(), till.intent(), till.charge()]
    later = till.session(payment_status="unpaid")
    won = till.dispute("charge.dispute.closed", status="won")
    stories = {
        "card": lambda: paid,
        "later": lambda: [later, till.session("checkout.session.async_payment_succeeded")],
        "never": lambda: [later, till.session("checkout.session.async_payment_failed", payment_status="unpaid")],
        "part back": lambda: [
            *paid,
            till.refund(amount=500, status="pending"),
            till.refund("refund.updated", amount=500),
        ],
        "all back": lambda: [*paid, till.refund(number=1, amount=700), till.refund(number=2, amount=1_300)],
        "dispute lost": lambda: [*paid, till.dispute(), till.dispute("charge.dispute.closed", status="lost")],
        "dispute won": lambda: [*paid, till.dispute(), won],
        "tampered": lambda: [till.session(amount_total=100, amount_subtotal=100), till.intent(currency="eur")],
    }
    return stories[story]()


__all__ = ["Storm", "inbox"]
