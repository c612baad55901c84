"""The rows of accounts, split by story: shops, people, workspaces, keys, the trail."""

from accounts.models.impersonation import Impersonation
from accounts.models.keys import ApiKey
from accounts.models.organizations import Invitation, Membership, Organization, Role
from accounts.models.people import User
from accounts.models.storefronts import SignUpPolicy, Storefront, StorefrontDomain, StorefrontStaff
from accounts.models.trail import AuditEvent

__all__ = [
    "ApiKey",
    "AuditEvent",
    "Impersonation",
    "Invitation",
    "Membership",
    "Organization",
    "Role",
    "SignUpPolicy",
    "Storefront",
    "StorefrontDomain",
    "StorefrontStaff",
    "User",
]
