"""The invariants of money in (I8, I9, I10), proven from the rows alone and registered with the audit.

Promise: each is one question to the database, so it sees one moment; what a provider confirmed, what our order says and
what the ledger moved are compared with each other and never with what some code believed.
"""

from collections.abc import Iterable
from functools import partial

from billing import audit
from billing.audit import Finding
from billing.models.payments import TAKES

_TAKES = ", ".join(f"'{state}'" for state in sorted(TAKES))
RETURNED = "'dispute_won', 'refund_undone', 'dispute_undone'"

PAYMENT_TRANSFER = """
SELECT p.id, p.credited_nano, coalesce(t.amount, 0) FROM billing_payment p
LEFT JOIN billing_transfer t ON t.uid = p.transfer_uid
LEFT JOIN billing_account c ON c.id = t.credit_id
WHERE coalesce(t.amount, 0) <> p.credited_nano
    OR (t.id IS NOT NULL AND (t.organization_id <> p.organization_id OR t.code <> 'top_up' OR c.kind <> 'paid'))
"""
PROMO_TRANSFER = """
SELECT p.id, p.promo_nano, coalesce(t.amount, 0) FROM billing_payment p
LEFT JOIN billing_transfer t ON t.uid = p.transfer_uid || ':promo'
LEFT JOIN billing_account c ON c.id = t.credit_id
WHERE coalesce(t.amount, 0) <> p.promo_nano
    OR (t.id IS NOT NULL AND (t.organization_id <> p.organization_id OR c.kind <> 'promo'))
"""
STRAY_CREDIT = """
SELECT t.id, t.code FROM billing_transfer t
LEFT JOIN billing_payment p ON p.transfer_uid = replace(t.uid, ':promo', '')
WHERE t.code IN ('top_up', 'promotion') AND t.uid LIKE 'pay:%' AND p.id IS NULL
"""
ORDER_AGREES = """
SELECT p.id, p.credited_nano, (p.total_minor - p.tax_minor) * o.nano_per_minor
FROM billing_payment p JOIN billing_topup o ON o.id = p.top_up_id
WHERE p.credited_nano <> (p.total_minor - p.tax_minor) * o.nano_per_minor
    OR p.promo_nano <> p.discount_minor * o.nano_per_minor
    OR p.currency <> o.currency OR p.organization_id <> o.organization_id OR p.sandbox <> o.sandbox
    OR p.method <> o.method OR p.account <> o.account OR o.state <> 'paid'
"""
PAID_ORDER = """
SELECT o.id, o.state FROM billing_topup o
WHERE o.state = 'paid' AND NOT EXISTS (SELECT 1 FROM billing_payment p WHERE p.top_up_id = o.id)
"""
REVERSED_ROWS = """
SELECT p.id, p.reversed_nano, coalesce(sum(r.posted_nano), 0) FROM billing_payment p
LEFT JOIN billing_reversal r ON r.payment_id = p.id
GROUP BY p.id, p.reversed_nano, p.credited_nano
HAVING p.reversed_nano <> coalesce(sum(r.posted_nano), 0) OR p.reversed_nano > p.credited_nano
"""
REVERSED_LEDGER = f"""
SELECT p.id, p.reversed_nano, coalesce(s.net, 0) FROM billing_payment p
LEFT JOIN (
    SELECT t.reference, sum(CASE WHEN t.code IN ('refund', 'dispute') THEN t.amount ELSE -t.amount END) AS net
    FROM billing_transfer t WHERE t.code IN ('refund', 'dispute', {RETURNED}) GROUP BY t.reference
) AS s ON s.reference = p.public_id
WHERE p.reversed_nano <> coalesce(s.net, 0)
"""  # noqa: S608 - made of our own words
DEMANDED = f"""
SELECT p.id, p.reversed_nano, sum(CASE WHEN r.state IN ({_TAKES}) THEN r.amount_minor ELSE 0 END)
FROM billing_payment p JOIN billing_reversal r ON r.payment_id = p.id
GROUP BY p.id, p.reversed_nano, p.credited_nano, p.total_minor
HAVING (sum(CASE WHEN r.state IN ({_TAKES}) THEN r.amount_minor ELSE 0 END) = 0 AND p.reversed_nano <> 0)
    OR (max(CASE WHEN r.state IN ({_TAKES}) THEN r.amount_minor ELSE 0 END) >= p.total_minor
        AND p.reversed_nano <> p.credited_nano)
"""  # noqa: S608 - the same
ORPHANS = """
SELECT r.id, r.state FROM billing_reversal r
JOIN billing_payment p ON p.method = r.method AND p.account = r.account AND p.outside_id = r.payment_outside_id
WHERE r.payment_id IS NULL OR r.payment_id <> p.id
"""
GIFTS = """
SELECT u.id, coalesce(t.amount, 0) FROM billing_codeuse u
JOIN billing_redemptioncode c ON c.id = u.code_id JOIN billing_codebatch b ON b.id = c.batch_id
LEFT JOIN billing_transfer t ON t.uid = u.transfer_uid
WHERE t.id IS NULL OR t.amount <> b.value_nano OR t.organization_id <> u.organization_id
"""
CODE_USES = """
SELECT c.id, c.used, count(u.id) FROM billing_redemptioncode c LEFT JOIN billing_codeuse u ON u.code_id = c.id
GROUP BY c.id, c.used HAVING c.used <> count(u.id)
"""

CHECKS = (
    ("I8", "a payment is credited once, as it says", "payment", "says {}, the ledger moved {}", PAYMENT_TRANSFER),
    ("I8", "a promotion is a gift beside its payment", "payment", "says {}, the ledger moved {}", PROMO_TRANSFER),
    ("I8", "no top-up without its payment", "transfer", "{} without a payment", STRAY_CREDIT),
    ("I8", "a payment is worth what its order says", "payment", "credited {}, the order makes {}", ORDER_AGREES),
    ("I8", "a paid order has its payment", "topup", "the order is {}", PAID_ORDER),
    ("I8", "a code gave what its batch says", "codeuse", "the ledger moved {}", GIFTS),
    ("I8", "a code was used as often as it counts", "redemptioncode", "counts {}, was used {}", CODE_USES),
    ("I9", "what a payment lost is what its reversals took", "payment", "says {}, its rows make {}", REVERSED_ROWS),
    ("I9", "reversals moved in the ledger what they say", "payment", "says {}, the ledger moved {}", REVERSED_LEDGER),
    ("I10", "what is known of a payment is what is booked", "payment", "reversed {}, demanded {} (minor)", DEMANDED),
    ("I10", "no reversal waits for a payment that came", "reversal", "it is {}", ORPHANS),
)


def _ask(invariant: str, name: str, table: str, says: str, sql: str, since: int) -> Iterable[Finding]:
    """Small tables beside the calls: a whole run each time, unless nothing moved since the checkpoint."""
    for row, *words in audit.rows(sql):
        yield Finding(invariant, name, table, row, None, says.format(*words))


def register() -> None:
    """Join the audit."""
    for invariant, name, table, says, sql in CHECKS:
        audit.register(name, partial(_ask, invariant, name, table, says, sql))
