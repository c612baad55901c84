"""The names of the units that a grant can be counted in besides money: tokens of any model, and tokens of one.

Promise: this is the only place that makes such a name, so whoever gives tokens (a trial, a package) and whoever burns
them (a call) mean the same account. A call offers its tokens under both names; the ledger decides which grant pays.
"""

import hashlib
from functools import lru_cache

from billing.operations import Tokens

ANY_MODEL = "tokens"
LONGEST_UNIT = 80


@lru_cache(maxsize=4_096)
def of_model(slug: str) -> str:
    """Tokens of one model only, by the name it is priced under; a name too long for a unit is cut and told apart."""
    unit = f"{ANY_MODEL}:{slug}"
    if len(unit) <= LONGEST_UNIT:
        return unit
    told_apart = hashlib.sha256(slug.encode()).hexdigest()[:16]
    return f"{unit[: LONGEST_UNIT - 17]}~{told_apart}"


def offered(slug: str, tokens: int) -> tuple[Tokens, ...]:
    """A call's tokens in every unit that may pay for them; what is not counted in tokens offers none."""
    return (Tokens(ANY_MODEL, tokens), Tokens(of_model(slug), tokens)) if tokens else ()
