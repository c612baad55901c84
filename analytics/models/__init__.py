"""The rows of analytics: sums of calls, and what an operator decided or must look at."""

from analytics.models.rollups import (
    ArchivedMonth,
    CacheSaving,
    CustomerDay,
    CustomerQuarter,
    RollupMark,
    ShopDay,
    ShopQuarter,
)

__all__ = ["ArchivedMonth", "CacheSaving", "CustomerDay", "CustomerQuarter", "RollupMark", "ShopDay", "ShopQuarter"]
