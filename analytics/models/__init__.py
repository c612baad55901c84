"""The rows of analytics: sums of calls, and what an operator decided or must look at."""

from analytics.models.desk import Alarm, BillLine, ChannelSpend, ClosedMonth
from analytics.models.rollups import (
    ArchivedMonth,
    CacheSaving,
    CountryDay,
    CustomerDay,
    CustomerQuarter,
    OrganizationDay,
    RollupMark,
    ShopDay,
    ShopQuarter,
    TokenRatio,
)
from analytics.models.statements import StatementMark, StatementMonth

__all__ = [
    "Alarm",
    "ArchivedMonth",
    "BillLine",
    "CacheSaving",
    "ChannelSpend",
    "ClosedMonth",
    "CountryDay",
    "CustomerDay",
    "CustomerQuarter",
    "OrganizationDay",
    "RollupMark",
    "ShopDay",
    "ShopQuarter",
    "StatementMark",
    "StatementMonth",
    "TokenRatio",
]
