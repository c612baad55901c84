"""The only room that opens a connection outwards for a call.

Promise: two questions, one answer shape. ``whole`` brings an answer in one piece; ``stream`` brings status and headers
first and then the bytes as they come. Whatever a provider does (nothing, too much, too late, half of it), the caller
gets one error of the tree below within the time and size it allowed, the socket is closed at once, and no error text
carries a header value, a query or an answer. Nothing here retries, follows a redirect, keeps a cookie or reads a proxy
from the environment; decompression happens only for providers that compress unasked, and under the same caps.

The address is checked where it cannot be argued with: at the moment a socket is made, after the name was resolved, for
every address tried. Loopback and private networks are reached only when the provider's row says so, over which plain
http is allowed too; link-local addresses (the metadata services of clouds) never.

Why aiohttp, measured by ``benchmarks/upstream_clients.py`` (bare proxy, 32 connections, a noisy machine, so ratios of
three runs): for whole answers it spends 1.2 to 1.6 times the CPU of pyreqwest 0.15 (0.16-0.25 ms against 0.13-0.16),
for streams of 20 events pyreqwest spends 1.0 to 1.4 times that of aiohttp. What decides is not speed: pyreqwest cannot
take back a request that has no answer yet. Cancelling the task, and even closing the client, leaves the socket open and
the provider at work until it answers, so a client that hangs up, or a first byte that never comes, would go on costing
money; nor can anything be asked of it at the moment an address is connected to. With aiohttp cancelling closes the
socket at once and the check has its place. A kept connection on which bytes came while nobody was asking is dropped,
which aiohttp by itself would not do.

    UpstreamError
      +-- Unsendable      not a request HTTP can carry; nothing was sent
      +-- Refused         an address we do not call; nothing was sent
      +-- ConnectFailed   no connection (name, TCP, TLS); nothing was sent
      +-- TimedOut        .which: connect, first_byte, idle or total
      +-- TooLarge        .what: header, event or body
      +-- Broken          the connection ended, or spoke no HTTP, before the answer was complete
"""

from gateway.upstream.asking import Answer, Caps, Request, Stream, Timeouts, Transport
from gateway.upstream.errors import Broken, ConnectFailed, Refused, TimedOut, TooLarge, Unsendable, UpstreamError
from gateway.upstream.transport import Upstream

__all__ = [
    "Answer",
    "Broken",
    "Caps",
    "ConnectFailed",
    "Refused",
    "Request",
    "Stream",
    "TimedOut",
    "Timeouts",
    "TooLarge",
    "Transport",
    "Unsendable",
    "Upstream",
    "UpstreamError",
]
