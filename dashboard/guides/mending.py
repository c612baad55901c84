"""What to do about each error: one line of ``remedies.txt`` for every code that a call can be answered with.

Promise: the codes and statuses are read from the gateway's own tree of errors, so that none is missing here and none
is told that cannot happen; a test holds both.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway import errors
from gateway.errors import GatewayError

REMEDIES = dict(
    line.split(": ", 1) for line in (Path(__file__).parent / "remedies.txt").read_text(encoding="utf-8").splitlines()
)
AGAIN = {"rate_limit_exceeded", "conflict"}  # of what the client can mend, these pass by waiting


@dataclass(frozen=True, slots=True)
class Told:
    """One line of the table."""

    status: int
    code: str
    remedy: str
    may_retry: bool


def table() -> list[Told]:
    """Every code, by status, in the order of the tree."""
    found = [
        Told(kind.status, kind.code, REMEDIES[kind.code], issubclass(kind, errors.Failed) or kind.code in AGAIN)
        for kind in _leaves(GatewayError)
    ]
    return sorted(found, key=lambda one: one.status)


ABSTRACT = {errors.Refused, errors.PaymentRequired, GatewayError}


def _leaves(kind: type[GatewayError]) -> list[type[GatewayError]]:
    """The kinds that are answered, without those that only group others."""
    own = [] if kind in ABSTRACT or kind.__module__ != errors.__name__ else [kind]
    return [*own, *(leaf for child in kind.__subclasses__() for leaf in _leaves(child))]
