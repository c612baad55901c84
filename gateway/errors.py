"""The error tree of a call: what can go wrong, with the status and the code it answers with.

    GatewayError
    ├── Refused                     the client can mend it
    │   ├── InvalidRequest          400  a field is wrong; `param` names it
    │   │   ├── MalformedJSON       400  the bytes are no JSON we accept
    │   │   ├── UnknownField        400  a field nobody on this path understands
    │   │   ├── Inexpressible       400  the model's provider has no word for this field
    │   │   └── PromptTooLong       400  more than the model can read
    │   ├── KeyMissing              422  no key at all was sent
    │   ├── KeyRefused              401
    │   ├── PaymentRequired         402  InsufficientCredits, KeyBudgetExceeded, AccountInDebt
    │   ├── NotAllowed              403  ContentBlocked
    │   ├── ModelNotFound           404
    │   ├── NothingHere             404  no endpoint of that name
    │   ├── WrongMethod             405  an endpoint, asked the wrong way
    │   ├── Conflict                409
    │   ├── TooLarge                413
    │   ├── NotServedHere           421  no shop answers on this host
    │   ├── UnsupportedType         415
    │   └── RateLimited             429  tells when to come back
    └── Failed                      the client did nothing wrong
        ├── UpstreamFailed          502  UpstreamMalformed, UpstreamTruncated
        ├── Unavailable             503  UpstreamBusy, or one of our own parts is away
        └── UpstreamTimeout         504

Nothing here knows how an error is spelled: each dialect gives it words (`write_error`). What a provider answered is
kept as an `Answer`, for routing and operators; `for_client` decides how much of it a customer may read, because a
provider's sentence can name our account, its balance or a key.
"""

from typing import ClassVar, Literal

import msgspec

LONGEST_MESSAGE = 1000


class GatewayError(Exception):
    """Something ended a call; the message is written for whoever sent it."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class Refused(GatewayError):
    """The client can mend it; trying the same again cannot help."""

    status = 400
    code = "invalid_request"


class InvalidRequest(Refused):
    """A field is wrong; `param` names it."""

    code = "invalid_value"


class MalformedJSON(InvalidRequest):
    """The bytes are no JSON we accept."""

    code = "invalid_json"


class UnknownField(InvalidRequest):
    """A field that nobody on this path understands."""

    code = "unknown_parameter"


class Inexpressible(InvalidRequest):
    """The provider that serves the model has no word for this field."""

    code = "unsupported_parameter"


class PromptTooLong(InvalidRequest):
    """The request is more than the model can read."""

    code = "context_length_exceeded"


class KeyRefused(Refused):
    """No key, or one that is not valid here."""

    status = 401
    code = "invalid_api_key"


class KeyMissing(Refused):
    """No key at all was sent."""

    status = 422
    code = "missing_api_key"


class PaymentRequired(Refused):
    """The money for this call is not there."""

    status = 402
    code = "payment_required"


class InsufficientCredits(PaymentRequired):
    """The balance does not reach for the least this call can cost."""

    code = "insufficient_credits"


class KeyBudgetExceeded(PaymentRequired):
    """The key has a cap and has reached it."""

    code = "key_budget_exceeded"


class AccountInDebt(PaymentRequired):
    """Spent money was taken back; the debt comes first."""

    code = "account_in_debt"


class NotAllowed(Refused):
    """The key is known and may not do this."""

    status = 403
    code = "not_allowed"


class ContentBlocked(NotAllowed):
    """A policy, ours or the provider's, stopped the content."""

    code = "content_policy_violation"


class ModelNotFound(Refused):
    """No such model for this organization."""

    status = 404
    code = "model_not_found"


class NothingHere(Refused):
    """No endpoint has this address."""

    status = 404
    code = "not_found"


class WrongMethod(Refused):
    """The endpoint exists and is asked another way."""

    status = 405
    code = "method_not_allowed"


class Conflict(Refused):
    """The same idempotency key is busy or was used for something else."""

    status = 409
    code = "conflict"


class TooLarge(Refused):
    """The body is over the cap."""

    status = 413
    code = "request_too_large"


class NotServedHere(Refused):
    """No shop answers on this host."""

    status = 421
    code = "unknown_host"


class UnsupportedType(Refused):
    """The body's type or encoding is none we read."""

    status = 415
    code = "unsupported_media_type"


class RateLimited(Refused):
    """Too many for now; `retry_after_s` says when to come back."""

    status = 429
    code = "rate_limit_exceeded"


class Failed(GatewayError):
    """The client did nothing wrong."""

    status = 502
    code = "server_error"


class UpstreamFailed(Failed):
    """The provider answered with a failure."""

    code = "upstream_error"


class UpstreamMalformed(UpstreamFailed):
    """The provider answered something that cannot be read."""

    code = "upstream_malformed"


class UpstreamTruncated(UpstreamFailed):
    """The provider's answer stopped before its end."""

    code = "upstream_truncated"


class Unavailable(Failed):
    """One of our own parts is away for the moment."""

    status = 503
    code = "unavailable"


class UpstreamBusy(Unavailable):
    """The provider has no room or no account for us right now."""

    code = "upstream_busy"


class UpstreamTimeout(Failed):
    """The provider did not answer in time."""

    status = 504
    code = "upstream_timeout"


Meaning = Literal[
    "invalid",  # the request is wrong in a way its sender can mend
    "too_long",  # the prompt is over the model's context
    "blocked",  # the provider's content policy
    "not_found",  # the provider does not know the model
    "credential",  # our key is refused there
    "money",  # our account there is out of money or over its spend limit
    "rate",  # our account there is too fast
    "busy",  # the provider is overloaded
    "timeout",
    "failed",  # everything else on their side
]
ELSEWHERE: frozenset[Meaning] = frozenset({"not_found", "credential", "money", "rate", "busy", "timeout", "failed"})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said when it refused or failed, read by its dialect; only operators see `message` as it is."""

    status: int
    meaning: Meaning
    message: str = ""
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None

    @property
    def may_try_elsewhere(self) -> bool:
        """Say whether another route could still answer; what the client sent wrong is wrong everywhere."""
        return self.meaning in ELSEWHERE

    @property
    def may_retry_here(self) -> bool:
        """Say whether the same account could answer later; money and a refused key need a person."""
        return self.meaning in {"rate", "busy", "timeout", "failed"}


def for_client(answer: Answer) -> GatewayError:
    """Turn a provider's refusal into the error its sender sees, without what is only the operator's business."""
    message = answer.message[:LONGEST_MESSAGE]
    match answer.meaning:
        case "invalid":
            return InvalidRequest(message or "The provider refused this request.", param=answer.param)
        case "too_long":
            return PromptTooLong(message or "The request is longer than the model can read.", param=answer.param)
        case "blocked":
            return ContentBlocked(message or "The provider's content policy stopped this request.")
        case "rate" | "busy":
            return UpstreamBusy(
                "The provider of this model is busy; try again soon.", retry_after_s=answer.retry_after_s
            )
        case "money" | "credential" | "not_found":
            return UpstreamBusy("This model is not available at the moment; we have been told.")
        case "timeout":
            return UpstreamTimeout("The provider of this model did not answer in time.")
        case "failed":
            return UpstreamFailed("The provider of this model failed to answer.")
