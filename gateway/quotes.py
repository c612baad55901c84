"""What a call would cost, before it is made: ``POST /v1/quote`` with the very body, and nothing is ever sent.

Promise: a quote is read, priced and bounded by the same functions as the call itself, so the worst case is the hold
that call would ask for. ``?for=`` names the path the body is meant for (a chat by default), Gemini's with its model.
A quote counts as a request, without tokens, against the limits of its key and organization. The likely price takes our
estimate of the question and an answer of usual length; it promises nothing.
"""

from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from msgspec import structs

from billing.money import usd_text
from billing.pricing import Bucket, Circumstances, OutOfRange, Unpriced, Usage, charge
from gateway import counts, doorway, limits, oneshots, pace, relay, searching
from gateway.callers import Caller, Callers
from gateway.catalog import Picture, Priced, Shelf
from gateway.dialects.reading import written
from gateway.doorway import Asked, Reply, front_for
from gateway.entrance import read_anew
from gateway.errors import InvalidRequest
from gateway.fair_billing import Rule
from gateway.limits import Limiter
from gateway.metering import estimate_input
from gateway.records import Plea
from gateway.relay import JSON

USUAL_ANSWER_TOKENS = 400  # about a page; reasoning models say more, and the worst case bounds them all
CHAT = "/v1/chat/completions"


class Quotes:
    """Answers what a call would cost."""

    def __init__(self, *, shelf: Shelf, callers: Callers, limiter: Limiter) -> None:
        self._shelf, self._callers, self._limiter = shelf, callers, limiter

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, or raise a ``GatewayError``."""
        picture = self._shelf.picture
        visitor = doorway.enter(asked, picture)
        meant = meant_by(asked)
        caller = await read_anew(self._callers, visitor)
        admission = await pace.passed(self._limiter, caller, call=f"quote {token_hex(8)}", tokens=0)
        try:
            told = _quote(meant, caller, picture, asked.query.get("for", CHAT))
        finally:
            await self._limiter.settle(admission, tokens=0)
        return Reply(200, (JSON, *limits.told(admission)), written(told))


def meant_by(asked: Asked) -> Asked:
    """The request that is to be priced."""
    path = asked.query.get("for", CHAT)
    front = front_for(path)
    if front is None or front.work == "quote":
        message = f"'for' must be the path of an endpoint that answers, such as {CHAT}."
        raise InvalidRequest(message, param="for")
    return structs.replace(asked, front=front)


def _quote(meant: Asked, caller: Caller, picture: Picture, path: str) -> dict[str, Any]:
    if meant.front.work == "count":
        request = counts.read(meant)
        offer = picture.offer(request.model, storefront=caller.storefront, allowed=caller.allowed_models)
        return _told(path, offer.slug, 0, 0) | {"rule": Rule.COUNTING_IS_FREE.value}
    if meant.front.work == "once":
        once = oneshots.read(meant)
        plea, priced = oneshots.plea_of(meant, once, caller, picture, "")
        tokens = oneshots.estimated_tokens(once) if plea.input_bytes else 0
        searches = [(line.bucket, line.quantity) for line in plea.lines]
        likely = _likely(plea, priced, [(Bucket("input"), tokens), *searches])
        return _told(path, plea.offer.slug, oneshots.most_nano(plea, priced), likely) | {
            "likely_usage": {"input_tokens": tokens, "output_tokens": 0}
        }
    return _talk(meant, caller, picture, path)


def _talk(meant: Asked, caller: Caller, picture: Picture, path: str) -> dict[str, Any]:
    request = relay.read(meant)
    offer = picture.offer(request.model, storefront=caller.storefront, allowed=caller.allowed_models)
    doorway.check_purpose(meant.front, offer)
    offer = searching.sold(request, offer, caller, picture)
    plea = relay.plea_of(meant, request, caller, offer, "", None)
    priced = picture.price(offer, offer.servings[0], storefront=caller.storefront, plan=caller.plan)
    given = min(estimate_input(request), plea.bounds(datetime.now(UTC)).input_tokens)
    made = min(USUAL_ANSWER_TOKENS, plea.output_limit) * plea.answers
    likely = _likely(plea, priced, [(Bucket("input"), given), (Bucket("output"), made)])
    return _told(path, offer.slug, oneshots.most_nano(plea, priced), likely) | {
        "max_output_tokens": plea.output_limit,
        "likely_usage": {"input_tokens": given, "output_tokens": made},
    }


def _told(path: str, model: str, worst_nano: int, likely_nano: int) -> dict[str, Any]:
    return {
        "object": "quote",
        "for": path,
        "model": model,
        "currency": "USD",
        "worst_case_usd": usd_text(worst_nano),
        "likely_usd": usd_text(min(likely_nano, worst_nano)),
    }


def _likely(plea: Plea, priced: Priced, quantities: list[tuple[Bucket, int]]) -> int:
    circumstances = Circumstances(at=datetime.now(UTC), service_tier=plea.service_tier, modifiers=plea.caller.modifiers)
    usage = Usage.of((bucket, quantity) for bucket, quantity in quantities if quantity)
    try:
        return charge(usage=usage, rates=priced.rates, circumstances=circumstances).charge_nano
    except (Unpriced, OutOfRange) as error:
        message = "This has no price here; ask for it in another way."
        raise InvalidRequest(message, param="model") from error
