"""How fast somebody may call: six calendar windows (UTC) and calls in flight, per key and per organization.

Promise: a call is admitted when every window of every scope has room, and then counts in all of them at once, or in
none. Over many processes Redis decides, in one round trip by one script and by its own clock, so nobody's skew matters;
without Redis the same rules run in one process alone (``local``). Tokens are reserved at their bound and corrected at
settlement, in the windows of the admission. A slot in flight is a lease, so a killed process gives it back by itself.

While Redis is away, slow or of no use, each process goes on alone (``alone``): in every window it may admit its share,
the room it last saw divided by the living processes, or one call where that is more. So all of them together admit at
most one further allowance in a window. What was counted alone is handed to Redis, once, when it is back, and a Redis
that has lost its memory is told what each process last saw of it. No call waits longer for it than ``PATIENCE_S``.
"""

from gateway.limits.local import LocalLimiter
from gateway.limits.rules import NAMES, SLOT_LEASE_S, WINDOWS_S, Admission, Limiter, Scope, Window, told
from gateway.limits.shared import RedisLimiter

__all__ = [
    "NAMES",
    "SLOT_LEASE_S",
    "WINDOWS_S",
    "Admission",
    "Limiter",
    "LocalLimiter",
    "RedisLimiter",
    "Scope",
    "Window",
    "told",
]
