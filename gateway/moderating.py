"""Asks before anything goes to a provider: the pure rules of ``policy``, and the moderation model where one is named.

Promise: with no rule configured this costs one comparison; a way that its rules refuse is left out, and only when none
is left is the call refused, with the reason of the first; a moderation model that does not answer refuses as well.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from msgspec import structs

from gateway import alarms, kinds, policy
from gateway.catalog import Offer, Serving, Shelf
from gateway.errors import ContentBlocked, GatewayError, Unavailable
from gateway.records import Plea
from gateway.upstream import Request as WireRequest
from gateway.upstream import Transport, UpstreamError

MODERATIONS = "moderations"
PATIENCE_S = 10.0
OK = 200


class Guard:
    """The one question the corridor asks before money is held."""

    def __init__(self, *, shelf: Shelf, transport: Transport) -> None:
        self._shelf, self._transport = shelf, transport

    async def passed(self, plea: Plea, words: Callable[[], Sequence[str]]) -> Plea:
        """The plea with the ways that its call may go, or the reason why there is none."""
        servings = plea.offer.servings
        if all(serving.rules is policy.OPEN for serving in servings):
            return plea
        reads = any(serving.rules.reads_words or serving.rules.moderation_models for serving in servings)
        texts = words() if reads else ()
        left, reason = _narrowed(servings, plea.country, texts)
        left, reason = await self._moderated(left, reason, texts)
        if not left:
            raise reason or Unavailable("No way to this model is open.")
        return plea if len(left) == len(servings) else structs.replace(plea, offer=replace(plea.offer, servings=left))

    async def _moderated(
        self, servings: tuple[Serving, ...], reason: GatewayError | None, texts: Sequence[str]
    ) -> tuple[tuple[Serving, ...], GatewayError | None]:
        models = sorted({model for serving in servings for model in serving.rules.moderation_models})
        if not models:
            return servings, reason
        verdicts = dict(
            zip(models, await asyncio.gather(*(self._verdict(model, texts) for model in models)), strict=True)
        )
        refused = [verdicts[model] for model in models if verdicts[model] is not None]
        left = tuple(
            serving for serving in servings if all(verdicts[model] is None for model in serving.rules.moderation_models)
        )
        return left, reason or (refused[0] if refused else None)

    async def _verdict(self, model: str, texts: Sequence[str]) -> GatewayError | None:
        """What a moderation model says; anything but a clear 'not flagged' refuses."""
        offer = self._shelf.picture.offers.get(model)
        serving = None if offer is None else self._askable(offer)
        if serving is None:
            alarms.raised("moderation", f"The moderation model {model} cannot be asked, so calls are refused.")
            return Unavailable("The check that comes before this model cannot be made at the moment.")
        try:
            answer = await self._transport.whole(_question(serving, policy.joined(texts)))
            flagged = _flagged(answer.body) if answer.status == OK else None
        except UpstreamError:
            flagged = None
        if flagged is None:
            alarms.raised("moderation", f"The moderation model {model} does not answer, so calls are refused.")
            return Unavailable("The check that comes before this model got no answer; try again.", retry_after_s=5)
        return ContentBlocked("The moderation of this model refuses this request.") if flagged else None

    def _askable(self, offer: Offer) -> Serving | None:
        """A way to a moderation model that costs nothing: a check is no call, and nobody is charged for it."""
        for serving in offer.servings:
            card = self._shelf.picture.cards.get((serving.provider, serving.upstream_model))
            if card is not None and card[1].free and MODERATIONS in kinds.KINDS[serving.kind].speaks:
                return serving
        return None


def _narrowed(
    servings: Sequence[Serving], country: str, texts: Sequence[str]
) -> tuple[tuple[Serving, ...], GatewayError | None]:
    """The ways that are open, and why the first that is not is not."""
    verdicts = {rules: policy.refusal(rules, country=country, texts=texts) for rules in {one.rules for one in servings}}
    left = tuple(serving for serving in servings if verdicts[serving.rules] is None)
    reasons = [verdict for serving in servings if (verdict := verdicts[serving.rules]) is not None]
    return left, reasons[0] if reasons else None


def _question(serving: Serving, text: str) -> WireRequest:
    kind = kinds.KINDS[serving.kind]
    return WireRequest(
        "POST",
        kinds.url(kind, MODERATIONS, model=serving.upstream_model, stream=False, base_url=serving.base_url),
        headers=tuple(kinds.headers(kind, MODERATIONS, key=serving.secret).items()),
        body=msgspec.json.encode({"model": serving.upstream_model, "input": text}),
        provider=serving.provider,
        timeouts=replace(serving.timeouts, first_byte_s=PATIENCE_S, total_s=PATIENCE_S),
        allow_private=serving.is_private,
    )


def _flagged(body: bytes) -> bool | None:
    """Whether anything was flagged; None when that was no verdict."""
    try:
        results: Any = msgspec.json.decode(body)["results"]
        flags = [result["flagged"] for result in results]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return None
    return any(flags) if flags and all(type(flag) is bool for flag in flags) else None
