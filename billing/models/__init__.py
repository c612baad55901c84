"""The rows of billing, split by story: the ledger and what keeps it honest, prices, money in, gifts."""

from billing.models.experiments import Experiment
from billing.models.gifts import Adjustment, CodeBatch, CodeUse, RedemptionCode, TrialGrant
from billing.models.ledger import Account, CapCounter, Hold, HoldLine, ProcessLease, Transfer, Wallet
from billing.models.payments import (
    AutoRecharge,
    BillingDetails,
    InboxEvent,
    Mismatch,
    Payment,
    PaymentAccount,
    PaymentCustomer,
    PaymentEvent,
    Reversal,
    SavedCard,
    TopUp,
    TopUpTerms,
)
from billing.models.plans import CostCardVersion, PlanVersion, PriceGroup, PriceTerms
from billing.models.proof import AuditCheckpoint

__all__ = [
    "Account",
    "Adjustment",
    "AuditCheckpoint",
    "AutoRecharge",
    "BillingDetails",
    "CapCounter",
    "CodeBatch",
    "CodeUse",
    "CostCardVersion",
    "Experiment",
    "Hold",
    "HoldLine",
    "InboxEvent",
    "Mismatch",
    "Payment",
    "PaymentAccount",
    "PaymentCustomer",
    "PaymentEvent",
    "PlanVersion",
    "PriceGroup",
    "PriceTerms",
    "ProcessLease",
    "RedemptionCode",
    "Reversal",
    "SavedCard",
    "TopUp",
    "TopUpTerms",
    "Transfer",
    "TrialGrant",
    "Wallet",
]
