"""Shops: how one opens, changes its face and its hosts, and who works there.

Promise: every change is one transaction with its audit event, before and after and why; a shop never takes a host that
belongs to the installation or to another shop; a logo is our own PNG, whatever was uploaded.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import access, trail
from accounts.models import Storefront, StorefrontDomain, StorefrontStaff, User
from plumbing.refusals import Refusal
from plumbing.text import NotOneLine, one_line

LONGEST = {"name": 80, "tagline": 160}


class StorefrontRefused(Refusal, ValueError):
    """What was asked of a storefront cannot be; the sentence says why."""


@transaction.atomic
def create(*, source: trail.Source, reason: str = "", **fields: Any) -> Storefront:
    """Open a shop. It answers once it has a domain."""
    storefront = Storefront(**_in_one_line(fields))
    storefront.full_clean()
    storefront.save(force_insert=True)
    trail.record("storefront.created", source=source, target=storefront, after=fields, reason=reason)
    return storefront


@transaction.atomic
def update(storefront: Storefront, *, source: trail.Source, reason: str = "", **changes: Any) -> None:
    """Change a shop's brand, words or policy."""
    storefront = Storefront.objects.select_for_update().get(pk=storefront.pk)
    changes = _in_one_line(changes)
    before = {name: getattr(storefront, name) for name in changes}
    for name, value in changes.items():
        setattr(storefront, name, value)
    storefront.full_clean()
    storefront.save(update_fields=list(changes))
    trail.record(
        "storefront.changed",
        source=source,
        target=storefront,
        before=_without_bytes(before),
        after=_without_bytes(changes),
        reason=reason,
    )


def _in_one_line(values: dict[str, Any]) -> dict[str, Any]:
    """Name and tagline as one visible line each: the name stands in the headers of letters."""
    cleaned = {}
    for name in {"name", "tagline"} & set(values):
        try:
            cleaned[name] = one_line(values[name], longest=LONGEST[name]) if values[name] else values[name]
        except NotOneLine as error:
            raise ValidationError({name: str(error)}) from error
    return values | cleaned


def _without_bytes(values: dict[str, Any]) -> dict[str, Any]:
    """The trail says that there was a logo and how large, not what it looked like."""
    shown = {name: value for name, value in values.items() if name != "logo_png"}
    if "logo_png" in values:
        shown["logo_size_bytes"] = len(values["logo_png"] or b"")
    return shown


@transaction.atomic
def add_domain(
    storefront: Storefront, *, host: str, is_primary: bool, source: trail.Source, reason: str = ""
) -> StorefrontDomain:
    """Give a shop another host."""
    if access.is_platform_host(host):
        message = f"{host} belongs to the installation itself; a shop needs a host of its own."
        raise StorefrontRefused(message)
    if is_primary:
        storefront.domains.filter(is_primary=True).update(is_primary=False)
    domain = StorefrontDomain(storefront=storefront, host=host, is_primary=is_primary)
    domain.full_clean()
    domain.save(force_insert=True)
    after = {"host": host, "is_primary": is_primary}
    trail.record("domain.added", source=source, target=domain, after=after, reason=reason)
    return domain


@transaction.atomic
def make_primary(domain: StorefrontDomain, *, source: trail.Source, reason: str = "") -> None:
    """Let links in mails lead to this host."""
    siblings = domain.storefront.domains
    before = list(siblings.filter(is_primary=True).values_list("host", flat=True))
    siblings.filter(is_primary=True).update(is_primary=False)
    siblings.filter(pk=domain.pk).update(is_primary=True)
    trail.record(
        "domain.made_primary",
        source=source,
        target=domain,
        before={"primary": before},
        after={"primary": [domain.host]},
        reason=reason,
    )


@transaction.atomic
def remove_domain(domain: StorefrontDomain, *, source: trail.Source, reason: str = "") -> None:
    """Take a host away; whoever asks for it is answered 421 from then on."""
    before = {"host": domain.host, "is_primary": domain.is_primary}
    trail.record("domain.removed", source=source, target=domain, before=before, reason=reason)
    domain.delete()


@transaction.atomic
def hire(
    storefront: Storefront, *, user: User, can_change: bool, source: trail.Source, reason: str = ""
) -> StorefrontStaff:
    """Let somebody work at a shop."""
    job = StorefrontStaff(storefront=storefront, user=user, can_change=can_change)
    job.full_clean()
    job.save(force_insert=True)
    after = {"user": user, "can_change": can_change}
    trail.record("staff.hired", source=source, target=job, after=after, reason=reason)
    return job


@transaction.atomic
def change_job(job: StorefrontStaff, *, can_change: bool, source: trail.Source, reason: str = "") -> None:
    """Let somebody touch what they could only see, or the other way round."""
    before = {"can_change": job.can_change}
    job.can_change = can_change
    job.save(update_fields=["can_change"])
    trail.record(
        "staff.changed", source=source, target=job, before=before, after={"can_change": can_change}, reason=reason
    )


@transaction.atomic
def dismiss(job: StorefrontStaff, *, source: trail.Source, reason: str = "") -> None:
    """End somebody's job at a shop; their next click sees nothing of it."""
    before = {"user": job.user, "can_change": job.can_change}
    trail.record("staff.dismissed", source=source, target=job, before=before, reason=reason)
    job.delete()
