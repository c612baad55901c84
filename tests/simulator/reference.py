"""What the ledger should say, written as plainly as possible, without a look at the ledger's own arithmetic.

Nothing is cached here: what is held is summed over open holds, what a cap has spent over the holds it counted.
One operation after the other; a batch is a list that was put in order first.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil
from typing import Any

from billing import operations as say

KINDS = ["package", "subscription", "trial", "promo", "paid"]
FAR = datetime.max.replace(tzinfo=UTC)
MONEY = "nano_usd"
Draw = tuple[int, int, int]  # index of the account, amount, worth


@dataclass(eq=False)
class RefAccount:
    kind: str
    unit: str
    expires: datetime | None
    made: int
    posted: int = 0


@dataclass(eq=False)
class RefHold:
    number: int
    owner: int
    process: int
    caps: list[tuple[tuple[Any, ...], int]]
    steps: dict[int, list[tuple[RefAccount, int, int]]] = field(default_factory=dict)
    end: str | None = None
    late: bool = False
    charged: int = 0
    unrecovered: int = 0

    @property
    def held(self) -> int:
        return sum(worth for lines in self.steps.values() for _, _, worth in lines)

    def lines(self) -> list[tuple[RefAccount, int, int]]:
        return [line for step in sorted(self.steps) for line in self.steps[step]]


@dataclass(eq=False)
class RefWallet:
    epoch: int = 1
    suspended: bool = False
    accounts: list[RefAccount] = field(default_factory=list)
    debt: int = 0

    def __post_init__(self) -> None:
        self.accounts.append(RefAccount("paid", MONEY, None, 0))

    @property
    def paid(self) -> RefAccount:
        return self.accounts[0]

    def in_order(self) -> list[RefAccount]:
        return sorted(self.accounts, key=lambda a: (KINDS.index(a.kind), a.expires is None, a.expires or FAR, a.made))


class Reference:
    """The whole shop in memory."""

    def __init__(self, owners: list[int]) -> None:
        self.wallets = {owner: RefWallet() for owner in owners}
        self.holds: dict[int, RefHold] = {}
        self.open: dict[int, list[RefHold]] = {owner: [] for owner in owners}
        self.counted: dict[tuple[Any, ...], list[RefHold]] = {}
        self.causes: dict[str, Any] = {}
        self.reversed: dict[str, int] = {}
        self.house: dict[tuple[str, str], int] = {}
        self.made = 0
        self.ids: dict[int, RefAccount] = {}

    # --- Sums ---------------------------------------------------------------------------------------------------------

    def held_of(self, owner: int, account: RefAccount) -> int:
        return sum(amount for hold in self.open[owner] for its, amount, _ in hold.lines() if its is account)

    def free(self, owner: int, account: RefAccount) -> int:
        return account.posted - self.held_of(owner, account)

    def counter(self, key: tuple[Any, ...]) -> tuple[int, int]:
        """Spent, held."""
        holds = self.counted.get(key, [])
        return sum(h.charged for h in holds), sum(h.held for h in holds if h.end is None)

    def room(self, caps: list[tuple[tuple[Any, ...], int]]) -> tuple[int, Any]:
        rooms = [(max(0, limit - sum(self.counter(key))), place) for place, (key, limit) in enumerate(caps)]
        least, place = min(rooms)
        return least, caps[place]

    # --- Paying -------------------------------------------------------------------------------------------------------

    @staticmethod
    def pay(price: Any, whole: int, tokens: Any, purses: list[tuple[RefAccount, int]]) -> tuple[list[Any], Fraction]:
        """As a share of the whole work: every purse covers what it can of what is left."""
        if not price:
            return [], Fraction(0)
        share, paid = Fraction(price) / whole, []
        scales = {MONEY: whole, **dict(tokens)}
        for account, most in purses:
            scale = scales.get(account.unit)
            if not scale or most <= 0 or not share:
                continue
            amount = min(most, ceil(share * scale))
            rest = max(Fraction(0), share - Fraction(amount, scale))
            paid.append((account, amount, ceil(share * whole) - ceil(rest * whole)))
            share = rest
        return paid, share * whole

    def purses(self, owner: int, now: datetime) -> list[tuple[RefAccount, int]]:
        return [
            (account, self.free(owner, account))
            for account in self.wallets[owner].in_order()
            if account.expires is None or account.expires > now
        ]

    # --- Operations ---------------------------------------------------------------------------------------------------

    def batch(self, operations: list[Any], now: datetime) -> list[Any]:
        begun = {op.hold_id for op in operations if type(op) in (say.Reserve, say.Extend)}
        giving, taking = [], []
        for place, op in enumerate(operations):
            takes = type(op) in (say.Reserve, say.Extend) or (
                type(op) in (say.Settle, say.Release) and op.hold_id in begun
            )
            (taking if takes else giving).append(place)
        answers = {
            place: getattr(self, type(operations[place]).__name__)(operations[place], now) for place in giving + taking
        }
        return [answers[place] for place in range(len(operations))]

    def Reserve(self, op: say.Reserve, now: datetime) -> Any:  # noqa: N802 - named for the operation
        if op.hold_id in self.holds:
            hold = self.holds[op.hold_id]
            if (hold.owner, hold.process) != (op.organization_id, op.process_id):
                return say.Refused(say.Why.OTHER_HOLD)
            if hold.end:
                return say.Ended(hold.end)
            return say.Granted(sum(worth for _, _, worth in hold.steps[0]))
        wallet = self.wallets[op.organization_id]
        if op.epoch != wallet.epoch:
            return say.Stale(wallet.epoch)
        caps = [
            ((op.organization_id, c.scope_kind, c.scope_id, c.window, window(c.window, now)), c.limit_nano)
            for c in op.caps
        ]
        hold = RefHold(op.hold_id, op.organization_id, op.process_id, caps)
        verdict = self.grant(wallet, hold, 0, op, now)
        if isinstance(verdict, say.Granted):
            self.holds[op.hold_id] = hold
            self.open[op.organization_id].append(hold)
            for key, _ in caps:
                self.counted.setdefault(key, []).append(hold)
        return verdict

    def Extend(self, op: say.Extend, now: datetime) -> Any:  # noqa: N802
        hold = self.holds.get(op.hold_id)
        if hold is None or hold.owner != op.organization_id:
            return say.Refused(say.Why.NO_HOLD)
        if hold.end:
            return say.Ended(hold.end)
        before = sum(worth for _, _, worth in hold.steps.get(op.step, []))
        if before:
            return say.Granted(before)
        return self.grant(self.wallets[hold.owner], hold, op.step, op, now)

    def grant(self, wallet: RefWallet, hold: RefHold, step: int, op: Any, now: datetime) -> Any:
        if wallet.suspended:
            return say.Suspended()
        if wallet.debt:
            return say.InDebt(wallet.debt)
        target = op.maximum_nano
        if hold.caps:
            room, (key, limit) = self.room(hold.caps)
            if room < op.minimum_nano:
                return say.CapExceeded(key[1], key[2], key[3], limit, room)
            target = min(target, room)
        purses = self.purses(hold.owner, now)
        paid, missing = self.pay(target, op.maximum_nano, op.tokens, purses)
        granted = target - ceil(missing)
        if granted < op.minimum_nano:
            return say.Insufficient(sum(free for account, free in purses if account.unit == MONEY), granted)
        hold.steps[step] = paid if granted else []
        return say.Granted(granted)

    def Settle(self, op: say.Settle, now: datetime) -> Any:  # noqa: N802
        hold = self.holds.get(op.hold_id)
        if hold is None or hold.owner != op.organization_id:
            return say.Refused(say.Why.NO_HOLD)
        if hold.end == "settled" or hold.late:
            return say.Settled(hold.charged, hold.unrecovered, late=hold.late)
        price = op.charge_nano if op.exact else min(op.charge_nano, hold.held)
        late = hold.end is not None
        lines = [] if late else [(account, amount) for account, amount, _ in hold.lines()]
        if late:
            hold.late = True
        else:
            hold.end = "settled"
            self.open[hold.owner].remove(hold)
        allowed = price
        if hold.caps:
            allowed = min(price, max(0 if late else hold.held, self.room(hold.caps)[0]))
        paid, missing = self.pay(allowed, op.charge_nano, op.tokens, lines)
        self.burn(paid)
        charged = allowed - ceil(missing)
        if missing:
            more, _ = self.pay(missing, op.charge_nano, op.tokens, self.purses(hold.owner, now))
            self.burn(more)
            charged += sum(worth for _, _, worth in more)
        hold.charged, hold.unrecovered = charged, price - charged
        self.move("unrecovered_usage", MONEY, -hold.unrecovered)
        self.move("revenue", MONEY, hold.unrecovered)
        self.repay(hold.owner)
        return say.Settled(hold.charged, hold.unrecovered, late=late)

    def burn(self, paid: list[Any]) -> None:
        for account, amount, _ in paid:
            account.posted -= amount
            self.move("revenue", account.unit, amount)

    def move(self, kind: str, unit: str, amount: int) -> None:
        self.house[kind, unit] = self.house.get((kind, unit), 0) + amount

    def Release(self, op: say.Release, now: datetime) -> Any:  # noqa: N802
        hold = self.holds.get(op.hold_id)
        if hold is None or hold.owner != op.organization_id:
            return say.Refused(say.Why.NO_HOLD)
        if hold.end == "settled":
            return say.Ended("settled")
        if hold.end is None:
            hold.end = str(op.outcome)
            self.open[hold.owner].remove(hold)
            self.repay(hold.owner)
        return say.Released()

    def repay(self, owner: int) -> None:
        wallet = self.wallets[owner]
        amount = min(wallet.debt, self.free(owner, wallet.paid))
        wallet.debt -= amount
        wallet.paid.posted -= amount

    def Credit(self, op: say.Credit, now: datetime) -> Any:  # noqa: N802
        if op.uid in self.causes:
            owner, amount, account = self.causes[op.uid]
            if (owner, amount) != (op.organization_id, op.amount):
                return say.Refused(say.Why.OTHER_CAUSE)
            return ("credited", account)
        wallet = self.wallets[op.organization_id]
        account = wallet.paid
        if op.kind != "paid":
            self.made += 1
            account = RefAccount(str(op.kind), op.unit, op.expires_at, self.made)
            wallet.accounts.append(account)
        account.posted += op.amount
        self.move(op.source, op.unit, -op.amount)
        self.causes[op.uid] = (op.organization_id, op.amount, account)
        self.repay(op.organization_id)
        return ("credited", account)

    def Withdraw(self, op: say.Withdraw, now: datetime) -> Any:  # noqa: N802
        if op.uid in self.causes:
            return self.causes[op.uid][2]
        wallet = self.wallets[op.organization_id]
        if op.reverses:
            _, amount, account = self.causes.get(op.reverses, (None, 0, None))
            if account is not wallet.paid:
                return say.Refused(say.Why.NO_ORIGINAL)
            if self.reversed.get(op.reverses, 0) + op.amount > amount:
                return say.Refused(say.Why.MORE_THAN_ORIGINAL)
        free = self.free(op.organization_id, wallet.paid)
        taken = min(op.amount, free)
        if taken < op.amount and not op.may_owe:
            return say.Insufficient(free, taken)
        if op.reverses:
            self.reversed[op.reverses] = self.reversed.get(op.reverses, 0) + op.amount
        wallet.paid.posted -= taken
        wallet.debt += op.amount - taken
        self.move(op.to, MONEY, op.amount)
        verdict = say.Withdrawn(taken, op.amount - taken)
        self.causes[op.uid] = (op.organization_id, op.amount, verdict)
        return verdict

    def Lapse(self, op: say.Lapse, now: datetime) -> Any:  # noqa: N802
        account = self.ids[op.account_id]
        if account not in self.wallets[op.organization_id].accounts:
            return say.Refused(say.Why.NO_ACCOUNT)
        if account.expires is None or account.expires > now:
            return say.Posted(0)
        amount = self.free(op.organization_id, account)
        account.posted -= amount
        self.move("expired_grants", account.unit, amount)
        return say.Posted(amount)

    def Post(self, op: say.Post, now: datetime) -> Any:  # noqa: N802
        if op.uid not in self.causes:
            self.causes[op.uid] = (None, op.amount, None)
            self.move(op.debit, op.unit, -op.amount)
            self.move(op.credit, op.unit, op.amount)
        return say.Posted(op.amount)


def window(kind: str, now: datetime) -> date:
    if kind == "total":
        return date(2000, 1, 1)
    return now.date() if kind == "day" else now.date().replace(day=1)
