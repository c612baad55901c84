"""The five calls of an operator: make a customer, give credit, see balances, see the day, set limits.

Promise: an operator key (with the scope each call names) or the session of staff, and nobody else; whoever runs one
shop sees and changes that shop's customers alone, and a customer elsewhere is answered like one who never was. Keys
are masked, except in the one answer that makes one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import Count, QuerySet, Sum
from rest_framework import serializers as framework
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys, registration, trail
from accounts.api.fields import StrictSerializer, Text, Whole
from accounts.api.throttles import AddressThrottle, SenderThrottle
from accounts.authentication import KeyAuthentication, SessionAuthentication
from accounts.models import ApiKey, Organization, User
from accounts.models.bounds import LARGEST_NANO, RATE_LIMITS
from accounts.models.keys import KeyKind
from accounts.operators import Scope, scope_of
from accounts.scopes import OperatorScope
from billing import pricebook, wallets
from billing.models import PlanVersion
from billing.money import BadAmount, Display, parse_decimal, usd_text
from billing.pricing import Plan
from gateway import figures
from gateway.errors import InvalidRequest, KeyMissing, NotAllowed, NothingHere
from gateway.models import Call
from gateway.views.keyed import SpeakingView, said
from gateway.views.schema import ALWAYS, OPERATOR, described

MOST_SHOWN = 10
LONGEST_PAGE = 500


class Amount(framework.Field[Decimal, Any, str, Any]):
    """A number of credits: whole or with places, as JSON writes numbers or as text."""

    default_error_messages: ClassVar = {"invalid": "Must be a positive number of credits such as 10 or 2.5."}

    def to_internal_value(self, data: Any) -> Any:
        """Read it exactly."""
        if isinstance(data, bool) or not isinstance(data, int | float | str):
            self.fail("invalid")
        try:
            amount = parse_decimal(str(data))
        except BadAmount:
            self.fail("invalid")
        if amount <= 0:
            self.fail("invalid")
        return amount


class NewUser(StrictSerializer):
    """Somebody to make an account and a key for."""

    email = Text(max_length=254)
    name = Text(max_length=80, required=False, default="")
    credits = Amount(required=False)


class NewCredits(StrictSerializer):
    """Whom to give how much, in the unit of their plan."""

    api_key = Text(max_length=120)
    credits = Amount()
    reason = Text(max_length=200, required=False, default="Credit by an operator's call")


class SixLimits(StrictSerializer):
    """Six windows; null lifts one, and what is not named stays."""

    requests_per_minute = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)
    requests_per_hour = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)
    requests_per_day = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)
    tokens_per_minute = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)
    tokens_per_hour = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)
    tokens_per_day = Whole(required=False, allow_null=True, min_value=0, max_value=LARGEST_NANO)


class NewLimits(StrictSerializer):
    """Whose limits to set."""

    api_key = Text(max_length=120)
    rate_limits = SixLimits()


class OperatorView(SpeakingView):
    """A view for whoever runs this shop, or the platform."""

    authentication_classes = (KeyAuthentication, SessionAuthentication)
    throttle_classes = (AddressThrottle, SenderThrottle)
    needs: ClassVar[OperatorScope] = OperatorScope.READ
    scope: Scope

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Find out what the asker runs."""
        super().initial(request, *args, **kwargs)
        if request.method not in self.allowed_methods:
            return  # the framework answers 405
        if isinstance(request.auth, ApiKey):
            self.scope = self._scope_of_key(request.auth)
        elif isinstance(request.user, User):
            if self.asked.impersonation is not None:
                raise NotAllowed("A visit to a customer is no operator's desk.")
            self.scope = scope_of(request.user)
        else:
            raise KeyMissing("Send an operator key: Authorization: Bearer sk-...-op-...")
        shop = self.asked.storefront
        if not (self.scope.may_see(shop) if request.method == "GET" else self.scope.may_change(shop)):
            raise NotAllowed("This is for the operators of this shop; it needs an operator key or their session.")

    def _scope_of_key(self, key: ApiKey) -> Scope:
        if key.kind != KeyKind.OPERATOR:
            raise NotAllowed("This takes an operator key; yours is of another kind.")
        if self.needs.value not in key.scopes:
            message = f"This operator key does not carry {self.needs.value}."
            raise NotAllowed(message)
        if key.storefront_id is None:
            return Scope(platform=True)
        shops = frozenset({key.storefront_id})
        return Scope(sees=shops, changes=shops)

    @property
    def organizations(self) -> "QuerySet[Organization]":
        """The customers the asker may see."""
        return self.scope.visible(Organization.objects.all(), "storefront")

    def read(self, reader: type[framework.Serializer[Any]]) -> dict[str, Any]:
        """The body, if it is exactly what the reader knows."""
        serializer = reader(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        found: dict[str, Any] = serializer.validated_data
        return found

    def key_named(self, name: str) -> ApiKey:
        """The inference key of that secret or public id, among the asker's customers'."""
        names = {"secret_hash__in": keys.hashes(name)} if name.startswith("sk-") else {"public_id": name}
        found = (
            ApiKey.unscoped.filter(
                organization__in=self.organizations, kind=KeyKind.INFERENCE, revoked_at__isnull=True, **names
            )
            .select_related("organization__storefront", "created_by")
            .first()
        )
        if found is None or (self.request.method != "GET" and not self._may_change(found)):
            raise NothingHere("There is no such key here.")
        return found

    def _may_change(self, key: ApiKey) -> bool:
        return key.organization is not None and self.scope.may_change(key.organization.storefront)

    def calls(self) -> "QuerySet[Call]":
        """The calls of the asker's customers."""
        return Call.unscoped.filter(organization__in=self.organizations)


class CreateUserView(OperatorView):
    """A customer with a first key."""

    needs = OperatorScope.USERS

    @described(
        "admin_create_user",
        "Operators",
        body="Open an account with a first key, shown once; the owner proves the mailbox when they sign in.",
        example={"email": "new@example.com", "name": "New customer", "credits": 10},
        errors=(*ALWAYS, 409, 413, 415),
        auth=OPERATOR,
    )
    def post(self, request: Request) -> Response:
        """Make a customer."""
        asked = self.read(NewUser)
        now, source, shop = datetime.now(UTC), trail.source_of(self.asked), self.asked.storefront
        made = registration.make(storefront=shop, email=asked["email"], name=asked["name"], now=now, source=source)
        display = _display(made.organization, now)
        if "credits" in asked:
            _credit(made.organization, asked["credits"], display, "First credit by an operator's call", source)
        left = figures.available_nano(made.organization, now=now)
        return said(
            {
                "status": "success",
                "user_id": made.user.public_id,
                "email": made.user.email,
                "api_key": made.minted.secret,
                "credits": figures.shown(display, left),
                "message": "This key is shown once. Keep it well.",
            }
        )


class AddCreditsView(OperatorView):
    """Credit for a customer."""

    needs = OperatorScope.CREDIT

    @described(
        "admin_add_credits",
        "Operators",
        body="Give credit, in the unit of the customer's plan, to the organization of a key (its secret or its id).",
        example={"api_key": "key_0123456789abcdefghij", "credits": 10},
        errors=(*ALWAYS, 413, 415),
        auth=OPERATOR,
    )
    def post(self, request: Request) -> Response:
        """Give credit."""
        asked = self.read(NewCredits)
        now = datetime.now(UTC)
        key = self.key_named(asked["api_key"])
        assert key.organization is not None
        display = _display(key.organization, now)
        _credit(key.organization, asked["credits"], display, asked["reason"], trail.source_of(self.asked))
        left = figures.available_nano(key.organization, now=now)
        return said(
            {
                "status": "success",
                "user_id": key.created_by.public_id,
                "api_key": key.masked,
                "credits_added": float(asked["credits"]),
                "current_credits": figures.shown(display, left),
                "balance_usd": usd_text(left),
            }
        )


class AdminBalanceView(OperatorView):
    """Every customer's keys and credit."""

    @described(
        "admin_balance",
        "Operators",
        body="Balances of all customers with their keys, masked; `next` goes on after a full page.",
        errors=ALWAYS,
        auth=OPERATOR,
    )
    def get(self, request: Request) -> Response:
        """Read balances."""
        now = datetime.now(UTC)
        after = request.query_params.get("after", "")
        found = ApiKey.unscoped.filter(
            organization__in=self.organizations, kind=KeyKind.INFERENCE, revoked_at__isnull=True
        )
        if after:
            found = found.filter(pk__gt=self.key_named(after).pk)
        rows = list(found.select_related("organization__storefront", "created_by").order_by("pk")[: LONGEST_PAGE + 1])
        shown: dict[int, tuple[Display, int]] = {}
        users = [self._user(key, shown, now) for key in rows[:LONGEST_PAGE]]
        onwards = rows[LONGEST_PAGE - 1].public_id if len(rows) > LONGEST_PAGE else None
        return said({"status": "success", "total_users": len(users), "users": users, "next": onwards})

    def _user(self, key: ApiKey, shown: dict[int, tuple[Display, int]], now: datetime) -> dict[str, Any]:
        organization = key.organization
        assert organization is not None
        if organization.pk not in shown:
            shown[organization.pk] = (
                _display(organization, now),
                figures.available_nano(organization, now=now),
            )
        display, left = shown[organization.pk]
        return {
            "user_id": key.created_by.public_id,
            "email": key.created_by.email,
            "key_id": key.public_id,
            "api_key": key.masked,
            "credits": figures.shown(display, left),
            "balance_usd": usd_text(left),
        }


class AdminMonitorView(OperatorView):
    """The day so far."""

    @described("admin_monitor", "Operators", body="What happened today in the shop.", errors=ALWAYS, auth=OPERATOR)
    def get(self, request: Request) -> Response:
        """Read the day."""
        now = datetime.now(UTC)
        day = figures.since(self.calls(), figures.today(now))
        sums = figures.used(day)
        top = (
            day.values("api_key_id")
            .annotate(given=Sum("input_tokens"), made=Sum("output_tokens"), charged=Sum("price_nano"), n=Count("id"))
            .order_by("-charged", "api_key_id")[:MOST_SHOWN]
        )
        recent = list(self.calls().order_by("-id")[:MOST_SHOWN])
        masked = self._masked([row["api_key_id"] for row in top] + [call.api_key_id for call in recent])
        data = {
            "total_users": self.organizations.count(),
            "active_users_today": day.values("organization").distinct().count(),
            "total_requests_today": sums.requests,
            "total_tokens_today": sums.tokens,
            "total_cost_today": figures.usd(sums.charged_nano),
            "top_users_by_usage": [
                {
                    "api_key": masked.get(row["api_key_id"], ""),
                    "tokens_used": row["given"] + row["made"],
                    "cost": figures.usd(row["charged"]),
                    "requests": row["n"],
                }
                for row in top
            ],
            "recent_activity": [
                {
                    "api_key": masked.get(call.api_key_id, ""),
                    "model": call.model_asked,
                    "tokens_used": call.input_tokens + call.output_tokens,
                    "timestamp": figures.timestamp(call.created_at),
                }
                for call in recent
            ],
        }
        return said({"status": "success", "timestamp": figures.timestamp(now), "data": data})

    def _masked(self, names: Sequence[int | None]) -> dict[int | None, str]:
        return {key.pk: key.masked for key in ApiKey.unscoped.filter(pk__in=[name for name in names if name])}


class AdminLimitView(OperatorView):
    """How fast a customer's key may go."""

    needs = OperatorScope.LIMITS

    @described(
        "admin_limit",
        "Operators",
        body="Set the six limits of a key (its secret or its id); null lifts one, and what is not named stays.",
        example={"api_key": "key_0123456789abcdefghij", "rate_limits": {"requests_per_minute": 60}},
        errors=(*ALWAYS, 413, 415),
        auth=OPERATOR,
    )
    def post(self, request: Request) -> Response:
        """Set limits."""
        asked = self.read(NewLimits)
        key = self.key_named(asked["api_key"])
        if asked["rate_limits"]:
            keys.update(key, source=trail.source_of(self.asked), **asked["rate_limits"])
        limits = {name: getattr(key, name) for name in RATE_LIMITS}
        return said({"status": "success", "api_key": key.masked, "rate_limits": limits})


def _display(organization: Organization, now: datetime) -> Display:
    """The unit of a customer's plan."""
    name, _ = pricebook.terms_of(organization)
    try:
        version: PlanVersion = pricebook.plan_in_force(organization.storefront, name, at=now)
    except pricebook.NobodysPlan:
        return Display()
    return Plan.from_json(version.body).display


def _credit(organization: Organization, amount: Any, display: Display, reason: str, source: trail.Source) -> None:
    nano = amount * display.unit_nano
    if nano.denominator != 1:
        raise InvalidRequest("This is finer than the books keep.", param="credits")
    try:
        wallets.credit(organization, int(nano), reason, source)
    except wallets.CreditRefused as error:
        raise InvalidRequest(str(error), param="credits") from error
