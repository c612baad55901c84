"""The real transport: pools of connections, one per provider and address, and the way from a request to its stream."""

import asyncio
import ssl
from functools import lru_cache
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError
from aiohttp.tracing import Trace
from yarl import URL

from gateway.upstream import addresses, wire
from gateway.upstream.asking import Answer, Request, Timeouts
from gateway.upstream.errors import Broken, ConnectFailed, Refused, TimedOut, TooLarge, Unsendable, UpstreamError
from gateway.upstream.stream import ComingStream, Watch

FRAMING = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
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
            body = stream.at_hand()
            if body is None:
                body = b"".join([piece async for piece in stream])
        finally:
            stream.close()
        return Answer(stream.status, stream.headers, body)

    async def stream(self, request: Request) -> ComingStream:
        """Ask, and come back with status and headers; whoever gets the stream closes it."""
        try:
            url = _target(request.url, request.allow_private)
            headers = _sendable(request.headers)
            pool = self._pool(request, url)
            return await pool.ask(request, url, headers)
        except UpstreamError:
            raise
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError, ValueError, OSError) as error:
            failure = _failure(error)
        raise failure  # out here, so that the error carries no memory of the client's own, which quotes what it sent

    async def close(self) -> None:
        """Close every connection."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.connector.close()
        await asyncio.gather(*self._closing)

    def _pool(self, request: Request, url: URL) -> "_Pool":
        key = (request.provider, url.raw_authority, request.allow_private)
        pool = self._pools.pop(key, None)
        if pool is None:
            self._make_room()
            pool = _Pool(self._connector(allow_private=request.allow_private), url)
        self._pools[key] = pool  # the least recently used stands first
        return pool

    def _make_room(self) -> None:
        """Close the idle pool that nobody has used for longest, when there are many."""
        idle = next((key for key, pool in self._pools.items() if not pool.busy), None)
        if idle is not None and len(self._pools) >= self._most_pools:
            closing = asyncio.ensure_future(_closed(self._pools.pop(idle).connector))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _connector(self, *, allow_private: bool) -> "_Connector":
        return _Connector(
            limit=self._connections_per_pool,
            keepalive_timeout=15,  # shorter than any provider's: a POST on a connection just closed cannot be resent
            ttl_dns_cache=10,
            ssl=self._trust or True,
            resolver=self._resolver,
            socket_factory=addresses.private_socket if allow_private else addresses.public_socket,
        )


async def _closed(connector: aiohttp.BaseConnector) -> None:
    await connector.close()


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

    async def kept(self, key: ConnectionKey) -> Connection | None:
        """A connection that is open already, without waiting for anything."""
        while (connection := await self._get(key, [])) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None


class _Pool:
    """The connections to one address for one provider."""

    def __init__(self, connector: _Connector, url: URL) -> None:
        self.connector = connector
        self.busy = 0
        # Whom to connect to, in aiohttp's form; what is asked there is written by ``wire``.
        self._whom = aiohttp.ClientRequest("POST", url.origin(), loop=asyncio.get_running_loop())
        self._key = self._whom.connection_key

    async def ask(self, request: Request, url: URL, headers: list[tuple[str, str]]) -> ComingStream:
        """Send the request and wait for the head of the answer."""
        question = wire.written(request.method, url, headers, request.body)
        started_at = asyncio.get_running_loop().time()
        self.busy += 1
        connection: Connection | None = None
        watch = Watch(request.timeouts, started_at)
        try:
            connection = await self.connector.kept(self._key)
            if connection is None:
                connection = await self._connected(request.timeouts, started_at)
            head = await wire.exchanged(connection, question, watch, header_bytes=request.caps.header_bytes)
        except BaseException:
            self.busy -= 1
            watch.stop()
            if connection is not None:
                connection.close()
            raise
        return ComingStream(self, head, request, watch)

    async def _connected(self, timeouts: Timeouts, started_at: float) -> Connection:
        which: str = "connect"
        try:
            async with asyncio.timeout_at(started_at + min(timeouts.first_byte_s, timeouts.total_s)) as patience:
                return await self.connector.connect(self._whom, [], _patience(timeouts.connect_s))
        except TimeoutError:
            if patience.expired():
                which = "first_byte" if timeouts.first_byte_s <= timeouts.total_s else "total"
        raise TimedOut(which, sent=which != "connect")


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
        case aiohttp.ClientConnectorError():
            return _unconnected(error)
        case HttpProcessingError() if error.message.startswith(HEADERS_TOO_LARGE):
            return TooLarge("header")
        case HttpProcessingError():
            return Broken("what came back was no HTTP", answered=False)
        case ValueError():
            return Unsendable("an address, method or header HTTP cannot carry", sent=False)
        case _:
            return Broken("the connection ended before the answer began", answered=False)


def _unconnected(error: aiohttp.ClientConnectorError) -> UpstreamError:
    if isinstance(error.os_error, addresses.NotThere):
        return Refused("a loopback, private or reserved address", sent=False)
    if isinstance(error, aiohttp.ClientSSLError):
        return ConnectFailed("the provider's TLS certificate or handshake was not accepted", sent=False)
    return ConnectFailed("no connection to the provider", sent=False)
