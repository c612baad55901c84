"""What a customer's month came to: opening balance, what came in, what calls were charged, closing balance.

Promise: a statement is exact to the nano-dollar and made of the ledger's transfers alone. The balance is everything the
organization has in money, gifts included, less what it owes; months are UTC. The closing balance of one month is the
opening balance of the next, because both are the same sum: each transfer is folded into its month once, in the
transaction that moves the mark past it. A wallet's writers queue for its row, so an organization's transfers become
visible in the order of their numbers and none is passed by. The audit compares the sums with the accounts.

Folding reads a bounded slice outside any transaction and writes it in a short one; of two folders one finds that the
mark has moved, and looks again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce, TruncMonth

from accounts.models import Organization
from analytics.models import StatementMark, StatementMonth
from billing import statements as billing_statements
from billing.audit import Finding
from billing.models import Transfer
from billing.models.ledger import NANO_USD
from gateway.models import Call
from plumbing import outbox

SLICE = 10_000
IN_ONE_SHIFT = 30  # slices that one message folds
TOPIC = "analytics.fold_statements"
USAGE = frozenset({"usage", "late_usage"})
# What a customer calls the parts of a month, and the codes of transfers in each; the order is that of the paper.
SECTIONS: dict[str, tuple[str, frozenset[str]]] = {
    "top_ups": ("Top-ups", frozenset({"top_up"})),
    "gifts": ("Gifts and promotions", frozenset({"promotion", "code_redeemed", "trial", "operator_credit"})),
    "charges": ("Charges for calls", USAGE),
    "returns": (
        "Refunds and disputes",
        frozenset({"refund", "dispute", "dispute_won", "refund_undone", "dispute_undone"}),
    ),
    "corrections": ("Corrections by the shop", frozenset({"operator_debit"})),
    "lapsed": ("Credit that lapsed", frozenset({"grant_expired"})),
}
OTHER = "other"
Key = tuple[str, str, str]  # unit, code, name


@dataclass(frozen=True, slots=True)
class Line:
    """One sum of a month: in which unit, why, for which model, how much it changed, of how many."""

    unit: str
    code: str
    name: str
    amount: int
    count: int

    @property
    def section(self) -> str:
        """The part of the paper it stands in."""
        return next((name for name, (_, codes) in SECTIONS.items() if self.code in codes), OTHER)


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the paper, in money."""

    name: str
    title: str
    total_nano: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class TokenHeap:
    """What became of tokens of one unit."""

    unit: str
    opening: int
    given: int
    used: int
    lapsed: int

    @property
    def closing(self) -> int:
        """What is left at the end."""
        return self.opening + self.given - self.used - self.lapsed


@dataclass(frozen=True, slots=True)
class Statement:
    """One organization's UTC month."""

    month: date
    opening_nano: int
    closing_nano: int
    sections: tuple[Section, ...]
    tokens: tuple[TokenHeap, ...]

    @property
    def agrees(self) -> bool:
        """Whether the parts lead from the first balance to the last."""
        return self.opening_nano + sum(section.total_nano for section in self.sections) == self.closing_nano

    @property
    def came_nano(self) -> int:
        """What was bought and given."""
        return self.total_nano("top_ups") + self.total_nano("gifts")

    @property
    def charged_nano(self) -> int:
        """What calls were charged, as a positive amount."""
        return -self.total_nano("charges")

    def total_nano(self, name: str) -> int:
        """The sum of one part; nothing where it is not there."""
        return sum(section.total_nano for section in self.sections if section.name == name)

    def lines(self, name: str) -> tuple[Line, ...]:
        """The lines of one part."""
        return next((section.lines for section in self.sections if section.name == name), ())


def first_day(month: date) -> datetime:
    """The first moment of a UTC month."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def following(month: date) -> date:
    """The month after."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


# --- Reading ----------------------------------------------------------------------------------------------------------


def months(organization: Organization, *, now: datetime) -> list[Statement]:
    """Every month from the first movement to this one, newest first."""
    rows = {row.month: row for row in _rows(organization)}
    this_month = now.astimezone(UTC).date().replace(day=1)
    found: list[Statement] = []
    opening, tokens = 0, dict[str, int]()
    month = min(rows, default=this_month)
    while month <= max(this_month, max(rows, default=this_month)):
        lines = _lines(rows[month]) if month in rows else ()
        made = _statement(month, opening, tokens, lines)
        found.append(made)
        opening, tokens = made.closing_nano, {heap.unit: heap.closing for heap in made.tokens}
        month = following(month)
    return found[::-1]


def statement(organization: Organization, month: date, *, now: datetime) -> Statement | None:
    """One month, or None for one before the first movement or after this one."""
    return next((one for one in months(organization, now=now) if one.month == month), None)


@dataclass(frozen=True, slots=True)
class Movement:
    """One movement of a month that is no charge."""

    at: datetime
    code: str
    words: str
    amount_nano: int
    reference: str


def movements(organization: Organization, month: date) -> Iterator[Movement]:
    """The movements behind the parts of a month, oldest first, as far as the month was added up; charges are sums."""
    mark = StatementMark.objects.of(organization).first()
    rows = billing_statements.history(organization).filter(
        created_at__gte=first_day(month),
        created_at__lt=first_day(following(month)),
        pk__lte=mark.last_transfer_id if mark else 0,
        debit__unit=NANO_USD,
    )
    for row in rows.order_by("pk").iterator(chunk_size=SLICE):
        change = row.amount * ((row.credit.organization_id is not None) - (row.debit.organization_id is not None))
        if change:
            yield Movement(row.created_at, row.code, billing_statements.words(row), change, row.reference)


def _rows(organization: Organization) -> Sequence[StatementMonth]:
    return list(StatementMonth.objects.of(organization).order_by("month"))


def _lines(row: StatementMonth) -> tuple[Line, ...]:
    return tuple(Line(*line) for line in row.lines)


def _statement(month: date, opening_nano: int, tokens: dict[str, int], lines: tuple[Line, ...]) -> Statement:
    money = [line for line in lines if line.unit == NANO_USD]
    sections = tuple(_sections(money))
    return Statement(
        month=month,
        opening_nano=opening_nano,
        closing_nano=opening_nano + sum(line.amount for line in money),
        sections=sections,
        tokens=tuple(_heaps(tokens, [line for line in lines if line.unit != NANO_USD])),
    )


def _sections(money: Sequence[Line]) -> Iterator[Section]:
    titles = {name: title for name, (title, _) in SECTIONS.items()} | {OTHER: "Other movements"}
    for name, title in titles.items():
        lines = sorted(
            (line for line in money if line.section == name), key=lambda line: (-abs(line.amount), line.name)
        )
        if lines:
            yield Section(name, title, sum(line.amount for line in lines), tuple(lines))


def _heaps(opening: dict[str, int], lines: Sequence[Line]) -> Iterator[TokenHeap]:
    for unit in sorted({*(unit for unit, left in opening.items() if left), *(line.unit for line in lines)}):
        mine = [line for line in lines if line.unit == unit]
        used = -sum(line.amount for line in mine if line.code in USAGE)
        lapsed = -sum(line.amount for line in mine if line.code == "grant_expired")
        given = sum(line.amount for line in mine) + used + lapsed
        yield TokenHeap(unit, opening.get(unit, 0), given, used, lapsed)


# --- Folding ----------------------------------------------------------------------------------------------------------


def fold(organization: Organization, *, most_slices: int | None = None) -> bool:
    """Take in what the ledger wrote since the mark; True when nothing is left outside."""
    mark, _ = StatementMark.objects.of(organization).get_or_create(organization=organization)
    last, done = mark.last_transfer_id, 0
    while most_slices is None or done < most_slices:
        top = _slice_end(organization, last)
        if top is None:
            return True
        if _take_in(organization, last, top, _sums(organization, last, top)):
            last = top
        else:  # somebody else was faster
            last = StatementMark.objects.of(organization).get().last_transfer_id
        done += 1
    return _slice_end(organization, last) is None


def fold_later(organization: Organization) -> None:
    """Have the rest folded in the background; asked twice from the same mark, it is done once."""
    mark = StatementMark.objects.of(organization).get()
    key = f"{organization.public_id}:{mark.last_transfer_id}"
    outbox.add(topic=TOPIC, key=key, payload={"organization": organization.pk})


@outbox.handles(TOPIC)
def _fold_on(message: outbox.Message) -> None:
    organization = Organization.objects.get(pk=message.payload["organization"])
    if not fold(organization, most_slices=IN_ONE_SHIFT):
        fold_later(organization)


def _slice_end(organization: Organization, last: int) -> int | None:
    """The last transfer of the next slice; the transfers of one call are not parted, so that it counts once."""
    rows = Transfer.objects.of(organization).filter(pk__gt=last).order_by("pk").values_list("pk", "hold_id")
    found = list(rows[:SLICE])
    if not found:
        return None
    if len(found) == SLICE and found[-1][1] is not None:
        whole = [row for row in found if row[1] != found[-1][1]]
        return int((whole or found)[-1][0])
    return int(found[-1][0])


def _sums(organization: Organization, last: int, top: int) -> dict[date, dict[Key, tuple[int, int]]]:
    rows: QuerySet[Transfer] = Transfer.objects.of(organization).filter(pk__gt=last, pk__lte=top)
    model = Call.objects.of(organization).filter(pk=OuterRef("hold_id")).values("model_served")[:1]
    came = Sum(Case(When(credit__organization__isnull=False, then=F("amount")), default=0))
    went = Sum(Case(When(debit__organization__isnull=False, then=F("amount")), default=0))
    grouped = (
        rows.annotate(month=TruncMonth("created_at", tzinfo=UTC), name=Coalesce(Subquery(model), Value("")))
        .order_by()
        .values_list("month", "debit__unit", "code", "name")
        .annotate(came=came, went=went, calls=Count("hold_id", distinct=True), others=Count("pk", filter=Q(hold=None)))
    )
    found: dict[date, dict[Key, tuple[int, int]]] = {}
    for month, unit, code, name, more, less, calls, others in grouped:
        if change := int(more) - int(less):  # what stayed with the customer, or with the house, changed nothing
            key = (unit, code, name if code in USAGE else "")
            before = found.setdefault(month.date(), {}).get(key, (0, 0))
            found[month.date()][key] = (before[0] + change, before[1] + calls + others)
    return found


@transaction.atomic
def _take_in(organization: Organization, last: int, top: int, sums: dict[date, dict[Key, tuple[int, int]]]) -> bool:
    """Add a slice to its months, if the mark still stands where the slice began."""
    mark = StatementMark.objects.of(organization).filter(last_transfer_id=last)
    if not mark.update(last_transfer_id=top):
        return False
    for month, changes in sums.items():
        row, _ = StatementMonth.objects.of(organization).get_or_create(organization=organization, month=month)
        row.lines, row.net_nano = _added(row.lines, changes), row.net_nano + _net(changes)
        row.save(update_fields=["lines", "net_nano"])
    return True


def _added(lines: Iterable[Sequence[str | int]], changes: dict[Key, tuple[int, int]]) -> list[list[str | int]]:
    known: dict[Key, tuple[int, int]] = {
        (str(unit), str(code), str(name)): (int(amount), int(count)) for unit, code, name, amount, count in lines
    }
    for key, (amount, count) in changes.items():
        before = known.get(key, (0, 0))
        known[key] = (before[0] + amount, before[1] + count)
    return [[*key, *value] for key, value in sorted(known.items())]


def _net(changes: dict[Key, tuple[int, int]]) -> int:
    return sum(amount for (unit, _, _), (amount, _) in changes.items() if unit == NANO_USD)


# --- The proof --------------------------------------------------------------------------------------------------------

DIFFERS = """
SELECT mark.organization_id, months.net_nano, accounts.balance FROM analytics_statementmark mark
JOIN (SELECT organization_id, sum(net_nano) AS net_nano FROM analytics_statementmonth GROUP BY organization_id) months
    ON months.organization_id = mark.organization_id
JOIN (SELECT organization_id, sum(CASE kind WHEN 'debt' THEN -posted ELSE posted END) AS balance FROM billing_account
    WHERE unit = 'nano_usd' AND organization_id IS NOT NULL GROUP BY organization_id) accounts
    ON accounts.organization_id = mark.organization_id
WHERE months.net_nano <> accounts.balance AND mark.last_transfer_id = (
    SELECT max(id) FROM billing_transfer WHERE organization_id = mark.organization_id)
"""


def differences(since: int) -> Iterator[Finding]:
    """Ask, in a whole audit, whether the months of whoever is folded to the end add up to what the accounts hold."""
    if since:
        return
    with connection.cursor() as cursor:
        cursor.execute(DIFFERS)
        for organization, net, balance in cursor.fetchall():
            detail = f"its months come to {net}, its accounts hold {balance}"
            yield Finding(
                "statements", "months add up to the accounts", "analytics_statementmonth", organization, None, detail
            )
