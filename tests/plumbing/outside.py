"""The world outside, as real HTTP on loopback: a server that reads a request's head and answers as a test wants."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket], None]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def serving(talk: Answer) -> Iterator[int]:
    """Let ``talk`` have every connection; yields the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # the client left, as it should
                talk(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    """Read each request whole, remember it, and let ``answer`` reply; yields the port and what was heard."""
    heard: list[bytes] = []

    def talk(peer: socket.socket) -> None:
        heard.append(_request(peer))
        answer(peer)

    with serving(talk) as port:
        yield port, heard


def reply(text: bytes) -> Answer:
    """An answer that says these bytes."""
    return lambda peer: peer.sendall(text)


def _request(peer: socket.socket) -> bytes:
    read = b""
    while b"\r\n\r\n" not in read:
        piece = peer.recv(65_536)
        if not piece:
            return read
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += peer.recv(65_536)
    return head + b"\r\n\r\n" + body
