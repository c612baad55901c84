"""The rows of billing, split by story: the ledger and what keeps it honest, prices and their versions."""

from billing.models.ledger import Account, CapCounter, Hold, HoldLine, ProcessLease, Transfer, Wallet
from billing.models.plans import CostCardVersion, PlanVersion, PriceGroup, PriceTerms
from billing.models.proof import AuditCheckpoint

__all__ = [
    "Account",
    "AuditCheckpoint",
    "CapCounter",
    "CostCardVersion",
    "Hold",
    "HoldLine",
    "PlanVersion",
    "PriceGroup",
    "PriceTerms",
    "ProcessLease",
    "Transfer",
    "Wallet",
]
