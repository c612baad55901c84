"""The error tree answers with the status and code it draws, and tells customers only what is theirs to know."""

import re

import pytest

from gateway import errors
from gateway.dialects import answers
from gateway.errors import Answer, GatewayError, for_client


def tree(kind=GatewayError):
    return [
        kind,
        *(leaf for child in kind.__subclasses__() for leaf in tree(child) if child.__module__ == "gateway.errors"),
    ]


LEAVES = [kind for kind in tree() if hasattr(kind, "status")]


def test_the_drawing_shows_every_error():
    for kind in LEAVES:
        assert kind.__name__ in errors.__doc__, kind


def test_the_drawing_tells_the_status():
    for name, status in re.findall(r"── (\w+)\s+(\d{3})", errors.__doc__):
        assert getattr(errors, name).status == int(status)


@pytest.mark.parametrize("kind", LEAVES)
def test_an_error_carries_what_its_door_needs(kind):
    error = kind("Because.", param="model", retry_after_s=3)
    assert (str(error), error.message, error.param, error.retry_after_s) == ("Because.", "Because.", "model", 3)
    assert 400 <= error.status < 600
    assert error.status != 500
    assert re.fullmatch(r"[a-z_]+", error.code)


def test_refusals_are_the_clients_and_failures_are_not():
    for kind in LEAVES:
        assert issubclass(kind, errors.Refused) == (kind.status < 500)


SECRETS = "Your credit balance is too low, sk-canary, https://internal.example"
TOLD = {
    "invalid": (400, True),
    "too_long": (400, True),
    "blocked": (403, True),
    "rate": (503, False),
    "busy": (503, False),
    "money": (503, False),
    "credential": (503, False),
    "not_found": (503, False),
    "timeout": (504, False),
    "failed": (502, False),
}


@pytest.mark.parametrize("meaning", TOLD)
def test_what_a_customer_reads(meaning):
    status, is_told = TOLD[meaning]
    error = for_client(Answer(status=429, meaning=meaning, message=SECRETS, retry_after_s=9))
    assert error.status == status
    assert (SECRETS in error.message) == is_told
    assert error.message.endswith((".", "example"))
    assert len(for_client(Answer(status=400, meaning=meaning, message="x" * 9999)).message) <= 1000


def test_what_is_tried_again_and_where():
    elsewhere = {meaning for meaning in TOLD if Answer(status=0, meaning=meaning).may_try_elsewhere}
    here = {meaning for meaning in TOLD if Answer(status=0, meaning=meaning).may_retry_here}
    assert elsewhere == set(TOLD) - {"invalid", "too_long", "blocked"}
    assert here == {"rate", "busy", "timeout", "failed"}


MEANINGS = [
    (400, ("invalid_request_error",), "", "invalid"),
    (400, ("context_length_exceeded",), "", "too_long"),
    (400, (None,), "Your credit balance is too low to access the API", "money"),
    (400, ("content_filter",), "", "blocked"),
    (401, (), "", "credential"),
    (402, (), "", "money"),
    (404, (), "", "not_found"),
    (408, (), "", "timeout"),
    (413, (), "", "too_long"),
    (422, (), "", "invalid"),
    (429, (), "", "rate"),
    (429, ("insufficient_quota",), "", "money"),
    (429, ("credit_balance_exhausted",), "", "money"),
    (429, ("enforced_spend_limit_reached", "rate_limit_error"), "", "money"),
    (500, (), "", "failed"),
    (502, (), "", "failed"),
    (503, (), "", "busy"),
    (503, (), "No available channel for model x", "not_found"),
    (504, (), "", "timeout"),
    (529, ("overloaded_error",), "", "busy"),
]


@pytest.mark.parametrize(("status", "codes", "message", "meaning"), MEANINGS)
def test_meanings(status, codes, message, meaning):
    assert answers.meaning_of(status, codes, message) == meaning


WAITS = [
    ({"retry-after": "7"}, 7),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ({"retry-after": "Fri, 21 Nov 2026 10:00:00 GMT"}, None),
    ({"retry-after": "-1"}, None),
    ({"retry-after": "1e9"}, None),
    ({"retry-after": "nan"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_how_long_to_wait(headers, seconds):
    assert answers.retry_after_s(headers) == seconds
