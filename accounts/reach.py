"""A child is never wider than its maker: what one key may hand on to another, decided from the rows alone.

Promise: pure and complete. Every bound of a key (``COMPARED``) is compared, and a test fails when a bound is added to
the row and forgotten here.
"""

from accounts import networks, patterns
from accounts.models import ApiKey
from accounts.models.bounds import RATE_LIMITS, SPEND_CAPS
from accounts.models.keys import KeyKind

NUMBERS = (*SPEND_CAPS, *RATE_LIMITS, "concurrent_requests")
COMPARED = frozenset({"scopes", "allowed_models", "allowed_networks", "expires_at", *NUMBERS})


def wider(child: ApiKey, maker: ApiKey) -> str | None:
    """The first bound in which the child would reach further than its maker, or None."""
    if child.kind == KeyKind.OPERATOR or not set(child.scopes) <= set(maker.scopes):
        return "scopes"
    if not patterns.within(child.allowed_models, maker.allowed_models):
        return "allowed_models"
    if not networks.within(child.allowed_networks, maker.allowed_networks):
        return "allowed_networks"
    for name in (*NUMBERS, "expires_at"):
        bound, asked = getattr(maker, name), getattr(child, name)
        if bound is not None and (asked is None or asked > bound):
            return name
    return None
