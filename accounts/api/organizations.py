"""Who am I, and which organizations are within reach."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access, organizations
from accounts.access import Seat
from accounts.api import serializers
from accounts.api.schema import WITH_BODY, answers
from accounts.api.views import ApiView, OrganizationView, seat_of
from accounts.models import ApiKey, User
from accounts.models.keys import KeyKind
from accounts.roles import Permission
from accounts.scopes import Scope


def seats_within_reach(view: ApiView) -> list[Seat]:
    """A key reaches its one organization, a visit its one, a person all of theirs at this storefront."""
    sender, asked = view.request.auth, view.asked
    if isinstance(sender, ApiKey):
        return [seat_of(sender)] if sender.kind == KeyKind.MANAGEMENT else []
    assert isinstance(view.request.user, User), "permission_classes let nobody else through"
    if asked.impersonation is not None:
        visited = asked.impersonation.organization
        return [
            access.organization_named(
                view.request.user, asked.storefront, visited.public_id, impersonation=asked.impersonation
            )
        ]
    return access.seats_of(view.request.user, asked.storefront)


class MeView(ApiView):
    """Who is asking."""

    @extend_schema(operation_id="me", tags=["me"], responses=answers({200: serializers.Me}))
    def get(self, request: Request) -> Response:
        """Say who you are here and what is within reach. Answers keys of every kind."""
        key = request.auth if isinstance(request.auth, ApiKey) else None
        reachable = [_brief(seat) for seat in seats_within_reach(self)]
        if key is not None and key.kind == KeyKind.INFERENCE and key.organization is not None:
            holder = key.organization
            reachable = [
                {"id": holder.public_id, "name": holder.name, "slug": holder.slug, "role": None, "permissions": []}
            ]
        shown = {
            "kind": "person" if key is None else "key",
            "storefront": self.asked.storefront,
            "user": request.user if key is None else None,
            "key": key,
            "organizations": reachable,
        }
        return Response(serializers.Me(shown).data)


def _brief(seat: Seat) -> dict[str, Any]:
    return {
        "id": seat.organization.public_id,
        "name": seat.organization.name,
        "slug": seat.organization.slug,
        "role": seat.role,
        "permissions": [permission.value for permission in Permission if seat.may(permission)],
    }


class OrganizationsView(ApiView):
    """The organizations within reach."""

    lists = True

    @extend_schema(
        operation_id="organizations_list",
        tags=["organizations"],
        responses=answers({200: serializers.OrganizationShown(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List the organizations within reach: all of a person's, or the one of a key."""
        if isinstance(request.auth, ApiKey) or self.asked.impersonation is not None:
            seats = [seat for seat in seats_within_reach(self) if seat.within(Scope.ORGANIZATION_READ)]
            shown = serializers.OrganizationShown(seats, many=True).data
            return Response({"next": None, "previous": None, "results": shown})
        found = self.paginate_queryset(access.memberships_of(self.person, self.asked.storefront)) or []
        seats = [access.seated(membership) for membership in found]
        return self.get_paginated_response(serializers.OrganizationShown(seats, many=True).data)

    @extend_schema(
        operation_id="organizations_create",
        tags=["organizations"],
        request=serializers.OrganizationCreate,
        responses=answers({201: serializers.OrganizationShown}, 409, *WITH_BODY),
    )
    def post(self, request: Request) -> Response:
        """Open another workspace with yourself as its owner."""
        owner = self.person
        asked = self.read(serializers.OrganizationCreate)
        organization = organizations.open_own(
            storefront=self.asked.storefront, person=owner, name=asked["name"], source=self.source
        )
        seat = access.organization_named(owner, self.asked.storefront, organization.public_id)
        return Response(serializers.OrganizationShown(seat).data, status=201)


class OrganizationDetailView(OrganizationView):
    """One organization."""

    scopes: ClassVar = {"GET": Scope.ORGANIZATION_READ, "PATCH": Scope.ORGANIZATION_WRITE}

    @extend_schema(
        operation_id="organizations_get",
        tags=["organizations"],
        responses=answers({200: serializers.OrganizationShown}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Show one organization."""
        return Response(serializers.OrganizationShown(self.seat).data)

    @extend_schema(
        operation_id="organizations_patch",
        tags=["organizations"],
        request=serializers.OrganizationPatch,
        responses=answers({200: serializers.OrganizationShown}, 404, *WITH_BODY),
    )
    def patch(self, request: Request, organization_id: str) -> Response:
        """Change its name or time zone."""
        changes = self.read(serializers.OrganizationPatch)
        if changes:
            organizations.update(self.seat.organization, source=self.source, **changes)
        return Response(serializers.OrganizationShown(self.seat).data)
