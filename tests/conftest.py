"""The cast and the stage: alice owns an organization, bob belongs to it, charlie must never see it.

The ledger's insert-only triggers have no off switch, so tests that commit do not empty tables: they put the whole
database back from a copy (a file on SQLite, a template database on PostgreSQL) taken right after the migrations.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase

from tests import factories
from tests.simulator.worlds import hang_up


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """After the migrations, keep a copy to return to."""
    with django_db_blocker.unblock():
        stage = _Stage()
        stage.keep()
    TransactionTestCase._fixture_teardown = lambda case: stage.restore()  # type: ignore[method-assign]
    yield
    with django_db_blocker.unblock():
        stage.discard()


class _Stage:
    """The pristine copy of the test database."""

    def __init__(self) -> None:
        self.name = str(connection.settings_dict["NAME"])
        self.copy = f"{self.name}_pristine"

    def keep(self) -> None:
        hang_up()
        if connection.vendor == "sqlite":
            self._copy(self.name, self.copy)
        else:
            self._outside(
                f'DROP DATABASE IF EXISTS "{self.copy}"', f'CREATE DATABASE "{self.copy}" TEMPLATE "{self.name}"'
            )

    def restore(self) -> None:
        hang_up()
        if connection.vendor == "sqlite":
            self._copy(self.copy, self.name)
        else:
            self._outside(
                f'DROP DATABASE "{self.name}" WITH (FORCE)', f'CREATE DATABASE "{self.name}" TEMPLATE "{self.copy}"'
            )
        hang_up()  # what was opened meanwhile was ended by force and must not greet the next test

    def discard(self) -> None:
        hang_up()
        if connection.vendor == "sqlite":
            Path(self.copy).unlink(missing_ok=True)
        else:
            self._outside(f'DROP DATABASE IF EXISTS "{self.copy}"')

    @staticmethod
    def _copy(source: str, target: str) -> None:
        """By SQLite's own backup: a server thread that still has the file open sees one consistent change."""
        with contextlib.closing(sqlite3.connect(source)) as whole, contextlib.closing(sqlite3.connect(target)) as kept:
            kept.execute("PRAGMA busy_timeout = 20000")
            whole.backup(kept)

    def _outside(self, *statements: str) -> None:
        with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            for statement in statements:
                cursor.execute(statement)


# Each worker has a Redis database of its own, for its cache and its limits: clearing one must not empty the others in
# mid-test, and what one test counted for the first key of an empty database must not meet the next one's first key.
if settings.REDIS_URL:
    WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    settings.CACHES["default"]["LOCATION"] = re.sub(r"(\bdb=|:\d+/)\d+\Z", rf"\g<1>{1 + WORKER}", settings.REDIS_URL)
    settings.REDIS_URL = settings.CACHES["default"]["LOCATION"]

# A busy machine is no bug: properties are judged by what they find, not by how long one example took.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")


# Walks, fuzz and whole servers: part of every full run, too long for the inner loop (``--quick``).
LONG = (
    "tests/accounts/test_fuzz.py",
    "tests/analytics/test_business.py",
    "tests/analytics/test_reports.py",
    "tests/analytics/test_what_if.py",
    "tests/billing/test_pricing_properties.py",
    "tests/desk/test_changes.py",
    "tests/desk/test_door.py",
    "tests/desk/test_escalation.py",
    "tests/desk/test_walk.py",
    "tests/gateway/test_conformance.py",
    "tests/gateway/test_corridor.py",
    "tests/gateway/test_oneshots.py",
    "tests/gateway/test_readme.py",
    "tests/gateway/test_dialect_fuzz.py",
    "tests/gateway/test_door_clients.py",
    "tests/gateway/test_dialect_recordings.py",
    "tests/gateway/test_dialect_roundtrips.py",
    "tests/gateway/test_fair_billing.py",
    "tests/gateway/test_idempotency.py",
    "tests/gateway/test_recovery.py",
    "tests/gateway/test_settlement.py",
    "tests/gateway/test_upstream_faults.py",
    "tests/sandbox/",
    "tests/simulator/",
    "tests/test_tenancy.py",
)

# Nothing here knows which database or Redis there is, so a full run has it once; Django refuses them a database.
EITHER = (
    "tests/accounts/test_reach.py",
    "tests/billing/test_currencies.py",
    "tests/billing/test_independent_pricing.py",
    "tests/billing/test_money.py",
    "tests/billing/test_operations.py",
    "tests/billing/test_pricing_",
    "tests/clients/",
    "tests/config/test_bootstrap.py",
    "tests/config/test_late_database.py",
    "tests/config/test_settings.py",
    "tests/config/test_up.py",
    "tests/dashboard/test_brand.py",
    "tests/dashboard/test_forms.py",
    "tests/dashboard/test_templates.py",
    "tests/desk/test_words.py",
    "tests/gateway/test_callid.py",
    "tests/gateway/test_dialect_",
    "tests/gateway/test_errors.py",
    "tests/gateway/test_health.py",
    "tests/gateway/test_kinds.py",
    "tests/gateway/test_limits_alone.py",
    "tests/gateway/test_metering.py",
    "tests/gateway/test_routing.py",
    "tests/gateway/test_sse.py",
    "tests/gateway/test_upstream.py",
    "tests/gateway/test_upstream_addresses.py",
    "tests/gateway/test_upstream_faults.py",
    "tests/plumbing/test_logs.py",
    "tests/plumbing/test_outbound.py",
    "tests/plumbing/test_parsers.py",
    "tests/plumbing/test_problems.py",
    "tests/sandbox/",
    "tests/test_arrows.py",
    "tests/test_unscoped.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is long, and what needs no engine; browsers want their time, so each room has one of its own."""
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.slow)
        is_browsers = item.get_closest_marker("browser") is not None
        # A full run has browsers with PostgreSQL alone and these with the embedded database alone: none may be both.
        if item.nodeid.startswith(EITHER) and not _has_database(item) and not is_browsers:
            item.add_marker(pytest.mark.either)
        if is_browsers:
            room = item.nodeid.removeprefix("tests/").partition("/")[0]
            item.add_marker(pytest.mark.xdist_group(f"browser of {room}"))


def _has_database(item: pytest.Item) -> bool:
    asked = {"db", "transactional_db", "live_server"} & set(getattr(item, "fixturenames", ()))
    return bool(asked) or item.get_closest_marker("django_db") is not None


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    """Rate limits and cached answers never travel from one test to the next."""
    yield
    cache.clear()


@pytest.fixture
def shop(db: None) -> Any:
    """The default storefront."""
    return factories.make_storefront(is_default=True)


@pytest.fixture
def other_shop(db: None) -> Any:
    """A second storefront on a host of its own."""
    return factories.make_storefront(name="Canary Shop", host="canary.test")


@pytest.fixture
def alice(shop: Any) -> Any:
    """Owns ``organization``."""
    return factories.make_user("alice@example.com", name="Alice")


@pytest.fixture
def organization(shop: Any, alice: Any) -> Any:
    """Alice's organization."""
    return factories.make_organization(storefront=shop, owner=alice, name="Alice & Co")


@pytest.fixture
def bob(organization: Any) -> Any:
    """A developer in alice's organization."""
    user = factories.make_user("bob@example.com", name="Bob")
    factories.make_membership(organization, user, role="developer")
    return user


@pytest.fixture
def charlie(shop: Any) -> Any:
    """Owns another organization and must never see alice's."""
    user = factories.make_user("charlie@example.com", name="Charlie")
    factories.make_organization(storefront=shop, owner=user, name="Charlie Ltd")
    return user


@pytest.fixture
def scanner(settings: Any) -> Any:
    """A partner of secret scanning with a signing key of their own; ``scanner(body)`` gives the headers."""
    from base64 import b64encode

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    settings.SECRET_SCANNING_PUBLIC_KEY = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )

    def sign(body: bytes) -> dict[str, str]:
        signature = b64encode(key.sign(body, ec.ECDSA(hashes.SHA256()))).decode()
        return {"Github-Public-Key-Identifier": "f9525bf0", "Github-Public-Key-Signature": signature}

    return sign
