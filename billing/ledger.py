"""The ledger, the only writer of money: (connection, operations, now) -> one verdict for each operation.

Promise: at every commit, on either engine, with any number of processes, what is available (posted minus held) is never
below zero; a hold ends exactly once; an operation that is repeated changes nothing and gets its first answer (but what
has ended is not granted again), and another one under its name is refused; a batch of n says and leaves the same as n
batches of one. Callers bring the transaction; ``billing.commit`` brings callers.

Within a batch what gives goes before what takes: credits, settlements and releases in the order of arrival, then
reserves and extensions in theirs (and after them the end of a hold that only began in this batch).

One operation is decided by one short function below, on rows that ``billing.ledger_book`` has read under the wallets'
locks. Nothing here knows an engine.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from math import ceil
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from accounts.models.bounds import LARGEST_NANO
from billing.ledger_book import Account, Counter, Hold, KnownTransfer, Page, Raced, Wallet, owed_uid
from billing.models.ledger import NANO_USD, House, Kind, Outcome
from billing.operations import (
    DONE,
    CapExceeded,
    Credit,
    Credited,
    Ended,
    Extend,
    Granted,
    InDebt,
    Insufficient,
    Lapse,
    Operation,
    Post,
    Posted,
    Refused,
    Release,
    Released,
    Reserve,
    Settle,
    Settled,
    Stale,
    Suspended,
    Tokens,
    Verdict,
    Why,
    Withdraw,
    Withdrawn,
)

__all__ = ["Raced", "apply"]

Amount = int | Fraction
Taken = list[tuple[Account, int, int]]  # account, amount in its unit, what that is worth in nano-USD


def apply(connection: BaseDatabaseWrapper, operations: Sequence[Operation], now: datetime) -> list[Verdict]:
    """Do all of it inside the caller's transaction; verdicts stand in the order of the operations."""
    if not connection.in_atomic_block:
        message = "the ledger writes inside its caller's transaction, and there is none"
        raise TransactionManagementError(message)
    with connection.wrap_database_errors, Page(connection, now) as page:
        page.read(operations)
        verdicts: dict[int, Verdict] = {}
        for place in _order(operations):
            operation = operations[place]
            verdict = verdicts[place] = RULES[type(operation)](page, operation)
            if isinstance(verdict, DONE) and not verdict.repeated and not isinstance(operation, Lapse):
                page.carry(operation.riders, perhaps_there=_leaves_no_trace(operation, verdict))
        page.write()
    return [verdicts[place] for place in range(len(operations))]


def _order(operations: Sequence[Operation]) -> list[int]:
    """What gives before what takes; within each, first come, first served."""
    if len(operations) == 1:
        return [0]
    opened = {operation.hold_id for operation in operations if isinstance(operation, (Reserve, Extend))}

    def takes(place: int) -> bool:
        operation = operations[place]
        if isinstance(operation, (Settle, Release)):
            return operation.hold_id in opened
        return isinstance(operation, (Reserve, Extend))

    return sorted(range(len(operations)), key=takes)


def _leaves_no_trace(operation: Operation, verdict: Verdict) -> bool:
    """An extension that got nothing has no line by which its repetition could be known."""
    return isinstance(operation, Extend) and verdict == Granted(0)


# --- Arithmetic -------------------------------------------------------------------------------------------------------


def draw(
    *, rest: Amount, whole: int, tokens: Sequence[Tokens], sources: Iterable[tuple[Account, int]]
) -> tuple[Taken, Amount]:
    """Pay ``rest`` out of the sources in their order; return what was taken and what is left to pay.

    ``tokens`` say how much the ``whole`` price is in other units. Where a grant in such a unit ends in the middle, the
    remainder stays an exact fraction, so the next source pays neither a token nor a nano-USD twice.
    """
    taken: Taken = []
    units = dict(tokens)
    for account, most in sources:
        if not rest:
            break
        money = account.unit == NANO_USD
        per_whole = whole if money else units.get(account.unit, 0)
        if not per_whole or not most:
            continue
        needed = ceil(rest) if money else ceil(Fraction(per_whole) * rest / whole)
        amount = min(needed, most)
        after: Amount = 0
        if amount < needed:
            after = rest - amount if money else rest - Fraction(whole * amount, per_whole)
        taken.append((account, amount, ceil(rest) - ceil(after)))
        rest = after
    return taken, rest


def _means(wallet: Wallet) -> list[tuple[Account, int]]:
    return [(account, account.available) for account in wallet.grants if account.live]


def _tightest(caps: Sequence[tuple[Counter, int]]) -> tuple[Counter, int, int]:
    """The cap with the least room, its limit, and that room; never below zero, a cap may have been lowered."""
    rooms = [max(0, limit - counter.spent - counter.held) for counter, limit in caps]
    least = min(rooms)
    return (*caps[rooms.index(least)], least)


# --- Holds ------------------------------------------------------------------------------------------------------------


def _reserve(page: Page, operation: Reserve) -> Verdict:
    known = page.holds.get(operation.hold_id)
    if known is not None:
        if (known.organization_id, known.process_id) != (operation.organization_id, operation.process_id):
            return Refused(Why.OTHER_HOLD)
        if known.outcome is not None:  # whoever asks again must not work on money that was given back meanwhile
            return Ended(known.outcome)
        return _granted(known, 0, repeated=True)
    wallet = page.wallets.get(operation.organization_id)
    if wallet is None:
        return Refused(Why.NO_WALLET)
    if wallet.epoch != operation.epoch:
        return Stale(wallet.epoch)
    counters = [
        page.counters[page.counter_ids[page.counter_key(wallet.organization_id, cap)]] for cap in operation.caps
    ]
    caps = [(counter, cap.limit_nano) for counter, cap in zip(counters, operation.caps, strict=True)]
    hold = Hold(operation.hold_id, wallet.organization_id, operation.process_id, caps)
    verdict = _hold(page, wallet, hold, 0, operation)
    if isinstance(verdict, Granted):
        page.holds[hold.id] = hold
        page.new_holds.append(hold)
    return verdict


def _extend(page: Page, operation: Extend) -> Verdict:
    hold = page.holds.get(operation.hold_id)
    if hold is None or hold.organization_id != operation.organization_id:
        return Refused(Why.NO_HOLD)
    if hold.outcome is not None:
        return Ended(hold.outcome)
    if hold.granted_in(operation.step):
        return _granted(hold, operation.step, repeated=True)
    verdict = _hold(page, page.wallets[hold.organization_id], hold, operation.step, operation)
    if isinstance(verdict, Granted):
        page.extended[hold.id] = hold
    return verdict


def _hold(page: Page, wallet: Wallet, hold: Hold, step: int, operation: Reserve | Extend) -> Verdict:
    """Set aside what balance and caps afford, if that reaches the minimum."""
    if wallet.suspended:
        return Suspended()
    if wallet.owed:
        return InDebt(wallet.owed)
    target = operation.maximum_nano
    if hold.caps:
        counter, limit, room = _tightest(hold.caps)
        if room < operation.minimum_nano:
            return CapExceeded(*counter.scope, limit, room)
        target = min(target, room)
    taken, left = draw(rest=target, whole=operation.maximum_nano, tokens=operation.tokens, sources=_means(wallet))
    granted = target - ceil(left)
    if granted < operation.minimum_nano:
        return Insufficient(wallet.available_nano, granted)
    if not granted:  # a few tokens too little to be worth a nano-USD are not held for nothing
        return Granted(0)
    for position, (account, amount, value_nano) in enumerate(taken):
        page.hold_line(hold, step, position, account, amount, value_nano)
    for counter, _ in hold.caps:
        counter.held += granted
    return _granted(hold, step)


def _granted(hold: Hold, step: int, *, repeated: bool = False) -> Granted:
    """What one step holds, and how much of it in tokens."""
    nano = tokens = tokens_nano = 0
    for its_step, account, amount, value_nano in hold.lines:
        if its_step == step:
            nano += value_nano
            if account.unit != NANO_USD:
                tokens, tokens_nano = tokens + amount, tokens_nano + value_nano
    return Granted(nano, repeated, tokens, tokens_nano)


def _give_back(hold: Hold) -> None:
    for _, account, amount, _ in hold.lines:
        account.held -= amount
    for counter, _ in hold.caps:
        counter.held -= hold.held


def _settle(page: Page, operation: Settle) -> Verdict:
    hold = page.holds.get(operation.hold_id)
    if hold is None or hold.organization_id != operation.organization_id:
        return Refused(Why.NO_HOLD)
    if hold.outcome == Outcome.SETTLED or hold.late:
        return Settled(hold.charged, hold.unrecovered, late=hold.late, repeated=True)
    late = hold.outcome is not None
    price = operation.charge_nano if operation.exact else min(operation.charge_nano, hold.held)
    if not late:
        _give_back(hold)
    wallet = page.wallets[hold.organization_id]
    hold.charged = _charge(page, wallet, hold, price, operation, late=late)
    hold.unrecovered = price - hold.charged
    if hold.unrecovered:
        _book_unrecovered(page, hold, operation)
    if late:
        hold.late = True
        page.settled_late.append(hold)
    else:
        hold.outcome = Outcome.SETTLED.value
        page.ended.append(hold)
    _repay(page, wallet, f"hold:{hold.id}")
    return Settled(hold.charged, hold.unrecovered, late=late)


def _charge(page: Page, wallet: Wallet, hold: Hold, price: int, operation: Settle, *, late: bool) -> int:
    """Burn the hold's own lines first, then whatever else is available within the caps; one transfer per account."""
    lines = [] if late else [(account, amount) for _, account, amount, _ in hold.lines]
    whole = operation.charge_nano
    if hold.caps:  # what was held was held within the caps; all beyond it must find room, in whatever unit it is paid
        price = min(price, max(0 if late else hold.held, _tightest(hold.caps)[2]))
    taken, rest = draw(rest=price, whole=whole, tokens=operation.tokens, sources=lines)
    by_account = _burn(taken, {})
    if rest:
        more, _ = draw(rest=rest, whole=whole, tokens=operation.tokens, sources=_means(wallet))
        by_account = _burn(more, by_account)
    for position, (account, amount, value_nano) in enumerate(by_account.values()):
        page.transfer(
            organization_id=hold.organization_id,
            debit=account.id,
            credit=page.house(House.REVENUE, account.unit),
            amount=amount,
            value_nano=value_nano,
            code="late_usage" if late else "usage",
            hold=(hold.id, position),
            reference=operation.reference,
        )
    total = sum(value_nano for _, _, value_nano in by_account.values())
    for counter, _ in hold.caps:
        counter.spent += total
    return total


def _burn(taken: Taken, by_account: dict[int, tuple[Account, int, int]]) -> dict[int, tuple[Account, int, int]]:
    for account, amount, value_nano in taken:
        account.posted -= amount
        _, before, worth = by_account.get(account.id, (account, 0, 0))
        by_account[account.id] = (account, before + amount, worth + value_nano)
    return by_account


def _book_unrecovered(page: Page, hold: Hold, operation: Settle) -> None:
    """What nobody could be charged for is the house's, and is booked so."""
    page.transfer(
        organization_id=hold.organization_id,
        debit=page.house(House.UNRECOVERED, NANO_USD),
        credit=page.house(House.REVENUE, NANO_USD),
        amount=hold.unrecovered,
        value_nano=hold.unrecovered,
        code="unrecovered",
        hold=(hold.id, UNRECOVERED_POSITION),
        reference=operation.reference,
    )


UNRECOVERED_POSITION = 32_000  # after the transfer of any account


def _release(page: Page, operation: Release) -> Verdict:
    hold = page.holds.get(operation.hold_id)
    if hold is None or hold.organization_id != operation.organization_id:
        return Refused(Why.NO_HOLD)
    if hold.outcome == Outcome.SETTLED:
        return Ended(hold.outcome)
    if hold.outcome is not None:
        return Released(repeated=True)
    _give_back(hold)
    hold.outcome = str(operation.outcome)
    page.ended.append(hold)
    _repay(page, page.wallets[hold.organization_id], f"hold:{hold.id}")
    return Released()


# --- Money in, money out ----------------------------------------------------------------------------------------------


def _credit(page: Page, operation: Credit) -> Verdict:
    known = page.known.get(operation.uid)
    if known is not None:
        return _credited_before(page, operation, known)
    wallet = page.wallets.get(operation.organization_id)
    if wallet is None or wallet.paid is None:
        return Refused(Why.NO_WALLET)
    if operation.kind == Kind.PAID and wallet.paid.posted + operation.amount > LARGEST_NANO:
        return Refused(Why.TOO_LARGE)
    account = wallet.paid if operation.kind == Kind.PAID else page.open_grant(wallet, operation)
    account.posted += operation.amount
    source = page.house(operation.source, operation.unit)
    page.known[operation.uid] = KnownTransfer(0, wallet.organization_id, source, account.id, operation.amount, None)
    page.transfer(
        organization_id=wallet.organization_id,
        debit=source,
        credit=account.id,
        amount=operation.amount,
        value_nano=operation.amount if operation.value_nano is None else operation.value_nano,
        code=operation.code,
        uid=operation.uid,
        reference=operation.reference,
        reason=operation.reason,
    )
    _repay(page, wallet, operation.uid)
    return Credited(account.id)


def _credited_before(page: Page, operation: Credit, known: KnownTransfer) -> Refused | Credited:
    account = page.accounts.get(known.credit_id)
    deed = (known.organization_id, known.amount, account and account.kind, account and account.unit)
    if deed != (operation.organization_id, operation.amount, operation.kind, operation.unit):
        return Refused(Why.OTHER_CAUSE)
    return Credited(known.credit_id, repeated=True)


def _repay(page: Page, wallet: Wallet, cause: str) -> None:
    """Paid money that is free goes to what is owed first; gifts never do."""
    debt, paid = wallet.debt, wallet.paid
    if debt is None or paid is None or not (amount := min(debt.posted, paid.available)):
        return
    paid.posted -= amount
    debt.posted -= amount
    page.transfer(
        organization_id=wallet.organization_id,
        debit=paid.id,
        credit=debt.id,
        amount=amount,
        value_nano=amount,
        code="debt_repaid",
        uid=f"{cause}.repaid",
    )


def _withdraw(page: Page, operation: Withdraw) -> Verdict:  # noqa: PLR0911 - a list of refusals, then the deed
    known, owed_before = page.known.get(operation.uid), page.known.get(owed_uid(operation.uid))
    if known or owed_before:
        return _withdrawn_before(page, operation, known, owed_before)
    wallet = page.wallets.get(operation.organization_id)
    if wallet is None or wallet.paid is None or wallet.debt is None:
        return Refused(Why.NO_WALLET)
    original = page.original(operation.reverses)
    if operation.reverses and (original is None or original.credit_id != wallet.paid.id):  # a gift is never cash
        return Refused(Why.NO_ORIGINAL)
    if original and page.reversed.get(original.id, 0) + operation.amount > original.amount:
        return Refused(Why.MORE_THAN_ORIGINAL)
    taken = min(operation.amount, wallet.paid.available)
    owed = operation.amount - taken
    if owed and not operation.may_owe:
        return Insufficient(wallet.paid.available, taken)
    if wallet.owed + owed > LARGEST_NANO:
        return Refused(Why.TOO_LARGE)
    if original:
        page.reversed[original.id] = page.reversed.get(original.id, 0) + operation.amount
    wallet.paid.posted -= taken
    wallet.debt.posted += owed
    _take_back(page, operation, wallet.paid, taken, operation.uid, original)
    _take_back(page, operation, wallet.debt, owed, owed_uid(operation.uid), original)
    return Withdrawn(taken, owed)


def _withdrawn_before(
    page: Page, operation: Withdraw, taken: KnownTransfer | None, owed: KnownTransfer | None
) -> Refused | Withdrawn:
    parts = [part for part in (taken, owed) if part]
    original = page.known.get(operation.reverses)
    reverses = None if not operation.reverses else original.id if original else 0
    deed = (operation.organization_id, page.house(operation.to, NANO_USD), reverses)
    if sum(part.amount for part in parts) != operation.amount or any(
        (part.organization_id, part.credit_id, part.reverses_id) != deed for part in parts
    ):
        return Refused(Why.OTHER_CAUSE)
    return Withdrawn(taken.amount if taken else 0, owed.amount if owed else 0, repeated=True)


def _take_back(
    page: Page, operation: Withdraw, account: Account, amount: int, uid: str, original: KnownTransfer | None
) -> None:
    if not amount:
        return
    house = page.house(operation.to, NANO_USD)
    reverses = original.id if original else None
    page.known[uid] = KnownTransfer(0, operation.organization_id, account.id, house, amount, reverses)
    page.transfer(
        organization_id=operation.organization_id,
        debit=account.id,
        credit=house,
        amount=amount,
        value_nano=amount,
        code=operation.code,
        reverses=reverses,
        uid=uid,
        reference=operation.reference,
        reason=operation.reason,
    )


def _lapse(page: Page, operation: Lapse) -> Verdict:
    """What is held of the grant stays until its hold ends; the next sweep books what then is left."""
    account = page.accounts.get(operation.account_id)
    wallet = page.wallets.get(operation.organization_id)
    if account is None or wallet is None or account not in wallet.grants:
        return Refused(Why.NO_ACCOUNT)
    amount = 0 if account.live else account.available
    if amount:
        page.transfer(
            organization_id=wallet.organization_id,
            debit=account.id,
            credit=page.house(House.BREAKAGE, account.unit),
            amount=amount,
            value_nano=amount if account.unit == NANO_USD else 0,
            code="grant_expired",
            uid=f"lapse:{account.id}:{account.posted}",
        )
        account.posted -= amount
    return Posted(amount)


def _post(page: Page, operation: Post) -> Verdict:
    debit, credit = page.house(operation.debit, operation.unit), page.house(operation.credit, operation.unit)
    known = page.known.get(operation.uid)
    if known is not None:
        if known[1:] != (None, debit, credit, operation.amount, None):
            return Refused(Why.OTHER_CAUSE)
        return Posted(operation.amount, repeated=True)
    page.known[operation.uid] = KnownTransfer(0, None, debit, credit, operation.amount, None)
    page.transfer(
        organization_id=None,
        debit=debit,
        credit=credit,
        amount=operation.amount,
        value_nano=operation.amount if operation.unit == NANO_USD else 0,
        code=operation.code,
        uid=operation.uid,
        reference=operation.reference,
        reason=operation.reason,
    )
    return Posted(operation.amount)


RULES: dict[type, Callable[[Page, Any], Verdict]] = {
    Reserve: _reserve,
    Extend: _extend,
    Settle: _settle,
    Release: _release,
    Credit: _credit,
    Withdraw: _withdraw,
    Lapse: _lapse,
    Post: _post,
}
