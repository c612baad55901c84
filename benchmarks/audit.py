"""How long the whole audit takes, and how much memory, beside the bar: 1,000,000 transfers in 20 s and 200 MiB.

    python -m benchmarks.audit [--engine sqlite|postgresql] [--transfers 1000000]

The rows are made by SQL, one settled hold with one line and one capped charge per transfer, spread over 1,000 wallets.
"""

import argparse
import resource
import time

from tests.simulator.worlds import START, make_organizations, say, world

WALLETS = 1_000
CREDIT, HELD, CHARGED = 10**12, 1_000, 700


def main() -> int:
    """Make the rows, audit them, print both bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--transfers", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with world(arguments.engine):
        from billing import audit

        started_at = time.perf_counter()
        _fill(arguments.transfers)
        say(f"{arguments.engine}: rows made in {time.perf_counter() - started_at:.0f} s")
        before_mib, cpu_s = _peak_mib(), time.process_time()
        report = audit.run()
        cpu_s = time.process_time() - cpu_s
        say(
            f"{report.transfers:,} transfers, {len(report.findings)} findings, {report.seconds:.1f} s (bar: 20 s;"
            f" {cpu_s:.1f} CPU-seconds of this process, beside which a busy machine makes it wait),"
            f" peak {_peak_mib():.0f} MiB of this process (bar: 200 MiB; {before_mib:.0f} before the audit)"
        )
        return len(report.findings)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fill(transfers: int) -> None:
    from django.db import connection, transaction

    from billing.models import ProcessLease

    first = make_organizations(WALLETS, credit=CREDIT)[0]
    lease = ProcessLease.objects.create(name="bench", started_at=START, heartbeat_at=START).pk
    each = transfers // WALLETS
    at = "2026-03-01 00:00:00+00:00" if connection.vendor == "postgresql" else "2026-03-01 00:00:00"
    numbers = (
        f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {each * WALLETS})"
    )
    organization = f"{first} + n % {WALLETS}"
    account = f"(SELECT a.id FROM billing_account a WHERE a.organization_id = {organization} AND a.kind = 'paid')"
    counter = f"(SELECT k.id FROM billing_capcounter k WHERE k.organization_id = {organization})"
    caps = (
        f"jsonb_build_array(jsonb_build_array({counter}, 1000000000000))"
        if connection.vendor == "postgresql"
        else f"json_array(json_array({counter}, 1000000000000))"
    )
    statements = [
        f'INSERT INTO billing_capcounter (organization_id, scope_kind, scope_id, "window", window_start, spent, held)'
        f" SELECT organization_id, 'organization', organization_id, 'month', '2026-03-01', {CHARGED * each}, 0"
        " FROM billing_wallet",
        f"INSERT INTO billing_holdline (organization_id, hold_id, step, position, account_id, amount, value_nano)"
        f" {numbers} SELECT {organization}, n, 0, 0, {account}, {HELD}, {HELD} FROM numbers",
        "INSERT INTO billing_hold (id, organization_id, process_id, held_nano, caps, created_at, outcome, charged_nano,"
        f" unrecovered_nano, resolved_at) {numbers} SELECT n, {organization}, {lease}, {HELD}, {caps}, '{at}',"
        f" 'settled', {CHARGED}, 0, '{at}' FROM numbers",
        "INSERT INTO billing_transfer (organization_id, debit_id, credit_id, amount, value_nano, code, reference,"
        f" reason, hold_id, position, created_at) {numbers} SELECT {organization}, {account}, 1, {CHARGED},"
        f" {CHARGED}, 'usage',"
        f" '', '', n, 0, '{at}' FROM numbers",
        f"UPDATE billing_account SET posted = posted - {CHARGED * each} WHERE kind = 'paid'",
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.replace("'2026-03-01', ", "DATE '2026-03-01', ") if "jsonb" in caps else statement)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    raise SystemExit(main())
