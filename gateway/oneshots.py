"""One question, one answer: embeddings, moderations and rerank, from the hold to the charge.

Promise: like every call these are held before they leave and charged before the answer does, by the same corridor; what
they cost lies in the question, so an answer is charged in full or, when it never came, not at all. A provider that
reports nothing is charged by estimate, and one that reports more than was asked is not believed.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from msgspec import structs

from billing.money import dollars
from billing.pricing import Bucket, Line, OutOfRange, Usage, ceiling
from gateway import doorway, idempotency, kinds
from gateway.asking import Asking
from gateway.callers import Caller, Callers, keep_play_money_in_the_sandbox
from gateway.catalog import Offer, Picture, Priced, Serving, Shelf
from gateway.charging import has_price
from gateway.dialects import gemini, oneshot
from gateway.dialects.neutral import Tally
from gateway.dialects.oneshot import ONE_SHOTS, OneShot
from gateway.dialects.passing import pass_reply
from gateway.dialects.reading import reply_members
from gateway.doorway import Asked, Front, Reply, Visitor
from gateway.entrance import served
from gateway.errors import InvalidRequest, ModelNotFound, TooLarge
from gateway.fair_billing import Rule
from gateway.metering import TOKENS_IN_A_PICTURE, Measured, estimate_text, partition
from gateway.models.calls import CallState
from gateway.records import End, OpenCall, Plea
from gateway.relay import FILE_ELSEWHERE_BYTES, JSON, Corridor, max_cost, told_headers

TOKENS = Bucket("input")
SEARCHES = Bucket("input", "search", "none", "search")
DOCUMENTS_IN_A_SEARCH = 100
BYTES_IN_A_DOCUMENT = 500  # a longer one is cut by the provider, and each piece counts; a token has a byte at least


@dataclass(frozen=True, slots=True)
class Counted:
    """Which of the two ways to count a question has a price here: tokens, searches or both."""

    tokens: bool
    searches: bool


class OneShots:
    """Answers what is no conversation."""

    def __init__(self, *, shelf: Shelf, callers: Callers, corridor: Corridor, asking: Asking) -> None:
        self._shelf, self._callers = shelf, callers
        self._corridor, self._asking = corridor, asking

    async def answer(self, asked: Asked) -> Reply:
        """Answer one request, or raise a ``GatewayError``."""
        picture = self._shelf.picture
        visitor = doorway.enter(asked, picture)
        request = read(asked)
        return await served(self._callers, visitor, partial(self._serve, asked, request, visitor, picture))

    async def _serve(self, asked: Asked, request: OneShot, visitor: Visitor, picture: Picture, caller: Caller) -> Reply:
        claim = idempotency.read(asked, caller=caller, streamed=False)
        if claim is not None and (before := await idempotency.first(claim)) is not None:
            return idempotency.again(before)
        plea, priced = plea_of(asked, request, caller, picture, visitor.country)
        plea = structs.replace(plea, claim=claim) if claim is not None else plea
        plea = await self._corridor.guard.passed(plea, lambda: request.texts)
        most = most_nano(plea, priced)
        if plea.max_cost_nano is not None and most > plea.max_cost_nano:
            message = f"This can cost up to {dollars(most)}, which is over your X-Max-Cost, and it cannot be shortened."
            raise InvalidRequest(message)
        counted = counted_by(priced)
        return await self._corridor.serve(asked, plea, partial(self._ask, asked, request, counted))

    async def _ask(self, asked: Asked, request: OneShot, counted: Counted, call: OpenCall, serving: Serving) -> Reply:
        """Ask one route; the answer and its charge, or ``TryNext``."""
        way = asked.front.way
        body = oneshot.write_request(way, asked.body, model=serving.upstream_model)
        answer = await self._asking.ask(asked, call, serving, way=way, body=body)
        with self._asking.reading(serving):
            told = pass_reply(answer.body, model=call.plea.offer.slug)
            measured = _measured(_tally(answer.body), request, call.plea, counted)
        self._asking.worked(call, serving)
        closed = await self._corridor.settle(call, End(CallState.DONE, 200, Rule.USED, measured=measured, answer=told))
        return Reply(200, (JSON, *told_headers(call, closed)), told)


# --- What is asked ----------------------------------------------------------------------------------------------------


def read(asked: Asked) -> OneShot:
    """Read the body in the words of its door."""
    return oneshot.read_request(asked.front.way, asked.body, model=asked.front.model)


def plea_of(asked: Asked, request: OneShot, caller: Caller, picture: Picture, country: str) -> tuple[Plea, Priced]:
    """What is asked for, as far as money is concerned, and what prices it."""
    offer = _offer(asked.front, request, caller, picture)
    keep_play_money_in_the_sandbox(caller, offer.servings)
    offer, priced = _priced_alike(offer, caller, picture)
    counted = counted_by(priced)
    searches = _most_searches(request) if asked.front.endpoint == "rerank" else 0
    plea = Plea(
        caller=caller,
        offer=offer,
        endpoint=asked.front.endpoint,
        streamed=False,
        input_bytes=_most_bytes(asked, request) if counted.tokens else 0,
        messages=len(request.texts) if counted.tokens else 0,
        output_limit=0,
        max_cost_nano=max_cost(asked.headers.get("x-max-cost")),
        request_id=asked.request_id,
        country=country,
        lines=(Line(SEARCHES, searches),) if counted.searches and searches else (),
    )
    return plea, priced


def most_nano(plea: Plea, priced: Priced) -> int:
    """The most this can cost."""
    try:
        return ceiling(bounds=plea.bounds(datetime.now(UTC)), rates=priced.rates, modifiers=plea.caller.modifiers)
    except OutOfRange as error:
        raise TooLarge("No account could hold what this could cost; ask for less.") from error


def estimated_tokens(request: OneShot) -> int:
    """The tokens of a question, for when nobody says."""
    question = estimate_text(request.texts[:1]) * max(0, len(request.texts) - 2) if request.documents else 0
    return estimate_text(request.texts) + question + request.token_ids + request.pictures * TOKENS_IN_A_PICTURE


def _offer(front: Front, request: OneShot, caller: Caller, picture: Picture) -> Offer:
    """The model of that name that answers here; who names none gets the shop's own for the purpose."""
    allowed = caller.allowed_models
    if request.model == ONE_SHOTS[front.way].default_model and request.model not in picture.offers:
        listed = picture.listed(storefront=caller.storefront, plan=caller.plan, allowed=allowed)
        offers = sorted((offer for offer in listed if offer.purpose == front.purpose), key=lambda offer: offer.slug)
        if offers:
            request = replace_model(request, offers[0].slug)
    offer = picture.offer(request.model, storefront=caller.storefront, allowed=allowed)
    doorway.check_purpose(front, offer)
    speaking = tuple(serving for serving in offer.servings if front.way in kinds.KINDS[serving.kind].speaks)
    if not speaking:
        message = f"The providers of {offer.slug!r} cannot be asked this way; use another endpoint for this model."
        raise InvalidRequest(message, param="model")
    return replace(offer, servings=speaking)


def replace_model(request: OneShot, model: str) -> OneShot:
    """The same question to another model."""
    return OneShot(model, request.texts, request.token_ids, request.pictures, request.documents)


def _priced_alike(offer: Offer, caller: Caller, picture: Picture) -> tuple[Offer, Priced]:
    """The routes whose questions are counted as those of the first, so that one hold fits whichever answers."""
    prices = [
        picture.price(offer, serving, storefront=caller.storefront, plan=caller.plan) for serving in offer.servings
    ]
    wanted = counted_by(prices[0])
    if not (wanted.tokens or wanted.searches):
        message = f"The model {offer.slug!r} has no price for questions, and nothing is sold without one."
        raise ModelNotFound(message, param="model")
    alike = tuple(
        serving for serving, priced in zip(offer.servings, prices, strict=True) if counted_by(priced) == wanted
    )
    return replace(offer, servings=alike), prices[0]


def counted_by(priced: Priced) -> Counted:
    """What has a price, and where cost is known a cost as well."""
    return Counted(has_price(priced.rates, TOKENS), has_price(priced.rates, SEARCHES))


def _most_bytes(asked: Asked, request: OneShot) -> int:
    """No tokenizer makes more tokens than bytes; the question of a rerank is read again with every document."""
    again = len(request.texts[0].encode(errors="replace")) * max(0, request.documents - 1) if request.documents else 0
    return len(asked.body) + again + request.pictures * FILE_ELSEWHERE_BYTES


def _most_searches(request: OneShot) -> int:
    question, *documents = (len(text.encode(errors="replace")) for text in request.texts)
    pieces = sum(-(-(size + question + 1) // BYTES_IN_A_DOCUMENT) for size in documents)
    return -(-pieces // DOCUMENTS_IN_A_SEARCH)


# --- What was used ----------------------------------------------------------------------------------------------------


def _tally(body: bytes) -> Tally:
    """What an answer reports, in the words of whoever gave it."""
    metadata = reply_members(body).get("usageMetadata")
    return gemini.read_usage(metadata) if type(metadata) is dict else oneshot.read_tally(body)


def _measured(tally: Tally, request: OneShot, plea: Plea, counted: Counted) -> Measured:
    """Weigh what was reported against what the question can have used at most."""
    flags, buckets, is_told = set(tally.flags), [], True
    if counted.searches:
        most = sum(line.quantity for line in plea.lines if line.bucket == SEARCHES)
        searches, is_told = _weighed(tally.search_units, most, -(-request.documents // DOCUMENTS_IN_A_SEARCH), flags)
        buckets.append((SEARCHES, searches))
    if counted.tokens and (tally.input is not None or not counted.searches):
        most = plea.bounds(datetime.now(UTC)).input_tokens
        given, is_given = _weighed(tally.input, most, estimated_tokens(request), flags)
        usage, odd = partition(Tally(input=given, image_in=tally.image_in), given=given, made=0)
        buckets += [(line.bucket, line.quantity) for line in usage.lines]
        is_told, flags = is_told and is_given, flags | odd
    return Measured(
        usage=Usage.of(buckets),
        source="reported" if is_told else "estimated",
        flags=frozenset(flags),
        tally=tally,
        cost_usd=tally.cost_usd,
        complete=True,
    )


def _weighed(told: int | None, most: int, estimate: int, flags: set[str]) -> tuple[int, bool]:
    if told and told <= most:
        return told, True
    if told:
        flags.add("input_out_of_range")
    if told == 0 and estimate:
        flags.add("input_understated")
    return min(estimate, most), False
