"""A streamed answer on its way to the client, from its first event to its settlement.

Promise: events pass as they come; the one that completes the answer leaves after the charge is committed. A long answer
holds more as it goes. However it ends (the provider breaks off, the credit does, the key is revoked, the client leaves
before, during or after, or never begins to read) the call is closed once, and a client that still listens is told in
its own dialect.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from gateway.calls import STEP_OUTPUT, Desk
from gateway.dialects import DIALECTS
from gateway.dialects.sse import Decoder, ServerEvent
from gateway.ends import Ends
from gateway.errors import (
    GatewayError,
    KeyRefused,
    NotAllowed,
    PaymentRequired,
    Unavailable,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamTruncated,
)
from gateway.fair_billing import Rule
from gateway.metering import Measured
from gateway.models.calls import CallState
from gateway.records import End
from gateway.running import Running
from gateway.translation import Conversation, Translation, heading
from gateway.upstream import Stream, TimedOut, UpstreamError

EARLY_OUTPUT = STEP_OUTPUT // 4  # so long before the hold is used up more is asked for


@dataclass(frozen=True, slots=True)
class Arrival:
    """A stream whose first event has come: its bytes, what reads and rewrites them, and what is ready to leave."""

    stream: Stream
    pieces: AsyncIterator[bytes]
    decoder: Decoder
    translation: Translation
    ready: Sequence[bytes]


class StreamedAnswer:
    """The body of one streamed answer; the door reads it once and closes it."""

    def __init__(self, talk: Conversation, arrival: Arrival, *, desk: Desk, ends: Ends, running: Running) -> None:
        self.call = talk.call
        self.is_read = False
        self._talk, self._arrival = talk, arrival
        self._desk, self._ends, self._running = desk, ends, running
        self._held: list[bytes] = []
        self._at_hand: Iterator[ServerEvent] = iter(())  # of the piece that came last, what was not looked at yet
        self._is_over = False
        self._look_at = self._next_look()
        self._telling = self._events()
        running.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self.is_read = True
        return await self._telling.__anext__()

    async def aclose(self) -> None:
        """The reader reads no more; what it did not read is heard out."""
        if self.is_read:
            await self._telling.aclose()
        else:
            self.abandon()

    # --- What happens to it from outside ------------------------------------------------------------------------------

    def stop(self, error: GatewayError) -> None:
        """End it now, with this error."""
        if not self._is_over:
            self.call.stopped = error
            self._arrival.stream.close()

    def abandon(self) -> None:
        """Nobody reads it; go on as if the client had left."""
        if not self._is_over:
            self._is_over = True
            self._ends.linger(self._listen_on())

    def give_up(self) -> None:
        """It lasts too long; close its call on what was delivered."""
        self.stop(Unavailable("This answer lasted longer than any may."))
        self._running.discard(self)
        measured = if_any(self._talk.meter.measured())
        end = End(CallState.PARTIAL, 504, Rule.TIME_ENDED, "time_ended", measured)
        self._ends.linger(self._ends.close(self.call, end))

    # --- Its course ---------------------------------------------------------------------------------------------------

    async def _events(self) -> AsyncGenerator[bytes, None]:
        talk = self._talk
        try:
            async for out in self._leaving():
                yield out
            for out in await self._finished():
                yield out
            self._is_over = True
        except (UpstreamError, GatewayError) as error:
            told = self.call.stopped or (told_error(error) if isinstance(error, UpstreamError) else error)
            if not self._is_over:
                self._is_over = True
                await self._ends.close(self.call, self._broken_off(told))
            yield DIALECTS[talk.client].EventWriter(heading(talk)).fail(told)
        finally:
            if self._is_over:
                self._arrival.stream.close()
                self._running.discard(self)
            else:
                self.abandon()

    async def _leaving(self) -> AsyncIterator[bytes]:
        """What may leave at once; what completes the answer is put aside until the charge is committed."""
        talk, held, decoder = self._talk, self._held, self._arrival.decoder
        translate = self._arrival.translation.translate
        for out in self._arrival.ready:
            if talk.is_complete:
                held.append(out)
            elif out:
                yield out
        await self._reach()
        async for piece in self._arrival.pieces:
            self._at_hand = iter(decoder.feed(piece))
            for event in self._at_hand:
                out = translate(event)
                if talk.is_complete:
                    held.append(out)
                elif out:
                    yield out
                await self._reach()  # after each, so that no more than one event is given beyond the hold
            if talk.meter.complete:
                return
        held.append(self._arrival.translation.close())

    async def _reach(self) -> None:
        """Hold more before what is held is used up; end the answer where no more is to be had."""
        call, talk = self.call, self._talk
        if call.covered_output >= call.output_limit or talk.is_complete:
            return
        said = talk.meter.estimated_output
        if said < self._look_at:
            return
        covered = call.covered_output * call.plea.answers
        try:
            await self._desk.extend(call)
        except GatewayError:
            if said >= covered:
                raise
            self._look_at = covered  # once more, when what is held is really used up
        else:
            self._look_at = self._next_look()

    def _next_look(self) -> int:
        return (self.call.covered_output - EARLY_OUTPUT) * self.call.plea.answers

    async def _finished(self) -> list[bytes]:
        """The bytes have ended: settle, and say so if the provider never did."""
        talk = self._talk
        if talk.is_complete and not talk.meter.failed:
            await self._ends.close(self.call, answered(talk.meter.measured()))
            return [out for out in self._held if out]
        if self.call.stopped is not None:
            raise self.call.stopped
        error = UpstreamTruncated("The provider's answer stopped before its end.")
        await self._ends.close(self.call, self._broken_off(error))
        return [*self._held, DIALECTS[talk.client].EventWriter(heading(talk)).fail(error)]

    async def _listen_on(self) -> None:
        """The client has left: hear the provider out within its bounds, so that the charge is exact."""
        talk, arrival = self._talk, self._arrival
        left = 0 if self._ends.is_crowded else talk.serving.drain_bytes
        try:
            for event in self._at_hand:
                arrival.translation.translate(event)
            async with asyncio.timeout(talk.serving.drain_s):
                while left > 0 and not talk.meter.complete:
                    piece = await anext(arrival.pieces)
                    left -= len(piece)
                    for event in arrival.decoder.feed(piece):
                        arrival.translation.translate(event)
        except (StopAsyncIteration, TimeoutError, UpstreamError, GatewayError):
            pass  # what was delivered until now is charged, as an estimate if nothing was reported
        finally:
            arrival.stream.close()
            self._running.discard(self)
        measured = talk.meter.measured()
        state = CallState.DONE if measured.complete else CallState.PARTIAL
        await self._ends.close(self.call, End(state, 499, Rule.CLIENT_LEFT, "client_left", if_any(measured)))

    def _broken_off(self, error: GatewayError) -> End:
        """It ended after it began: what was delivered is charged, and nothing if that was nothing."""
        used = if_any(self._talk.meter.measured())
        match error:
            case PaymentRequired():
                rule = Rule.CREDIT_ENDED
            case KeyRefused() | NotAllowed() if error is self.call.stopped:
                rule = Rule.ACCESS_ENDED
            case _ if used is None:
                rule = Rule.FAILED_FREE
            case _:
                rule = Rule.DELIVERED_PART
        return End(CallState.PARTIAL, error.status, rule, error.code, used)


# --- Judging ends -----------------------------------------------------------------------------------------------------


def answered(measured: Measured, *, client_left: bool = False, body: bytes | None = None) -> End:
    """An answer that came to its end. Zero output is free, whatever was read for it."""
    used = if_any(measured)
    if client_left:
        return End(CallState.DONE, 499, Rule.CLIENT_LEFT, "client_left", used)
    return End(CallState.DONE, 200, Rule.USED if used else Rule.NO_OUTPUT_FREE, measured=used, answer=body)


def if_any(measured: Measured) -> Measured | None:
    """What was used, unless nothing was answered."""
    delivered = any(line.bucket.direction == "output" and line.quantity for line in measured.usage.lines)
    return measured if delivered else None


def told_error(error: UpstreamError) -> GatewayError:
    """A failure of the wire, in words for the client."""
    if isinstance(error, TimedOut):
        return UpstreamTimeout("The provider of this model did not answer in time.")
    return UpstreamFailed("The provider of this model could not be reached, or broke off.")
