"""Keys for the playground: short-lived, of the member who plays, and never the session itself.

Promise: such a key ends within the hour, belongs to the member (so their caps and the organization's bind it), calls
models and nothing else, and its secret is in one answer only. A member has at most ``MOST_AT_ONCE``; older ones end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from accounts import keys, trail
from accounts.access import Seat
from accounts.models import ApiKey
from accounts.models.keys import KeyKind
from dashboard.models import PlaygroundKey

LIFETIME = timedelta(minutes=55)
MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Pass:
    """The secret, for the one answer it is in."""

    secret: str
    expires_at: datetime


@transaction.atomic
def mint(seat: Seat, *, now: datetime, source: trail.Source) -> Pass:
    """A key for the next hour; ended and surplus ones of this member are revoked."""
    _tidy(seat, now=now, source=source)
    expires_at = now + LIFETIME
    minted = keys.create(
        organization=seat.organization,
        storefront=None,
        made_by=seat.user,
        kind=KeyKind.INFERENCE,
        label=f"Playground of {seat.user.get_short_name()}"[: keys.LONGEST_LABEL],
        source=source,
        expires_at=expires_at,
    )
    PlaygroundKey.objects.create(api_key=minted.key, organization=seat.organization, user=seat.user)
    return Pass(minted.secret, expires_at)


def _tidy(seat: Seat, *, now: datetime, source: trail.Source) -> None:
    mine = ApiKey.objects.of(seat.organization).filter(playground__user=seat.user, revoked_at__isnull=True)
    living = list(mine.filter(expires_at__gt=now).order_by("-created_at", "-id"))
    for key in [*mine.filter(expires_at__lte=now), *living[MOST_AT_ONCE - 1 :]]:
        keys.revoke(key, now=now, source=source, reason="The playground's hour is over.")
