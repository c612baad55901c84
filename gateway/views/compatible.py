"""The paths that clients of older resellers know, each with the JSON they expect.

Promise: figures are those of the key that asks, in the unit of its plan; nothing here costs anything.
"""

from datetime import UTC, datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from billing.money import Display, usd_text
from gateway import figures
from gateway.views.keyed import KeyedView, SpeakingView, said
from gateway.views.schema import ALWAYS, NOBODY, described

ENDPOINTS = {
    "chat": "POST /v1/chat/completions",
    "chat_short": "POST /v1/chat",
    "completions": "POST /v1/completions",
    "responses": "POST /v1/responses",
    "embeddings": "POST /v1/embeddings",
    "moderations": "POST /v1/moderations",
    "rerank": "POST /v1/rerank",
    "messages": "POST /v1/messages",
    "count_tokens": "POST /v1/messages/count_tokens",
    "gemini": "POST /v1beta/models/{model}:generateContent",
    "gemini_stream": "POST /v1beta/models/{model}:streamGenerateContent",
    "gemini_count_tokens": "POST /v1beta/models/{model}:countTokens",
    "gemini_embed": "POST /v1beta/models/{model}:embedContent",
    "quote": "POST /v1/quote",
    "models": "GET /v1/models",
    "models_simple": "GET /models/simple",
    "balance": "GET /v1/balance",
    "register": "POST /v1/register",
    "user_balance": "GET /user/balance",
    "user_monitor": "GET /user/monitor",
    "user_limit": "GET /user/limit",
    "ai_proxy": "GET /ai-proxy/",
    "health": "GET /health",
    "documentation": "GET /docs",
}


def about(name: str) -> dict[str, Any]:
    """What this service is, for programs."""
    return {
        "name": name,
        "status": "ok",
        "authentication": "Authorization: Bearer <key>, X-API-Key or x-goog-api-key",
        "endpoints": ENDPOINTS,
        "documentation": "/docs",
    }


class ProxyInfoView(SpeakingView):
    """Service information."""

    @described(
        "ai_proxy_info", "Compatible paths", body="What this service is, for everybody.", errors=(405, 429), auth=NOBODY
    )
    def get(self, request: Request) -> Response:
        """Tell about the service."""
        return said(about(self.asked.storefront.name) | {"service": "ai-proxy"})


class StandingView(KeyedView):
    """A view of how the key that asks stands."""

    @property
    def display(self) -> Display:
        """The unit of the caller's plan."""
        plan = self.picture.plans.get((self.caller.storefront, self.caller.plan))
        return plan[1].display if plan else Display()

    def left(self, now: datetime) -> int:
        """What the key could spend now."""
        return figures.left_nano(self.organization, self.caller.caps, now=now)

    def head(self, now: datetime) -> dict[str, Any]:
        """What the monitor paths begin with."""
        key = self.key
        return {
            "status": "success",
            "timestamp": figures.timestamp(now),
            "user_id": key.created_by.public_id,
            "api_key": self.caller.masked,
        }


class ProxyAuthView(StandingView):
    """Whether a key is good, and what for."""

    @described("ai_proxy_auth", "Compatible paths", body="Whether this key is good.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """Validate a key."""
        now = datetime.now(UTC)
        left = self.left(now)
        expires = self.caller.expires_at
        return said(
            {
                "valid": True,
                "api_key": self.caller.masked,
                "label": self.caller.label,
                "plan": self.caller.plan,
                "balance": figures.shown(self.display, left),
                "balance_usd": usd_text(left),
                "allowed_models": list(self.caller.allowed_models) or None,
                "expires_at": figures.timestamp(expires) if expires else None,
            }
        )


class BalanceView(StandingView):
    """What the key has left."""

    @described("balance", "Money", body="What this key has left, in its plan's unit and in dollars.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """Read the balance."""
        left = self.left(datetime.now(UTC))
        return said(
            {
                "object": "balance",
                "balance": figures.shown(self.display, left),
                "credits": figures.shown(self.display, left),
                "unit": self.display.unit,
                "balance_usd": usd_text(left),
                "api_key": self.caller.masked,
            }
        )


class UserBalanceView(StandingView):
    """The same, as the monitor paths write it."""

    @described("user_balance", "Compatible paths", body="What this key has left.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """Read the balance."""
        now = datetime.now(UTC)
        left = self.left(now)
        more = {
            "current_credits": figures.shown(self.display, left),
            "unit": self.display.unit,
            "balance_usd": usd_text(left),
        }
        return said(self.head(now) | more)


class UserMonitorView(StandingView):
    """What the key has used."""

    @described(
        "user_monitor", "Compatible paths", body="What this key has used: ever, today, this month.", errors=ALWAYS
    )
    def get(self, request: Request) -> Response:
        """Read the figures."""
        now = datetime.now(UTC)
        organization = self.organization
        more = {
            "current_credits": figures.shown(self.display, self.left(now)),
            "usage_metrics": figures.of_key(organization, self.caller.key, now=now),
            "rate_limits": figures.limits(self.key, organization),
        }
        return said(self.head(now) | more)


class UserLimitView(StandingView):
    """How fast the key may go."""

    @described("user_limit", "Compatible paths", body="The limits of this key and when they turn.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """Read the limits."""
        now = datetime.now(UTC)
        organization, key = self.organization, self.key
        allowed, reason = figures.within(key, organization, now=now)
        return said(
            {
                "status": "success",
                "api_key": self.caller.masked,
                "current_limits": figures.limits(key, organization),
                "current_usage": {"allowed": allowed, "reason": reason},
                "reset_times": figures.resets(now),
            }
        )
