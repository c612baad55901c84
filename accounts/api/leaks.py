"""The address partners of secret scanning report leaked keys to."""

from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import leaks
from accounts.api import serializers
from accounts.api.schema import answers
from accounts.api.views import ApiView
from plumbing import parsers


class LeakedKeysView(ApiView):
    """Reports, believed by their signature alone."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()  # the base counts the address
    pagination_class = None

    @extend_schema(
        operation_id="leaked_keys_report",
        tags=["leaked keys"],
        auth=[],
        parameters=[
            OpenApiParameter("Github-Public-Key-Identifier", str, OpenApiParameter.HEADER, required=True),
            OpenApiParameter(
                "Github-Public-Key-Signature",
                str,
                OpenApiParameter.HEADER,
                required=True,
                description="Base64 of the ECDSA P-256 SHA-256 signature over the raw body.",
            ),
        ],
        request=serializers.LeakedToken(many=True),
        responses=answers({200: serializers.LeakLabel(many=True)}, 413, 503),
    )
    def post(self, request: Request) -> Response:
        """Revoke the reported keys and tell their owners (GitHub's secret-scanning partner format)."""
        body = parsers.capped(self.asked)  # type: ignore[arg-type]  # a request reads like a file
        leaks.verify(
            body,
            key_id=request.headers.get("Github-Public-Key-Identifier", ""),
            signature=request.headers.get("Github-Public-Key-Signature", ""),
            public_keys=settings.SECRET_SCANNING_PUBLIC_KEY,
        )
        reports = [
            leaks.Report(token=record["token"], kind=record["type"], url=record.get("url") or "")
            for record in _records(parsers.loads(body))
        ]
        findings = leaks.handle(reports, source=self.source, now=timezone.now())
        return Response(serializers.LeakLabel(findings, many=True).data)


def _records(parsed: Any) -> list[dict[str, Any]]:
    if not isinstance(parsed, list):
        message = "A report is a list of records."
        raise exceptions.ParseError(message)
    if len(parsed) > leaks.MOST_RECORDS:
        message = f"A report has {leaks.MOST_RECORDS} records at most; send the rest in another."
        raise exceptions.ParseError(message)
    serializer = serializers.LeakedToken(data=parsed, many=True)
    serializer.is_valid(raise_exception=True)
    records: list[dict[str, Any]] = serializer.validated_data
    return records
