"""Grants: a request on the boundary, covered by tokens as far as they reach and by money beyond.

Tokens are drawn in the canonical order of usage: the question before the answer. What is covered and what is paid
add up to the whole, in every bucket and to the nano-USD; the minimum charge applies to the paid part alone.
"""

from dataclasses import dataclass, replace

from billing.pricing.circumstances import PLAIN, Circumstances
from billing.pricing.engine import Charge, charge
from billing.pricing.rates import Rates
from billing.pricing.reading import Malformed
from billing.pricing.usage import Line, Usage


@dataclass(frozen=True, slots=True)
class Split:
    """Both parts of one request.

    `whole` is the request as if there were no grant and no minimum, `charge` what is paid in money;
    `covered_nano` is what the covered tokens were worth, so that it and the paid price add up to the whole.
    """

    covered: Usage
    paid: Usage
    covered_tokens: int
    covered_nano: int
    whole: Charge
    charge: Charge


def split(*, usage: Usage, rates: Rates, granted_tokens: int, circumstances: Circumstances = PLAIN) -> Split:
    """Divide a request between a token grant and money; both parts go by the context tier of the whole."""
    paid = uncovered(usage, granted_tokens)
    covered = _difference(usage, paid)
    bare = replace(circumstances, context_tokens=usage.input_tokens, with_minimum=False)
    whole = charge(usage=usage, rates=rates, circumstances=bare)
    rest = charge(usage=paid, rates=rates, circumstances=bare)
    is_paid = not granted_tokens or not paid.is_empty
    settled = charge(usage=paid, rates=rates, circumstances=replace(bare, with_minimum=is_paid))
    return Split(
        covered=covered,
        paid=paid,
        covered_tokens=covered.tokens,
        covered_nano=whole.charge_nano - rest.charge_nano,
        whole=whole,
        charge=settled,
    )


def uncovered(usage: Usage, granted_tokens: int) -> Usage:
    """Return what is left of usage once a number of tokens was drawn from its beginning."""
    check_granted(granted_tokens)
    left, lines = granted_tokens, []
    for line in usage.lines:
        drawn = min(left, line.quantity) if line.is_tokens else 0
        left -= drawn
        lines.append(Line(line.bucket, line.quantity - drawn) if drawn else line)
    return Usage(tuple(lines))


def check_granted(granted_tokens: int) -> None:
    """Refuse a grant that would add to what is paid."""
    if granted_tokens < 0:
        raise Malformed("A grant cannot hold fewer than 0 tokens.")


def _difference(usage: Usage, part: Usage) -> Usage:
    pairs = zip(usage.lines, part.lines, strict=True)
    return Usage(tuple(Line(whole.bucket, whole.quantity - rest.quantity) for whole, rest in pairs))
