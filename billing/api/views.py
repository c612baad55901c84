"""Money over the API: each view translates and makes one call into a room."""

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.api.schema import WITH_BODY, answers
from accounts.api.views import OrganizationView
from accounts.models import User
from accounts.scopes import Scope
from billing import codes, recharging, statements, topups
from billing.api import serializers
from billing.models import AutoRecharge, Payment, SavedCard, TopUp
from billing.payments import currencies


class BillingView(OrganizationView):
    """Words that every view here needs."""

    @property
    def actor(self) -> User | None:
        """The person, where one asks."""
        return self.request.user if isinstance(self.request.user, User) else None

    def top_up(self, top_up_id: str) -> TopUp:
        """One of this organization's, or 404."""
        rows = TopUp.objects.of(self.seat.organization).select_related("organization__storefront")
        found: TopUp | None = rows.filter(public_id=top_up_id).first()
        if found is None:
            raise exceptions.NotFound
        return found


class BalanceView(BillingView):
    """What there is."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(
        operation_id="balance_get", tags=["billing"], responses=answers({200: serializers.BalanceShown}, 404)
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Show the balance and the grants."""
        found = statements.balance(self.seat.organization, now=timezone.now())
        return Response(serializers.BalanceShown(found).data)


class MovementsView(BillingView):
    """How it came to that."""

    lists = True
    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(
        operation_id="movements_list",
        tags=["billing"],
        responses=answers({200: serializers.MovementShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List movements of credit other than usage, newest first."""
        return self.page(statements.history(self.seat.organization), serializers.MovementShown)


class TermsView(BillingView):
    """What the shop sells."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(
        operation_id="top_up_terms_get", tags=["billing"], responses=answers({200: serializers.TermsShown}, 404)
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Show currency, bounds and presets."""
        return Response(serializers.TermsShown(topups.terms_of(self.seat.organization.storefront)).data)


class TopUpsView(BillingView):
    """Top-ups of an organization."""

    lists = True
    scopes: ClassVar = {"GET": Scope.BILLING_READ, "POST": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="top_ups_list", tags=["billing"], responses=answers({200: serializers.TopUpShown(many=True)}, 404)
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List top-ups, newest first."""
        rows = TopUp.objects.of(self.seat.organization).prefetch_related("payments")
        return self.page(rows, serializers.TopUpShown)

    @extend_schema(
        operation_id="top_ups_create",
        tags=["billing"],
        request=serializers.TopUpStart,
        responses=answers({201: serializers.TopUpShown}, 404, 409, 503, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Begin a top-up; send the customer to its `url`."""
        asked = self.read(serializers.TopUpStart)
        currency = topups.terms_of(self.seat.organization.storefront).currency
        wish = topups.Wish(
            currencies.minor(asked["amount"], currency), asked["attempt_key"], asked.get("save_card", False)
        )
        order = topups.start(
            organization=self.seat.organization,
            user=self.actor,
            wish=wish,
            source=self.source,
            now=timezone.now(),
        )
        return Response(serializers.TopUpShown(order).data, status=201)


class TopUpView(BillingView):
    """One top-up."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(operation_id="top_ups_get", tags=["billing"], responses=answers({200: serializers.TopUpShown}, 404))
    def get(self, request: Request, organization_id: str, top_up_id: str) -> Response:
        """Show one top-up."""
        return Response(serializers.TopUpShown(self.top_up(top_up_id)).data)


class TopUpCancelView(BillingView):
    """Giving up."""

    scopes: ClassVar = {"POST": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="top_ups_cancel",
        tags=["billing"],
        request=None,
        responses=answers({200: serializers.TopUpShown}, 404, 409),
    )
    def post(self, request: Request, organization_id: str, top_up_id: str) -> Response:
        """Cancel a top-up that is still open; money that comes all the same is credited."""
        order = topups.cancel(self.top_up(top_up_id), source=self.source, now=timezone.now())
        return Response(serializers.TopUpShown(order).data)


class ReceiptView(BillingView):
    """One payment's receipt."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(
        operation_id="receipts_get", tags=["billing"], responses=answers({200: serializers.ReceiptShown}, 404)
    )
    def get(self, request: Request, organization_id: str, payment_id: str) -> Response:
        """Show one receipt; the page of the dashboard has it as PDF."""
        found = Payment.objects.of(self.seat.organization).filter(public_id=payment_id).first()
        if found is None:
            raise exceptions.NotFound
        return Response(serializers.ReceiptShown(found).data)


class CardsView(BillingView):
    """Saved cards."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(operation_id="cards_list", tags=["billing"], responses=answers({200: serializers.CardsShown}, 404))
    def get(self, request: Request, organization_id: str) -> Response:
        """List the cards left with the provider."""
        rows = SavedCard.objects.of(self.seat.organization).filter(removed_at=None)[:20]
        return Response(serializers.CardsShown({"results": rows}).data)


class PortalView(BillingView):
    """The provider's own pages."""

    scopes: ClassVar = {"POST": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="portal_create",
        tags=["billing"],
        request=None,
        responses=answers({201: serializers.PortalShown}, 404, 503),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Make a link to the page where cards are seen and removed."""
        organization = self.seat.organization
        back = f"{access.canonical_base(organization.storefront)}/app/{organization.slug}/credits/"
        return Response({"url": topups.portal(organization, return_url=back)}, status=201)


class RechargeView(BillingView):
    """The standing order."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ, "PUT": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="auto_recharge_get", tags=["billing"], responses=answers({200: serializers.RechargeShown}, 404)
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Show it; 404 while there is none."""
        rows = AutoRecharge.objects.of(self.seat.organization).select_related("card")
        found = rows.first()
        if found is None:
            raise exceptions.NotFound
        return self._shown(found)

    @extend_schema(
        operation_id="auto_recharge_put",
        tags=["billing"],
        request=serializers.RechargeWrite,
        responses=answers({200: serializers.RechargeShown}, 404, 409, *WITH_BODY),
    )
    def put(self, request: Request, organization_id: str) -> Response:
        """Set it; switching it on ends a pause."""
        asked = self.read(serializers.RechargeWrite)
        organization, currency = self.seat.organization, self._currency
        cards = SavedCard.objects.of(organization).filter(removed_at=None)
        card = cards.filter(public_id=asked["card_id"]).first() if "card_id" in asked else cards.first()
        row = recharging.configure(
            organization,
            is_on=asked["is_on"],
            threshold_nano=asked["threshold_nano"],
            amount_minor=currencies.minor(asked["amount"], currency),
            month_cap_minor=currencies.minor(asked["month_cap"], currency),
            card=card,
            source=self.source,
            now=timezone.now(),
        )
        return self._shown(row)

    @property
    def _currency(self) -> str:
        return str(topups.terms_of(self.seat.organization.storefront).currency)

    def _shown(self, row: AutoRecharge) -> Response:
        context: dict[str, Any] = {"currency": self._currency}
        return Response(serializers.RechargeShown(row, context=context).data)


class RedeemView(BillingView):
    """Redemption codes."""

    scopes: ClassVar = {"POST": Scope.BILLING_WRITE}

    @extend_schema(
        operation_id="codes_redeem",
        tags=["billing"],
        request=serializers.CodeRedeem,
        responses=answers({201: serializers.CodeRedeemed}, 404, 409, *WITH_BODY),
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Turn a code into credit."""
        asked = self.read(serializers.CodeRedeem)
        organization, now = self.seat.organization, timezone.now()
        use = codes.redeem(asked["code"], organization=organization, user=self.actor, source=self.source, now=now)
        shown = {"code": use.code, "balance": statements.balance(organization, now=now)}
        return Response(serializers.CodeRedeemed(shown).data, status=201)
