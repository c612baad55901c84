"""The rows of billing, split by story."""

from billing.models.plans import CostCardVersion, PlanVersion, PriceGroup, PriceTerms

__all__ = ["CostCardVersion", "PlanVersion", "PriceGroup", "PriceTerms"]
