"""The story of one call, from its first byte to its last.

Promise: nothing is sent upstream without a committed hold; until the first event of an answer has come, a failure is
noted and the next route is tried; after it, the answer is this one, whatever becomes of it. However a call ends, it is
closed: by its last event, by a failure told in the client's own dialect, or, when the client has left, by listening on
in the background for as long as the provider's bounds allow. The last byte leaves after the charge is committed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from msgspec import structs

from billing.money import BadAmount, parse_usd, usd_text
from gateway import doorway, kinds, routing, token_plans
from gateway.callers import Caller, Callers, keep_play_money_in_the_sandbox
from gateway.calls import Closed, Desk, End, OpenCall, Plea, ViewIsStale
from gateway.catalog import Offer, Serving, Shelf
from gateway.dialects import DIALECTS, gemini
from gateway.dialects.neutral import File, Image, Request, parts_of
from gateway.dialects.passing import pass_request
from gateway.dialects.sse import Decoder, ServerEvent
from gateway.doorway import Asked, Reply
from gateway.errors import (
    ELSEWHERE,
    Answer,
    GatewayError,
    InvalidRequest,
    Unavailable,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamTruncated,
    for_client,
)
from gateway.health import Health, Trouble
from gateway.metering import Measured, Meter, estimate_input
from gateway.models.calls import CallState
from gateway.translation import Conversation, PassedOn, Rewritten, Translation, heading, whole
from gateway.upstream import Request as WireRequest
from gateway.upstream import Stream, TimedOut, Transport, UpstreamError

MOST_TRIES = 3
STALE_TRIES = 3
MOST_ANSWERS = 128
STICKY_BYTES = 1024  # so much of a prompt's beginning decides where its cache is warm
IMAGE_ELSEWHERE_BYTES = 6_000  # a picture behind an address weighs tokens that its address does not show
FILE_ELSEWHERE_BYTES = 100_000
JSON = ("content-type", "application/json")
SSE = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"), ("x-accel-buffering", "no"))

Attempt = Callable[[OpenCall, Serving], Awaitable[Reply]]

log = logging.getLogger(__name__)


class TryNext(Exception):
    """One route did not answer; another may."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(str(error))
        self.error = error


class Corridor:
    """What every call of a process walks through."""

    def __init__(self, *, shelf: Shelf, callers: Callers, desk: Desk, health: Health, transport: Transport) -> None:
        self._shelf, self._callers, self._desk = shelf, callers, desk
        self._health, self._transport = health, transport
        self._lingering: set[asyncio.Future[Any]] = set()

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, or raise a ``GatewayError`` for the door to put into words."""
        picture = self._shelf.picture
        visitor = doorway.enter(asked, picture)
        request = read(asked)
        for _ in range(STALE_TRIES):
            now = datetime.now(UTC)
            caller = await self._callers.find(
                visitor.secret, storefront=visitor.storefront, ip_address=visitor.ip_address, now=now
            )
            offer = picture.offer(request.model, storefront=caller.storefront, allowed=caller.allowed_models)
            doorway.check_purpose(asked.front, offer)
            plea = plea_of(asked, request, caller, offer, visitor.country)
            try:
                return await self.serve(asked, plea, partial(self._try, asked, request))
            except ViewIsStale:
                self._callers.forget(visitor.secret)
        raise Unavailable("This key's settings are changing; try again in a moment.", retry_after_s=1)

    async def close(self) -> None:
        """Wait for the calls whose clients have left."""
        while self._lingering:
            await asyncio.gather(*self._lingering, return_exceptions=True)

    # --- Routes -------------------------------------------------------------------------------------------------------

    async def serve(self, asked: Asked, plea: Plea, attempt: Attempt) -> Reply:
        """Hold the money, try the routes in their order, and close what none of them answered."""
        offer = plea.offer
        order = self._order(offer, asked.body)
        first = offer.serving(order[0])
        priced = self._shelf.picture.price(offer, first, storefront=plea.caller.storefront, plan=plea.caller.plan)
        call = await self._desk.open(plea, priced, first)
        error: GatewayError = Unavailable("No route to this model could be tried.")
        try:
            for number, route in enumerate(order[:MOST_TRIES]):
                serving = offer.serving(route)
                if number:
                    await self._desk.depart_again(call, serving)
                try:
                    return await attempt(call, serving)
                except TryNext as failed:
                    error = failed.error
        except GatewayError as failed_for_good:
            error = failed_for_good
        except BaseException:
            self._linger(self._close(call, End(CallState.FAILED, 499, "client_left_before_answer", "client_left")))
            raise
        await self._close(call, End(CallState.FAILED, error.status, "failed_free", error.code))
        raise error

    def _order(self, offer: Offer, body: bytes) -> tuple[int, ...]:
        candidates = [serving.candidate for serving in offer.servings]
        order = routing.plan(
            candidates, self._health.snapshot(), sticky_key=body[:STICKY_BYTES][-64:], now=time.monotonic()
        )
        if not order.ready and order.ready_in_s > 1:
            raise UpstreamBusy("The providers of this model are resting.", retry_after_s=order.ready_in_s)
        return order.ready or order.resting

    async def _try(self, asked: Asked, request: Request, call: OpenCall, serving: Serving) -> Reply:
        """Ask one route; the answer, or ``TryNext`` while nothing has been delivered."""
        kind = kinds.KINDS[serving.kind]
        upstream = kind.dialect_for(asked.front.dialect)
        talk = Conversation(call, serving, request, asked.front.dialect, upstream, _meter(call, request, upstream))
        wire = _wire(asked, talk, kind)
        self._health.began(serving.route, now=time.monotonic())
        try:
            if request.stream:
                return await self._streamed(talk, wire)
            return await self._whole(talk, wire)
        except UpstreamError as error:
            call.tries[-1].error = type(error).__name__
            self._note(serving, Trouble.BROKEN)
            raise TryNext(told_error(error)) from error

    def _note(self, serving: Serving, trouble: Trouble, retry_after_s: float | None = None) -> None:
        self._health.failed(serving.route, now=time.monotonic(), trouble=trouble, retry_after_s=retry_after_s)

    def _worked(self, talk: Conversation) -> None:
        attempt = talk.call.tries[-1]
        attempt.first_byte_ms = int((time.monotonic() - attempt.started) * 1000)
        talk.call.first_byte_ms = int((time.monotonic() - talk.call.started) * 1000)
        self._health.worked(talk.serving.route, now=time.monotonic(), first_byte_ms=attempt.first_byte_ms)

    def _refused(self, talk: Conversation, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Read what the provider refused with; what another route may mend is ``TryNext``."""
        answer = DIALECTS[talk.upstream].read_error(status, headers, body)
        talk.call.tries[-1].status, talk.call.tries[-1].error = status, answer.meaning
        if answer.meaning in ELSEWHERE:
            self._note(talk.serving, trouble_of(answer), answer.retry_after_s)
            raise TryNext(for_client(answer))
        return for_client(answer)

    # --- Whole answers ------------------------------------------------------------------------------------------------

    async def _whole(self, talk: Conversation, wire: WireRequest) -> Reply:
        answer = await self._transport.whole(wire)
        attempt = talk.call.tries[-1]
        attempt.status, attempt.upstream_request_id = answer.status, answer.headers.get("x-request-id", "")
        if answer.status != 200:
            raise self._refused(talk, answer.status, answer.headers, answer.body)
        try:
            body = whole(talk, answer.body)
        except UpstreamFailed as error:
            self._note(talk.serving, Trouble.BROKEN)
            raise TryNext(error) from error
        self._worked(talk)
        talk.meter.watch_reply(answer.body)
        measured = talk.meter.measured()
        closed = await self._close(talk.call, _answered(measured))
        if talk.client == "openai_chat" and token_plans.counts_tokens(talk.call):
            body = await token_plans.with_usage(talk.call, measured, closed, body)
        return Reply(200, (JSON, *told_headers(talk.call, closed)), body)

    # --- Streams ------------------------------------------------------------------------------------------------------

    async def _streamed(self, talk: Conversation, wire: WireRequest) -> Reply:
        """Commit to this route only when its first event has been read and is no failure."""
        stream = await self._transport.stream(wire)
        attempt = talk.call.tries[-1]
        attempt.status, attempt.upstream_request_id = stream.status, stream.headers.get("x-request-id", "")
        if stream.status != 200:
            raise self._refused(talk, stream.status, stream.headers, await _collected(stream))
        pieces = aiter(stream)
        decoder = Decoder()
        translation: Translation = PassedOn(talk) if talk.passes else Rewritten(talk)
        try:
            first = await _first_events(pieces, decoder)
            ready = [translation.translate(event) for event in first]
        except GatewayError as error:
            stream.close()
            self._note(talk.serving, Trouble.BROKEN)
            raise TryNext(error) from error
        self._worked(talk)
        body = self._events(talk, stream, pieces, decoder, translation, ready)
        return Reply(200, (*SSE, *told_headers(talk.call, None)), body)

    async def _events(
        self,
        talk: Conversation,
        stream: Stream,
        pieces: AsyncIterator[bytes],
        decoder: Decoder,
        translation: Translation,
        ready: list[bytes],
    ) -> AsyncIterator[bytes]:
        """Pass events on as they come; the one that completes the answer leaves after the charge is committed."""
        held: list[bytes] = []
        is_over = False
        try:
            async for out in _leaving(talk, pieces, decoder, translation, ready, held):
                yield out
            for out in await self._finished(talk, held):
                yield out
            is_over = True
        except (UpstreamError, GatewayError) as error:
            told = told_error(error) if isinstance(error, UpstreamError) else error
            await self._close(talk.call, _broken_off(talk, told))
            is_over = True
            yield DIALECTS[talk.client].EventWriter(heading(talk)).fail(told)
        finally:
            if is_over:
                stream.close()
            else:
                self._linger(self._listen_on(talk, stream, pieces, decoder))

    async def _finished(self, talk: Conversation, held: list[bytes]) -> list[bytes]:
        """The bytes have ended: settle, and say so if the provider never did."""
        if talk.is_complete and not talk.meter.failed:
            await self._close(talk.call, _answered(talk.meter.measured()))
            return [out for out in held if out]
        error = UpstreamTruncated("The provider's answer stopped before its end.")
        await self._close(talk.call, _broken_off(talk, error))
        return [*held, DIALECTS[talk.client].EventWriter(heading(talk)).fail(error)]

    async def _listen_on(
        self, talk: Conversation, stream: Stream, pieces: AsyncIterator[bytes], decoder: Decoder
    ) -> None:
        """The client has left: hear the provider out within its bounds, so that the charge is exact."""
        left = talk.serving.drain_bytes
        try:
            async with asyncio.timeout(talk.serving.drain_s):
                async for piece in pieces:
                    left -= len(piece)
                    for event in decoder.feed(piece):
                        talk.meter.watch(event.data)
                    if talk.meter.complete or left < 0:
                        break
        except (TimeoutError, UpstreamError, GatewayError):
            pass  # what was delivered until now is charged, as an estimate if nothing was reported
        finally:
            stream.close()
        measured = talk.meter.measured()
        state = CallState.DONE if measured.complete else CallState.PARTIAL
        await self._close(talk.call, End(state, 499, "client_left", "client_left", _if_any(measured)))

    # --- Ends ---------------------------------------------------------------------------------------------------------

    async def settle(self, call: OpenCall, end: End) -> Closed:
        """Close a call for whoever serves it from outside this file."""
        return await self._close(call, end)

    async def _close(self, call: OpenCall, end: End) -> Closed:
        """Close a call, also when whoever waits for it is cancelled meanwhile."""
        closing = asyncio.ensure_future(self._desk.close(call, end))
        self._lingering.add(closing)
        closing.add_done_callback(self._lingering.discard)
        closed = await asyncio.shield(closing)
        token_plans.note(call, end)
        return closed

    def _linger(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)


# --- Reading what is asked --------------------------------------------------------------------------------------------


def read(asked: Asked) -> Request:
    """Read the body in the words of its door."""
    if asked.front.dialect == "gemini":
        return gemini.read_request(asked.body, model=asked.front.model, stream=asked.front.streamed)
    return DIALECTS[asked.front.dialect].read_request(asked.body)


def plea_of(asked: Asked, request: Request, caller: Caller, offer: Offer, country: str) -> Plea:
    """What is asked for, as far as money is concerned."""
    keep_play_money_in_the_sandbox(caller, offer.servings)
    if request.max_output_tokens is not None and request.max_output_tokens < 1:
        raise InvalidRequest("The output limit must be at least 1.", param="max_tokens")
    if (request.n or 1) > MOST_ANSWERS:
        message = f"One request has at most {MOST_ANSWERS} answers."
        raise InvalidRequest(message, param="n")
    limit = min(request.max_output_tokens or offer.default_output_tokens, offer.max_output_tokens)
    return Plea(
        caller=caller,
        offer=offer,
        endpoint=asked.front.endpoint,
        streamed=request.stream,
        input_bytes=len(asked.body) + _elsewhere(request),
        messages=len(request.messages),
        output_limit=limit,
        answers=request.n or 1,
        service_tier=request.service_tier if request.service_tier not in {None, "auto", "default"} else None,
        max_cost_nano=max_cost(asked.headers.get("x-max-cost")),
        request_id=asked.request_id,
        country=country,
    )


def _elsewhere(request: Request) -> int:
    """What media behind an address may weigh; their bytes are not in the body."""
    weight = 0
    for _, part in parts_of(request):
        if isinstance(part, Image) and part.url:
            weight += IMAGE_ELSEWHERE_BYTES
        elif isinstance(part, File) and (part.url or part.file_id):
            weight += FILE_ELSEWHERE_BYTES
    return weight


def max_cost(written: str | None) -> int | None:
    """The most this call may cost, as its sender says."""
    if written is None:
        return None
    try:
        return parse_usd(written.strip())
    except BadAmount as error:
        message = f"X-Max-Cost: {error}"
        raise InvalidRequest(message) from error


def _meter(call: OpenCall, request: Request, upstream: str) -> Meter:
    bounds = replace(call.plea, output_limit=call.output_limit).bounds(call.opened_at)
    return Meter(dialect=upstream, bounds=bounds, estimate_input=lambda: estimate_input(request))


def _wire(asked: Asked, talk: Conversation, kind: kinds.Kind) -> WireRequest:
    serving, call = talk.serving, talk.call
    limit = call.output_limit
    if talk.passes:
        body = pass_request(
            asked.body, dialect=talk.client, request=talk.request, model=serving.upstream_model, limit=limit
        )
    else:
        request = replace_model(talk.request, serving.upstream_model, limit)
        body = DIALECTS[talk.upstream].write_request(request)
    headers = kinds.headers(kind, talk.upstream, key=serving.secret, client_headers=asked.headers)
    return WireRequest(
        "POST",
        kinds.url(
            kind,
            talk.upstream,
            model=serving.upstream_model,
            stream=talk.request.stream,
            base_url=serving.base_url,
        ),
        headers=tuple(headers.items()),
        body=kinds.outgoing(kind, body),
        provider=serving.provider,
        timeouts=serving.timeouts,
        allow_private=serving.is_private,
    )


def replace_model(request: Request, model: str, limit: int) -> Request:
    """The neutral request as this route is asked."""
    return structs.replace(request, model=model, max_output_tokens=limit)


# --- Writing what is answered -----------------------------------------------------------------------------------------


async def _leaving(
    talk: Conversation,
    pieces: AsyncIterator[bytes],
    decoder: Decoder,
    translation: Translation,
    ready: Sequence[bytes],
    held: list[bytes],
) -> AsyncIterator[bytes]:
    """What may leave at once; what completes the answer is put aside until the charge is committed."""
    for out in ready:
        if talk.is_complete:
            held.append(out)
        elif out:
            yield out
    async for piece in pieces:
        for event in decoder.feed(piece):
            out = translation.translate(event)
            if talk.is_complete:
                held.append(out)
            elif out:
                yield out
        if talk.meter.complete:
            return
    held.append(translation.close())


async def _first_events(pieces: AsyncIterator[bytes], decoder: Decoder) -> list[ServerEvent]:
    async for piece in pieces:
        events = list(decoder.feed(piece))
        if any(event.data for event in events):
            return events
    raise UpstreamTruncated("The provider's answer ended before it began.")


async def _collected(stream: Stream) -> bytes:
    body = b"".join([piece async for piece in stream])
    stream.close()
    return body


def told_headers(call: OpenCall, closed: Closed | None) -> list[tuple[str, str]]:
    """What every answer says of its call: number, granted limit, charge, and what the limits leave."""
    told = [("x-call-id", str(call.id)), ("x-output-limit", str(call.output_limit))]
    if closed is not None:
        told.append(("x-charge-usd", usd_text(closed.charged_nano)))
    for name, window in (
        ("requests", call.admission.requests_window),
        ("tokens", call.admission.tokens_window),
    ):
        if window is not None:
            told += [
                (f"x-ratelimit-limit-{name}", str(window.limit)),
                (f"x-ratelimit-remaining-{name}", str(window.remaining)),
                (f"x-ratelimit-reset-{name}", f"{window.reset_s}s"),
            ]
    return told


# --- Judging ends -----------------------------------------------------------------------------------------------------


def _answered(measured: Measured) -> End:
    """Zero output is free, whatever was read for it."""
    used = _if_any(measured)
    return End(CallState.DONE, 200, "used" if used else "no_output_free", measured=used)


def _broken_off(talk: Conversation, error: GatewayError) -> End:
    """The provider's fault after the answer began: what was delivered is charged, and nothing if that was nothing."""
    used = _if_any(talk.meter.measured())
    return End(CallState.PARTIAL, error.status, "delivered_part" if used else "failed_free", error.code, used)


def _if_any(measured: Measured) -> Measured | None:
    delivered = any(line.bucket.direction == "output" and line.quantity for line in measured.usage.lines)
    return measured if delivered else None


def told_error(error: UpstreamError) -> GatewayError:
    """A failed connection in words for the client."""
    if isinstance(error, TimedOut):
        return UpstreamTimeout("The provider of this model did not answer in time.")
    return UpstreamFailed("The provider of this model could not be reached, or broke off.")


def trouble_of(answer: Answer) -> Trouble:
    """What a refusal says about the health of a route."""
    if answer.meaning in {"credential", "money"}:
        return Trouble.ACCOUNT
    return Trouble.BUSY if answer.meaning in {"rate", "busy"} else Trouble.BROKEN
