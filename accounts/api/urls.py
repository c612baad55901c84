"""The addresses of the management API. Things are named by their public ids; anything else is a 404 by its shape."""

from django.urls import path, register_converter

from accounts.api import docs, events, keys, leaks, members, organizations


class PublicId:
    """A prefix and twenty characters, as ``plumbing.identifiers`` makes them."""

    regex = "[a-z]{2,5}_[0-9a-z]{20}"

    def to_python(self, value: str) -> str:
        """As it is."""
        return value

    def to_url(self, value: str) -> str:
        """As it is."""
        return value


register_converter(PublicId, "public_id")

ORGANIZATION = "api/v1/organizations/<public_id:organization_id>"

urlpatterns = [
    path("openapi.json", docs.openapi, name="openapi"),
    path("docs", docs.swagger, name="docs"),
    path("redoc", docs.redoc, name="redoc"),
    path("redoc.js", docs.redoc_script, name="redoc_script"),
    path("api/v1/me", organizations.MeView.as_view(), name="api_me"),
    path("api/v1/leaked-keys", leaks.LeakedKeysView.as_view(), name="api_leaked_keys"),
    path("api/v1/invitations/accept", members.InvitationAcceptView.as_view(), name="api_accept"),
    path("api/v1/organizations", organizations.OrganizationsView.as_view(), name="api_organizations"),
    path(ORGANIZATION, organizations.OrganizationDetailView.as_view(), name="api_organization"),
    path(f"{ORGANIZATION}/members", members.MembersView.as_view(), name="api_members"),
    path(f"{ORGANIZATION}/members/<public_id:member_id>", members.MemberView.as_view(), name="api_member"),
    path(f"{ORGANIZATION}/ownership-offers", members.OwnershipView.as_view(), name="api_ownership"),
    path(f"{ORGANIZATION}/invitations", members.InvitationsView.as_view(), name="api_invitations"),
    path(
        f"{ORGANIZATION}/invitations/<public_id:invitation_id>",
        members.InvitationView.as_view(),
        name="api_invitation",
    ),
    path(
        f"{ORGANIZATION}/invitations/<public_id:invitation_id>/resend",
        members.InvitationResendView.as_view(),
        name="api_invitation_resend",
    ),
    path(
        f"{ORGANIZATION}/invitations/<public_id:invitation_id>/revoke",
        members.InvitationRevokeView.as_view(),
        name="api_invitation_revoke",
    ),
    path(f"{ORGANIZATION}/keys", keys.KeysView.as_view(), name="api_keys"),
    path(f"{ORGANIZATION}/keys/<public_id:key_id>", keys.KeyView.as_view(), name="api_key"),
    path(f"{ORGANIZATION}/keys/<public_id:key_id>/rotate", keys.KeyRotateView.as_view(), name="api_key_rotate"),
    path(f"{ORGANIZATION}/keys/<public_id:key_id>/disable", keys.KeyDisableView.as_view(), name="api_key_disable"),
    path(f"{ORGANIZATION}/keys/<public_id:key_id>/enable", keys.KeyEnableView.as_view(), name="api_key_enable"),
    path(f"{ORGANIZATION}/keys/<public_id:key_id>/revoke", keys.KeyRevokeView.as_view(), name="api_key_revoke"),
    path(f"{ORGANIZATION}/audit-events", events.EventsView.as_view(), name="api_events"),
]
