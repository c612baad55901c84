"""The real transport: pools of connections, one per provider and address, and the way from a request to its stream."""

import asyncio
import io
import ssl
from functools import lru_cache
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from gateway.upstream import addresses
from gateway.upstream.asking import KIB, MIB, Answer, Request
from gateway.upstream.errors import Broken, ConnectFailed, Refused, TimedOut, TooLarge, Unsendable, UpstreamError
from gateway.upstream.stream import ComingStream

FRAMING = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
OURS_TO_SAY = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
LARGE_BODY_BYTES = MIB  # from here on aiohttp wants a file: it warns of large bytes
BUFFER_BYTES = 64 * KIB
MOST_STALE = 16
HEADERS_TOO_LARGE = ("Got more than", "Too many headers")  # aiohttp tells these apart by their words alone


class Upstream:
    """The real transport. It belongs to the event loop it was made in."""

    def __init__(
        self,
        *,
        connections_per_pool: int = 512,
        pools: int = 256,
        trust: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._connections_per_pool = connections_per_pool
        self._most_pools = pools
        self._trust = trust
        self._resolver = resolver
        self._pools: dict[tuple[str, str, bool], _Pool] = {}
        self._closing: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def whole(self, request: Request) -> Answer:
        """Ask, and wait for all of the answer."""
        stream = await self.stream(request)
        try:
            pieces = [piece async for piece in stream]
        finally:
            stream.close()
        return Answer(stream.status, stream.headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))

    async def stream(self, request: Request) -> ComingStream:
        """Ask, and come back with status and headers; whoever gets the stream closes it."""
        try:
            url = _target(request.url, request.allow_private)
            headers = _sendable(request.headers)
            pool = self._pool(request, url)
            return await pool.ask(request, url, headers)
        except UpstreamError:
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            failure = _failure(error)
        raise failure  # out here, so that the error carries no memory of the client's own, which quotes what it sent

    async def close(self) -> None:
        """Close every connection."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.session.close()
        await asyncio.gather(*self._closing)

    def _pool(self, request: Request, url: URL) -> "_Pool":
        key = (request.provider, url.raw_authority, request.allow_private)
        pool = self._pools.pop(key, None)
        if pool is None:
            self._make_room()
            pool = _Pool(self._session(allow_private=request.allow_private))
        self._pools[key] = pool  # the least recently used stands first
        return pool

    def _make_room(self) -> None:
        """Close the idle pool that nobody has used for longest, when there are many."""
        idle = next((key for key, pool in self._pools.items() if not pool.busy), None)
        if idle is not None and len(self._pools) >= self._most_pools:
            closing = asyncio.ensure_future(self._pools.pop(idle).session.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _session(self, *, allow_private: bool) -> aiohttp.ClientSession:
        connector = _Connector(
            limit=self._connections_per_pool,
            keepalive_timeout=15,  # shorter than any provider's: a POST on a connection just closed cannot be resent
            ttl_dns_cache=10,
            ssl=self._trust or True,
            resolver=self._resolver,
            socket_factory=addresses.private_socket if allow_private else addresses.public_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BUFFER_BYTES,
        )


class _Connector(aiohttp.TCPConnector):
    """Hands out no kept connection on which something came while nobody was asking: it may be another's answer."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the signature is aiohttp's
    ) -> Connection:
        for _ in range(MOST_STALE):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ServerDisconnectedError


class _Pool:
    """The connections to one address for one provider."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.busy = 0

    async def ask(self, request: Request, url: URL, headers: list[tuple[str, str]]) -> ComingStream:
        """Send the request and wait for the head of the answer."""
        started_at = asyncio.get_running_loop().time()
        self.busy += 1
        try:
            response = await self._head(request, url, headers, started_at)
        except BaseException:
            self.busy -= 1
            raise
        return ComingStream(self, response, request, started_at)

    async def _head(
        self, request: Request, url: URL, headers: list[tuple[str, str]], started_at: float
    ) -> aiohttp.ClientResponse:
        timeouts = request.timeouts
        try:
            async with asyncio.timeout_at(started_at + min(timeouts.first_byte_s, timeouts.total_s)):
                return await self.session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=_payload(request.body),
                    skip_auto_headers=OURS_TO_SAY,
                    allow_redirects=False,
                    timeout=_patience(timeouts.connect_s),
                    max_field_size=request.caps.header_bytes,
                )
        except aiohttp.ConnectionTimeoutError:
            raise
        except TimeoutError:
            failure = TimedOut("first_byte" if timeouts.first_byte_s <= timeouts.total_s else "total")
        raise failure


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    if len(body) >= LARGE_BODY_BYTES:
        return io.BytesIO(body)
    return body or None


def _sendable(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """Refuse headers that would frame the request; ask for no compression unless the caller does."""
    names = {name.lower() for name, _ in headers}
    if names & FRAMING:
        raise Unsendable("a header that frames the request cannot be given", sent=False)
    return [*headers] if "accept-encoding" in names else [*headers, ("Accept-Encoding", "identity")]


@lru_cache(maxsize=1024)
def _target(url: str, allow_private: bool) -> URL:  # noqa: FBT001 - the cache wants plain arguments
    """Read an address, or say what is wrong with it without repeating it."""
    try:
        target = URL(url, encoded=True)
        proper = bool(target.host) and url.isascii() and url.isprintable() and " " not in url and target.port != 0
    except ValueError:
        proper = False
    if not proper:
        raise Unsendable("not an address HTTP can reach", sent=False)
    if target.user is not None or target.password is not None:
        raise Refused("an address with a name or password in it", sent=False)
    if target.scheme != "https" and not (target.scheme == "http" and allow_private):
        raise Refused("only https leaves this house, and http where private addresses are allowed", sent=False)
    return target


@lru_cache(maxsize=64)
def _patience(connect_s: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_connect=connect_s)


def _failure(error: Exception) -> UpstreamError:
    """Say what happened without repeating what the client said: it quotes addresses, headers and answers."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return TimedOut("connect", sent=False)
        case aiohttp.ClientConnectorError():
            return _unconnected(error)
        case aiohttp.ClientResponseError() if error.message.startswith(HEADERS_TOO_LARGE):
            return TooLarge("header")
        case aiohttp.ClientResponseError():
            return Broken("what came back was no HTTP", answered=False)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | ValueError():
            return Unsendable("an address, method or header HTTP cannot carry", sent=False)
        case _:
            return Broken("the connection ended before the answer began", answered=False)


def _unconnected(error: aiohttp.ClientConnectorError) -> UpstreamError:
    if isinstance(error.os_error, addresses.NotThere):
        return Refused("a loopback, private or reserved address", sent=False)
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectFailed("the provider's TLS certificate or handshake was not accepted", sent=False)
    return ConnectFailed("no connection to the provider", sent=False)
