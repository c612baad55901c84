"""The proof: python -m tests.deliveries [--payments 10000] [--deliveries 50000] [--rate 100] [--database sqlite]."""

import argparse

from tests.simulator.worlds import say, world

P99_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Payments delivered badly; every balance must be exact afterwards.")
    parser.add_argument("--payments", type=int, default=10_000)
    parser.add_argument("--deliveries", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    arguments = parser.parse_args()
    with world(arguments.database):
        import logging

        from django.conf import settings

        from tests.billing.payment_stage import configure
        from tests.deliveries.storm import Storm

        logging.disable(logging.CRITICAL)
        configure(settings)
        storm = Storm(arguments.payments, arguments.deliveries, arguments.seed)
        storm.gather()
        took_s = storm.blow(rate=arguments.rate)
        wrongs = storm.wrongs()
        if storm.p99_s > P99_S:
            wrongs.append(f"p99 of the acknowledgement is {storm.p99_s:.2f} s, more than {P99_S:.0f} s")
        say(f"{arguments.database}: {storm.figures(took_s)}")
        for wrong in wrongs:
            say(f"WRONG {wrong}")
        say("balances exact" if not wrongs else f"{len(wrongs)} wrongs")
        return 1 if wrongs else 0


if __name__ == "__main__":
    raise SystemExit(main())
