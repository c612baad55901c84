"""A fresh, migrated database of its own for a proof that runs outside the suite, and copies of it."""

import contextlib
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

START = datetime(2026, 3, 1, tzinfo=UTC)


@contextlib.contextmanager
def world(engine: str) -> Iterator[None]:
    """Set Django up on an empty database of this engine; it is gone afterwards."""
    from config import servers

    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollgate-proof-"))
        os.environ.update(TOLLGATE_MODE="test", DATA_DIR=scratch, DJANGO_SETTINGS_MODULE="config.settings")
        if engine == "postgresql":
            os.environ["DATABASE_URL"] = stack.enter_context(servers.postgresql(os.environ.get("DATABASE_URL")))
        else:
            os.environ.pop("DATABASE_URL", None)
        import django

        django.setup()
        from django.db import connection

        old_name = connection.settings_dict["NAME"]
        connection.settings_dict["TEST"]["NAME"] = (
            f"proof_{os.getpid()}" if engine == "postgresql" else f"{scratch}/p.db"
        )
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            yield
        finally:
            if engine == "postgresql":  # a thread of the proof may still be connected
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            connection.creation.destroy_test_db(old_name, verbosity=0)


def hang_up() -> None:
    """End every connection of this process, kept ones too: each knows one database, and no fork may share it."""
    from django.db import connection, connections

    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()  # type: ignore[attr-defined]


class Child:
    """A process forked from this one, on the same database, with connections of its own. ``read()`` is what it said."""

    def __init__(self, story: Callable[[Callable[[str], object]], None]) -> None:
        hang_up()
        out, into = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(out)
            self._live(story, into)
        os.close(into)
        self.out = out
        self.status: int | None = None

    @staticmethod
    def _live(story: Callable[[Callable[[str], object]], None], into: int) -> NoReturn:
        try:
            story(lambda line: os.write(into, f"{line}\n".encode()))
        except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def running(self) -> bool:
        """Whether it still lives."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is None

    def read(self) -> list[str]:
        """Wait for its end and return its lines."""
        with os.fdopen(self.out, encoding="utf-8") as said:
            lines = said.read().splitlines()
        if self.status is None:
            self.status = os.waitpid(self.pid, 0)[1]
        return lines


@contextlib.contextmanager
def copied() -> Iterator[None]:
    """Work on a copy of the database, and come back to it as it was."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    copy = f"{name}_copy"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        hang_up()
        shutil.copyfile(name, copy)
    else:
        hang_up()
        _outside(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    connection.settings_dict["NAME"] = copy
    try:
        yield
    finally:
        hang_up()
        connection.settings_dict["NAME"] = name
        if connection.vendor == "sqlite":
            for suffix in ("", "-wal", "-shm"):
                Path(copy + suffix).unlink(missing_ok=True)
        else:
            _outside(f'DROP DATABASE "{copy}" WITH (FORCE)')


def _outside(statement: str) -> None:
    from django.db import connection

    with connection._nodb_cursor() as cursor:
        cursor.execute(statement)


def make_organizations(many: int, *, credit: int) -> list[int]:
    """Organizations with wallets, each with so much paid credit (0: none)."""
    from django.db import connection, transaction

    from accounts.models import Organization, Storefront
    from billing import ledger
    from billing.models import Account, Wallet
    from billing.operations import Credit
    from plumbing.identifiers import new_id

    shop = Storefront.objects.filter(is_default=True).first() or Storefront.objects.create(
        name="Shop", slug=new_id("s")[2:14], is_default=True
    )
    made = Organization.objects.bulk_create(
        Organization(storefront=shop, name="Acme", slug=new_id("o")[2:]) for _ in range(many)
    )
    ids = [organization.pk for organization in made]
    Wallet.unscoped.bulk_create(Wallet(organization_id=pk) for pk in ids)
    Account.unscoped.bulk_create(
        Account(organization_id=pk, kind=kind, priority=4, created_at=START) for pk in ids for kind in ("paid", "debt")
    )
    if credit:
        with transaction.atomic():
            ledger.apply(connection, [Credit(f"start-{pk}", pk, credit) for pk in ids], START)
    return ids


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
