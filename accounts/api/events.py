"""The organization's own trail, to be read and never written."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers as framework
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import serializers
from accounts.api.schema import answers
from accounts.api.views import OrganizationView
from accounts.models import AuditEvent, Membership, StorefrontStaff
from accounts.scopes import Scope


class EventFilter(framework.Serializer[Any]):
    """What the trail may be narrowed by."""

    action = framework.RegexField(r"^[a-z_.]{1,64}$", required=False, help_text="key.created")
    target_id = framework.RegexField(r"^[a-z0-9_]{1,64}$", required=False)


class EventsView(OrganizationView):
    """The trail."""

    lists = True
    filterset = EventFilter
    scopes: ClassVar = {"GET": Scope.AUDIT_READ}

    @extend_schema(
        operation_id="audit_events_list",
        tags=["audit events"],
        parameters=[EventFilter],
        responses=answers({200: serializers.EventShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List what happened in this organization, newest first."""
        organization = self.seat.organization
        rows = AuditEvent.objects.filter(organization=organization, **self.filters())
        return self.page(
            rows.select_related("actor", "api_key"),
            serializers.EventShown,
            member_user_ids=set(Membership.objects.of(organization).values_list("user_id", flat=True)),
            staff_user_ids=set(
                StorefrontStaff.objects.filter(storefront=organization.storefront_id).values_list("user_id", flat=True)
            ),
        )
