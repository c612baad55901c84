"""Who calls: what a key may do, kept in memory for as long as its organization's epoch stands.

Promise: a view is never trusted on its own. Whatever reserves money names the epoch the view was read at, and the
ledger refuses it as stale when anything about the organization has changed since; then it is read again. The epoch is
read with the key, in one statement, and everything else after it, so a change in between can only make a view too old,
never too new.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import OuterRef, Subquery

from accounts import keys, networks
from accounts.models import ApiKey, Membership, Organization
from accounts.models.bounds import RateLimits, SpendCaps
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from billing import pricebook, topups
from billing.models import Wallet
from billing.operations import Cap
from billing.pricing import Modifiers
from gateway.catalog import Serving
from gateway.doorway import Visitor
from gateway.errors import KeyRefused, NotAllowed
from gateway.limits import Scope
from gateway.uses import Uses
from plumbing import readers

REMEMBERED = 100_000
MISTYPED = "This API key is not well-formed; a character may have been lost when it was copied."
UNKNOWN = "This API key is not known here, or it has ended."


class ViewIsStale(Exception):
    """A caller's view was read before something changed; read it again and come back."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One key, ready to be judged."""

    key: int
    label: str
    masked: str
    organization: int
    storefront: int
    user: int
    epoch: int
    plan: str
    modifiers: Modifiers
    standing: pricebook.Standing
    caps: tuple[Cap, ...] = ()
    scopes: tuple[Scope, ...] = ()
    allowed_models: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    expires_at: datetime | None = None
    plays: bool = False  # its credit was bought in the payment sandbox
    keeps_content: bool = False

    def at(self, moment: datetime) -> "Caller":
        """The same caller by the prices of this moment: an experiment may have begun or ended since it was read."""
        draw = self.standing.draw_at(moment)
        if (draw and draw.name) == self.modifiers.arm_name:
            return self
        return replace(self, modifiers=self.standing.at(moment))


class Callers:
    """The views of one process."""

    def __init__(self) -> None:
        self.uses = Uses()
        self._known: OrderedDict[str, Caller] = OrderedDict()

    async def find(self, secret: str, *, storefront: int, ip_address: str, now: datetime) -> Caller:
        """The caller behind a secret, if the key may be used at this shop from this address."""
        name = keys.hashes(secret)[0]
        caller = self._known.get(name)
        if caller is None:
            if not keys.well_formed(secret):
                raise KeyRefused(MISTYPED)
            caller = await readers.read(load, secret, now=now)
            self._remember(name, caller)
        current = caller.at(now)
        if current is not caller:
            self._remember(name, current)
        caller = current
        _check(caller, storefront=storefront, ip_address=ip_address, now=now)
        self.uses.note(caller.key, ip_address=ip_address, now=now)
        return caller

    def forget(self, secret: str) -> None:
        """Drop a view that has turned out to be stale."""
        self._known.pop(keys.hashes(secret)[0], None)

    def _remember(self, name: str, caller: Caller) -> None:
        self._known[name] = caller
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def keep_play_money_in_the_sandbox(caller: Caller, servings: Sequence[Serving]) -> None:
    """Credit that was bought in the payment sandbox buys sandbox models only."""
    if caller.plays and not all(serving.is_sandbox for serving in servings):
        message = "This organization holds play money of the payment sandbox, which buys sandbox models only."
        raise NotAllowed(message)


def admitted(visitor: Visitor, *, now: datetime) -> Caller:
    """The caller as the database has it this moment, for what reserves nothing and so is never told it is stale."""
    if not keys.well_formed(visitor.secret):
        raise KeyRefused(MISTYPED)
    caller = load(visitor.secret, now=now)
    _check(caller, storefront=visitor.storefront, ip_address=visitor.ip_address, now=now)
    return caller.at(now)


def _check(caller: Caller, *, storefront: int, ip_address: str, now: datetime) -> None:
    if caller.storefront != storefront or (caller.expires_at is not None and caller.expires_at <= now):
        raise KeyRefused(UNKNOWN)
    if not networks.allow(list(caller.allowed_networks), ip_address):
        raise KeyRefused("This API key may not be used from your address.")


def load(secret: str, *, now: datetime) -> Caller:
    """Read a caller from the database."""
    epochs = Wallet.unscoped.filter(organization=OuterRef("organization")).values("epoch")
    key = (
        ApiKey.unscoped.filter(keys.usable(now), secret_hash__in=keys.hashes(secret), created_by__is_active=True)
        .select_related("organization")
        .annotate(epoch=Subquery(epochs))
        .first()
    )
    epoch: int | None = key.epoch if key is not None else None
    if key is None or epoch is None or key.organization is None:
        raise KeyRefused(UNKNOWN)
    if key.kind != KeyKind.INFERENCE:
        raise NotAllowed("This key runs the management API; make an inference key for calls.")
    if key.organization.standing != Standing.ACTIVE:
        raise NotAllowed("This organization is suspended; write to support.")
    return _caller(key, key.organization, epoch)


def epochs_of(organizations: Collection[int]) -> dict[int, int]:
    """The epochs of these organizations, as they are now."""
    return dict(Wallet.unscoped.filter(organization__in=organizations).values_list("organization", "epoch"))


def still_allowed(key_ids: Collection[int], *, now: datetime) -> dict[int, bool]:
    """Which of these keys may still be used, and whether their organizations may act; the others are not named."""
    usable = ApiKey.unscoped.filter(keys.usable(now), pk__in=key_ids, created_by__is_active=True)
    return {key: standing == Standing.ACTIVE for key, standing in usable.values_list("pk", "organization__standing")}


def _caller(key: ApiKey, organization: Organization, epoch: int) -> Caller:
    member = Membership.objects.of(organization).filter(user=key.created_by_id).first()
    standing = pricebook.standing_of(organization)
    bounds: list[tuple[str, int, SpendCaps]] = [("key", key.pk, key), ("organization", organization.pk, organization)]
    if member is not None:
        bounds.append(("member", member.pk, member))
    limits: list[tuple[str, RateLimits]] = [(f"key:{key.pk}", key), ("organization", organization)]
    return Caller(
        key=key.pk,
        label=key.label,
        masked=key.masked,
        organization=organization.pk,
        storefront=organization.storefront_id,
        user=key.created_by_id,
        epoch=epoch,
        plan=standing.plan,
        modifiers=standing.modifiers,
        standing=standing,
        caps=tuple(cap for scope in bounds for cap in _caps(*scope)),
        scopes=tuple(scope for scope in (_scope(name, row) for name, row in limits) if not scope.is_open),
        allowed_models=tuple(key.allowed_models),
        allowed_networks=tuple(key.allowed_networks),
        expires_at=key.expires_at,
        plays=topups.plays(organization),
        keeps_content=organization.stores_content,
    )


def _caps(kind: str, scope_id: int, row: SpendCaps) -> list[Cap]:
    limits = {"day": row.cap_day_nano, "month": row.cap_month_nano, "total": row.cap_total_nano}
    return [Cap(kind, scope_id, window, limit) for window, limit in limits.items() if limit is not None]


def _scope(name: str, row: RateLimits) -> Scope:
    return Scope(
        name,
        requests=(row.requests_per_minute, row.requests_per_hour, row.requests_per_day),
        tokens=(row.tokens_per_minute, row.tokens_per_hour, row.tokens_per_day),
        concurrent=row.concurrent_requests,
    )
