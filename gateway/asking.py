"""One plain question to one route: where it goes, what came back, and what that says about the route's health.

Promise: an answer that comes out of here is a 200 of the provider; anything else is noted and is either the client's
to mend or worth another route (``TryNext``), just as for a conversation.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import kinds
from gateway.catalog import Serving
from gateway.dialects import DIALECTS
from gateway.doorway import Asked
from gateway.errors import ELSEWHERE, GatewayError, UpstreamFailed, for_client
from gateway.health import Health, Trouble
from gateway.records import OpenCall
from gateway.relay import TryNext, trouble_of
from gateway.streaming import told_error
from gateway.upstream import Answer, Transport, UpstreamError
from gateway.upstream import Request as WireRequest


class Asking:
    """Asks routes for whole answers."""

    def __init__(self, *, health: Health, transport: Transport) -> None:
        self._health, self._transport = health, transport

    async def ask(self, asked: Asked, call: OpenCall, serving: Serving, *, way: str, body: bytes) -> Answer:
        """Ask, and come back with a 200 or not at all."""
        attempt = call.tries[-1]
        self._health.began(serving.route, now=time.monotonic())
        try:
            answer = await self._transport.whole(_wire(asked, serving, way, body))
        except UpstreamError as error:
            attempt.error = type(error).__name__
            self._note(serving, Trouble.BROKEN)
            raise TryNext(told_error(error)) from error
        attempt.status, attempt.upstream_request_id = answer.status, answer.headers.get("x-request-id", "")
        if answer.status != 200:
            raise self._refused(asked, call, serving, answer)
        return answer

    @contextmanager
    def reading(self, serving: Serving) -> Iterator[None]:
        """What cannot be read in an answer is the provider's fault, and another route may do better."""
        try:
            yield
        except UpstreamFailed as error:
            self._note(serving, Trouble.BROKEN)
            raise TryNext(error) from error

    def worked(self, call: OpenCall, serving: Serving) -> None:
        """Note that the route answered."""
        attempt = call.tries[-1]
        attempt.first_byte_ms = attempt.latency_ms = int((time.monotonic() - attempt.started) * 1000)
        call.first_byte_ms = int((time.monotonic() - call.started) * 1000)
        self._health.worked(serving.route, now=time.monotonic(), first_byte_ms=attempt.first_byte_ms)

    def _refused(self, asked: Asked, call: OpenCall, serving: Serving, answer: Answer) -> Exception:
        """Read what the provider refused with, in the words of the door, which are also the provider's here."""
        body = answer.body.replace(serving.secret.encode(), b"[our key]")  # some providers say back what they refuse
        told = DIALECTS[asked.front.dialect].read_error(answer.status, answer.headers, body)
        call.tries[-1].error = told.meaning
        error: GatewayError = for_client(told)
        if told.meaning not in ELSEWHERE:
            return error
        self._note(serving, trouble_of(told), told.retry_after_s)
        return TryNext(error, trouble_of(told))

    def _note(self, serving: Serving, trouble: Trouble, retry_after_s: float | None = None) -> None:
        self._health.failed(serving.route, now=time.monotonic(), trouble=trouble, retry_after_s=retry_after_s)


def _wire(asked: Asked, serving: Serving, way: str, body: bytes) -> WireRequest:
    kind = kinds.KINDS[serving.kind]
    headers = kinds.headers(kind, way, key=serving.secret, client_headers=asked.headers)
    return WireRequest(
        "POST",
        kinds.url(kind, way, model=serving.upstream_model, stream=False, base_url=serving.base_url),
        headers=tuple(headers.items()),
        body=body,
        provider=serving.provider,
        timeouts=serving.timeouts,
        allow_private=serving.is_private,
    )
