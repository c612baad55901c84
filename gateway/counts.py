"""Counting tokens before a call, free by a rule that is written down here.

Promise: a provider that counts for nothing is asked through the corridor like for any call, with a hold of nothing and
a row that names the rule; a model whose provider does not count is estimated here and never leaves the house, and the
answer says so in a header.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from gateway import doorway, kinds
from gateway.asking import Asking
from gateway.callers import Caller, Callers
from gateway.catalog import Offer, Picture, Serving, Shelf
from gateway.dialects import anthropic_messages, gemini
from gateway.dialects.neutral import Json, Request
from gateway.dialects.passing import rewritten
from gateway.dialects.reading import members, reply_members, written
from gateway.doorway import Asked, Reply, Visitor
from gateway.entrance import read_anew, served
from gateway.fair_billing import Rule
from gateway.metering import estimate_input
from gateway.models.calls import CallState
from gateway.records import End, OpenCall, Plea
from gateway.relay import JSON, Corridor, told_headers

INNER = ("generateContentRequest", "generate_content_request")


class Counts:
    """Answers how many tokens a request would have."""

    def __init__(self, *, shelf: Shelf, callers: Callers, corridor: Corridor, asking: Asking) -> None:
        self._shelf, self._callers = shelf, callers
        self._corridor, self._asking = corridor, asking

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, or raise a ``GatewayError``."""
        picture = self._shelf.picture
        visitor = doorway.enter(asked, picture)
        request = read(asked)
        return await served(self._callers, visitor, partial(self._serve, asked, request, visitor, picture))

    async def _serve(self, asked: Asked, request: Request, visitor: Visitor, picture: Picture, caller: Caller) -> Reply:
        offer = picture.offer(request.model, storefront=caller.storefront, allowed=caller.allowed_models)
        doorway.check_purpose(asked.front, offer)
        counting = tuple(one for one in offer.servings if asked.front.way in kinds.KINDS[one.kind].speaks)
        if not counting:
            await read_anew(self._callers, visitor)  # nothing is reserved, so nobody else would say that the key ended
            return _estimated(asked, request)
        plea = _plea(asked, caller, offer, counting, visitor.country)
        return await self._corridor.serve(asked, plea, partial(self._ask, asked))

    async def _ask(self, asked: Asked, call: OpenCall, serving: Serving) -> Reply:
        question = _for_provider(asked, serving.upstream_model)
        answer = await self._asking.ask(asked, call, serving, way=asked.front.way, body=question)
        with self._asking.reading(serving):
            told = reply_members(answer.body)
        # A count has no usage; what a provider says beside it of its prices is nobody's business.
        body = (
            written({name: said for name, said in told.items() if name != "usage"}) if "usage" in told else answer.body
        )
        self._asking.worked(call, serving)
        closed = await self._corridor.settle(call, End(CallState.DONE, 200, Rule.COUNTING_IS_FREE))
        return Reply(200, (JSON, *told_headers(call, closed)), body)


def read(asked: Asked) -> Request:
    """Read the body in the words of its door."""
    if asked.front.dialect == "gemini":
        return gemini.read_count_request(asked.body, model=asked.front.model)
    return anthropic_messages.read_count_request(asked.body)


def _plea(asked: Asked, caller: Caller, offer: Offer, counting: tuple[Serving, ...], country: str) -> Plea:
    return Plea(
        caller=caller,
        offer=replace(offer, servings=counting),
        endpoint=asked.front.endpoint,
        streamed=False,
        input_bytes=0,  # nothing is used up, so nothing counts against the limits on tokens
        messages=0,
        output_limit=0,
        request_id=asked.request_id,
        country=country,
        free_rule=Rule.COUNTING_IS_FREE,  # Anthropic and Google charge nothing for it, so neither do we
    )


def _for_provider(asked: Asked, model: str) -> bytes:
    if asked.front.dialect != "gemini":
        return rewritten(asked.body, {"model": model})
    source = members(asked.body)
    inner: Json = {
        name: source[name] | {"model": f"models/{model}"} for name in INNER if type(source.get(name)) is dict
    }
    return rewritten(asked.body, inner) if inner else asked.body


def _estimated(asked: Asked, request: Request) -> Reply:
    tokens = estimate_input(request)
    answer: dict[str, Any] = {"totalTokens": tokens} if asked.front.dialect == "gemini" else {"input_tokens": tokens}
    return Reply(200, (JSON, ("x-token-count", "estimated")), written(answer))
