"""Letters of this room: an invitation, and the news that a key leaked.

Promise: a letter leaves only if its transaction commits, speaks for the storefront, and links to the storefront's own
domain, whatever host the request named.
"""

from datetime import datetime
from typing import Any

from accounts import access
from accounts.models import Storefront
from plumbing import notices


def send(
    kind: str, *, storefront: Storefront, recipients: list[str], context: dict[str, Any], key: str, now: datetime
) -> None:
    """Send one letter to each recipient; ``key`` names the occasion, of which each hears once."""
    for recipient in recipients:
        notices.send(
            kind, recipient=notices.Mailbox(recipient), context=context, key=key, shop=_shop(storefront), now=now
        )


def _shop(storefront: Storefront) -> notices.Shop:
    return notices.Shop(
        name=storefront.name,
        base_url=access.canonical_base(storefront),
        color=storefront.brand_color,
        support_email=storefront.support_email,
        support_url=storefront.support_url,
    )
