"""From a visitor to a caller, and again when the caller's view turns out to be old.

Promise: whoever serves a call here was let in at this shop with the key as it is now; a view that the books call stale
is read again, a few times, and then the client is asked to come back. What reserves nothing is never told by the books
that its view is old, so it always reads anew.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from gateway import idempotency
from gateway.callers import Caller, Callers, ViewIsStale
from gateway.doorway import Reply, Visitor
from gateway.errors import Unavailable

STALE_TRIES = 3


async def served(callers: Callers, visitor: Visitor, serve: Callable[[Caller], Awaitable[Reply]]) -> Reply:
    """Let the visitor in and serve them."""
    for _ in range(STALE_TRIES):
        caller = await _found(callers, visitor)
        try:
            return await serve(caller)
        except ViewIsStale:
            callers.forget(visitor.secret)
        except idempotency.Taken:
            continue
    raise Unavailable("This key's settings are changing; try again in a moment.", retry_after_s=1)


async def read_anew(callers: Callers, visitor: Visitor) -> Caller:
    """The caller as the database has it this moment."""
    callers.forget(visitor.secret)
    return await _found(callers, visitor)


async def _found(callers: Callers, visitor: Visitor) -> Caller:
    return await callers.find(
        visitor.secret, storefront=visitor.storefront, ip_address=visitor.ip_address, now=datetime.now(UTC)
    )
