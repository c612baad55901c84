"""Every client against a running server: ``python -m tests.clients [NAME ...] [--list]``.

It opens a shop (``shop.py``), makes each client its environment with the versions pinned in its folder, runs its
script and the recipes that the guides have for it, and then compares three accounts of the same calls: what the client
was told, our receipts, the provider's own books. Environments come from PyPI and npm and are kept, so it needs the
registries the first time; it is no part of the suite.
"""

import argparse
import sys
import time

from dashboard.guides.recipes import Words
from tests.clients.clients import CLIENTS
from tests.clients.comparing import NAME as BOOKS
from tests.clients.comparing import compare
from tests.clients.environments import Unmade, prepare
from tests.clients.running import GUIDES, Outcome, run, run_recipes
from tests.clients.shop import CHAT, EMBEDDING, EMPTY, opened


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.clients", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these clients")
    parser.add_argument("--list", action="store_true", help="name clients and cases, and run nothing")
    asked = parser.parse_args()
    known = {client.name: client for client in CLIENTS}
    if strangers := [name for name in asked.names if name not in known]:
        parser.error(f"no such client: {', '.join(strangers)}; there are {', '.join(known)}")
    chosen = [known[name] for name in asked.names] or list(CLIENTS)
    if asked.list:
        for client in chosen:
            say(f"{client.name:<20} {client.title:<24} {', '.join(client.cases)}")
        return 0
    environments: dict[str, object] = {}
    for client in chosen:  # before the server, so that it idles for nobody
        try:
            environments[client.name] = prepare(client)
        except Unmade as failed:
            environments[client.name] = failed
    outcomes = []
    with opened([client.name for client in chosen]) as (shop, customers):
        for client in chosen:
            made = environments[client.name]
            outcome = Outcome(client)
            outcomes.append(outcome)
            if isinstance(made, Unmade):
                outcome.fail_all(f"its environment could not be made: {made}")
                continue
            before = shop.provider_entries()[-1:]
            started = time.monotonic()
            key = customers[client.name].key
            run(outcome, made, url=shop.url, key=key, empty_key=customers[EMPTY].key)
            run_recipes(outcome, made, words=Words(shop.url, key, CHAT, EMBEDDING, "shop"))
            compare(outcome, shop, customers[client.name], after=before[0]["id"] if before else "")
            report(outcome, time.monotonic() - started)
    table(outcomes)
    return 1 if any(outcome.failures for outcome in outcomes) else 0


def report(outcome: Outcome, took_s: float) -> None:
    """Say how one client fared."""
    versions = " ".join(f"{name} {version}" for name, version in outcome.versions.items())
    say(f"{outcome.client.title}: {versions or 'no version seen'}, {took_s:.0f} s; {outcome.books}")
    for name, why in outcome.failures.items():
        say(f"    {name}: {why}")


def table(outcomes: list[Outcome]) -> None:
    """Print client by case."""
    names = [*dict.fromkeys(name for outcome in outcomes for name in outcome.client.cases), GUIDES, BOOKS]
    wide = max(len(outcome.client.title) for outcome in outcomes)
    say("")
    for at, name in enumerate(names):
        say(" " * wide + "  " + "|      " * at + name)
    for outcome in outcomes:
        marks = [outcome.mark(name) for name in names]
        say(f"{outcome.client.title:<{wide}}  " + "".join(f"{mark:<7}" for mark in marks).rstrip())
    failed = sum(len(outcome.failures) for outcome in outcomes)
    tried = sum(len(outcome.passed) + len(outcome.failures) for outcome in outcomes)
    say(f"\n{tried} cases, {failed} failed")


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
