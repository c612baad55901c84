"""The rows of billing, split by story: the ledger and what keeps it honest."""

from billing.models.ledger import Account, CapCounter, Hold, HoldLine, ProcessLease, Transfer, Wallet
from billing.models.proof import AuditCheckpoint

__all__ = [
    "Account",
    "AuditCheckpoint",
    "CapCounter",
    "Hold",
    "HoldLine",
    "ProcessLease",
    "Transfer",
    "Wallet",
]
