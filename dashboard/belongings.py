"""What we hold of an organization, or of a person, for them to take along.

Promise: everything of theirs in words and exact figures, nobody else's, and no secret: keys are named by their masked
form, passwords and signing secrets not at all. Each section is rows made as they are read. Calls and statements are
files of their own, named in the first section.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.utils import timezone

from accounts.models import ApiKey, AuditEvent, Invitation, Membership, Organization, User
from accounts.models.bounds import RATE_LIMITS, SPEND_CAPS
from billing import details, statements
from billing.models import AutoRecharge, Payment, SavedCard, TopUp
from billing.money import usd_text
from billing.payments import currencies
from dashboard import alerts, payment_words
from dashboard.models import Alert

Section = tuple[str, Iterable[dict[str, Any]]]
ELSEWHERE = "Calls, usage and monthly statements are files of their own, on the pages Activity, Usage and Statements."


def of_organization(organization: Organization) -> Iterator[Section]:
    """Everything but calls."""
    yield "about", [{"drawn_up_at": _at(timezone.now()), "elsewhere": ELSEWHERE}]
    yield "organization", [_organization(organization)]
    yield "billing_details", [_fields(details.of(organization), "name", "address", "tax_id", "reference")]
    yield "members", map(_member, Membership.objects.of(organization).select_related("user").iterator())
    yield "invitations", map(_invitation, Invitation.objects.of(organization).iterator())
    yield "api_keys", map(_key, ApiKey.objects.of(organization).select_related("created_by").iterator())
    yield "top_ups", map(_top_up, TopUp.objects.of(organization).iterator())
    yield "payments", map(_payment, Payment.objects.of(organization).iterator())
    yield "movements", map(_movement, statements.history(organization).iterator())
    yield "saved_cards", map(_card, SavedCard.objects.of(organization).filter(removed_at=None))
    yield "automatic_recharge", map(_recharge, AutoRecharge.objects.of(organization))
    wishes = alerts.settings_of(organization)
    yield "alert_settings", [_fields(wishes, "low_balance_nano", "on_unusual", "muted", "mail_roles", "webhook_url")]
    yield "alerts", map(_alert, Alert.objects.of(organization).iterator())
    people = dict(Membership.objects.of(organization).values_list("user_id", "user__email"))
    events = AuditEvent.objects.filter(organization=organization).order_by("pk").iterator()
    yield "events", (_event(row, people) for row in events)


def of_person(user: User) -> Iterator[Section]:
    """Everything that is theirs and no organization's."""
    yield "about", [{"drawn_up_at": _at(timezone.now())}]
    person = _fields(user, "email", "name", "time_zone", "acquisition")
    yield "person", [person | {"joined_at": _at(user.date_joined), "terms_accepted_at": _at(user.terms_accepted_at)}]
    addresses = EmailAddress.objects.filter(user=user)
    yield "emails", [_fields(one, "email", "verified", "primary") for one in addresses]
    yield (
        "second_factors",
        [
            {"kind": one.type, "made_at": _at(one.created_at), "last_used_at": _at(one.last_used_at)}
            for one in Authenticator.objects.filter(user=user)
        ],
    )
    connected = SocialAccount.objects.filter(user=user)
    yield "connected_accounts", [{"provider": one.provider, "since": _at(one.date_joined)} for one in connected]
    yield (
        "sessions",
        [
            {
                "address": one.ip,
                "browser": one.user_agent,
                "began_at": _at(one.created_at),
                "seen_at": _at(one.last_seen_at),
            }
            for one in UserSession.objects.filter(user=user)
        ],
    )
    yield (
        "memberships",
        [
            {"organization": one.organization.name, "role": one.role, "since": _at(one.created_at)}
            for one in user.memberships.select_related("organization")
        ],
    )


def _organization(organization: Organization) -> dict[str, Any]:
    names = ("public_id", "name", "slug", "time_zone", "standing", "stores_content")
    return _fields(organization, *names, *SPEND_CAPS, *RATE_LIMITS) | {"created_at": _at(organization.created_at)}


def _member(row: Membership) -> dict[str, Any]:
    told: dict[str, Any] = {
        "email": row.user.email,
        "name": row.user.name,
        "role": row.role,
        "since": _at(row.created_at),
    }
    return told | _fields(row, *SPEND_CAPS)


def _invitation(row: Invitation) -> dict[str, Any]:
    moments = ("created_at", "expires_at", "accepted_at", "revoked_at")
    return {"email": row.email, "role": row.role} | {name: _at(getattr(row, name)) for name in moments}


def _key(row: ApiKey) -> dict[str, Any]:
    moments = ("created_at", "last_used_at", "expires_at", "disabled_at", "revoked_at")
    told: dict[str, Any] = {"id": row.public_id, "key": row.masked, "label": row.label, "kind": row.kind}
    told |= {"made_by": row.created_by.email if row.created_by else None}
    told |= _fields(row, *SPEND_CAPS, *RATE_LIMITS, "allowed_models", "allowed_networks")
    return told | {name: _at(getattr(row, name)) for name in moments}


def _top_up(row: TopUp) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "begun_at": _at(row.created_at),
        "paid_at": _at(row.paid_at),
        "amount": currencies.text(row.amount_minor, row.currency),
        "state": row.state,
        "how_it_stands": payment_words.of_top_up(row).sentence,
    }


def _payment(row: Payment) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "at": _at(row.created_at),
        "paid": currencies.text(row.total_minor, row.currency),
        "tax": currencies.text(row.tax_minor, row.currency),
        "credited_usd": usd_text(row.credited_nano),
        "given_usd": usd_text(row.promo_nano),
        "taken_back_usd": usd_text(row.reversed_nano),
        "reference": row.outside_id,
    }


def _movement(row: Any) -> dict[str, Any]:
    signed = statements.signed(row)
    amount = usd_text(signed) if row.debit.unit == "nano_usd" else str(signed)
    unit = payment_words.unit(row.debit.unit)
    return {"at": _at(row.created_at), "what": statements.words(row), "amount": amount, "unit": unit}


def _card(row: SavedCard) -> dict[str, Any]:
    return _fields(row, "brand", "last_four", "expires")


def _recharge(row: AutoRecharge) -> dict[str, Any]:
    told = _fields(row, "is_on", "amount_minor", "month_cap_minor", "paused_because")
    return told | {"threshold_usd": usd_text(row.threshold_nano), "changed_at": _at(row.changed_at)}


def _alert(row: Alert) -> dict[str, Any]:
    told = _fields(row, "kind", "sentence")
    return told | {"created_at": _at(row.created_at), "ended_at": _at(row.ended_at)}


def _event(row: AuditEvent, people: Mapping[int, str]) -> dict[str, Any]:
    """Who did it is named where they are a member; the shop's people act for the shop."""
    by = people.get(row.actor_id or 0, "the shop, or a former member")
    return {"at": _at(row.created_at), "action": row.action, "what": row.target_name, "by": by}


def _fields(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _at(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
