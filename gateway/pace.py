"""A caller at the limits: let through, or told when to come back."""

from gateway import limits
from gateway.callers import Caller
from gateway.errors import RateLimited
from gateway.limits import Admission, Limiter


async def passed(limiter: Limiter, caller: Caller, *, call: str, tokens: int) -> Admission:
    """Count a call in every window of the caller, or raise ``RateLimited``."""
    admission = await limiter.admit(
        hash_tag=f"org:{caller.organization}", scopes=caller.scopes, call=call, tokens=tokens
    )
    if not admission.admitted:
        message = f"This goes over the limit of {admission.refused_by}; come back in {admission.retry_after_s} s."
        refused = RateLimited(message, retry_after_s=admission.retry_after_s)
        refused.headers = tuple(limits.told(admission))
        raise refused
    return admission
