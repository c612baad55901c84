"""``POST /v1/register``: a mailbox first, then the code from the letter; only the second answer holds a key."""

from datetime import UTC, datetime
from typing import Any

from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import registration, trail
from accounts.api.fields import StrictSerializer, Text
from accounts.api.throttles import AddressThrottle
from gateway.views.keyed import SpeakingView, said
from gateway.views.schema import NOBODY, described


class RegisterThrottle(AddressThrottle):
    """Letters cost more than looks."""

    scope = "register"


class Registration(StrictSerializer):
    """One of the two."""

    email = Text(max_length=254, required=False)
    token = Text(max_length=600, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one."""
        if len(attrs) != 1:
            message = "Send your email, or the token from the letter."
            raise exceptions.ValidationError({"email": message})
        return attrs


class RegisterView(SpeakingView):
    """A first key."""

    throttle_classes = (AddressThrottle, RegisterThrottle)

    @described(
        "register",
        "Compatible paths",
        body="Ask with `email`; then send the `token` from the letter and get the key.",
        example={"email": "you@example.com"},
        errors=(400, 403, 405, 409, 413, 415, 429),
        auth=NOBODY,
    )
    def post(self, request: Request) -> Response:
        """Register."""
        reader = Registration(data=request.data)
        reader.is_valid(raise_exception=True)
        now, shop = datetime.now(UTC), self.asked.storefront
        if "email" in reader.validated_data:
            registration.ask(storefront=shop, email=reader.validated_data["email"], now=now)
            message = "A letter is on its way; send the token in it to this address and get your key."
            return said({"status": "verification_sent", "message": message})
        source = trail.source_of(self.asked)
        made = registration.redeem(storefront=shop, token=reader.validated_data["token"], now=now, source=source)
        return said(
            {
                "status": "success",
                "user_id": made.user.public_id,
                "api_key": made.minted.secret,
                "message": "This key is shown once. Keep it well.",
            }
        )
