"""Keys of one organization: made here, shown once, and masked ever after."""

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework import serializers as framework
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.api import serializers
from accounts.api.schema import WITH_BODY, answers
from accounts.api.views import OrganizationView
from accounts.keys import MintedKey
from accounts.models import ApiKey
from accounts.models.keys import KeyKind
from accounts.roles import Permission
from accounts.scopes import Scope


class KeyFilter(framework.Serializer[Any]):
    """What a list of keys may be narrowed by."""

    kind = framework.ChoiceField(choices=serializers.CUSTOMER_KINDS, required=False)


class KeysView(OrganizationView):
    """The keys."""

    lists = True
    filterset = KeyFilter
    scopes: ClassVar = {"GET": Scope.KEYS_READ, "POST": Scope.KEYS_WRITE}

    @extend_schema(
        operation_id="keys_list",
        tags=["keys"],
        parameters=[KeyFilter],
        responses=answers({200: serializers.KeyShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List the keys, newest first, ended ones included; masked."""
        rows = ApiKey.objects.of(self.seat.organization).filter(**self.filters())
        return self.page(rows.select_related("created_by", "replaces"), serializers.KeyShown)

    @extend_schema(
        operation_id="keys_create",
        tags=["keys"],
        request=serializers.KeyCreate,
        responses=answers({201: serializers.KeyMinted}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Make a key. The secret is in this answer and nowhere after it."""
        asked = self.read(serializers.KeyCreate)
        minted = keys.create(
            organization=self.seat.organization,
            storefront=None,
            made_by=self.seat.user,
            kind=KeyKind(asked.pop("kind")),
            source=self.source,
            **asked,
        )
        return _minted(minted, status=201)


class KeyView(OrganizationView):
    """One key."""

    scopes: ClassVar = {"GET": Scope.KEYS_READ, "PATCH": Scope.KEYS_WRITE}

    @extend_schema(operation_id="keys_get", tags=["keys"], responses=answers({200: serializers.KeyShown}, 404))
    def get(self, request: Request, organization_id: str, key_id: str) -> Response:
        """Show one key, masked."""
        return Response(serializers.KeyShown(self._key(key_id)).data)

    @extend_schema(
        operation_id="keys_patch",
        tags=["keys"],
        request=serializers.KeyPatch,
        responses=answers({200: serializers.KeyShown}, 404, 409, *WITH_BODY),
    )
    def patch(self, request: Request, organization_id: str, key_id: str) -> Response:
        """Change a key's label or bounds; null lifts a cap or limit."""
        key = self._own_key(key_id)
        changes = self.read(serializers.KeyPatch)
        if changes:
            keys.update(key, source=self.source, **changes)
        return Response(serializers.KeyShown(key).data)

    def _key(self, key_id: str) -> ApiKey:
        key: ApiKey | None = (
            ApiKey.objects.of(self.seat.organization)
            .filter(public_id=key_id)
            .select_related("created_by", "replaces", "organization__storefront")
            .first()
        )
        if key is None:
            raise exceptions.NotFound
        return key

    def _own_key(self, key_id: str) -> ApiKey:
        """The key, if it is one's own or the role manages everybody's."""
        key = self._key(key_id)
        if key.created_by_id != self.seat.user.pk and not self.seat.may(Permission.MANAGE_ALL_KEYS):
            message = "Somebody else made this key; your role here manages your own."
            raise exceptions.PermissionDenied(message)
        return key


class _Act(KeyView):
    http_method_names = ("post",)
    scopes: ClassVar = {"POST": Scope.KEYS_WRITE}


class KeyRotateView(_Act):
    """A successor."""

    @extend_schema(
        operation_id="keys_rotate",
        tags=["keys"],
        request=serializers.KeyRotate,
        responses=answers({201: serializers.KeyMinted}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str, key_id: str) -> Response:
        """Make a successor with the same bounds; the old key goes on for the overlap."""
        asked = self.read(serializers.KeyRotate)
        minted = keys.rotate(
            self._own_key(key_id),
            overlap=timedelta(seconds=asked["overlap_s"]),
            now=timezone.now(),
            made_by=self.seat.user,
            source=self.source,
        )
        return _minted(minted, status=201)


class KeyDisableView(_Act):
    """Off for a while."""

    @extend_schema(
        operation_id="keys_disable",
        tags=["keys"],
        request=None,
        responses=answers({200: serializers.KeyShown}, 404, 409),
    )
    def post(self, request: Request, organization_id: str, key_id: str) -> Response:
        """Switch the key off until it is enabled again."""
        key = self._own_key(key_id)
        keys.set_enabled(key, enabled=False, now=timezone.now(), source=self.source)
        return Response(serializers.KeyShown(key).data)


class KeyEnableView(_Act):
    """On again."""

    @extend_schema(
        operation_id="keys_enable",
        tags=["keys"],
        request=None,
        responses=answers({200: serializers.KeyShown}, 404, 409),
    )
    def post(self, request: Request, organization_id: str, key_id: str) -> Response:
        """Switch the key on again."""
        key = self._own_key(key_id)
        keys.set_enabled(key, enabled=True, now=timezone.now(), source=self.source)
        return Response(serializers.KeyShown(key).data)


class KeyRevokeView(_Act):
    """The end."""

    @extend_schema(
        operation_id="keys_revoke",
        tags=["keys"],
        request=None,
        responses=answers({200: serializers.KeyShown}, 404),
    )
    def post(self, request: Request, organization_id: str, key_id: str) -> Response:
        """End the key for good; a second time changes nothing."""
        key = self._own_key(key_id)
        keys.revoke(key, now=timezone.now(), source=self.source)
        return Response(serializers.KeyShown(key).data)


def _minted(minted: MintedKey, *, status: int) -> Response:
    shown = serializers.KeyShown(minted.key).data
    return Response({**shown, "secret": minted.secret}, status=status)
