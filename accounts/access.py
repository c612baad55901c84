"""The only doors to a tenant: ``storefront_for(host)``, ``organization_for(user, slug)``, ``key_for(secret)``.

Promise: whoever comes through has been told apart from everybody else. A host belongs to one storefront or to none; a
person sees an organization of this storefront they belong to, and any other answers as if it did not exist; a key
works at its own storefront, from its own addresses, while it is alive and its organization in good standing.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Case, Q, QuerySet, When

from accounts import keys, networks, roles, scopes
from accounts.models import ApiKey, Impersonation, Membership, Organization, Role, Storefront, User
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from accounts.roles import Permission
from accounts.scopes import Scope


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
    """A place in an organization for the length of a request: the role, whether they only visit, or by which key."""

    organization: Organization
    user: User
    role: Role
    membership: Membership | None = None
    impersonation: Impersonation | None = None
    api_key: ApiKey | None = None

    def may(self, permission: Permission) -> bool:
        """Whether this seat holds the permission; a key holds what its scopes and its maker's role share."""
        granted = roles.VISITOR if self.impersonation else roles.GRANTED[self.role]
        if self.api_key is not None:
            granted &= scopes.permissions(self.api_key.scopes)
        return permission in granted

    def within(self, scope: Scope) -> bool:
        """Whether this seat may do what the scope names: a person by role, a key only if it carries the scope."""
        carried = self.api_key is None or scope.value in self.api_key.scopes
        return carried and self.may(scopes.NEEDS[scope])


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
    if not (name.isascii() and name.isprintable()):
        raise UnknownHost(name)
    wanted = Q(domains__host=name) if name else Q(pk__isnull=True)
    if is_platform_host(name):  # in one question; a shop that owns the host comes before the default one
        wanted |= Q(is_default=True)
    owns = Case(When(domains__host=name, then=0), default=1)
    found = Storefront.objects.filter(wanted).order_by(owns, "pk").first()
    if found is None:
        raise UnknownHost(name)
    return found


def canonical_base(storefront: Storefront) -> str:
    """Where this storefront's links lead, whatever host the request named: ``https://shop.example.com``."""
    primary = storefront.domains.order_by("-is_primary", "host").first()
    host = primary.host if primary else settings.PLATFORM_HOSTS[0]
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{host}{port}"


def memberships_of(user: User, storefront: Storefront) -> "QuerySet[Membership]":
    """The person's places in the organizations of this storefront that are not closed."""
    return (
        Membership.unscoped.filter(user=user, organization__storefront=storefront)
        .exclude(organization__standing=Standing.CLOSED)
        .select_related("organization__storefront", "user")
    )


def seated(membership: Membership) -> Seat:
    """The seat a membership gives."""
    return Seat(membership.organization, membership.user, Role(membership.role), membership)


def seats_of(user: User, storefront: Storefront) -> list[Seat]:
    """Every organization of this storefront the person belongs to, by name."""
    return [seated(membership) for membership in memberships_of(user, storefront).order_by("organization__name", "id")]


def among(seats: list[Seat], slug: str) -> Seat:
    """The seat in the organization of that slug, of seats that were read already, or ``NotThere``."""
    for seat in seats:
        if seat.organization.slug == slug:
            return seat
    raise NotThere(slug)


def organization_for(
    user: User, storefront: Storefront, slug: str, *, impersonation: Impersonation | None = None
) -> Seat:
    """The person's seat in the organization of that slug, or ``NotThere``."""
    return _seat(user, storefront, impersonation, "slug", slug)


def organization_named(
    user: User, storefront: Storefront, public_id: str, *, impersonation: Impersonation | None = None
) -> Seat:
    """The person's seat in the organization of that public id, or ``NotThere``."""
    return _seat(user, storefront, impersonation, "public_id", public_id)


def _seat(user: User, storefront: Storefront, visit: Impersonation | None, name: str, value: str) -> Seat:
    if visit is not None:
        organization = visit.organization
        if getattr(organization, name) == value and organization.storefront_id == storefront.pk:
            return Seat(organization, user, Role.VIEWER, impersonation=visit)
        raise NotThere(value)
    membership = memberships_of(user, storefront).filter(**{f"organization__{name}": value}).first()
    if membership is None:
        raise NotThere(value)
    return seated(membership)


def seat_of_key(key: ApiKey) -> Seat:
    """The seat a management key acts from: its maker's, as it is now; without that the key opens nothing."""
    organization = key.organization
    if organization is None or key.kind != KeyKind.MANAGEMENT:
        message = "Only a management key acts for an organization."
        raise KeyNotAccepted(message)
    membership = Membership.objects.of(organization).filter(user=key.created_by).first()
    if membership is None:
        message = "Whoever made this key has left the organization, and the key ended with that."
        raise KeyNotAccepted(message)
    return Seat(organization, key.created_by, Role(membership.role), membership, api_key=key)


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
        or (key.kind == KeyKind.OPERATOR and not keys.operates(key.created_by, key.storefront))
    ):
        message = "This API key is not known here, or it has ended."
        raise KeyNotAccepted(message)
    if not networks.allow(key.allowed_networks, ip_address):
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
