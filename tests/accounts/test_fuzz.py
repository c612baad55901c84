"""Machines that know the schema send what it allows and what it forbids; no answer is ever a 500, none undocumented.

A short version of ``python -m tests.fuzz``, which sends as many as it is told.
"""

import contextlib
import math
import os
from collections import Counter

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts.models import Membership
from accounts.models.keys import KeyKind
from tests import factories

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "600"))
CSRF = "a" * 32


@pytest.fixture
def _unthrottled(settings):
    none = dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"])
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": none}


@pytest.fixture
def _one_connection():
    """What Django's own test client does: the test's transaction outlives each request."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def senders(organization, alice, charlie, client):
    """Headers of everybody who may come."""
    client.force_login(alice, backend="allauth.account.auth_backends.AuthenticationBackend")
    session = client.cookies["tollgate_session"].value
    elsewhere = charlie.memberships.get().organization
    return {
        "nobody": {},
        "alice's key": {"Authorization": f"Bearer {factories.make_key(organization, kind=KeyKind.MANAGEMENT)[1]}"},
        "charlie's key": {"Authorization": f"Bearer {factories.make_key(elsewhere, kind=KeyKind.MANAGEMENT)[1]}"},
        "alice": {"Cookie": f"tollgate_session={session}; tollgate_csrf={CSRF}", "X-CSRFToken": CSRF},
    }


@pytest.fixture
def real_ids(organization, bob):
    key, _ = factories.make_key(organization)
    return {
        "organization_id": organization.public_id,
        "member_id": Membership.objects.of(organization).get(user=bob).public_id,
        "key_id": key.public_id,
    }


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.usefixtures("_unthrottled", "_one_connection", "scanner")
@pytest.mark.filterwarnings("ignore")  # the fuzzer's own libraries, not ours
def test_no_request_is_answered_by_500_or_by_surprise(senders, real_ids, capsys):
    schema = schemathesis.openapi.from_wsgi("/openapi.json", get_wsgi_application())
    operations = [found.ok() for found in schema.get_all_operations()]
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    each = math.ceil(REQUESTS / (len(operations) * len(modes) * len(senders)))
    statuses: Counter[int] = Counter()

    for operation in operations:
        for mode in modes:
            for headers in senders.values():
                with contextlib.suppress(Unsatisfiable):  # where nothing is asked, nothing can be asked wrongly
                    _run(operation, mode, headers, real_ids, each, statuses)

    sent = sum(statuses.values())
    with capsys.disabled():
        print(  # noqa: T201 - the figure is the proof
            f"\nfuzz: {sent} requests over {len(operations)} operations: {dict(sorted(statuses.items()))}"
        )
    assert sent >= min(REQUESTS, 300) // 2
    assert not [status for status in statuses if status >= 500 and status != 503]
    assert statuses[200] + statuses[201] > 0


def _run(operation, mode, headers, real_ids, each, statuses):
    # Half of the requests aim at things that exist, or everything would end as a 404.
    @settings(
        max_examples=each, database=None, deadline=None, phases=[Phase.generate],
        derandomize="FUZZ_REQUESTS" not in os.environ, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case):
        if case.path_parameters and sum(statuses.values()) % 2:
            case.path_parameters = dict(case.path_parameters) | {
                name: value for name, value in real_ids.items() if name in case.path_parameters
            }
        response = case.call(headers=headers)
        statuses[response.status_code] += 1
        # An honest 503 (no way to pay is set up) is no bug; that it is documented, the other checks see to.
        checks = [check for check in CHECKS if response.status_code != 503 or check is not not_a_server_error]
        case.validate_response(response, checks=checks)

    send()
