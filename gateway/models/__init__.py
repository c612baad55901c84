"""The rows of the gateway: what is sold, whom we buy it from, and what happened."""

from gateway.models.calls import Attempt, Call, Departure
from gateway.models.catalogue import AIModel, Route
from gateway.models.claims import IdempotencyClaim, KeptAnswer
from gateway.models.prices import PriceProposal
from gateway.models.providers import Credential, Provider

__all__ = [
    "AIModel",
    "Attempt",
    "Call",
    "Credential",
    "Departure",
    "IdempotencyClaim",
    "KeptAnswer",
    "PriceProposal",
    "Provider",
    "Route",
]
