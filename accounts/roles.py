"""What each role may do, as one table.

Promise: a permission is a word from ``Permission``; the answer is the table's and nobody else's. A visitor who
impersonates never holds a permission that shows a key, makes one, or moves money.
"""

from enum import StrEnum

from accounts.models.organizations import Role


class Permission(StrEnum):
    """Things a member may or may not do."""

    SEE = "see"
    SEE_KEYS = "see_keys"
    MAKE_KEYS = "make_keys"
    MANAGE_ALL_KEYS = "manage_all_keys"
    SEE_BILLING = "see_billing"
    SPEND = "spend"
    MANAGE_MEMBERS = "manage_members"
    MANAGE_ORGANIZATION = "manage_organization"
    TRANSFER_OWNERSHIP = "transfer_ownership"


_VIEWER = {Permission.SEE}
_DEVELOPER = _VIEWER | {Permission.SEE_KEYS, Permission.MAKE_KEYS}
_BILLING = _VIEWER | {Permission.SEE_BILLING, Permission.SPEND}
_ADMIN = _DEVELOPER | _BILLING | {Permission.MANAGE_ALL_KEYS, Permission.MANAGE_MEMBERS, Permission.MANAGE_ORGANIZATION}

GRANTED: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset(_VIEWER),
    Role.DEVELOPER: frozenset(_DEVELOPER),
    Role.BILLING: frozenset(_BILLING),
    Role.ADMIN: frozenset(_ADMIN),
    Role.OWNER: frozenset(Permission),
}
# What staff see while they visit: the pages, the bill, never a key.
VISITOR = frozenset({Permission.SEE, Permission.SEE_BILLING})
# Roles from the widest to the narrowest; nobody hands out one above their own.
ORDER = (Role.OWNER, Role.ADMIN, Role.DEVELOPER, Role.BILLING, Role.VIEWER)


def may_grant(giver: Role, given: Role) -> bool:
    """Owners grant any role but ownership (that is transferred); admins grant what is below their own."""
    if given is Role.OWNER:
        return False
    return giver is Role.OWNER or (giver is Role.ADMIN and GRANTED[given] < GRANTED[Role.ADMIN])


def may_touch(actor: Role, held: Role) -> bool:
    """Whether somebody of one role may change or remove a member who holds another: owners anyone, admins below."""
    return actor is Role.OWNER or may_grant(actor, held)
