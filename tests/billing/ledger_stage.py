"""A small stage for stories about money: one wallet, one process, and short words for what happens to them."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.db import connection, transaction

from accounts.models import Organization
from billing import audit, ledger, wallets
from billing.models import Account, CapCounter, Hold, ProcessLease, Transfer, Wallet
from billing.models.ledger import Kind
from billing.operations import Cap, Credit, Extend, Operation, Release, Reserve, Settle, Verdict
from plumbing.identifiers import new_id
from tests import factories

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)  # this process lives
TOKENS = "tokens:test-model"


class Stage:
    """Everything happens at ``now`` unless the test moves it."""

    def __init__(self, organization: Organization | None = None) -> None:
        if organization is None:
            shop = factories.make_storefront(is_default=True)
            organization = Organization.objects.create(storefront=shop, name="Acme", slug=new_id("o")[2:])
            wallets.open_for(organization)
        self.organization = organization
        self.now = NOW
        number = 1_000_000 + organization.pk  # no organization's, so that the two cannot be mistaken for each other
        self.process = ProcessLease.objects.create(pk=number, name="test", started_at=NOW, heartbeat_at=LATER)
        self.numbers = count(self.process.pk << 39)
        self.uids = count(1)
        self.seen_epoch = self.epoch

    @property
    def epoch(self) -> int:
        return Wallet.unscoped.get(pk=self.organization.pk).epoch

    def apply(self, *operations: Operation) -> list[Verdict]:
        with transaction.atomic():
            return ledger.apply(connection, operations, self.now)

    def one(self, operation: Operation) -> Any:
        return self.apply(operation)[0]

    def top_up(self, amount: int = 1_000, **fields: Any) -> Any:
        fields.setdefault("uid", f"cause-{self.organization.pk}-{next(self.uids)}")
        return self.one(Credit(organization_id=self.organization.pk, amount=amount, **fields))

    def reserving(self, maximum: int, minimum: int | None = None, **fields: Any) -> Reserve:
        fields.setdefault("hold_id", next(self.numbers))
        fields.setdefault("epoch", self.seen_epoch)
        return Reserve(
            organization_id=self.organization.pk,
            process_id=self.process.pk,
            minimum_nano=maximum if minimum is None else minimum,
            maximum_nano=maximum,
            **fields,
        )

    def reserve(self, maximum: int, minimum: int | None = None, **fields: Any) -> Any:
        """Reserve and return (hold id, verdict)."""
        operation = self.reserving(maximum, minimum, **fields)
        return operation.hold_id, self.one(operation)

    def extend(self, hold_id: int, maximum: int, minimum: int | None = None, step: int = 1, **fields: Any) -> Any:
        return self.one(
            Extend(
                hold_id=hold_id,
                organization_id=self.organization.pk,
                step=step,
                minimum_nano=maximum if minimum is None else minimum,
                maximum_nano=maximum,
                **fields,
            )
        )

    def settle(self, hold_id: int, charge: int, *, exact: bool = True, **fields: Any) -> Any:
        return self.one(
            Settle(hold_id=hold_id, organization_id=self.organization.pk, charge_nano=charge, exact=exact, **fields)
        )

    def release(self, hold_id: int, **fields: Any) -> Any:
        return self.one(Release(hold_id=hold_id, organization_id=self.organization.pk, **fields))

    def cap(self, limit: int, *, window: str = "day", scope: str = "key", scope_id: int = 1) -> Cap:
        return Cap(scope, scope_id, window, limit)

    def counter(self, **fields: Any) -> CapCounter:
        found: CapCounter = CapCounter.objects.of(self.organization).get(**fields)
        return found

    def account(self, kind: str = Kind.PAID) -> Account:
        found: Account = Account.objects.of(self.organization).get(kind=kind)
        return found

    def money(self, kind: str = Kind.PAID) -> tuple[int, int]:
        """Posted and held."""
        account = self.account(kind)
        return account.posted, account.held

    def hold(self, hold_id: int) -> Hold:
        found: Hold = Hold.objects.of(self.organization).get(pk=hold_id)
        return found

    def story(self) -> list[tuple[str, str, str, int]]:
        """Every transfer: code, from, to, amount."""
        rows = Transfer.objects.of(self.organization).order_by("id")
        return list(rows.values_list("code", "debit__kind", "credit__kind", "amount"))

    def proven(self) -> None:
        """The books hold."""
        findings = audit.run().findings
        assert findings == [], [str(finding) for finding in findings]
