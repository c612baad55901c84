"""The only doors to a tenant: ``storefront_for(host)``, ``organization_for(user, slug)``, ``key_for(secret)``.

Promise: whoever comes through has been told apart from everybody else. A host belongs to one storefront or to none; a
person sees an organization of this storefront they belong to, and any other answers as if it did not exist; a key
works at its own storefront, from its own addresses, while it is alive and its organization in good standing.
"""

import ipaddress
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from accounts import keys, roles
from accounts.models import ApiKey, Impersonation, Membership, Organization, Role, Storefront, User
from accounts.models.organizations import Standing
from accounts.roles import Permission


class UnknownHost(LookupError):
    """No storefront answers on this host (421)."""


class NotThere(LookupError):
    """No such organization for this person; the same answer as for one that never existed (404)."""


class KeyNotAccepted(PermissionError):
    """The key is missing, mistyped, ended, or not meant for here (401)."""


class OrganizationBlocked(PermissionError):
    """The key is right, and its organization may not act (403)."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A person's place in an organization for the length of a request: the role, and whether they only visit."""

    organization: Organization
    user: User
    role: Role
    membership: Membership | None = None
    impersonation: Impersonation | None = None

    def may(self, permission: Permission) -> bool:
        """Whether this seat holds the permission."""
        granted = roles.VISITOR if self.impersonation else roles.GRANTED[self.role]
        return permission in granted


def host_name(host: str) -> str:
    """The host of a Host header: lower case, without port and without the root's dot."""
    host = host.strip().lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")


def is_platform_host(host: str) -> bool:
    """Whether this is one of the installation's own hosts."""
    return host_name(host) in {host_name(own) for own in settings.PLATFORM_HOSTS}


def storefront_for(host: str) -> Storefront:
    """The storefront that answers on this host; the default one answers on the installation's own."""
    name = host_name(host)
    found = Storefront.objects.filter(domains__host=name).first() if name else None
    if found is None and is_platform_host(name):
        found = Storefront.objects.filter(is_default=True).first()
    if found is None:
        raise UnknownHost(name)
    return found


def canonical_base(storefront: Storefront) -> str:
    """Where this storefront's links lead, whatever host the request named: ``https://shop.example.com``."""
    primary = storefront.domains.filter(is_primary=True).first() or storefront.domains.first()
    host = primary.host if primary else settings.PLATFORM_HOSTS[0]
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{host}{port}"


def seats_of(user: User, storefront: Storefront) -> list[Seat]:
    """Every organization of this storefront the person belongs to."""
    memberships = Membership.unscoped.filter(user=user, organization__storefront=storefront)
    return [
        Seat(membership.organization, user, Role(membership.role), membership)
        for membership in memberships.exclude(organization__standing=Standing.CLOSED)
        .select_related("organization__storefront")
        .order_by("organization__name", "id")
    ]


def organization_for(
    user: User, storefront: Storefront, slug: str, *, impersonation: Impersonation | None = None
) -> Seat:
    """The person's seat in the organization of that slug, or ``NotThere``."""
    if impersonation is not None:
        organization = impersonation.organization
        if organization.slug == slug and organization.storefront_id == storefront.pk:
            return Seat(organization, user, Role.VIEWER, impersonation=impersonation)
        raise NotThere(slug)
    membership = (
        Membership.unscoped.filter(user=user, organization__storefront=storefront, organization__slug=slug)
        .exclude(organization__standing=Standing.CLOSED)
        .select_related("organization__storefront")
        .first()
    )
    if membership is None:
        raise NotThere(slug)
    return Seat(membership.organization, user, Role(membership.role), membership)


def key_for(secret: str, *, storefront: Storefront, on_platform_host: bool, ip_address: str, now: datetime) -> ApiKey:
    """The living key with this secret, if it may be used at this storefront from this address."""
    if not keys.well_formed(secret):
        message = "This API key is not well-formed; a character may have been lost when it was copied."
        raise KeyNotAccepted(message)
    key = (
        ApiKey.unscoped.filter(keys.usable(now), secret_hash__in=keys.hashes(secret))
        .select_related("organization__storefront", "storefront", "created_by")
        .first()
    )
    if (
        key is None
        or not _meant_for(key, storefront, on_platform_host=on_platform_host)
        or not key.created_by.is_active
    ):
        message = "This API key is not known here, or it has ended."
        raise KeyNotAccepted(message)
    if not address_allowed(key.allowed_networks, ip_address):
        message = "This API key may not be used from your address."
        raise KeyNotAccepted(message)
    if key.organization and key.organization.standing != Standing.ACTIVE:
        message = "This organization is suspended; write to support."
        raise OrganizationBlocked(message)
    return key


def _meant_for(key: ApiKey, storefront: Storefront, *, on_platform_host: bool) -> bool:
    if key.organization:
        return key.organization.storefront_id == storefront.pk
    if key.storefront_id:
        return key.storefront_id == storefront.pk
    return on_platform_host


def address_allowed(networks: list[str], ip_address: str) -> bool:
    """Whether an address lies in one of the networks; no networks means everywhere."""
    if not networks:
        return True
    address = ipaddress.ip_address(ip_address)
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)
