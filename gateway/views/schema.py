"""What the OpenAPI schema says of the gateway: whose format a body has, what comes back, and every refusal.

Bodies are the vendors' own and pass untouched, so the schema names them and leaves their members to their makers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

View = TypeVar("View", bound=Callable[..., Any])
Security = Sequence[Mapping[str, list[str]]]
KEY: Security = [{"inferenceKey": []}]
OPERATOR: Security = [{"operatorKey": []}]
NOBODY: Security = [*KEY, {}]
REFUSALS = {
    400: "Something in the request is wrong; the error names the field.",
    401: "The key is not accepted here.",
    402: "The money for this is not there.",
    403: "The key is known and may not do this.",
    404: "No such endpoint, or no such model for this key.",
    405: "The endpoint exists and is asked another way.",
    409: "The state of things forbids it.",
    413: "The body is too large.",
    415: "The body is compressed, or of a type that is not read.",
    422: "No key at all was sent.",
    429: "Too many for now; `Retry-After` says when to come back.",
    502: "The provider failed.",
    503: "The provider, or a part of ours, has no room at the moment.",
    504: "The provider did not answer in time.",
}
ALWAYS = (400, 401, 403, 404, 405, 422, 429)
OF_CALLS = (*ALWAYS, 402, 413, 415, 502, 503, 504)


def described(
    operation: str,
    tag: str,
    *,
    body: str = "",
    example: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    errors: Sequence[int] = OF_CALLS,
    auth: Security = KEY,
) -> Callable[[View], View]:
    """Describe a view's operation: its body is an object in the format that ``body`` names."""
    examples = [] if example is None else [OpenApiExample("example", value=example, request_only=True)]
    answers: dict[Any, Any] = {200: OpenApiResponse(OpenApiTypes.ANY, "The answer.")}
    answers |= {status: OpenApiResponse(OpenApiTypes.OBJECT, REFUSALS[status]) for status in sorted(errors)}
    return extend_schema(
        operation_id=operation,
        tags=[tag],
        description=body or None,
        request=OpenApiTypes.OBJECT if example is not None else None,
        parameters=list(parameters),
        responses=answers,
        examples=examples,
        auth=list(auth),  # type: ignore[arg-type]  # the stubs know names only, the schema takes requirements
    )


def path_parameter(name: str, description: str) -> OpenApiParameter:
    """A part of the address."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH, description=description)
