"""Who asks, under which id, and how it went."""

import io
import ipaddress
import logging
import time
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import ResolverMatch
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from plumbing import requests

PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32")]


def _client(peer: str, forwarded_for: str = "") -> str:
    return requests.client_address(peer=peer, forwarded_for=forwarded_for, trusted=PROXIES)


class TestAddress:
    @pytest.mark.parametrize(
        ("peer", "forwarded_for", "client"),
        [
            # Nobody is believed but a trusted proxy.
            ("203.0.113.9", "", "203.0.113.9"),
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("203.0.113.9", "10.0.0.1, 127.0.0.1", "203.0.113.9"),
            # One proxy: the last hop it names. What stands before it was written by the client.
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "10.0.0.9, 198.51.100.1", "198.51.100.1"),
            # Two proxies.
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.1, 192.0.2.7, 10.0.0.2", "198.51.100.1"),
            # Nothing but proxies: the farthest.
            ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "", "10.0.0.1"),
            # Rubbish ends the walk at the last hop that made sense.
            ("10.0.0.1", "rubbish", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, ", "10.0.0.1"),
            ("10.0.0.1", ",,,", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1:8080", "10.0.0.1"),
            ("10.0.0.1", "0x7f.1", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1\r\nX: y", "10.0.0.1"),
            ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
            ("10.0.0.1", "fe80::1%<script>", "10.0.0.1"),
            # IPv6, with and without brackets, and IPv4 in its clothes.
            ("fd00::1", "2001:db8::5", "2001:db8::5"),
            ("fd00::1", "[2001:db8::5]", "2001:db8::5"),
            ("[fd00::1]", "2001:DB8:0:0::5", "2001:db8::5"),
            ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
            ("::ffff:203.0.113.9", "198.51.100.1", "203.0.113.9"),
            # No peer: a socket file, or a server that does not say.
            ("", "198.51.100.1", requests.UNKNOWN_ADDRESS),
            ("unix:", "", requests.UNKNOWN_ADDRESS),
        ],
    )
    def test_the_walk(self, peer: str, forwarded_for: str, client: str) -> None:
        assert _client(peer, forwarded_for) == client

    def test_without_trusted_proxies_the_peer_is_the_client(self) -> None:
        assert requests.client_address(peer="10.0.0.1", forwarded_for="1.1.1.1", trusted=[]) == "10.0.0.1"

    @given(st.text(), st.text())
    def test_no_text_breaks_it_and_the_answer_is_an_address(self, peer: str, forwarded_for: str) -> None:
        ipaddress.ip_address(_client(peer, forwarded_for))
        ipaddress.ip_address(_client("10.0.0.1", forwarded_for))

    @given(
        st.lists(st.ip_addresses().map(str)),
        st.ip_addresses(v=4).filter(lambda own: not any(own in network for network in PROXIES)).map(str),
    )
    def test_whatever_a_client_writes_its_own_address_is_found(self, written: list[str], own: str) -> None:
        assert _client("10.0.0.1", ", ".join([*written, own, "10.0.0.2"])) == own

    def test_ten_thousand_hops_are_walked_at_once(self) -> None:
        started_at = time.perf_counter()
        assert _client("10.0.0.1", "1.1.1.1," + ",".join(["10.0.0.2"] * 10_000)) == "1.1.1.1"
        assert time.perf_counter() - started_at < 2


class TestId:
    @pytest.mark.parametrize("offered", ["abcdefgh", "req_0123-4567.89", "A" * 64])
    def test_a_harmless_id_is_kept(self, offered: str) -> None:
        assert requests.request_id(offered) == offered

    @pytest.mark.parametrize(
        "offered",
        [
            None,
            "",
            "short",
            "A" * 65,
            "has a space",
            "line\nbreak1",
            "abcdefgh\n",
            "<script>",
            "ünicode12",
            "a;b=c;d=e",
        ],
    )
    def test_any_other_is_replaced(self, offered: str | None) -> None:
        made = requests.request_id(offered)
        assert made != offered
        assert requests.HARMLESS_ID.match(made)


def _count(route: str, method: str, status_class: str) -> float:
    labels = {"route": route, "method": method, "status_class": status_class}
    return REGISTRY.get_sample_value("tollgate_requests_total", labels) or 0.0


@pytest.mark.django_db
class TestMiddleware:
    @pytest.fixture
    def lines(self, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = []

        def keep(event: str, **told: Any) -> None:
            kept.append({"event": event, **told, "bound": structlog.contextvars.get_contextvars()})

        monkeypatch.setattr(requests.log, "info", keep)
        return kept

    def test_a_request_leaves_a_line_a_count_and_its_id(self, client: Client, lines: list[dict[str, Any]]) -> None:
        before = _count("health", "GET", "2xx")
        response = client.get("/health?api_key=canary", headers={"X-Request-Id": "harmless-id-1"})
        assert response["X-Request-Id"] == "harmless-id-1"
        (line,) = lines
        assert line.pop("duration_ms") >= 0
        assert line == {
            "event": "request",
            "method": "GET",
            "path": "/health",
            "status": 200,
            "client_ip": "127.0.0.1",
            "bound": {"request_id": "harmless-id-1"},
        }
        assert _count("health", "GET", "2xx") == before + 1
        seconds = {"route": "health", "status_class": "2xx"}
        assert (REGISTRY.get_sample_value("tollgate_request_seconds_count", seconds) or 0) >= 1

    def test_strangers_cannot_invent_figures(self, client: Client, lines: list[dict[str, Any]], shop: Any) -> None:
        before = _count("unmatched", "OTHER", "4xx")
        for n in range(3):
            client.generic(f"BREW{n}", f"/no/such/page/{n}", HTTP_ACCEPT="application/json", HTTP_HOST="localhost")
        assert [line["status"] for line in lines] == [404] * 3
        assert _count("unmatched", "OTHER", "4xx") == before + 3
        routes = {sample.labels.get("route") for family in REGISTRY.collect() for sample in family.samples}
        assert not any(route and "/no/such" in route for route in routes)

    def test_a_view_that_breaks_is_a_500_with_its_line(
        self, client: Client, lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken() -> bool:
            raise RuntimeError("inside")

        monkeypatch.setattr("config.health._database", broken)
        client.raise_request_exception = False
        response = client.get("/ready", headers={"X-Request-Id": "harmless-id-2"})
        assert response.status_code == 500
        assert response["X-Request-Id"] == "harmless-id-2"
        assert lines[0]["status"] == 500

    def test_a_route_without_a_name_is_counted_as_such(self, lines: list[dict[str, Any]]) -> None:
        def answer(request: HttpRequest) -> HttpResponse:
            request.resolver_match = ResolverMatch(answer, (), {})
            request.resolver_match.view_name = ""
            return HttpResponse(status=204)

        before = _count("unnamed", "GET", "2xx")
        requests.RequestMiddleware(answer)(RequestFactory().get("/x"))
        assert _count("unnamed", "GET", "2xx") == before + 1

    def test_the_lines_of_a_request_carry_its_storefront_and_nothing_stays(
        self, client: Client, lines: list[dict[str, Any]], shop: Any
    ) -> None:
        client.get(
            "/no/such/page",
            headers={"X-Request-Id": "harmless-id-3", "Host": "localhost", "Accept": "application/json"},
        )
        assert lines[0]["bound"] == {"request_id": "harmless-id-3", "storefront": shop.public_id}
        assert structlog.contextvars.get_contextvars() == {}

    @pytest.mark.parametrize(("peer", "believed"), [("10.0.0.1", True), ("203.0.113.9", False), ("nonsense", False)])
    def test_only_a_trusted_proxy_says_which_scheme_was_used(self, settings: Any, peer: str, believed: bool) -> None:  # noqa: FBT001 - a table's column
        settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8")]
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        request = RequestFactory().get("/", headers={"x-forwarded-proto": "https"}, REMOTE_ADDR=peer)
        seen: list[bool] = []

        def answer(asked: HttpRequest) -> HttpResponse:
            seen.append(asked.is_secure())
            return HttpResponse()

        requests.RequestMiddleware(answer)(request)
        assert seen == [believed]

    @pytest.mark.parametrize(
        "path",
        [
            "/invitations/CaNaRy0123456789CaNaRy_-x/",
            "/accounts/password/reset/key/1a-CaNaRy-0123456789CaNaRy/",
            "/ACCOUNTS/Password/Reset/Key/1a-CaNaRy-0123456789CaNaRy",
        ],
    )
    def test_an_address_that_opens_something_is_not_in_the_log(self, client: Client, shop: Any, path: str) -> None:
        stream = io.StringIO()
        ours = logging.getLogger().handlers[0]
        # One of our own beside it: the stream of the one that stands may be another test's, and closed by now.
        handler = logging.StreamHandler(stream)
        handler.setFormatter(ours.formatter)
        for rule in ours.filters:
            handler.addFilter(rule)
        logging.getLogger().addHandler(handler)
        try:
            client.get(path)
        finally:
            logging.getLogger().removeHandler(handler)
        assert "request" in stream.getvalue()
        assert "CaNaRy" not in stream.getvalue()
