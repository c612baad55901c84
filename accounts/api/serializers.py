"""What the management API reads and writes: every field named one by one, so that nothing of a row leaks by default."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.access import Seat
from accounts.api.fields import Future, StrictSerializer, Text, Usd, Whole, YesNo
from accounts.models import ApiKey, AuditEvent, Invitation, Role
from accounts.models.bounds import LARGEST_NANO
from accounts.models.keys import KeyKind
from accounts.models.organizations import Standing
from accounts.networks import LONGEST, MOST_NETWORKS
from accounts.organizations import LONGEST_NAME
from accounts.patterns import MOST_PATTERNS
from accounts.roles import Permission
from accounts.scopes import OperatorScope, Scope

GRANTABLE = [(role.value, role.label) for role in Role if role is not Role.OWNER]
HELD = [(role.value, role.label) for role in Role]
CUSTOMER_KINDS = [(kind.value, kind.label) for kind in KeyKind if kind is not KeyKind.OPERATOR]
SCOPES = [(scope.value, scope.value) for scope in Scope]
ANY_SCOPES = [*SCOPES, *((scope.value, scope.value) for scope in OperatorScope)]
LONGEST_OVERLAP_S = 30 * 24 * 3600


def _limit() -> Whole:
    return Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)


class Caps(StrictSerializer):
    """Most that may be spent per UTC day, UTC month, and ever; null means no cap at this level."""

    cap_day_usd = Usd(source="cap_day_nano", required=False, allow_null=True)
    cap_month_usd = Usd(source="cap_month_nano", required=False, allow_null=True)
    cap_total_usd = Usd(source="cap_total_nano", required=False, allow_null=True)


class Limits(StrictSerializer):
    """Six calendar windows and the calls in flight at once; null means no limit at this level."""

    requests_per_minute = _limit()
    requests_per_hour = _limit()
    requests_per_day = _limit()
    tokens_per_minute = _limit()
    tokens_per_hour = _limit()
    tokens_per_day = _limit()
    concurrent_requests = _limit()


class KeyBounds(Caps, Limits):
    """What narrows a key."""

    allowed_models = serializers.ListField(
        child=Text(max_length=120), max_length=MOST_PATTERNS, required=False, help_text="Patterns; * is anything."
    )
    allowed_networks = serializers.ListField(
        child=Text(max_length=LONGEST), max_length=MOST_NETWORKS, required=False, help_text="203.0.113.0/24"
    )
    expires_at = Future(required=False, allow_null=True)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES),
        required=False,
        max_length=len(SCOPES),
        help_text="Management keys only. Without it, a new management key gets all its maker's role can give.",
    )


class KeyCreate(KeyBounds):
    """A key to make."""

    kind = serializers.ChoiceField(choices=CUSTOMER_KINDS, default=KeyKind.INFERENCE)
    label = Text(max_length=80)  # type: ignore[assignment]  # the metaclass takes fields out of the class


class KeyPatch(KeyBounds):
    """What of a key may change."""

    label = Text(max_length=80, required=False)  # type: ignore[assignment]  # as above


class KeyRotate(StrictSerializer):
    """How long the old key goes on working beside its successor."""

    overlap_s = Whole(default=0, min_value=0, max_value=LONGEST_OVERLAP_S)


class KeyShown(serializers.Serializer[Any]):
    """A key as anyone may see it: never its secret."""

    id = serializers.CharField(source="public_id")
    kind = serializers.ChoiceField(choices=KeyKind.choices)
    label = serializers.CharField()  # type: ignore[assignment]  # as above
    masked = serializers.CharField(help_text="The beginning and the last four of the secret.")
    status = serializers.SerializerMethodField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ANY_SCOPES))
    allowed_models = serializers.ListField(child=serializers.CharField())
    allowed_networks = serializers.ListField(child=serializers.CharField())
    cap_day_usd = Usd(source="cap_day_nano", allow_null=True)
    cap_month_usd = Usd(source="cap_month_nano", allow_null=True)
    cap_total_usd = Usd(source="cap_total_nano", allow_null=True)
    requests_per_minute = serializers.IntegerField(allow_null=True)
    requests_per_hour = serializers.IntegerField(allow_null=True)
    requests_per_day = serializers.IntegerField(allow_null=True)
    tokens_per_minute = serializers.IntegerField(allow_null=True)
    tokens_per_hour = serializers.IntegerField(allow_null=True)
    tokens_per_day = serializers.IntegerField(allow_null=True)
    concurrent_requests = serializers.IntegerField(allow_null=True)
    created_by = serializers.CharField(source="created_by.email", help_text="The maker's mailbox.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    disabled_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    last_used_ip = serializers.CharField(allow_null=True)
    replaces = serializers.CharField(source="replaces.public_id", allow_null=True, default=None)

    @extend_schema_field(serializers.ChoiceField(choices=["active", "disabled", "expired", "revoked"]))
    def get_status(self, key: ApiKey) -> str:
        """The one word that matters most."""
        if key.revoked_at:
            return "revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired"
        return "disabled" if key.disabled_at else "active"


class KeyMinted(KeyShown):
    """A key with its secret, shown this once."""

    secret = serializers.CharField(help_text="Shown this once; keep it safe.")


class OrganizationCreate(StrictSerializer):
    """A workspace to open."""

    name = Text(max_length=LONGEST_NAME)


class OrganizationPatch(StrictSerializer):
    """What of a workspace its members may change; caps and limits are the shop's to set."""

    name = Text(max_length=LONGEST_NAME, required=False)
    time_zone = Text(max_length=64, required=False, help_text="Europe/Paris")
    stores_content = serializers.BooleanField(
        required=False, help_text="Keep answers for a day, so that an Idempotency-Key can repeat them."
    )


class OrganizationShown(serializers.Serializer[Any]):
    """A workspace, and the asker's place in it."""

    id = serializers.CharField(source="organization.public_id")
    name = serializers.CharField(source="organization.name")
    slug = serializers.CharField(source="organization.slug")
    standing = serializers.ChoiceField(source="organization.standing", choices=Standing.choices)
    time_zone = serializers.CharField(source="organization.time_zone")
    stores_content = serializers.BooleanField(source="organization.stores_content")
    created_at = serializers.DateTimeField(source="organization.created_at")
    role = serializers.ChoiceField(choices=HELD, help_text="Your role (for a key: its maker's).")
    permissions = serializers.SerializerMethodField()
    cap_day_usd = Usd(source="organization.cap_day_nano", allow_null=True)
    cap_month_usd = Usd(source="organization.cap_month_nano", allow_null=True)
    cap_total_usd = Usd(source="organization.cap_total_nano", allow_null=True)
    requests_per_minute = serializers.IntegerField(source="organization.requests_per_minute", allow_null=True)
    requests_per_hour = serializers.IntegerField(source="organization.requests_per_hour", allow_null=True)
    requests_per_day = serializers.IntegerField(source="organization.requests_per_day", allow_null=True)
    tokens_per_minute = serializers.IntegerField(source="organization.tokens_per_minute", allow_null=True)
    tokens_per_hour = serializers.IntegerField(source="organization.tokens_per_hour", allow_null=True)
    tokens_per_day = serializers.IntegerField(source="organization.tokens_per_day", allow_null=True)
    concurrent_requests = serializers.IntegerField(source="organization.concurrent_requests", allow_null=True)

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=[p.value for p in Permission])))
    def get_permissions(self, seat: Seat) -> list[str]:
        """What this seat may do, in the words of the roles."""
        return [permission.value for permission in Permission if seat.may(permission)]


class MemberPatch(Caps):
    """What of a member may change."""

    role = serializers.ChoiceField(choices=GRANTABLE, required=False)


class MemberShown(serializers.Serializer[Any]):
    """A member."""

    id = serializers.CharField(source="public_id")
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(choices=HELD)
    cap_day_usd = Usd(source="cap_day_nano", allow_null=True)
    cap_month_usd = Usd(source="cap_month_nano", allow_null=True)
    cap_total_usd = Usd(source="cap_total_nano", allow_null=True)
    created_at = serializers.DateTimeField()
    last_active_at = serializers.DateTimeField(allow_null=True)


class InvitationCreate(StrictSerializer):
    """Whom to invite, as what."""

    email = Text(max_length=254)
    role = serializers.ChoiceField(choices=GRANTABLE)


class OwnershipOffer(StrictSerializer):
    """Who is asked to take over."""

    member_id = Text(max_length=32)


class InvitationAccept(StrictSerializer):
    """The token of the letter."""

    token = Text(max_length=100)


class InvitationShown(serializers.Serializer[Any]):
    """An invitation; its token is in the letter alone."""

    id = serializers.CharField(source="public_id")
    email = serializers.CharField()
    role = serializers.ChoiceField(choices=HELD)
    transfers_ownership = YesNo()
    status = serializers.SerializerMethodField()
    invited_by = serializers.CharField(source="invited_by.email")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    accepted_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.ChoiceField(choices=["open", "accepted", "revoked", "expired"]))
    def get_status(self, invitation: Invitation) -> str:
        """The one word that matters most."""
        if invitation.accepted_at:
            return "accepted"
        if invitation.revoked_at:
            return "revoked"
        return "expired" if invitation.expires_at <= timezone.now() else "open"


class Joined(serializers.Serializer[Any]):
    """Where an accepted invitation led."""

    organization_id = serializers.CharField(source="organization.public_id")
    member_id = serializers.CharField(source="public_id")
    role = serializers.ChoiceField(choices=HELD)


class EventShown(serializers.Serializer[Any]):
    """One act in the organization's trail. Acts of the shop's staff show that they were theirs, not who or whence."""

    id = serializers.CharField(source="public_id")
    created_at = serializers.DateTimeField()
    action = serializers.CharField()
    actor = serializers.SerializerMethodField()
    api_key_id = serializers.CharField(source="api_key.public_id", allow_null=True, default=None)
    target_kind = serializers.CharField()
    target_id = serializers.CharField()
    target_name = serializers.CharField()
    before = serializers.DictField()
    after = serializers.DictField()
    reason = serializers.CharField()
    ip_address = serializers.SerializerMethodField()
    request_id = serializers.CharField()

    @extend_schema_field(serializers.CharField(help_text="A mailbox, 'staff', or 'system'."))
    def get_actor(self, event: AuditEvent) -> str:
        """Who did it, as far as a customer should know."""
        if event.actor is None:
            return "system"
        return "staff" if self._by_staff(event) else event.actor.email

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_ip_address(self, event: AuditEvent) -> str | None:
        """From where; the staff's own addresses stay with them."""
        return None if self._by_staff(event) else event.ip_address

    def _by_staff(self, event: AuditEvent) -> bool:
        members: set[int] = self.context["member_user_ids"]
        staff: set[int] = self.context["staff_user_ids"]
        if event.impersonation_id is not None:
            return True
        return (
            event.actor is not None
            and event.actor_id not in members
            and (event.actor.is_staff or event.actor_id in staff)
        )


class MeUser(serializers.Serializer[Any]):
    """A person."""

    id = serializers.CharField(source="public_id")
    email = serializers.CharField()
    name = serializers.CharField()


class MeStorefront(serializers.Serializer[Any]):
    """The shop that was asked."""

    name = serializers.CharField()
    slug = serializers.CharField()


class MeOrganization(serializers.Serializer[Any]):
    """An organization within reach."""

    id = serializers.CharField()
    name = serializers.CharField()
    slug = serializers.CharField()
    role = serializers.ChoiceField(choices=HELD, allow_null=True, help_text="Null for an inference key.")
    permissions = serializers.ListField(child=serializers.ChoiceField(choices=[p.value for p in Permission]))


class Me(serializers.Serializer[Any]):
    """Who is asking: a person (then ``user``) or a key (then ``key``), and what is within reach."""

    kind = serializers.ChoiceField(choices=["person", "key"])
    storefront = MeStorefront()
    user = MeUser(allow_null=True)
    key = KeyShown(allow_null=True)
    organizations = MeOrganization(many=True)


class LeakedToken(serializers.Serializer[Any]):
    """One token found in public, as the partner sends it; fields added by the partner later are left alone."""

    token = Text(max_length=1000, trim_whitespace=False)
    type = Text(max_length=200)
    url = Text(max_length=2000, required=False, allow_blank=True, allow_null=True)
    source = Text(  # type: ignore[assignment]  # as above
        max_length=200, required=False, allow_blank=True, allow_null=True
    )


class LeakLabel(serializers.Serializer[Any]):
    """What a token turned out to be."""

    token_hash = serializers.CharField(help_text="SHA-256 of the token, in hexadecimal.")
    token_type = serializers.CharField()
    label = serializers.ChoiceField(  # type: ignore[assignment]  # as above
        choices=["true_positive", "false_positive"]
    )


class ErrorBody(serializers.Serializer[Any]):
    """What went wrong, in one sentence."""

    code = serializers.CharField()
    message = serializers.CharField()
    request_id = serializers.CharField()
    fields = serializers.DictField(  # type: ignore[assignment]  # as above
        required=False, help_text="With code 'invalid': what is wrong with which field."
    )


class Error(serializers.Serializer[Any]):
    """Every error of this API."""

    error = ErrorBody()
