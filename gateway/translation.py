"""From the provider's bytes to the client's: untouched where both speak the same dialect, else by the neutral form.

Promise: the meter sees every event exactly once on its way, whichever way it goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.catalog import Serving
from gateway.dialects import DIALECTS
from gateway.dialects.heading import Heading
from gateway.dialects.neutral import Event, Request
from gateway.dialects.passing import Passer, pass_reply
from gateway.dialects.sse import ServerEvent
from gateway.metering import Meter
from gateway.records import OpenCall


@dataclass(slots=True)
class Conversation:
    """One call on one route, with what watches and rewrites it."""

    call: OpenCall
    serving: Serving
    request: Request
    client: str
    upstream: str
    meter: Meter

    @property
    def passes(self) -> bool:
        """Both sides speak the same dialect, so bytes pass untouched."""
        return self.client == self.upstream

    @property
    def is_complete(self) -> bool:
        """The answer has said its end; Gemini has no mark for it but the reason to stop."""
        return self.meter.complete or (self.upstream == "gemini" and self.meter.finish is not None)

    @property
    def name(self) -> str:
        """The public name of the model."""
        return self.call.plea.offer.slug


class PassedOn:
    """Events that keep their bytes; the meter watches on the way."""

    def __init__(self, talk: Conversation) -> None:
        self._watch = talk.meter.watch
        self._passer = Passer(dialect=talk.client, model=talk.name, wants_usage=talk.request.wants_usage)

    def translate(self, event: ServerEvent) -> bytes:
        """One event of the provider, for the client."""
        self._watch(event.data)
        return self._passer.pass_on(event)

    def close(self) -> bytes:
        """The bytes have ended; nothing is kept back."""
        return b""


class Rewritten:
    """Events that change their dialect by way of the neutral form."""

    def __init__(self, talk: Conversation) -> None:
        self._meter = talk.meter
        self._reader = DIALECTS[talk.upstream].EventReader()
        self._writer = DIALECTS[talk.client].EventWriter(heading(talk))

    def translate(self, event: ServerEvent) -> bytes:
        """One event of the provider, for the client."""
        return self._written(self._reader.read(event))

    def close(self) -> bytes:
        """The bytes have ended, which ends an answer in a dialect that has no mark for it."""
        return self._written(self._reader.close())

    def _written(self, told: Sequence[Event]) -> bytes:
        for one in told:
            self._meter.note(one)
        return b"".join(self._writer.write(one) for one in told)


Translation = PassedOn | Rewritten


def heading(talk: Conversation) -> Heading:
    """How an answer that we write is announced."""
    created = int(talk.call.opened_at.timestamp())
    return Heading(model=talk.name, created=created, wants_usage=talk.request.wants_usage)


def whole(talk: Conversation, body: bytes) -> bytes:
    """A whole answer of the provider, for the client."""
    if talk.passes:
        return pass_reply(body, model=talk.name)
    return DIALECTS[talk.client].write_reply(DIALECTS[talk.upstream].read_reply(body), heading(talk))
