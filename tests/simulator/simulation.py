"""One seed, one history: customers, amounts, caps, faults, crashes, clock and schedule all come from one integer.

Every verdict is compared with the reference; balances, caps, holds and the house's sums again and again. Whatever
differs is a ``Violation`` that names the seed and the step, which is a complete report: the same seed does it again.
"""

import random
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Sum

from billing import leases, ledger
from billing.models import Account, CapCounter, Hold, ProcessLease, Transfer, Wallet
from billing.operations import (
    DONE,
    Cap,
    Credit,
    Credited,
    Extend,
    Granted,
    Lapse,
    Post,
    Release,
    Reserve,
    Settle,
    Tokens,
    Withdraw,
)
from tests.simulator.reference import Reference
from tests.simulator.worlds import START, make_organizations

UNITS = ("tokens:small", "tokens:large")


class Violation(AssertionError):
    """The ledger and the reference disagree."""


class Crash(Exception):
    """The process dies before COMMIT."""


class Simulation:
    """One history."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.now: datetime = START + timedelta(minutes=self.random.randrange(200_000))
        self.owners = make_organizations(self.random.randint(1, 3), credit=0)
        self.reference = Reference(self.owners)
        self.processes = [self.new_process() for _ in range(2)]
        self.dead: set[int] = set()
        self.numbers: dict[int, int] = {}
        self.known: list[tuple[int, int]] = []
        self.steps: dict[int, int] = {}
        self.done: list[Any] = []
        self.causes: list[tuple[str, int, int]] = []
        self.house_before = self.house()
        self.step = self.operations = self.crashes = self.deaths = 0
        self.verdicts: dict[str, int] = {}

    def run(self, operations: int) -> "Simulation":
        while self.operations < operations:
            self.step += 1
            self.between()
            batch = [self.operation() for _ in range(self.random.choice((1, 1, 2, 5, 12)))]
            self.operations += len(batch)
            self.commit(batch)
            if self.random.random() < 0.06:
                self.compare()
        self.compare()
        return self

    # --- What happens between batches ---------------------------------------------------------------------------------

    def between(self) -> None:
        dice = self.random.random()
        self.now += timedelta(seconds=self.random.choice((0, 1, 60, 3_000)))
        if dice < 0.03:
            self.now += timedelta(hours=self.random.randrange(400))
        elif dice < 0.06:
            self.now -= timedelta(minutes=self.random.randrange(10))  # another host's clock
        elif dice < 0.10:
            self.change_epoch()
        elif dice < 0.13:
            self.die()

    def change_epoch(self) -> None:
        owner = self.random.choice(self.owners)
        wallet = self.reference.wallets[owner]
        wallet.epoch += 1
        wallet.suspended = not wallet.suspended if wallet.suspended or self.random.random() < 0.2 else False
        Wallet.unscoped.filter(pk=owner).update(epoch=F("epoch") + 1, suspended=wallet.suspended)
        from accounts.models import Organization

        Organization.objects.filter(pk=owner).update(standing="suspended" if wallet.suspended else "active")

    def die(self) -> None:
        """A process is gone; the sweep finds what it held."""
        self.deaths += 1
        place = self.random.randrange(len(self.processes))
        dead, self.processes[place] = self.processes[place], self.new_process()
        self.dead.add(dead)  # a reserve of a dead process that comes again may be granted; it is swept the next time
        ProcessLease.objects.filter(pk=dead).update(heartbeat_at=START - timedelta(days=1_000))
        for hold in [h for owner in self.owners for h in self.reference.open[owner] if h.process in self.dead]:
            self.reference.batch([Release(hold.number, hold.owner, "expired")], self.now)  # type: ignore[arg-type]
        leases.sweep()

    def new_process(self) -> int:
        return ProcessLease.objects.create(
            name=f"seed {self.seed}", started_at=START, heartbeat_at=START.replace(year=2100)
        ).pk

    # --- Operations ---------------------------------------------------------------------------------------------------

    def operation(self) -> Any:
        kind = self.random.choices(
            ("reserve", "extend", "settle", "release", "credit", "withdraw", "lapse", "post", "again"),
            (30, 6, 24, 6, 12, 4, 4, 2, 8),
        )[0]
        if kind == "again":
            return self.random.choice(self.done[-40:]) if self.done else self.credit()
        return getattr(self, kind)()

    def amount(self) -> int:
        return self.random.choice((0, 1, 2, 7, 100, self.random.randrange(1, 2_000), self.random.randrange(1, 100_000)))

    def tokens(self) -> tuple[Tokens, ...]:
        units = [unit for unit in UNITS if self.random.random() < 0.4]
        return tuple(Tokens(unit, self.random.choice((1, 3, self.random.randrange(1, 3_000)))) for unit in units)

    def caps(self, owner: int) -> tuple[Cap, ...]:
        scopes = [("organization", owner), ("key", 1), ("key", 2), ("member", 1)]
        chosen = self.random.sample(scopes, self.random.choice((0, 0, 1, 2)))
        return tuple(
            Cap(kind, scope, self.random.choice(("day", "month", "total")), self.random.choice((0, 500, 20_000, 10**9)))
            for kind, scope in chosen
        )

    def reserve(self) -> Reserve:
        owner, process = self.random.choice(self.owners), self.random.choice(self.processes)
        self.numbers[process] = self.numbers.get(process, 0) + 1
        maximum = self.amount()
        epoch = self.reference.wallets[owner].epoch - (self.random.random() < 0.03)
        number = (process << leases.NUMBER_BITS) + self.numbers[process]
        minimum = self.random.choice((maximum, maximum // 3, 0))
        return Reserve(number, owner, process, epoch, minimum, maximum, self.tokens(), self.caps(owner))

    def some_hold(self) -> tuple[int, int]:
        """Mostly an open one; sometimes any, sometimes of another owner, sometimes none at all."""
        dice = self.random.random()
        if dice < 0.02 or not self.known:
            return 17, self.owners[0]
        if dice < 0.04:
            return self.random.choice(self.known)[0], self.random.choice(self.owners)
        open_ones = [(h.number, h.owner) for owner in self.owners for h in self.reference.open[owner]]
        return self.random.choice(open_ones if open_ones and dice < 0.85 else self.known)

    def extend(self) -> Extend:
        number, owner = self.some_hold()
        step = self.steps.get(number, 0) + (self.random.random() < 0.9)
        self.steps[number] = max(step, 1)
        maximum = self.amount()
        return Extend(number, owner, max(step, 1), self.random.choice((maximum, 0)), maximum, self.tokens())

    def settle(self) -> Settle:
        number, owner = self.some_hold()
        hold = self.reference.holds.get(number)
        held = hold.held if hold else 10
        charge = self.random.choice((0, held, held // 2, held + 1, held * 3, self.amount()))
        return Settle(number, owner, charge, self.random.random() < 0.7, self.tokens())

    def release(self) -> Release:
        return Release(*self.some_hold())

    def credit(self) -> Credit:
        owner, kind = self.random.choice(self.owners), self.random.choice(("paid", "paid", "promo", "trial", "package"))
        unit = self.random.choice(("nano_usd", *UNITS)) if kind != "paid" else "nano_usd"
        expires = self.now + timedelta(hours=self.random.randrange(1, 2_000)) if kind != "paid" else None
        uid = f"credit:{self.seed}:{self.owners[0]}:{len(self.causes)}"
        credit = Credit(
            uid,
            owner,
            max(1, self.amount()),
            kind,  # type: ignore[arg-type]
            unit,
            0 if unit != "nano_usd" else None,
            expires if self.random.random() < 0.7 else None,
            source="payments" if kind == "paid" else "promotions",
        )
        self.causes.append((uid, owner, credit.amount))
        return credit

    def withdraw(self) -> Withdraw:
        uid, owner, amount = self.random.choice(self.causes) if self.causes else ("nothing", self.owners[0], 5)
        return Withdraw(
            f"back:{self.seed}:{self.owners[0]}:{self.operations}:{self.random.randrange(10**9)}",
            owner,
            self.random.choice((max(1, amount // 2), amount, amount + 1)),
            "refund",
            self.random.random() < 0.5,
            reverses=self.random.choice((uid, "", "unheard-of")),
        )

    def lapse(self) -> Any:
        accounts = list(self.reference.ids.items())
        if not accounts:
            return self.credit()
        return Lapse(self.random.choice(accounts)[0], self.random.choice(self.owners))

    def post(self) -> Post:
        uid = f"post:{self.seed}:{self.owners[0]}:{self.operations}:{self.random.randrange(10**9)}"
        return Post(uid, "provider_cost", "providers", self.random.randrange(1, 1_000), "cost")

    # --- One transaction ----------------------------------------------------------------------------------------------

    def commit(self, batch: list[Any]) -> None:
        dice = self.random.random()
        if dice < 0.05:  # the process dies before COMMIT: nothing has happened
            self.crashes += 1
            try:
                with transaction.atomic():
                    ledger.apply(connection, batch, self.now)
                    raise Crash
            except Crash:
                pass
            if self.random.random() < 0.5:
                return
        with transaction.atomic():
            verdicts = ledger.apply(connection, batch, self.now)
        expected = self.reference.batch(batch, self.now)
        self.check(batch, verdicts, expected)
        if dice > 0.95:  # COMMIT arrived and its answer did not: the same again says the same
            self.again(batch, verdicts)
        self.done += batch

    def again(self, batch: list[Any], verdicts: list[Any]) -> None:
        with transaction.atomic():
            repeated = ledger.apply(connection, batch, self.now)
        self.check(batch, repeated, self.reference.batch(batch, self.now))
        for operation, first, second in zip(batch, verdicts, repeated, strict=True):
            if (
                isinstance(operation, (Settle, Credit, Withdraw, Release))
                and isinstance(first, DONE)
                and first != second
            ):
                raise self.violation(f"{first} became {second} when it was repeated")

    def check(self, batch: list[Any], verdicts: list[Any], expected: list[Any]) -> None:
        for operation, verdict, wanted in zip(batch, verdicts, expected, strict=True):
            name = type(verdict).__name__
            self.verdicts[name] = self.verdicts.get(name, 0) + 1
            if isinstance(wanted, tuple) and isinstance(verdict, Credited):
                if self.reference.ids.setdefault(verdict.account_id, wanted[1]) is not wanted[1]:
                    raise self.violation(f"{operation} went to another account")
            elif verdict != wanted:
                raise self.violation(f"{operation}\n  said {verdict}\n  should {wanted}")
            if isinstance(verdict, Granted) and isinstance(operation, Reserve) and not verdict.repeated:
                self.known.append((operation.hold_id, operation.organization_id))

    def violation(self, what: str) -> Violation:
        return Violation(f"seed {self.seed}, step {self.step}: {what}")

    # --- The books ----------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        ref = self.reference
        for owner in self.owners:
            wallet = ref.wallets[owner]
            wanted = sorted(
                [(a.kind, a.unit, a.posted, ref.held_of(owner, a)) for a in wallet.accounts]
                + [("debt", "nano_usd", wallet.debt, 0)]
            )
            rows = Account.unscoped.filter(organization_id=owner).values_list("kind", "unit", "posted", "held")
            self.same(f"accounts of {owner}", sorted(rows), wanted)
        counters = CapCounter.unscoped.filter(organization_id__in=self.owners)
        for row in counters:
            key = (row.organization_id, row.scope_kind, row.scope_id, row.window, row.window_start)
            self.same(f"counter {key}", (row.spent, row.held), ref.counter(key))
        holds = Hold.unscoped.filter(organization_id__in=self.owners)
        rows = {h.pk: (h.outcome, h.held_nano, h.charged_nano, h.unrecovered_nano) for h in holds}
        self.same("holds", rows, {h.number: (h.end, h.held, h.charged, h.unrecovered) for h in ref.holds.values()})
        moved = {key: total - self.house_before.get(key, 0) for key, total in self.house().items()}
        self.same("the house", {k: v for k, v in moved.items() if v}, {k: v for k, v in ref.house.items() if v})

    def same(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise self.violation(f"{what}\n  is     {found}\n  should {wanted}")

    def house(self) -> dict[tuple[str, str], int]:
        """Sums over this history's own transfers, and those between the house's own accounts."""
        totals: dict[tuple[str, str], int] = {}
        ours = Transfer.unscoped.filter(organization_id__in=self.owners) | Transfer.unscoped.filter(
            organization_id__isnull=True, uid__startswith=f"post:{self.seed}:{self.owners[0]}:"
        )
        for side, sign in (("credit", 1), ("debit", -1)):
            rows = ours.filter(**{f"{side}__organization_id__isnull": True})
            for kind, unit, total in rows.values_list(f"{side}__kind", f"{side}__unit").annotate(Sum("amount")):
                totals[kind, unit] = totals.get((kind, unit), 0) + sign * int(total)
        return totals
