"""Members and invitations of one organization, and the way in through a letter."""

from typing import Any, ClassVar

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework import serializers as framework
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import members
from accounts.api import serializers
from accounts.api.schema import WITH_BODY, answers
from accounts.api.views import ApiView, OrganizationView
from accounts.models import Invitation, Membership, Role
from accounts.scopes import Scope


class MemberFilter(framework.Serializer[Any]):
    """What a list of members may be narrowed by."""

    role = framework.ChoiceField(choices=Role.choices, required=False)


class MembersView(OrganizationView):
    """The members."""

    lists = True
    filterset = MemberFilter
    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}

    @extend_schema(
        operation_id="members_list",
        tags=["members"],
        parameters=[MemberFilter],
        responses=answers({200: serializers.MemberShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List the members, newest first."""
        rows = Membership.objects.of(self.seat.organization).filter(**self.filters()).select_related("user")
        return self.page(rows, serializers.MemberShown)


class MemberView(OrganizationView):
    """One member."""

    # Stepping down and leaving need no permission; the room looks at the rest.
    scopes: ClassVar = {"GET": Scope.MEMBERS_READ, "PATCH": None, "DELETE": None}

    @extend_schema(operation_id="members_get", tags=["members"], responses=answers({200: serializers.MemberShown}, 404))
    def get(self, request: Request, organization_id: str, member_id: str) -> Response:
        """Show one member."""
        return Response(serializers.MemberShown(self._member(member_id)).data)

    @extend_schema(
        operation_id="members_patch",
        tags=["members"],
        request=serializers.MemberPatch,
        responses=answers({200: serializers.MemberShown}, 404, 409, *WITH_BODY),
    )
    def patch(self, request: Request, organization_id: str, member_id: str) -> Response:
        """Change a member's role or caps. Anyone may step down to a lower role."""
        member = self._member(member_id)
        changes = self.read(serializers.MemberPatch)
        role = changes.pop("role", None)
        with transaction.atomic():  # a role that is refused takes the caps back with it
            if changes:
                member = members.set_caps(self.seat, member, source=self.source, **changes)
            if role is not None:
                member = members.change_role(self.seat, member, role=Role(role), source=self.source)
        return Response(serializers.MemberShown(member).data)

    @extend_schema(
        operation_id="members_delete", tags=["members"], request=None, responses=answers({204: None}, 404, 409)
    )
    def delete(self, request: Request, organization_id: str, member_id: str) -> Response:
        """Remove a member, or leave; the keys they made are revoked in the same moment."""
        members.remove(self.seat, self._member(member_id), source=self.source, now=timezone.now())
        return Response(status=204)

    def _member(self, member_id: str) -> Membership:
        member: Membership | None = (
            Membership.objects.of(self.seat.organization).filter(public_id=member_id).select_related("user").first()
        )
        if member is None:
            raise exceptions.NotFound
        return member


class OwnershipView(OrganizationView):
    """The offer of ownership."""

    scopes: ClassVar = {"POST": None}

    @extend_schema(
        operation_id="ownership_offer",
        tags=["members"],
        request=serializers.OwnershipOffer,
        responses=answers({201: serializers.InvitationShown}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Ask a member to take over; when they accept the letter, they own and you are an admin."""
        asked = self.read(serializers.OwnershipOffer)
        receiver = Membership.objects.of(self.seat.organization).filter(public_id=asked["member_id"]).first()
        if receiver is None:
            raise exceptions.ValidationError({"member_id": ["There is no such member here."]})
        invitation = members.offer_ownership(self.seat, receiver, source=self.source, now=timezone.now())
        return Response(serializers.InvitationShown(invitation).data, status=201)


class InvitationsView(OrganizationView):
    """The invitations."""

    lists = True
    scopes: ClassVar = {"GET": Scope.MEMBERS_READ, "POST": Scope.MEMBERS_WRITE}

    @extend_schema(
        operation_id="invitations_list",
        tags=["invitations"],
        responses=answers({200: serializers.InvitationShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List the invitations, newest first, ended ones included."""
        rows = Invitation.objects.of(self.seat.organization).select_related("invited_by")
        return self.page(rows, serializers.InvitationShown)

    @extend_schema(
        operation_id="invitations_create",
        tags=["invitations"],
        request=serializers.InvitationCreate,
        responses=answers({201: serializers.InvitationShown}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Invite a mailbox; the letter holds the token, this answer does not."""
        asked = self.read(serializers.InvitationCreate)
        invitation = members.invite(
            self.seat, email=asked["email"], role=Role(asked["role"]), source=self.source, now=timezone.now()
        )
        return Response(serializers.InvitationShown(invitation).data, status=201)


class InvitationView(OrganizationView):
    """One invitation."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}

    @extend_schema(
        operation_id="invitations_get", tags=["invitations"], responses=answers({200: serializers.InvitationShown}, 404)
    )
    def get(self, request: Request, organization_id: str, invitation_id: str) -> Response:
        """Show one invitation."""
        return Response(serializers.InvitationShown(self._invitation(invitation_id)).data)

    def _invitation(self, invitation_id: str) -> Invitation:
        invitation: Invitation | None = (
            Invitation.objects.of(self.seat.organization)
            .filter(public_id=invitation_id)
            .select_related("invited_by")
            .first()
        )
        if invitation is None:
            raise exceptions.NotFound
        return invitation


class InvitationResendView(InvitationView):
    """Sending a letter again."""

    http_method_names = ("post",)
    scopes: ClassVar = {"POST": Scope.MEMBERS_WRITE}

    @extend_schema(
        operation_id="invitations_resend",
        tags=["invitations"],
        request=None,
        responses=answers({200: serializers.InvitationShown}, 404, 409),
    )
    def post(self, request: Request, organization_id: str, invitation_id: str) -> Response:
        """Send a fresh letter for another seven days; the old link stops working."""
        invitation = members.resend(self.seat, self._invitation(invitation_id), source=self.source, now=timezone.now())
        return Response(serializers.InvitationShown(invitation).data)


class InvitationRevokeView(InvitationView):
    """Taking a letter back."""

    http_method_names = ("post",)
    scopes: ClassVar = {"POST": Scope.MEMBERS_WRITE}

    @extend_schema(
        operation_id="invitations_revoke",
        tags=["invitations"],
        request=None,
        responses=answers({200: serializers.InvitationShown}, 404, 409),
    )
    def post(self, request: Request, organization_id: str, invitation_id: str) -> Response:
        """Take the invitation back; a second time changes nothing."""
        invitation = members.revoke_invitation(
            self.seat, self._invitation(invitation_id), source=self.source, now=timezone.now()
        )
        return Response(serializers.InvitationShown(invitation).data)


class InvitationAcceptView(ApiView):
    """The way in."""

    @extend_schema(
        operation_id="invitations_accept",
        tags=["invitations"],
        request=serializers.InvitationAccept,
        responses=answers({200: serializers.Joined}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request) -> Response:
        """Accept an invitation by the token of its letter; your verified mailbox must be the invited one."""
        person = self.person
        asked = self.read(serializers.InvitationAccept)
        membership = members.accept(
            token=asked["token"],
            user=person,
            storefront=self.asked.storefront,
            source=self.source,
            now=timezone.now(),
        )
        return Response(serializers.Joined(membership).data)
