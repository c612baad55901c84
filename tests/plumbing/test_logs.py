"""One line per event, the request id on each, no secret in any, and nobody but us begins a line."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from django.conf import settings

from plumbing import logs

CANARY = "CaNaRy0123456789CaNaRy"
FORGERIES = [
    "harmless\n12:00:00 INFO    operator signed in",
    "harmless\r\n{'event': 'forged'}",
    "a\x1b[2K\x1b[1Ahidden",
    "a\x00b\x07c\x08d\x7f",
    "line\u2028separator\u2029paragraph\x85next\x0bvertical\x0cfeed",
    "right\u202eot tfel\u2066isolate\u200b",
    "lone \ud800 surrogate",
    "{0.__class__} %s %d ${jndi:ldap://x}",
]


class Lines:
    """What the process would have written to stderr."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        handler = logging.getLogger().handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(self.stream)
        self.handler = handler

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Without the suite's own ears, which could not pass on a lone surrogate."""
        root = logging.getLogger()
        heard, root.handlers = root.handlers, [self.handler]
        try:
            yield
        finally:
            root.handlers = heard

    def all(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


def _fail(message: str) -> None:
    raise ValueError(message)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    structlog.contextvars.clear_contextvars()
    logs.configure(settings.LOGGING)


@pytest.fixture
def written(restored: None) -> Lines:
    """Production's lines."""
    logs.configure({"level": "INFO", "json": True})
    return Lines()


@pytest.fixture
def shown(restored: None) -> Lines:
    """A developer's lines."""
    logs.configure({"level": "INFO", "json": False})
    return Lines()


def test_an_event_is_one_line_of_json_with_what_was_bound(written: Lines) -> None:
    with logs.fresh(request_id="req_1"):
        logs.bind(storefront="shop_1")
        with logs.bound(organization="org_1"):
            structlog.get_logger("plumbing.test").info("paid", amount_nano=5)
    line = written.one()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "paid",
        "amount_nano": 5,
        "level": "info",
        "logger": "plumbing.test",
        "request_id": "req_1",
        "storefront": "shop_1",
        "organization": "org_1",
    }


def test_nothing_bound_travels_to_the_next_request(written: Lines) -> None:
    logs.bind(leftover="from a stranger")
    with logs.fresh(request_id="req_1"):
        logs.bind(storefront="shop_1")
    structlog.get_logger().info("later")
    assert {"leftover", "storefront", "request_id"}.isdisjoint(written.one())


def test_the_standard_librarys_and_djangos_lines_go_the_same_way(written: Lines) -> None:
    with logs.fresh(request_id="req_1"):
        logging.getLogger("django.security").warning("odd host %s with sk-tg-%s", "x", CANARY)
    line = written.one()
    assert (line["event"], line["request_id"]) == ("odd host x with sk-[redacted]", "req_1")


@pytest.mark.parametrize("name", ["django", "django.server", "django.request", "httpx"])
def test_no_logger_has_a_second_unguarded_way_out(written: Lines, name: str) -> None:
    assert logging.getLogger(name).handlers == []
    assert logging.getLogger(name).propagate


def test_quiet_ones_are_quiet_below_their_level(written: Lines) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://x.example/?key=%s", CANARY)
    structlog.get_logger().debug("too small")
    assert written.all() == []


@pytest.mark.parametrize("text", FORGERIES)
def test_no_text_begins_a_line_of_its_own_in_json(written: Lines, text: str) -> None:
    with written.alone():
        structlog.get_logger().info(text, value=text, **{text: text})
        logging.getLogger("x").info("%s", text)
    assert len(written.all()) == 2
    assert written.stream.getvalue().replace("\n", "").isascii()
    assert written.stream.getvalue().replace("\n", "").isprintable()
    assert json.loads(written.all()[0])["value"] == text


@pytest.mark.parametrize("text", FORGERIES)
def test_no_text_begins_a_line_of_its_own_where_people_read(shown: Lines, text: str) -> None:
    with shown.alone():
        structlog.get_logger().info(text, value=text, **{text: text})
        logging.getLogger(text).info("%s", text)
    whole = shown.stream.getvalue()
    assert whole.count("\n") == 2
    assert whole.replace("\n", "").isprintable()


def test_a_readable_line_reads_well(shown: Lines) -> None:
    structlog.get_logger("plumbing.test").warning("paid", amount="5 USD", note="", to="bob")
    (line,) = shown.all()
    assert line[8:] == ' WARNING paid  amount="5 USD" note="" to=bob  (plumbing.test)'


def test_a_traceback_is_set_in_behind_a_bar(shown: Lines) -> None:
    try:
        _fail("no\n12:00:00 INFO    forged")
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *rest = shown.all()
    assert "failed" in first
    assert all(line.startswith("    | ") for line in rest)
    assert any("ValueError: no" in line for line in rest)


def test_a_traceback_is_redacted_and_stays_one_line_of_json(written: Lines) -> None:
    try:
        _fail(f"no luck with sk-ant-{CANARY}")
    except ValueError:
        logging.getLogger("x").exception("failed")
    line = written.one()
    assert "ValueError: no luck with sk-[redacted]" in line["exception"]


def test_secrets_are_black_by_name_and_by_look_at_any_depth(written: Lines) -> None:
    structlog.get_logger().info(
        f"called with Bearer {CANARY}",
        password=CANARY,
        headers={"Authorization": CANARY, "X-Other": f"sk-or-v1-{CANARY}", "deep": [{"api_key": CANARY}]},
        url=f"https://u:{CANARY}@x.example/?key={CANARY}",
        error=ValueError(f"whsec_{CANARY}"),
        input_tokens=12,
        nothing=None,
    )
    line = written.one()
    assert CANARY not in json.dumps(line)
    assert (line["password"], line["input_tokens"], line["nothing"]) == ("[redacted]", 12, None)
    assert line["headers"]["deep"][0] == {"api_key": "[redacted]"}
    assert line["error"] == "whsec_[redacted]"


def test_a_value_that_cannot_describe_itself_does_not_cost_the_line(written: Lines) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    deep: Any = "bottom"
    for _ in range(50):
        deep = [deep]
    structlog.get_logger().info("kept", mute=Mute(), deep=deep)
    assert written.one()["mute"] == "<Mute>"


def test_a_huge_value_is_cut(written: Lines) -> None:
    structlog.get_logger().info("x" * 1_000_000)
    line = written.one()
    assert line["event"].endswith("... (1000000 characters)")
    assert len(line["event"]) < 20_000
