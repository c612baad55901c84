"""The yardstick: a bare pass-through on the same server and the same HTTP client. It reads nothing and knows nobody.

What a Python proxy costs at the least; everything Tollgate does for a call is measured as a multiple of this.
"""

import os
from typing import Any

import aiohttp

UPSTREAM = os.environ.get("UPSTREAM", "http://127.0.0.1:9100/v1") + "/chat/completions"
HEADERS = {"content-type": "application/json", "authorization": "Bearer upstream"}

_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _sessions:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=None)
        _sessions.append(aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout))
    return _sessions[0]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Pass one request on and its answer back."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for session in _sessions:
            await session.close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    async with _session().post(UPSTREAM, data=body, headers=HEADERS) as answer:
        kind = answer.headers.get("content-type", "application/json").encode()
        headers = [(b"content-type", kind)]
        if answer.content_length is not None:
            headers.append((b"content-length", str(answer.content_length).encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": await answer.read()})
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
