"""What an organization lets us keep of its calls' content: nothing, or answers for a day.

Promise: nothing is kept until somebody says so, and whoever says no again is taken at their word: what was kept is
forgotten in the same transaction, and not a day later.
"""

from django.db import transaction

from accounts import organizations, trail
from accounts.models import Organization
from gateway import idempotency


@transaction.atomic
def keep_content(organization: Organization, *, keeps: bool, source: trail.Source) -> int:
    """Switch keeping on or off; return how many kept answers were forgotten."""
    if keeps != organization.stores_content:
        organizations.update(organization, source=source, stores_content=keeps)
    return 0 if keeps else idempotency.forget_answers(organization)
