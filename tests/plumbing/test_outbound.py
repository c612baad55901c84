"""The guarded door: nothing leaves for an inner address, by whatever spelling, name, rebinding or redirect."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plumbing import outbound
from plumbing.outbound import Bounds
from tests.plumbing.outside import listening, reply, serving

PRIVATE = Bounds(allow_http=True, allow_private=True, total_s=5.0)
PUBLIC_HTTP = Bounds(allow_http=True, total_s=5.0)

# Every one of these is an inner address, or no address at all, in some disguise.
CORPUS = (Path(__file__).parent / "inner_addresses.txt").read_text().split()
AWKWARD = [
    "",
    " http://example.com/",
    "http://example.com/\r\nHost: internal",
    "http://exa mple.com/",
    "http://example.com/\x00",
    "http://①②⑦.⓪.⓪.①/",
    "http://ⓛocalhost/",
    "http://127。0。0。1/",
    "http://[::1",
    "http://[not-an-address]/",
    "https://example.com/" + "a" * 2048,
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
]


OK = reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Told: yes\r\n\r\nhi")


def sync(*args: Any, **kwargs: Any) -> outbound.Answer:
    return outbound.send(*args, **kwargs)


def eventually(*args: Any, **kwargs: Any) -> outbound.Answer:
    return asyncio.run(outbound.asend(*args, **kwargs))


@pytest.fixture(params=[sync, eventually], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Callable[..., outbound.Answer]:
    return request.param  # type: ignore[no-any-return]


def must_not_resolve(host: str, port: int) -> list[str]:
    pytest.fail(f"{host} was resolved although its spelling is refused")


class TestJudgement:
    def test_the_corpus_is_as_long_as_promised(self) -> None:
        assert len(set(CORPUS)) == len(CORPUS) >= 60

    @pytest.mark.parametrize("url", CORPUS + AWKWARD)
    def test_no_disguise_passes(self, url: str) -> None:
        with pytest.raises(outbound.Refused) as raised:
            outbound.check_url(url, bounds=PUBLIC_HTTP)
        assert "password" not in str(raised.value) or "must not hold" in str(raised.value)

    @pytest.mark.parametrize("url", CORPUS)
    def test_nor_is_anything_resolved_or_sent(self, url: str, send: Callable[..., outbound.Answer]) -> None:
        with pytest.raises(outbound.Refused):
            send("GET", url, bounds=PUBLIC_HTTP, resolve=must_not_resolve)

    @pytest.mark.parametrize(
        "url",
        [
            "https://example.com/hook?a=1",
            "https://example.com:8443/",
            "https://xn--bcher-kva.example/",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1:248:1893:25c8:1946]/",
            "https://[2002:5db8:d822::1]/",
            "https://[64:ff9b::93.184.216.34]/",
            "https://a_b.example.com/",
            "https://192.0.0.9.example.com/",
        ],
    )
    def test_public_addresses_pass(self, url: str) -> None:
        assert outbound.check_url(url).host

    def test_http_needs_leave(self) -> None:
        with pytest.raises(outbound.Refused, match="https"):
            outbound.check_url("http://example.com/")
        assert outbound.check_url("http://example.com/#part", bounds=PUBLIC_HTTP).fragment == ""

    @pytest.mark.parametrize(
        "text", ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "172.20.0.1", "fd12::1", "::ffff:10.0.0.1"]
    )
    def test_an_operator_may_open_loopback_and_private_networks(self, text: str) -> None:
        outbound.judge(ipaddress.ip_address(text), allow_private=True)
        with pytest.raises(outbound.Refused):
            outbound.judge(ipaddress.ip_address(text), allow_private=False)

    @pytest.mark.parametrize(
        "text",
        [
            *("169.254.169.254", "0.0.0.1", "224.0.0.1", "255.255.255.255", "100.100.100.200", "240.0.0.1"),
            *("fe80::1", "::", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"),
            *("fe80::1%lo", "2001:db8::1", "2002:a9fe:a9fe::1"),
        ],
    )
    def test_even_an_operator_cannot_open_metadata_and_the_like(self, text: str) -> None:
        with pytest.raises(outbound.Refused):
            outbound.judge(ipaddress.ip_address(text), allow_private=True)

    def test_every_special_network_of_the_registry_is_closed(self) -> None:
        """The standard library's idea of "not global" is the floor, never the ceiling."""
        for n in range(0, 2**32, 2**32 // 20_000):
            address = ipaddress.IPv4Address(n)
            if not address.is_global:
                with pytest.raises(outbound.Refused):
                    outbound.judge(address, allow_private=False)
                with pytest.raises(outbound.Refused):
                    outbound.judge(ipaddress.IPv6Address(0xFFFF_0000_0000 + n), allow_private=False)


class TestSending:
    def test_one_request_and_its_answer(self, send: Callable[..., outbound.Answer]) -> None:
        with listening(OK) as (port, seen):
            answer = send(
                "POST", f"http://127.0.0.1:{port}/hook?a=1", headers={"X-Name": "v"}, content=b"body", bounds=PRIVATE
            )
        assert (answer.status, answer.content, answer.headers["x-told"]) == (200, b"hi", "yes")
        head = seen[0].lower()
        assert head.startswith(b"post /hook?a=1 http/1.1\r\n")
        assert b"x-name: v\r\n" in head
        assert b"accept-encoding: identity\r\n" in head
        assert b"cookie" not in head
        assert b"authorization" not in head

    def test_the_environment_lends_no_proxy_and_no_credentials(
        self, send: Callable[..., outbound.Answer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login canary password canary\n")
        monkeypatch.setenv("NETRC", str(netrc))
        with listening(OK) as (port, seen), listening(OK) as (proxy_port, proxied):
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy_port}")
            send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE)
        assert len(seen) == 1
        assert proxied == []
        assert b"uthorization" not in seen[0]

    def test_json_is_read_on_demand(self) -> None:
        with listening(reply(b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}')) as (port, _):
            assert outbound.send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE).json() == {"a": 1}

    def test_loopback_is_closed_without_the_operators_word(self, send: Callable[..., outbound.Answer]) -> None:
        with listening(OK) as (port, canary), pytest.raises(outbound.Refused, match="private"):
            send("GET", f"http://shop.example:{port}/", bounds=PUBLIC_HTTP, resolve=lambda *_: ["127.0.0.1"])
        assert canary == []


class TestRebinding:
    def test_a_name_that_turns_inwards_is_refused_at_connect(self, send: Callable[..., outbound.Answer]) -> None:
        answers = iter([["93.184.216.34"], ["127.0.0.1"]])
        with listening(OK) as (port, canary):
            resolve = lambda *_: next(answers)  # noqa: E731 - two answers, as a rebinding server gives
            assert resolve() == ["93.184.216.34"]  # what a check at saving would have seen
            with pytest.raises(outbound.Refused):
                send("GET", f"http://rebind.example:{port}/", bounds=PUBLIC_HTTP, resolve=resolve)
        assert canary == []

    def test_one_inner_address_among_public_ones_spoils_the_name(self, send: Callable[..., outbound.Answer]) -> None:
        with listening(OK) as (port, canary), pytest.raises(outbound.Refused):
            send(
                "GET",
                f"http://mixed.example:{port}/",
                bounds=PUBLIC_HTTP,
                resolve=lambda *_: ["93.184.216.34", "127.0.0.1"],
            )
        assert canary == []

    def test_the_name_is_resolved_once_and_the_judged_address_is_dialled(
        self, send: Callable[..., outbound.Answer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dialled: list[str] = []
        asked: list[str] = []

        def dial(_: Any, host: str, port: int, **__: Any) -> Any:
            dialled.append(host)
            raise httpcore.ConnectError

        async def adial(_: Any, host: str, port: int, **__: Any) -> Any:
            dial(_, host, port)

        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", dial)
        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", adial)

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]

        with pytest.raises(outbound.Unreachable):
            send("GET", "https://shop.example/", resolve=resolve)
        assert asked == ["shop.example"]
        assert dialled == ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]

    def test_the_next_address_is_tried_when_the_first_is_deaf(self, send: Callable[..., outbound.Answer]) -> None:
        with listening(OK) as (port, _):
            url = f"http://two.example:{port}/"
            assert send("GET", url, bounds=PRIVATE, resolve=lambda *_: ["127.0.0.9", "127.0.0.1"]).status == 200

    def test_host_and_sni_keep_the_name_and_the_certificate_is_checked(
        self, send: Callable[..., outbound.Answer], tmp_path: Path
    ) -> None:
        client, server, names = _certificates("hook.example", tmp_path)

        def over_tls(peer: socket.socket) -> None:
            with server.wrap_socket(peer, server_side=True) as secure:
                seen.append(secure.recv(4096))
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        seen: list[bytes] = []
        with serving(over_tls) as port:
            here = {"bounds": PRIVATE, "resolve": lambda *_: ["127.0.0.1"]}
            assert send("GET", f"https://hook.example:{port}/", verify=client, **here).status == 200
            with pytest.raises(outbound.Unreachable):
                send("GET", f"https://other.example:{port}/", verify=client, **here)
            with pytest.raises(outbound.Unreachable):
                send("GET", f"https://hook.example:{port}/", **here)
        assert names[0] == "hook.example"
        assert f"host: hook.example:{port}".encode() in seen[0].lower()


def _certificates(host: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext, list[str]]:
    """A certificate for one name; who trusts it, who shows it, and which names were asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "pair.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    names: list[str] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    server.sni_callback = lambda _, asked, __: names.append(asked)
    client = ssl.create_default_context(cafile=str(pem))
    return client, server, names


class TestBounds:
    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_a_redirect_inwards_is_an_answer_and_the_canary_hears_nothing(
        self, send: Callable[..., outbound.Answer], code: int
    ) -> None:
        with listening(OK) as (inner, canary):
            away = f"HTTP/1.1 {code} Moved\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n"
            with listening(reply(away.encode())) as (port, _):
                assert send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE).status == code
        assert canary == []

    def test_an_endless_body_ends_at_the_cap(self, send: Callable[..., outbound.Answer]) -> None:
        def endless(peer: socket.socket) -> None:
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                peer.sendall(b"x" * 65_536)

        bounds = Bounds(allow_http=True, allow_private=True, largest_body=300_000)
        with listening(endless) as (port, _):
            started_at = time.monotonic()
            with pytest.raises(outbound.TooLarge, match="300000"):
                send("GET", f"http://127.0.0.1:{port}/", bounds=bounds)
            assert time.monotonic() - started_at < 3

    def test_a_body_of_exactly_the_cap_passes(self, send: Callable[..., outbound.Answer]) -> None:
        bounds = Bounds(allow_http=True, allow_private=True, largest_body=2)
        with listening(OK) as (port, _):
            assert send("GET", f"http://127.0.0.1:{port}/", bounds=bounds).content == b"hi"

    @pytest.mark.parametrize(
        ("first", "drip"),
        [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"x"),
            (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
            (b"", b""),
        ],
        ids=["body", "headers", "silence"],
    )
    def test_a_byte_now_and_then_does_not_stretch_the_time(
        self, send: Callable[..., outbound.Answer], first: bytes, drip: bytes
    ) -> None:
        def slow(peer: socket.socket) -> None:
            peer.sendall(first)
            for _ in range(100):
                time.sleep(0.05)
                peer.sendall(drip)

        bounds = Bounds(allow_http=True, allow_private=True, total_s=0.4)
        with listening(slow) as (port, _):
            started_at = time.monotonic()
            with pytest.raises(outbound.TooSlow):
                send("GET", f"http://127.0.0.1:{port}/", bounds=bounds)
            assert time.monotonic() - started_at < 2

    def test_a_resolver_that_hangs_does_not_stretch_the_time_either(self, send: Callable[..., outbound.Answer]) -> None:
        def hang(host: str, port: int) -> list[str]:
            time.sleep(0.8)
            return ["127.0.0.1"]

        bounds = Bounds(allow_http=True, allow_private=True, total_s=0.2)
        with pytest.raises(outbound.TooSlow):
            send("GET", "http://slow.example/", bounds=bounds, resolve=hang)

    def test_large_headers_are_refused(self, send: Callable[..., outbound.Answer]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"".join(
            b"X-%d: %s\r\n" % (n, b"y" * 900) for n in range(40)
        )
        with listening(reply(head + b"\r\n")) as (port, _), pytest.raises(outbound.TooLarge, match="headers"):
            send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE)

    def test_endless_headers_end(self, send: Callable[..., outbound.Answer]) -> None:
        def endless(peer: socket.socket) -> None:
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                peer.sendall(b"X-Y: " + b"z" * 60_000 + b"\r\n")

        with listening(endless) as (port, _), pytest.raises(outbound.OutboundError):
            send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE)

    def test_a_compressed_answer_is_refused_rather_than_unfolded(self, send: Callable[..., outbound.Answer]) -> None:
        bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"
        with listening(reply(bomb)) as (port, _), pytest.raises(outbound.Unreachable, match="compressed"):
            send("GET", f"http://127.0.0.1:{port}/", bounds=PRIVATE)


class TestWords:
    @pytest.mark.parametrize("value", ["canary\r\nX-Injected: 1", "canary\n", "canary\x00", "canary\x1b[0m", "canary€"])
    def test_a_header_that_cannot_be_sent_is_named_and_its_value_is_not(
        self, send: Callable[..., outbound.Answer], value: str
    ) -> None:
        with listening(OK) as (port, seen), pytest.raises(outbound.BadHeader, match="X-Api-Key") as raised:
            send("GET", f"http://127.0.0.1:{port}/", headers={"X-Api-Key": value}, bounds=PRIVATE)
        assert "canary" not in _everything(raised.value)
        assert seen == []

    @pytest.mark.parametrize("name", ["", "X Name", "X-Name\r\n", "X:Name", "Ключ"])
    def test_a_header_name_that_cannot_be_sent_is_refused(
        self, send: Callable[..., outbound.Answer], name: str
    ) -> None:
        with pytest.raises(outbound.BadHeader, match="name"):
            send("GET", "https://example.com/", headers={name: "v"}, resolve=must_not_resolve)

    @pytest.mark.parametrize(
        "answer",
        [
            reply(b"SSH-2.0-canary\r\n\r\n"),
            reply(b"HTTP/1.1 200 OK\r\nBad Header canary\r\n\r\n"),
            reply(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncanary"),
            reply(b""),
        ],
        ids=["another protocol", "a broken header", "a short body", "nothing"],
    )
    def test_no_error_carries_headers_queries_or_bodies(
        self, send: Callable[..., outbound.Answer], answer: Callable[[socket.socket], None]
    ) -> None:
        with listening(answer) as (port, _), pytest.raises(outbound.Unreachable) as raised:
            send(
                "POST",
                f"http://127.0.0.1:{port}/?key=canary",
                headers={"Authorization": "Bearer canary"},
                content=b"canary",
                bounds=PRIVATE,
            )
        assert "canary" not in _everything(raised.value)

    def test_a_closed_port_and_an_unknown_name_are_unreachable(self, send: Callable[..., outbound.Answer]) -> None:
        def unknown(host: str, port: int) -> list[str]:
            raise socket.gaierror(8, "canary")

        with pytest.raises(outbound.Unreachable) as raised:
            send("GET", "https://nowhere.example/", resolve=unknown)
        assert "canary" not in _everything(raised.value)
        with pytest.raises(outbound.Unreachable):
            send("GET", "https://nowhere.example/", resolve=lambda *_: [])
        with pytest.raises(outbound.Unreachable):
            send("GET", "http://127.0.0.1:1/", bounds=PRIVATE)


def _everything(error: BaseException | None) -> str:
    """All words of an error and of the errors attached to it."""
    words = ""
    while error is not None:
        words += repr(error)
        error = error.__cause__ or error.__context__
    return words


def test_the_machines_resolver_answers_with_addresses() -> None:
    assert set(outbound.system_resolve("localhost", 80)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize("method", ["GET", "get", "PUT"])
def test_methods_pass_as_written(method: str) -> None:
    with listening(OK) as (port, seen):
        outbound.send(method, f"http://127.0.0.1:{port}/", bounds=PRIVATE)
    assert seen[0].upper().startswith(method.upper().encode())
