"""Searches a provider makes while it answers: asked for by name, counted one by one, and never sold without a price.

Promise: a request that asks for them goes only to routes whose price for a search is known, and is refused by the
tool's name where none is; the hold covers some, and what was reported is charged as its own line. A search that nobody
asked for and nobody has priced is another matter: ``charging`` counts it as what the dearest known search costs. The
same goes for a search in what the provider keeps, which coding agents offer with every request.
"""

from collections.abc import Iterator
from dataclasses import replace

from billing.pricing import Bucket, Line
from gateway.callers import Caller
from gateway.catalog import Offer, Picture
from gateway.charging import has_price
from gateway.dialects.neutral import Request
from gateway.errors import InvalidRequest

SEARCHES = Bucket("output", "search", "none", "search")
SEARCHES_HELD = 5
WORDS = ("websearch", "googlesearch", "livesearch", "xsearch", "searchparameters", "plugins")


def asked_for(request: Request) -> Iterator[str]:
    """The tools of a request that search, as whoever asks calls them."""
    for tool in request.server_tools:
        plain = tool.lower().replace("_", "")
        if any(word in plain for word in WORDS) and not plain.startswith("cached "):
            yield tool


def sold(request: Request, offer: Offer, caller: Caller, picture: Picture) -> Offer:
    """The offer with only those routes that have a price for what is asked."""
    if not request.server_tools or (tool := next(asked_for(request), None)) is None:
        return offer
    servings = tuple(
        serving
        for serving in offer.servings
        if has_price(picture.price(offer, serving, storefront=caller.storefront, plan=caller.plan).rates, SEARCHES)
    )
    if not servings:
        message = f"{offer.slug!r} has no price for searches, so it cannot be asked with {tool!r}."
        raise InvalidRequest(message, param="tools")
    return replace(offer, servings=servings)


def held(request: Request) -> tuple[Line, ...]:
    """The searches a hold covers."""
    if not request.server_tools or next(asked_for(request), None) is None:
        return ()
    return (Line(SEARCHES, SEARCHES_HELD),)
