"""The invariants of billing, each as one question to the database that lists what breaks it.

Promise: every check is a single statement, so it sees one moment of a living system and never cries wolf because a call
was being settled meanwhile; the answer is bounded, and nothing is loaded but what is wrong.

``{new}`` narrows a check to what came after a checkpoint; ``{since}`` is that checkpoint. A whole run leaves both out.
"""

from dataclasses import dataclass

from billing.models.ledger import HOUSE_IDS, PRIORITIES

DEAD_FOR_S = 300  # the sweep runs every few seconds; whoever is still there after minutes was forgotten


@dataclass(frozen=True, slots=True)
class Check:
    """``sql`` selects (account or none, row, words...); ``says`` puts the words into a sentence."""

    invariant: str
    name: str
    table: str
    says: str
    sql: str
    new: str = ""  # the narrowing of an incremental run; a check without one always runs whole


TRANSFER_SHAPE = """
SELECT t.debit_id, t.id FROM billing_transfer t
LEFT JOIN billing_account d ON d.id = t.debit_id LEFT JOIN billing_account c ON c.id = t.credit_id
WHERE (t.amount <= 0 OR t.value_nano < 0 OR t.debit_id = t.credit_id OR d.id IS NULL OR c.id IS NULL
    OR d.unit <> c.unit OR (d.unit = 'nano_usd' AND t.value_nano <> t.amount)
    OR (d.organization_id IS NOT NULL AND (t.organization_id IS NULL OR d.organization_id <> t.organization_id))
    OR (c.organization_id IS NOT NULL AND (t.organization_id IS NULL OR c.organization_id <> t.organization_id))) {new}
"""
BALANCE = """
SELECT a.id, a.id, a.posted, coalesce(s.total, 0) FROM billing_account a
LEFT JOIN (
    SELECT account, sum(amount) AS total FROM (
        SELECT t.credit_id AS account, sum(t.amount) AS amount FROM billing_transfer t {transfers} GROUP BY t.credit_id
        UNION ALL
        SELECT t.debit_id, -sum(t.amount) FROM billing_transfer t {transfers} GROUP BY t.debit_id
    ) AS legs GROUP BY account
) AS s ON s.account = a.id
WHERE a.organization_id IS NOT NULL
    AND a.posted <> CASE WHEN a.kind = 'debt' THEN -coalesce(s.total, 0) ELSE coalesce(s.total, 0) END {new}
"""
OVERDRAWN = """
SELECT a.id, a.id, a.posted, a.held FROM billing_account a
WHERE a.posted < 0 OR a.held < 0 OR a.held > a.posted
    OR (a.organization_id IS NULL AND (a.posted <> 0 OR a.held <> 0))
"""
HELD = """
SELECT a.id, a.id, a.held, coalesce(s.total, 0) FROM billing_account a
LEFT JOIN (
    SELECT l.account_id, sum(l.amount) AS total FROM billing_hold h JOIN billing_holdline l ON l.hold_id = h.id
    WHERE h.outcome IS NULL GROUP BY l.account_id
) AS s ON s.account_id = a.id
WHERE a.held <> coalesce(s.total, 0)
"""
HOLD_LINES = """
SELECT NULL, h.id, h.held_nano, coalesce(sum(l.value_nano), 0) FROM billing_hold h
LEFT JOIN billing_holdline l ON l.hold_id = h.id
WHERE 1 = 1 {new}
GROUP BY h.id, h.held_nano HAVING h.held_nano <> coalesce(sum(l.value_nano), 0)
"""
LINE_OWNER = """
SELECT l.account_id, l.id FROM billing_holdline l
LEFT JOIN billing_hold h ON h.id = l.hold_id LEFT JOIN billing_account a ON a.id = l.account_id
WHERE (h.id IS NULL OR a.id IS NULL OR l.amount <= 0 OR a.organization_id IS NULL
    OR a.organization_id <> h.organization_id OR l.organization_id <> h.organization_id
    OR (a.unit = 'nano_usd' AND l.amount <> l.value_nano)) {new}
"""
HOLD_CHARGES = """
SELECT NULL, h.id, h.charged_nano, coalesce(sum(CASE WHEN t.code <> 'unrecovered' THEN t.value_nano END), 0),
    h.unrecovered_nano, coalesce(sum(CASE WHEN t.code = 'unrecovered' THEN t.value_nano END), 0)
FROM billing_hold h LEFT JOIN billing_transfer t ON t.hold_id = h.id
WHERE 1 = 1 {new}
GROUP BY h.id, h.charged_nano, h.unrecovered_nano
HAVING h.charged_nano <> coalesce(sum(CASE WHEN t.code <> 'unrecovered' THEN t.value_nano END), 0)
    OR h.unrecovered_nano <> coalesce(sum(CASE WHEN t.code = 'unrecovered' THEN t.value_nano END), 0)
"""
CHARGE_PLACE = """
SELECT t.debit_id, t.id FROM billing_transfer t
LEFT JOIN billing_hold h ON h.id = t.hold_id
LEFT JOIN billing_account d ON d.id = t.debit_id LEFT JOIN billing_account c ON c.id = t.credit_id
WHERE (t.hold_id IS NULL AND t.code IN ('usage', 'late_usage', 'unrecovered')
    OR t.hold_id IS NOT NULL AND (h.id IS NULL OR t.organization_id IS NULL
    OR h.organization_id <> t.organization_id OR c.kind <> 'revenue'
    OR (t.code = 'unrecovered') <> (d.kind = 'unrecovered_usage')
    OR (t.code = 'late_usage') <> (t.code <> 'unrecovered' AND h.outcome <> 'settled')
    OR t.code NOT IN ('usage', 'late_usage', 'unrecovered'))) {new}
"""
HOLD_STATE = """
SELECT NULL, h.id, coalesce(h.outcome, 'open') FROM billing_hold h
WHERE (h.held_nano < 0 OR h.charged_nano < 0 OR h.unrecovered_nano < 0
    OR (h.outcome IS NULL) <> (h.resolved_at IS NULL)
    OR (h.outcome IS NULL AND (h.charged_nano <> 0 OR h.unrecovered_nano <> 0 OR h.late_settled_at IS NOT NULL))
    OR (h.outcome = 'settled' AND h.late_settled_at IS NOT NULL)
    OR (h.outcome IN ('released', 'expired') AND h.late_settled_at IS NULL
        AND (h.charged_nano <> 0 OR h.unrecovered_nano <> 0))
    OR (h.outcome IS NOT NULL AND h.outcome NOT IN ('settled', 'released', 'expired'))) {new}
"""
FORGOTTEN = """
SELECT NULL, h.id, coalesce(p.name, 'nobody') FROM billing_hold h
LEFT JOIN billing_processlease p ON p.id = h.process_id
WHERE h.outcome IS NULL AND (p.id IS NULL OR coalesce(p.ended_at, p.heartbeat_at) < {dead_before})
"""
COUNTERS_HELD = """
SELECT NULL, k.id, k.held, coalesce(s.held, 0) FROM billing_capcounter k
LEFT JOIN (
    SELECT {counter_id} AS counter, sum(h.held_nano) AS held FROM billing_hold h, {each_cap}
    WHERE h.outcome IS NULL GROUP BY 1
) AS s ON s.counter = k.id
WHERE k.held <> coalesce(s.held, 0)
"""
COUNTERS_SPENT = """
SELECT NULL, k.id, k.spent, coalesce(s.spent, 0) FROM billing_capcounter k
LEFT JOIN (
    SELECT {counter_id} AS counter, sum(h.charged_nano) AS spent FROM billing_hold h, {each_cap} GROUP BY 1
) AS s ON s.counter = k.id
WHERE k.spent <> coalesce(s.spent, 0)
"""
COUNTER_WINDOW = """
SELECT NULL, h.id, {counter_id} FROM billing_hold h CROSS JOIN {each_cap}
WHERE NOT EXISTS (
    SELECT 1 FROM billing_capcounter k
    WHERE k.id = {counter_id} AND k.organization_id = h.organization_id AND NOT ({window_differs})
) {new}
"""
REVERSED = """
SELECT o.credit_id, r.reverses_id, o.amount, r.total FROM (
    SELECT t.reverses_id, sum(t.amount) AS total, count(*) AS many, min(t.organization_id) AS low,
        max(t.organization_id) AS high
    FROM billing_transfer t WHERE t.reverses_id IS NOT NULL GROUP BY t.reverses_id
) AS r LEFT JOIN billing_transfer o ON o.id = r.reverses_id LEFT JOIN billing_account k ON k.id = o.credit_id
WHERE o.id IS NULL OR k.kind <> 'paid' OR r.total > o.amount
    OR o.organization_id IS NULL OR r.low <> o.organization_id OR r.high <> o.organization_id
"""
GIFT_TO_CASH = """
SELECT d.id, t.id, d.kind, c.kind FROM billing_transfer t
JOIN billing_account d ON d.id = t.debit_id JOIN billing_account c ON c.id = t.credit_id
WHERE (d.organization_id IS NOT NULL AND d.kind NOT IN ('paid', 'debt') AND c.kind IN ('payments', 'paid', 'debt')
    OR d.kind IN ('promotions', 'expired_grants') AND c.kind = 'paid') {new}
"""
WALLETS = """
SELECT min(a.id), coalesce(w.organization_id, a.organization_id)
FROM billing_account a LEFT JOIN billing_wallet w ON w.organization_id = a.organization_id
WHERE a.organization_id IS NOT NULL
GROUP BY a.organization_id, w.organization_id
HAVING w.organization_id IS NULL OR sum(CASE WHEN a.kind IN ('paid', 'debt') THEN 1 ELSE 0 END) <> 2
    OR (sum(CASE WHEN a.kind = 'debt' THEN a.posted ELSE 0 END) > 0
        AND sum(CASE WHEN a.kind = 'paid' THEN a.posted - a.held ELSE 0 END) > 0)
"""
TURN = """
SELECT a.id, a.id, a.kind, a.priority FROM billing_account a
WHERE a.organization_id IS NOT NULL AND (a.kind <> 'debt' AND a.priority <> CASE a.kind {turns} END
    OR a.kind IN ('paid', 'debt') AND (a.expires_at IS NOT NULL OR a.unit <> 'nano_usd'))
"""
HOUSE = """
SELECT a.id, a.id, a.kind FROM billing_account a WHERE a.id <= {house}
    AND (a.organization_id IS NOT NULL OR a.unit <> 'nano_usd' OR a.kind <> CASE a.id {kinds} END)
"""
SCOPE = """
SELECT NULL, k.id, k.scope_id FROM billing_capcounter k
WHERE k.scope_kind = 'organization' AND k.scope_id <> k.organization_id
"""
STANDING = """
SELECT NULL, w.organization_id, o.standing FROM billing_wallet w
JOIN accounts_organization o ON o.id = w.organization_id
WHERE (o.standing = 'active') = w.suspended
"""

NEW_TRANSFERS = "AND t.id > {since}"
NEW_HOLDS = (
    "AND (h.outcome IS NULL OR h.id IN"
    " (SELECT hold_id FROM billing_transfer WHERE id > {since} AND hold_id IS NOT NULL))"
)
CHECKS = (
    Check("I1", "transfers balance within one unit and owner", "transfer", "", TRANSFER_SHAPE, NEW_TRANSFERS),
    Check(
        "I3",
        "balances are the sums of their transfers",
        "account",
        "posted is {}, its transfers make {}",
        BALANCE,
        "AND a.organization_id IN (SELECT organization_id FROM billing_transfer WHERE id > {since})",
    ),
    Check("I4", "nothing is overdrawn, and the house keeps no totals", "account", "posted {}, held {}", OVERDRAWN),
    Check("I4", "held is the sum of open holds", "account", "held is {}, open holds make {}", HELD),
    Check("I5", "a hold is the sum of its lines", "hold", "held is {}, lines make {}", HOLD_LINES, NEW_HOLDS),
    Check("I5", "lines draw on accounts of their owner", "holdline", "", LINE_OWNER, NEW_HOLDS),
    Check(
        "I5",
        "what a hold charged is the sum of its transfers",
        "hold",
        "charged is {}, transfers make {}; unrecovered is {}, transfers make {}",
        HOLD_CHARGES,
        NEW_HOLDS,
    ),
    Check(
        "I5",
        "charges go from the customer to revenue, by their hold's end",
        "transfer",
        "",
        CHARGE_PLACE,
        NEW_TRANSFERS,
    ),
    Check("I5", "a hold has one end", "hold", "its end is {}", HOLD_STATE, NEW_HOLDS),
    Check("I5", "no hold outlives its process", "hold", "its process was {}", FORGOTTEN),
    Check("I4", "caps hold what their open holds hold", "capcounter", "held is {}, open holds make {}", COUNTERS_HELD),
    Check(
        "I3",
        "caps have spent what their holds charged",
        "capcounter",
        "spent is {}, holds make {}",
        COUNTERS_SPENT,
        "never",
    ),
    Check(
        "I5",
        "a hold counts in the window of its admission",
        "hold",
        "counter {} is not of its window",
        COUNTER_WINDOW,
        NEW_HOLDS,
    ),
    Check("I9", "reversals never exceed what they reverse", "transfer", "moved {}, reversed {}", REVERSED),
    Check("I9", "gifts never become cash", "transfer", "from {} to {}", GIFT_TO_CASH, NEW_TRANSFERS),
    Check("I3", "a wallet has its accounts, and pays its debt first", "wallet", "", WALLETS),
    Check("I4", "accounts burn in their turn, and only grants expire", "account", "{} in place {}", TURN),
    Check("I1", "the house's accounts are where charges look for them", "account", "is {}", HOUSE),
    Check("I4", "an organization's cap counts for itself", "capcounter", "counts for {}", SCOPE),
    Check("I13", "wallets know who is suspended", "wallet", "the standing is {}", STANDING),
)

OURS = {
    "turns": " ".join(f"WHEN '{kind}' THEN {place}" for kind, place in PRIORITIES.items()),
    "house": str(len(HOUSE_IDS)),
    "kinds": " ".join(f"WHEN {place} THEN '{kind}'" for kind, place in HOUSE_IDS.items()),
}
WORDS = {
    "sqlite": OURS
    | {
        "each_cap": "json_each(h.caps) AS cap",
        "counter_id": "json_extract(cap.value, '$[0]')",
        "dead_before": f"strftime('%Y-%m-%d %H:%M:%f', 'now', '-{DEAD_FOR_S} seconds')",
        "window_differs": "k.window_start <> CASE k.\"window\" WHEN 'day' THEN date(h.created_at)"
        " WHEN 'month' THEN date(h.created_at, 'start of month') ELSE '2000-01-01' END",
    },
    "postgresql": OURS
    | {
        "each_cap": "jsonb_array_elements(h.caps) AS cap",
        "counter_id": "(cap ->> 0)::bigint",
        "dead_before": f"clock_timestamp() - interval '{DEAD_FOR_S} seconds'",
        "window_differs": "k.window_start <> CASE k.\"window\" WHEN 'day' THEN (h.created_at AT TIME ZONE 'UTC')::date"
        " WHEN 'month' THEN date_trunc('month', h.created_at AT TIME ZONE 'UTC')::date ELSE date '2000-01-01' END",
    },
}
