"""What a key may be allowed to do, as words; and what each word needs from the role of whoever made the key.

Promise: a management key does the intersection of its scopes and its maker's current role, so a demotion shrinks every
key at once; ownership is never in reach of a key. Operator scopes belong to operator keys alone, which only staff make.
"""

from collections.abc import Iterable
from enum import StrEnum

from django.core.exceptions import ValidationError

from accounts import roles
from accounts.models import Role
from accounts.models.keys import KeyKind
from accounts.roles import Permission


class Scope(StrEnum):
    """One thing a management key may do in its organization."""

    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_WRITE = "organization:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    AUDIT_READ = "audit:read"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"


class OperatorScope(StrEnum):
    """One thing an operator key may do at its storefront, or everywhere."""

    READ = "operator:read"
    USERS = "operator:users"
    CREDIT = "operator:credit"
    LIMITS = "operator:limits"


NEEDS: dict[Scope, Permission] = {
    Scope.ORGANIZATION_READ: Permission.SEE,
    Scope.ORGANIZATION_WRITE: Permission.MANAGE_ORGANIZATION,
    Scope.MEMBERS_READ: Permission.SEE,
    Scope.MEMBERS_WRITE: Permission.MANAGE_MEMBERS,
    Scope.KEYS_READ: Permission.SEE_KEYS,
    Scope.KEYS_WRITE: Permission.MAKE_KEYS,
    Scope.AUDIT_READ: Permission.MANAGE_ORGANIZATION,
    Scope.BILLING_READ: Permission.SEE_BILLING,
    Scope.BILLING_WRITE: Permission.SPEND,
}
# Managing other people's keys comes with writing keys, where the role has it.
ALSO: dict[Scope, frozenset[Permission]] = {Scope.KEYS_WRITE: frozenset({Permission.MANAGE_ALL_KEYS})}


def within_role(role: Role) -> list[str]:
    """Every scope a member of this role may give to a management key."""
    return [scope.value for scope in Scope if NEEDS[scope] in roles.GRANTED[role]]


def permissions(scopes: Iterable[str]) -> frozenset[Permission]:
    """The most a key with these scopes may do, whatever its maker's role."""
    known = [scope for scope in Scope if scope.value in set(scopes)]
    return frozenset(NEEDS[scope] for scope in known).union(*(ALSO.get(scope, frozenset()) for scope in known))


def clean(kind: KeyKind, scopes: object) -> list[str]:
    """Return the scopes once each in a steady order, or say which word this kind of key does not know."""
    known = {
        KeyKind.INFERENCE: [],
        KeyKind.MANAGEMENT: [scope.value for scope in Scope],
        KeyKind.OPERATOR: [scope.value for scope in OperatorScope],
    }[kind]
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValidationError({"scopes": "Must be a list of scopes."})
    if strangers := [scope for scope in scopes if scope not in known]:
        words = ", ".join(known) if known else "none, because a key of this kind only makes calls"
        raise ValidationError({"scopes": f"'{strangers[0][:40]}' is not a scope of this kind of key ({words})."})
    if known and not scopes:
        raise ValidationError({"scopes": "Name at least one scope; a key without any could do nothing."})
    return [scope for scope in known if scope in scopes]
