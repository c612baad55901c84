"""Circumstances: what a price depends on besides usage and rates."""

from dataclasses import dataclass
from datetime import UTC, datetime

from billing.pricing.modifiers import NO_MODIFIERS, Modifiers
from billing.pricing.reading import MAX_QUANTITY, Fields, Malformed


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The moment, the service tier and the modifiers of one request.

    `context_tokens` is the whole request's input when only a part of it is priced; `with_minimum` is off where a
    part of a request is compared with the whole.
    """

    at: datetime | None = None
    service_tier: str | None = None
    modifiers: Modifiers = NO_MODIFIERS
    context_tokens: int | None = None
    with_minimum: bool = True

    @classmethod
    def from_json(cls, source: object) -> "Circumstances":
        """Read circumstances, strictly."""
        fields = Fields(source, where="circumstances")
        circumstances = cls(
            at=fields.optional("at", lambda name: read_time(fields.take(name), where=f"circumstances: {name!r}")),
            service_tier=fields.optional("service_tier", fields.text),
            modifiers=Modifiers.from_json(fields.take("modifiers") if fields.has("modifiers") else {}),
            context_tokens=fields.optional("context_tokens", lambda name: fields.integer(name, most=MAX_QUANTITY**2)),
            with_minimum=not fields.flag("without_minimum"),
        )
        fields.done()
        return circumstances

    def to_json(self) -> dict[str, object]:
        """Write what differs from plain circumstances."""
        written: dict[str, object] = {}
        if self.at is not None:
            written["at"] = self.at.astimezone(UTC).isoformat()
        if self.service_tier is not None:
            written["service_tier"] = self.service_tier
        if self.modifiers != NO_MODIFIERS:
            written["modifiers"] = self.modifiers.to_json()
        if self.context_tokens is not None:
            written["context_tokens"] = self.context_tokens
        if not self.with_minimum:
            written["without_minimum"] = True
        return written


PLAIN = Circumstances()


def read_time(value: object, *, where: str) -> datetime:
    """Read a moment such as 2026-11-21T08:30:00Z; one without its zone is refused."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        msg = f"{where} must be a time with its zone, such as 2026-11-21T08:30:00Z."
        raise Malformed(msg)
    return moment
