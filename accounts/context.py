"""What every template may count on: the storefront it speaks for, and the visit it may be part of."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import access
from accounts.access import Seat
from accounts.models import User


def storefront(request: HttpRequest) -> dict[str, Any]:
    """The shop, the person's seats in it, and a running impersonation."""
    shop = getattr(request, "storefront", None)
    user = getattr(request, "user", None)

    def seats() -> list[Seat]:
        read: list[Seat] | None = getattr(request, "seats", None)  # by the middleware, on an organization's pages
        if read is not None:
            return read
        return access.seats_of(user, shop) if shop and isinstance(user, User) else []

    return {
        "storefront": shop,
        "seat": getattr(request, "seat", None),
        "seats": SimpleLazyObject(seats),  # only pages that name them read them
        "impersonation": getattr(request, "impersonation", None),
    }
