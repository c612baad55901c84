"""The rows of analytics: sums of calls, and what an operator decided or must look at."""

from analytics.models.rollups import (
    ArchivedMonth,
    CacheSaving,
    CountryDay,
    CustomerDay,
    CustomerQuarter,
    RollupMark,
    ShopDay,
    ShopQuarter,
    TokenRatio,
)

__all__ = [
    "ArchivedMonth",
    "CacheSaving",
    "CountryDay",
    "CustomerDay",
    "CustomerQuarter",
    "RollupMark",
    "ShopDay",
    "ShopQuarter",
    "TokenRatio",
]
