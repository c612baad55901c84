"""The only writer of audit events.

Promise: every change by staff and every security-relevant act by a customer leaves one row, in the same transaction as
the act; rows name things by their public ids and never carry a secret.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.http import HttpRequest

from accounts.models import ApiKey, AuditEvent, Impersonation, Organization, Storefront, User

NEVER_WRITTEN = ("password", "secret", "token", "hash", "logo_png")


@dataclass(frozen=True, slots=True)
class Source:
    """Who acts, and from where."""

    user: User | None = None
    api_key: ApiKey | None = None
    impersonation: Impersonation | None = None
    ip_address: str | None = None
    user_agent: str = ""
    request_id: str = ""


SYSTEM = Source()


def source_of(request: HttpRequest) -> Source:
    """Describe the sender of a Django request."""
    user = getattr(request, "user", None)
    seat = getattr(request, "seat", None)
    return Source(
        user=user if isinstance(user, User) else None,
        api_key=getattr(request, "api_key", None),
        impersonation=seat.impersonation if seat else None,
        ip_address=getattr(request, "client_ip", None),
        user_agent=request.headers.get("User-Agent", "")[:200].replace("\x00", ""),
        request_id=getattr(request, "request_id", ""),
    )


def record(
    action: str,
    *,
    source: Source,
    target: models.Model | None = None,
    organization: Organization | None = None,
    storefront: Storefront | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
) -> AuditEvent:
    """Write down one act. Organization and storefront are read off the target where they are not given."""
    organization = organization or _organization_of(target)
    storefront = storefront or (organization.storefront if organization else _storefront_of(target))
    return AuditEvent.objects.create(
        action=action,
        storefront=storefront,
        organization=organization,
        actor=source.user,
        api_key=source.api_key,
        impersonation=source.impersonation,
        target_kind=target._meta.model_name or "" if target else "",
        target_id=str(getattr(target, "public_id", target.pk)) if target else "",
        target_name=str(target)[:160] if target else "",
        before=_plain(before or {}),
        after=_plain(after or {}),
        reason=reason[:200],
        ip_address=source.ip_address,
        user_agent=source.user_agent,
        request_id=source.request_id,
    )


def _organization_of(target: models.Model | None) -> Organization | None:
    if isinstance(target, Organization):
        return target
    found = getattr(target, "organization", None)
    return found if isinstance(found, Organization) else None


def _storefront_of(target: models.Model | None) -> Storefront | None:
    if isinstance(target, Storefront):
        return target
    found = getattr(target, "storefront", None)
    return found if isinstance(found, Storefront) else None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: str(value) if isinstance(value, models.Model) else value
        for name, value in values.items()
        if not any(word in name for word in NEVER_WRITTEN) or name.startswith("tokens_")
    }
    plain: dict[str, Any] = json.loads(json.dumps(shown, cls=DjangoJSONEncoder))
    return plain
