"""The addresses of the gateway's part of the management API."""

from django.urls import path, register_converter

from gateway.api import calls


class CallNumber:
    """A call's number, no longer than one can be."""

    regex = "[0-9]{1,19}"

    def to_python(self, value: str) -> int:
        """As a number."""
        return int(value)

    def to_url(self, value: int) -> str:
        """As it is written."""
        return str(value)


register_converter(CallNumber, "call_number")

ORGANIZATION = "api/v1/organizations/<public_id:organization_id>"

urlpatterns = [
    path("api/v1/fair-billing", calls.FairBillingView.as_view(), name="api_fair_billing"),
    path(f"{ORGANIZATION}/calls", calls.CallsView.as_view(), name="api_calls"),
    path(f"{ORGANIZATION}/calls/<call_number:call_id>/receipt", calls.ReceiptView.as_view(), name="api_call_receipt"),
]
