"""What an organization's calls were and what each was charged."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, pagination, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.schema import answers
from accounts.api.views import ApiView, OrganizationView
from accounts.models import ApiKey
from accounts.scopes import Scope
from gateway import fair_billing, receipts
from gateway.callid import first_id
from gateway.models import Call
from gateway.models.calls import CallState
from plumbing.pagination import FOREIGN_CURSOR, SHAPE, CursorPagination

LARGEST_ID = 2**63 - 1


class NewestFirst(CursorPagination):
    """Calls by their numbers, which are in order of time; so a page is one walk along one index."""

    ordering = ("-id",)  # type: ignore[assignment]  # one column is enough where it is unique

    def decode_cursor(self, request: Request) -> pagination.Cursor | None:
        """Read the cursor; its position must be a call's number."""
        if not SHAPE.match(request.query_params.get(self.cursor_query_param, "")):
            raise exceptions.ValidationError({"cursor": [FOREIGN_CURSOR]})
        try:
            cursor = pagination.CursorPagination.decode_cursor(self, request)
        except (exceptions.NotFound, ValueError) as error:
            raise exceptions.ValidationError({"cursor": [FOREIGN_CURSOR]}) from error
        position: Any = cursor.position if cursor is not None else None
        if position is not None and not (position.isascii() and position.isdigit() and int(position) <= LARGEST_ID):
            raise exceptions.ValidationError({"cursor": [FOREIGN_CURSOR]})
        return cursor


class CallFilter(serializers.Serializer[Any]):
    """What a list of calls may be narrowed by."""

    state = serializers.ChoiceField(CallState.choices, required=False)
    rule = serializers.ChoiceField([rule.value for rule in fair_billing.Rule], required=False)
    model = serializers.RegexField(r"^[\x21-\x7e]{1,120}$", required=False)
    key = serializers.RegexField(r"^[a-z]{2,5}_[0-9a-z]{20}$", required=False, help_text="The id of an API key.")
    since = serializers.DateTimeField(required=False, help_text="Calls from this moment on.")
    until = serializers.DateTimeField(required=False, help_text="Calls before this moment.")


class CallShown(serializers.Serializer[Any]):
    """A call in a list; amounts are decimal strings of USD."""

    id = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    state = serializers.ChoiceField(CallState.choices)
    status = serializers.IntegerField()
    error = serializers.CharField()
    endpoint = serializers.CharField()
    streamed = serializers.BooleanField()
    model = serializers.CharField()
    model_served = serializers.CharField()
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    usage_source = serializers.CharField()
    price_usd = serializers.CharField()
    billing_rule = serializers.CharField()
    latency_ms = serializers.IntegerField(allow_null=True)
    first_byte_ms = serializers.IntegerField(allow_null=True)
    request_id = serializers.CharField()

    def to_representation(self, instance: Call | dict[str, Any]) -> dict[str, Any]:
        """From a row, or from what a receipt made of it."""
        shown: dict[str, Any] = super().to_representation(
            receipts.brief(instance) if isinstance(instance, Call) else instance
        )
        return shown


class RuleShown(serializers.Serializer[Any]):
    """The rule of the fair-billing table that ended the call."""

    name = serializers.CharField()
    happened = serializers.CharField()
    charged = serializers.CharField()


class StepShown(serializers.Serializer[Any]):
    """One step of the arithmetic; ``usd`` is the exact amount it arrives at."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the serializer's own
    detail = serializers.CharField()
    usd = serializers.CharField(allow_null=True)


class AttemptShown(serializers.Serializer[Any]):
    """One request to a provider."""

    number = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    answered = serializers.BooleanField()
    first_byte_ms = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.IntegerField(allow_null=True)


class ReceiptShown(serializers.Serializer[Any]):
    """What was used, what it costs step by step, what was held, charged and let go."""

    call = CallShown()
    rule = RuleShown()
    usage = serializers.JSONField()
    steps = StepShown(many=True)
    held_usd = serializers.CharField()
    price_usd = serializers.CharField()
    charged_usd = serializers.CharField()
    waived_usd = serializers.CharField()
    tokens_from_grants = serializers.IntegerField()
    from_grants_usd = serializers.CharField()
    settlement = serializers.CharField(allow_null=True)
    settled_at = serializers.DateTimeField(allow_null=True)
    attempts = AttemptShown(many=True)
    recomputes = serializers.BooleanField()


class FairnessShown(serializers.Serializer[Any]):
    """One line of the fair-billing table."""

    rule = serializers.CharField()
    happened = serializers.CharField()
    charged = serializers.CharField()
    share = serializers.ChoiceField([share.value for share in fair_billing.Share])


class CallsView(OrganizationView):
    """The calls of an organization."""

    lists = True
    filterset = CallFilter
    pagination_class = NewestFirst
    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(
        operation_id="calls_list",
        tags=["calls"],
        parameters=[CallFilter],
        responses=answers({200: CallShown(many=True)}, 404),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """List the calls, newest first."""
        return self.page(self._rows(), CallShown)

    def _rows(self) -> Any:
        rows = Call.objects.of(self.seat.organization)
        for name, value in self.filters().items():
            match name:
                case "rule":
                    rows = rows.filter(billing_rule=value)
                case "model":
                    rows = rows.filter(model_asked=value)
                case "key":
                    keys = ApiKey.objects.of(self.seat.organization).filter(public_id=value)
                    rows = rows.filter(api_key_id__in=keys.values("pk"))
                case "since":
                    rows = rows.filter(pk__gte=max(0, first_id(value)))
                case "until":
                    rows = rows.filter(pk__lt=max(0, first_id(value)))
                case _:
                    rows = rows.filter(**{name: value})
        return rows


class ReceiptView(OrganizationView):
    """The receipt of one call."""

    scopes: ClassVar = {"GET": Scope.BILLING_READ}

    @extend_schema(operation_id="calls_receipt", tags=["calls"], responses=answers({200: ReceiptShown}, 404))
    def get(self, request: Request, organization_id: str, call_id: int) -> Response:
        """Show what a call was charged and how that came about."""
        call = Call.objects.of(self.seat.organization).filter(pk=call_id).first() if call_id <= LARGEST_ID else None
        if call is None:
            raise exceptions.NotFound
        return Response(ReceiptShown(receipts.receipt(call)).data)


class FairBillingView(ApiView):
    """The fair-billing table, for everybody."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()
    pagination_class = None

    @extend_schema(
        operation_id="fair_billing", tags=["calls"], auth=[], responses=answers({200: FairnessShown(many=True)})
    )
    def get(self, request: Request) -> Response:
        """Say what is charged in each way a call can end."""
        return Response(FairnessShown(fair_billing.published(), many=True).data)
