"""The story of one call, from its first byte to its last.

Promise: nothing is sent upstream without a committed hold; until the first event of an answer has come, a failure is
noted and the next route is tried; after it, the answer is this one, whatever becomes of it. However a call ends, it is
closed: by its last event, by a failure told in the client's own dialect, or, when the client has left, by hearing the
provider out in the background for as long as its bounds allow. The last byte leaves after the charge is committed.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from django.conf import settings
from msgspec import structs

from billing.money import BadAmount, parse_usd, usd_text
from gateway import alarms, doorway, idempotency, kinds, limits, policy, routing, searching, token_plans
from gateway.callers import Caller, Callers, ViewIsStale, keep_play_money_in_the_sandbox
from gateway.calls import ABANDONED, BROKEN, Desk
from gateway.catalog import Offer, Priced, Serving, Shelf
from gateway.dialects import DIALECTS, gemini
from gateway.dialects.neutral import File, Image, Request, parts_of
from gateway.dialects.passing import pass_request
from gateway.dialects.sse import Decoder, ServerEvent
from gateway.doorway import Asked, Reply
from gateway.ends import Ends
from gateway.errors import (
    ELSEWHERE,
    Answer,
    GatewayError,
    InvalidRequest,
    Unavailable,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamTruncated,
    for_client,
)
from gateway.fair_billing import Rule
from gateway.health import Health, Trouble
from gateway.metering import Meter, estimate_input
from gateway.models.calls import CallState
from gateway.moderating import Guard
from gateway.records import Closed, End, OpenCall, Plea
from gateway.running import Running
from gateway.streaming import Arrival, StreamedAnswer, answered, told_error
from gateway.translation import Conversation, PassedOn, Rewritten, Translation, whole
from gateway.upstream import Request as WireRequest
from gateway.upstream import Stream, Transport, UpstreamError

PAUSE_S = 0.05, 0.25  # before the same route is asked again
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
    """One route did not answer; another may, and where it came to nothing at all, even the same one."""

    def __init__(self, error: GatewayError, trouble: Trouble = Trouble.BROKEN, *, may_again: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.trouble, self.may_again = error, trouble, may_again


class Corridor:
    """What every call of a process walks through."""

    def __init__(
        self, *, shelf: Shelf, callers: Callers, desk: Desk, health: Health, transport: Transport, running: Running
    ) -> None:
        self._shelf, self._callers, self._desk = shelf, callers, desk
        self._health, self._transport = health, transport
        self._running, self._ends = running, Ends(desk)
        self.guard = Guard(shelf=shelf, transport=transport)

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
            claim = idempotency.read(asked, caller=caller, streamed=request.stream)
            try:
                if claim is not None and (before := await idempotency.first(claim)) is not None:
                    return idempotency.again(before)
                offer = picture.offer(
                    request.model, storefront=caller.storefront, allowed=caller.allowed_models, plan=caller.plan
                )
                doorway.check_purpose(asked.front, offer)
                offer = searching.sold(request, offer, caller, picture)
                plea = plea_of(asked, request, caller, offer, visitor.country, claim)
                plea = await self.guard.passed(plea, partial(policy.texts_of, request))
                return await self.serve(asked, plea, partial(self._try, asked, request))
            except ViewIsStale:
                self._callers.forget(visitor.secret)
            except idempotency.Taken:
                continue
        raise Unavailable("This key's settings are changing; try again in a moment.", retry_after_s=1)

    async def settle(self, call: OpenCall, end: End) -> Closed:
        """Close a call for whoever serves it from outside this file."""
        return await self._ends.close(call, end)

    async def close(self) -> None:
        """Wait for the calls whose clients have left."""
        await self._ends.wait()

    # --- Routes -------------------------------------------------------------------------------------------------------

    async def serve(self, asked: Asked, plea: Plea, attempt: Attempt) -> Reply:
        """Hold the money, try the routes in their order, and close what none of them answered."""
        order = self._order(plea.offer, asked.body)
        first = plea.offer.serving(order[0])
        call = await self._desk.open(plea, self._price(plea, first), first)
        asking = asyncio.get_running_loop().create_task(self._ask(call, order, attempt))
        try:
            return await self._ends.outlived(asking)
        except asyncio.CancelledError:
            call.client_left = True
            self._ends.linger(self._hear_out(asking, first.drain_s))
            raise

    def _price(self, plea: Plea, serving: Serving) -> Priced:
        caller = plea.caller
        return self._shelf.picture.price(plea.offer, serving, storefront=caller.storefront, plan=caller.plan)

    async def _ask(self, call: OpenCall, order: Sequence[int], attempt: Attempt) -> Reply:
        """Ask one route after the other; a call that nobody answers is closed here, and free."""
        error: GatewayError = Unavailable("No route to this model could be tried.")
        try:
            groups = [call.plea.offer.serving(route).group for route in order]
            tries = routing.Tries(order, groups, most=settings.UPSTREAM_TRIES)
            for number, route in enumerate(tries):
                serving = call.plea.offer.serving(route)
                if number:
                    await self._again(call, serving, pause=tries.is_repeat)
                try:
                    return await attempt(call, serving)
                except TryNext as failed:
                    error = failed.error
                    tries.failed(failed.trouble, may_again=failed.may_again)
                if call.client_left:
                    break
        except GatewayError as failed_for_good:
            error = failed_for_good
        except BaseException:
            self._ends.linger(self._ends.close(call, ABANDONED if call.client_left else BROKEN))
            raise
        end = ABANDONED if call.client_left else End(CallState.FAILED, error.status, Rule.FAILED_FREE, error.code)
        await self._ends.close(call, end)
        raise error

    async def _again(self, call: OpenCall, serving: Serving, *, pause: bool) -> None:
        """A further attempt leaves, with the cost of its own route."""
        if pause:
            await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - spreads repeats, guards nothing
        await self._desk.depart_again(call, serving, self._price(call.plea, serving))

    async def _hear_out(self, asking: "asyncio.Future[Reply]", patience_s: float) -> None:
        """The client left before its answer began: what still comes in time is charged, the rest is cut off, free."""
        try:
            reply = await asyncio.wait_for(asking, 0 if self._ends.is_crowded else patience_s)
        except (TimeoutError, asyncio.CancelledError, GatewayError):
            return
        if isinstance(reply.body, StreamedAnswer):
            await reply.body.aclose()

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
        call.tries[-1].meter = talk.meter
        self._health.began(serving.route, now=time.monotonic())
        try:
            if request.stream:
                return await self._streamed(talk, wire)
            return await self._whole(talk, wire)
        except UpstreamError as error:
            call.tries[-1].error = type(error).__name__
            call.tries[-1].is_unknown = error.sent
            self._note(serving, Trouble.BROKEN)
            raise TryNext(told_error(error), may_again=not error.sent) from error

    def _note(self, serving: Serving, trouble: Trouble, retry_after_s: float | None = None) -> None:
        self._health.failed(serving.route, now=time.monotonic(), trouble=trouble, retry_after_s=retry_after_s)

    def _worked(self, talk: Conversation) -> None:
        attempt = talk.call.tries[-1]
        attempt.first_byte_ms = int((time.monotonic() - attempt.started) * 1000)
        talk.call.first_byte_ms = int((time.monotonic() - talk.call.started) * 1000)
        self._health.worked(talk.serving.route, now=time.monotonic(), first_byte_ms=attempt.first_byte_ms)

    def _refused(self, talk: Conversation, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """Read what the provider refused with; what another route may mend is ``TryNext``."""
        told = body.replace(talk.serving.secret.encode(), b"[our key]")  # some providers say back what they refuse
        answer = DIALECTS[talk.upstream].read_error(status, headers, told)
        talk.call.tries[-1].status, talk.call.tries[-1].error = status, answer.meaning
        if b'"usage' in body:
            talk.meter.watch(body)  # some count what they refuse, and we pay it
        if answer.meaning in ELSEWHERE:
            trouble = trouble_of(answer)
            self._note(talk.serving, trouble, answer.retry_after_s)
            if trouble is Trouble.ACCOUNT:
                alarms.raised("account", f"{talk.serving.provider} refuses our key or our credit ({status}).")
            raise TryNext(for_client(answer), trouble, may_again=answer.meaning == "failed")
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
        end = answered(measured, client_left=talk.call.client_left, body=body)
        closed = await self._ends.close(talk.call, end)
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
        arrival = Arrival(stream, pieces, decoder, translation, ready)
        body = StreamedAnswer(talk, arrival, desk=self._desk, ends=self._ends, running=self._running)
        return Reply(200, (*SSE, *told_headers(talk.call, None)), body)


# --- Reading what is asked --------------------------------------------------------------------------------------------


def read(asked: Asked) -> Request:
    """Read the body in the words of its door."""
    if asked.front.dialect == "gemini":
        return gemini.read_request(asked.body, model=asked.front.model, stream=asked.front.streamed)
    return DIALECTS[asked.front.dialect].read_request(asked.body)


def plea_of(
    asked: Asked, request: Request, caller: Caller, offer: Offer, country: str, claim: idempotency.Claim | None
) -> Plea:
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
        claim=claim,
        lines=searching.held(request),
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
    return Meter(dialect=upstream, bounds=call.bounds_now(), estimate_input=partial(estimate_input, request))


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
    told += limits.told(call.admission)
    return told


def trouble_of(answer: Answer) -> Trouble:
    """What a refusal says about the health of a route."""
    if answer.meaning in {"credential", "money"}:
        return Trouble.ACCOUNT
    return Trouble.BUSY if answer.meaning in {"rate", "busy"} else Trouble.BROKEN
