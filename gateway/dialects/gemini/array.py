"""Gemini's other stream: who asks for one without `alt=sse` gets a JSON array that grows, chunk by chunk."""

from gateway.dialects.sse import Decoder


class ArrayOfChunks:
    """Turns a stream of events into one array; it does not matter whether they were written here or passed on."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._opened = False

    def turn(self, events: bytes) -> bytes:
        """Give the array's next bytes."""
        pieces = []
        for received in self._decoder.feed(events):
            if received.data:
                pieces.append((b",\n" if self._opened else b"[") + received.data)
                self._opened = True
        return b"".join(pieces)

    def close(self) -> bytes:
        """End the array, also after an error, so that what arrived can be read."""
        return b"]" if self._opened else b"[]"
