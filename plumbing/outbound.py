"""The one guarded door for everything that goes out but is not a call: webhooks, price lists, keys of others.

Promise: a request leaves only for a public address. The name is resolved once, every address it has is judged, and
the connection is opened to exactly the address that was judged, with the name still in SNI and Host: a name that
resolves differently a moment later changes nothing. No redirect is followed, no proxy or credential is taken from the
environment, and size of headers and body, and the time from first to last byte, have ends. No error carries a header's
value, a query or a body.

``allow_private=True`` opens loopback and private networks and is for addresses that came from the operator's own
command line, never for anything a customer or a shop's staff typed. Link-local, multicast, unspecified and reserved
addresses stay closed even then: nothing good lives there, and cloud metadata does.

    OutboundError
    |- Refused        the URL or its address is not allowed; nothing was sent to it
    |- BadHeader      a header's name or value cannot be sent
    |- TooLarge       the answer is larger than the caller allowed
    |- TooSlow        the time was up
    '- Unreachable    no connection, no certificate, or no HTTP
"""

import asyncio
import concurrent.futures
import ipaddress
import json as jsonlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpcore
import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

LONGEST_URL = 2048
LARGEST_HEADERS = 32_768
CONNECT_S = 5.0
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?\Z")
METADATA = ipaddress.ip_address("fd00:ec2::254")  # a cloud's metadata inside the private range
LOCAL = tuple(ipaddress.ip_network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
# Addresses that carry another address inside (the last 32 bits, but for those named below).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how networks without IPv4 reach all of it
IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
IPV4_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
# Closed although the standard library of some supported Pythons calls them global or merely "not private".
CLOSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
_resolving = concurrent.futures.ThreadPoolExecutor(max_workers=32, thread_name_prefix="outbound-resolve")


class OutboundError(Exception):
    """The request did not succeed; the sentence may be shown to whoever configured the URL."""


class Refused(OutboundError):
    """The URL or its address is not allowed."""


class BadHeader(OutboundError):
    """A header cannot be sent."""


class TooLarge(OutboundError):
    """The answer is larger than allowed."""


class TooSlow(OutboundError):
    """The time was up."""


class Unreachable(OutboundError):
    """No connection, no certificate, or no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole; a redirect is an answer like any other."""

    status: int
    headers: httpx.Headers
    content: bytes

    def json(self) -> Any:
        """Read the content as JSON (ValueError if it is not)."""
        return jsonlib.loads(self.content)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a caller is willing to take, and from where."""

    total_s: float = 10.0
    largest_body: int = 1_048_576
    allow_http: bool = False
    allow_private: bool = False


STRICT = Bounds()


@dataclass(frozen=True, slots=True)
class _Errand:
    """One checked request on its way."""

    method: str
    url: httpx.URL
    headers: dict[str, str]
    content: bytes | None
    bounds: Bounds
    resolve: Resolver
    verify: ssl.SSLContext
    deadline: float = field(default=0.0)

    def left_s(self) -> float:
        """Seconds until the time is up."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left


# --- Judging ----------------------------------------------------------------------------------------------------------


def check_url(url: str, *, bounds: Bounds = STRICT) -> httpx.URL:
    """Judge a URL by its spelling, for forms and before sending; its address is judged at connect, every time."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise Refused("The URL is too long, or holds a space, a backslash or a character that needs encoding.")
    try:
        parsed = httpx.URL(url)
        port = parsed.port
    except (httpx.InvalidURL, ValueError):
        parsed, port = httpx.URL(), None
    if parsed.scheme not in ({"http", "https"} if bounds.allow_http else {"https"}):
        raise Refused("The URL must begin with https://.")
    if "@" in re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]:
        raise Refused("The URL must not hold a user name or password.")
    if port is not None and not 0 < port < 65536:
        raise Refused("The URL's port does not exist.")
    _check_host(parsed.raw_host.decode("ascii"), bounds)  # as it will be asked for: .host is made for reading
    return parsed.copy_with(fragment=None)


def _check_host(host: str, bounds: Bounds) -> None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        judge(address, allow_private=bounds.allow_private)
        return
    last = host.rstrip(".").rpartition(".")[2]
    # A name whose last label is a number is an address in disguise (2130706433, 0x7f.1, 0177.0.0.1).
    if last.isdigit() or last.startswith("0x"):
        raise Refused("The host is an address in an unusual spelling; write it as 192.0.2.1 or as a name.")
    if not HOST.match(host) or len(host) > 253:
        raise Refused("The URL's host is not a name.")
    if not bounds.allow_private and (last == "localhost" or "." not in host.rstrip(".")):
        raise Refused("The URL's host is not a public name.")


def judge(address: Address, *, allow_private: bool) -> None:
    """Raise ``Refused`` for an address that must not be reached, or one that carries such an address inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise Refused("The address belongs to one network interface.")
        for inner in _carried(address):
            judge(inner, allow_private=allow_private)
        if address.ipv4_mapped or address in NAT64:
            return  # it is its inner address, and nothing more
    if address.is_loopback or _is_local_network(address):
        if not allow_private:
            raise Refused("The address is private; only public addresses can be reached from here.")
        return
    closed = not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified
    if closed or address == METADATA or any(address in network for network in CLOSED):
        raise Refused("The address is reserved; only public addresses can be reached from here.")


def _is_local_network(address: Address) -> bool:
    if address == METADATA:
        return False
    return any(address in network for network in LOCAL)


def _carried(address: ipaddress.IPv6Address) -> Iterable[ipaddress.IPv4Address]:
    """The IPv4 addresses inside an IPv6 address: mapped, compatible, translated, 6to4, Teredo, NAT64."""
    last = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in IPV4_TRANSLATED or address in NAT64:
        yield last
    if address in IPV4_COMPATIBLE and int(address) > 1:
        yield last


def system_resolve(host: str, port: int) -> list[str]:
    """Ask the machine's resolver for every address of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _judged(spellings: Iterable[str], *, allow_private: bool) -> list[str]:
    """Every address of the name must pass: one bad among them is a name that must not be trusted."""
    addresses = []
    for spelling in spellings:
        address = ipaddress.ip_address(spelling)
        judge(address, allow_private=allow_private)
        addresses.append(str(address))
    if not addresses:
        raise httpcore.ConnectError
    return addresses


# --- Sending ----------------------------------------------------------------------------------------------------------


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    bounds: Bounds = STRICT,
    resolve: Resolver = system_resolve,
    verify: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request and return the whole answer."""
    errand = _errand(method, url, headers, content, bounds, resolve, verify)
    outcome: Answer | OutboundError
    try:
        with httpx.Client(transport=_GuardedTransport(errand), trust_env=False) as client:
            outcome = _read(errand, client)
    except OutboundError as error:
        outcome = error
    except Exception as error:  # noqa: BLE001 - told without the words of a library that may quote headers
        outcome = _told(error)
    return _result(outcome)


async def asend(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    bounds: Bounds = STRICT,
    resolve: Resolver = system_resolve,
    verify: ssl.SSLContext | None = None,
) -> Answer:
    """The same without blocking the event loop."""
    errand = _errand(method, url, headers, content, bounds, resolve, verify)
    outcome: Answer | OutboundError
    try:
        async with asyncio.timeout(bounds.total_s):
            async with httpx.AsyncClient(transport=_AsyncGuardedTransport(errand), trust_env=False) as client:
                outcome = await _aread(errand, client)
    except OutboundError as error:
        outcome = error
    except Exception as error:  # noqa: BLE001 - as above
        outcome = _told(error)
    return _result(outcome)


def _errand(
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    content: bytes | None,
    bounds: Bounds,
    resolve: Resolver,
    verify: ssl.SSLContext | None,
) -> _Errand:
    for name, value in (headers or {}).items():
        if not TOKEN.match(name):
            raise BadHeader("A header's name holds a character that cannot be sent.")
        if not HEADER_VALUE.match(value):
            message = f"The value of the header {name} holds a line break or a character that cannot be sent."
            raise BadHeader(message)
    # Compression is declined: a small answer that unfolds into a large one would slip under the cap.
    sent = {"User-Agent": "Tollgate", **(headers or {}), "Accept-Encoding": "identity"}
    return _Errand(
        method=method,
        url=check_url(url, bounds=bounds),
        headers=sent,
        content=content,
        bounds=bounds,
        resolve=resolve,
        verify=verify or _public_certificates(),
        deadline=time.monotonic() + bounds.total_s,
    )


@lru_cache(maxsize=1)
def _public_certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)  # dear to make, so once


def _timeout(errand: _Errand) -> httpx.Timeout:
    return httpx.Timeout(errand.bounds.total_s, connect=min(CONNECT_S, errand.bounds.total_s))


def _read(errand: _Errand, client: httpx.Client) -> Answer:
    with client.stream(
        errand.method, errand.url, headers=errand.headers, content=errand.content, timeout=_timeout(errand)
    ) as response:
        _check_head(response)
        body = bytearray()
        for chunk in response.iter_raw():
            _grow(body, chunk, errand)
        return Answer(response.status_code, response.headers, bytes(body))


async def _aread(errand: _Errand, client: httpx.AsyncClient) -> Answer:
    async with client.stream(
        errand.method, errand.url, headers=errand.headers, content=errand.content, timeout=_timeout(errand)
    ) as response:
        _check_head(response)
        body = bytearray()
        async for chunk in response.aiter_raw():
            _grow(body, chunk, errand)
        return Answer(response.status_code, response.headers, bytes(body))


def _check_head(response: httpx.Response) -> None:
    if sum(len(name) + len(value) + 4 for name, value in response.headers.raw) > LARGEST_HEADERS:
        message = f"The answer's headers are larger than {LARGEST_HEADERS} bytes."
        raise TooLarge(message)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unreachable("The answer is compressed although that was declined.")


def _grow(body: bytearray, chunk: bytes, errand: _Errand) -> None:
    body += chunk
    if len(body) > errand.bounds.largest_body:
        message = f"The answer is larger than {errand.bounds.largest_body} bytes."
        raise TooLarge(message)


def _told(error: Exception) -> OutboundError:
    """Our own words for what went wrong: the libraries' may quote headers, queries and bodies."""
    if isinstance(error, (TimeoutError, httpx.TimeoutException, httpcore.TimeoutException)):
        return TooSlow("The answer did not come in time.")
    if isinstance(error, (httpx.RemoteProtocolError, httpcore.RemoteProtocolError)):
        return Unreachable("What answered does not speak HTTP as it should.")
    return Unreachable("The address could not be reached.")


def _result(outcome: Answer | OutboundError) -> Answer:
    """Raise outside the handler, so that the library's error is not even attached to ours."""
    if isinstance(outcome, OutboundError):
        raise type(outcome)(*outcome.args)
    return outcome


# --- Connecting: where the judgement and the connection are one step --------------------------------------------------


class _GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport over a pool that dials through the guard (httpx has no public argument for it)."""

    def __init__(self, errand: _Errand) -> None:
        super().__init__(verify=errand.verify, trust_env=False)
        self._pool = httpcore.ConnectionPool(ssl_context=errand.verify, network_backend=_Guard(errand))


class _AsyncGuardedTransport(httpx.AsyncHTTPTransport):
    def __init__(self, errand: _Errand) -> None:
        super().__init__(verify=errand.verify, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=errand.verify, network_backend=_AsyncGuard(errand))


class _Guard(httpcore.NetworkBackend):
    """Resolves, judges, and connects to what was judged."""

    def __init__(self, errand: _Errand) -> None:
        self._errand = errand
        self._dial = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        errand = self._errand
        try:
            found = _resolving.submit(errand.resolve, host, port).result(min(CONNECT_S, errand.left_s()))
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError from error
        addresses = _judged(found, allow_private=errand.bounds.allow_private)
        for address in addresses[:-1]:
            try:
                return self._connected(address, port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connected(addresses[-1], port)

    def _connected(self, address: str, port: int) -> httpcore.NetworkStream:
        timeout = min(CONNECT_S, self._errand.left_s())
        return _TimedStream(self._dial.connect_tcp(address, port, timeout=timeout), self._errand)


class _TimedStream(httpcore.NetworkStream):
    """A stream whose every wait ends with the errand's time, so a byte a second cannot stretch it."""

    def __init__(self, inner: httpcore.NetworkStream, errand: _Errand) -> None:
        self._inner = inner
        self._errand = errand

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout=self._errand.left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=self._errand.left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = min(CONNECT_S, self._errand.left_s())
        return _TimedStream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._errand)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _AsyncGuard(httpcore.AsyncNetworkBackend):
    """The same for the event loop; ``asend`` bounds the whole by ``asyncio.timeout``."""

    def __init__(self, errand: _Errand) -> None:
        self._errand = errand
        self._dial = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        errand = self._errand
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(_resolving, errand.resolve, host, port)
        except OSError as error:
            raise httpcore.ConnectError from error
        addresses = _judged(found, allow_private=errand.bounds.allow_private)
        for address in addresses[:-1]:
            try:
                return await self._dial.connect_tcp(address, port, timeout=CONNECT_S)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._dial.connect_tcp(addresses[-1], port, timeout=CONNECT_S)
