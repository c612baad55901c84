"""One question and the head of its answer on one connection, in the bytes of HTTP/1.1.

Promise: what is sent is exactly the line, host and headers given, framed by the body's length; nothing that would be a
second header gets out. aiohttp keeps the connections, their TLS and the parser; its own request and response objects,
built for browsers of many sites, cost more than all the rest of a call outwards and are passed by.
"""

from functools import lru_cache
from typing import Protocol

import aiohttp
from aiohttp import StreamReader
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from yarl import URL

from gateway.upstream.asking import KIB

BUFFER_BYTES = 64 * KIB
LARGE_BODY_BYTES = 64 * KIB  # from here on a body is not copied behind its head
LONGEST_LINE_BYTES = 8_190
BODILESS = frozenset({"GET", "HEAD"})
SWITCHING = 101

Question = tuple[bytes, ...]


class Alarm(Protocol):
    """Whoever watches the clock for the answer."""

    def tell(self, waiting: "aiohttp.client_proto.ResponseHandler") -> None:
        """Fail this reader when time is up."""


class Head:
    """The head of an answer, and where its body comes from."""

    __slots__ = ("_connection", "content", "raw_headers", "status")

    def __init__(self, connection: Connection, message: RawResponseMessage, content: StreamReader) -> None:
        self.status, self.raw_headers, self.content = message.code, message.raw_headers, content
        self._connection: Connection | None = connection
        content.on_eof(self._ended)

    def _ended(self) -> None:
        """The answer is whole: its connection serves the next one, unless the question has not even left yet."""
        connection = self._connection
        if connection is None or connection.protocol is None or connection.protocol.upgraded:
            return
        self._connection = None
        transport = connection.transport
        if transport is None or transport.get_write_buffer_size():
            connection.close()
        else:
            connection.release()

    def close(self) -> None:
        """Drop the connection, if the answer has not ended; who still reads is told."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("closed"))
        connection.close()


def written(method: str, url: URL, headers: list[tuple[str, str]], body: bytes) -> Question:
    """A request as bytes; ``ValueError`` for what HTTP cannot carry."""
    said = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if not said.count("\r") == said.count("\n") == len(headers) or "\0" in said:
        raise ValueError("a header that would be two")
    length = f"Content-Length: {len(body)}\r\n" if body or method not in BODILESS else ""
    head = f"{_line(method, url)}{said}{length}\r\n".encode()
    return (head, body) if len(body) >= LARGE_BODY_BYTES else (head + body,)


@lru_cache(maxsize=1024)
def _line(method: str, url: URL) -> str:
    if not (method.isascii() and method.isalpha()):
        raise ValueError("not a method")
    return f"{method.upper()} {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"


async def exchanged(connection: Connection, question: Question, alarm: Alarm, *, header_bytes: int) -> Head:
    """Send the question and wait for the head of the answer."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(
        read_until_eof=True,
        auto_decompress=False,
        read_bufsize=BUFFER_BYTES,
        max_line_size=LONGEST_LINE_BYTES,
        max_field_size=header_bytes,
    )
    alarm.tell(protocol)
    if len(question) == 1:
        transport.write(question[0])
    else:
        transport.writelines(question)
    while True:
        message, content = await protocol.read()
        if not 100 <= message.code <= 199 or message.code == SWITCHING:
            return Head(connection, message, content)
