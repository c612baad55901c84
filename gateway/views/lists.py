"""Which models there are: for a key as OpenAI, Anthropic or Google lists them, and for everybody in short."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views import View
from rest_framework.request import Request
from rest_framework.response import Response

from billing import pricebook
from gateway import lists, service
from gateway.catalog import Offer
from gateway.doorway import Front
from gateway.reception import turned_away
from gateway.views.dispatch import answered, path_of, request_id_of
from gateway.views.keyed import KeyedView, SpeakingView, said
from gateway.views.schema import ALWAYS, NOBODY, described, path_parameter

MODEL = path_parameter("model_id", "The model's id; it may hold slashes.")


class OffersView(KeyedView):
    """What a key may call, in the words of whoever asks: told by the headers their kit sends."""

    def speaks(self, request: Request) -> Front:
        """Anthropic's clients name their version, and Google's show the key in a header of their own."""
        if "anthropic-version" in request.headers:
            return Front("anthropic_messages", "models")
        google = "x-goog-api-key" in request.headers and "authorization" not in request.headers
        return Front("gemini" if google else "openai_chat", "models")

    @property
    def offers(self) -> list[Offer]:
        """What this key may call and what has a price, by name."""
        caller = self.caller
        found = self.picture.listed(storefront=caller.storefront, plan=caller.plan, allowed=caller.allowed_models)
        return sorted(found, key=lambda offer: offer.slug)

    def prices(self, offer: Offer) -> lists.Json:
        """What this key's owner pays."""
        caller = self.caller
        priced = self.picture.price(offer, offer.servings[0], storefront=caller.storefront, plan=caller.plan)
        return lists.pricing(priced, caller.modifiers)

    def many(self, request: Request) -> Response:
        """The list."""
        match self.speaks(request).dialect:
            case "anthropic_messages":
                return said(lists.anthropic_list(self.offers, request.query_params.dict()))
            case "gemini":
                return said(lists.gemini_list(self.offers))
        return said(lists.openai_list([(offer, self.prices(offer)) for offer in self.offers]))

    def one(self, request: Request, model_id: str) -> Response:
        """One of the list."""
        offer = lists.named(self.offers, model_id)
        match self.speaks(request).dialect:
            case "anthropic_messages":
                return said(lists.anthropic_model(offer))
            case "gemini":
                return said(lists.gemini_model(offer))
        return said(lists.openai_model(offer, self.prices(offer)))


class ModelsView(OffersView):
    """The list."""

    @described("models_list", "Models", body="The models this key may call.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """List models."""
        return self.many(request)


class ModelView(OffersView):
    """One model."""

    @described("models_read", "Models", body="One model this key may call.", parameters=[MODEL], errors=ALWAYS)
    def get(self, request: Request, model_id: str) -> Response:
        """Read a model."""
        return self.one(request, model_id)


class ProxyModelsView(OffersView):
    """The same list where resellers of older kinds expect it, always in OpenAI's words."""

    def speaks(self, request: Request) -> Front:
        """OpenAI's words."""
        return Front("openai_chat", "models")

    @described("ai_proxy_models", "Compatible paths", body="As `/v1/models`.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """List models."""
        return self.many(request)


class GeminiModelsView(OffersView):
    """The list at Google's address."""

    def speaks(self, request: Request) -> Front:
        """Google's words."""
        return Front("gemini", "models")

    @described("gemini_models_list", "Gemini", body="As Google lists models.", errors=ALWAYS)
    def get(self, request: Request) -> Response:
        """List models."""
        return self.many(request)


class GeminiModelView(OffersView):
    """One model at Google's address."""

    def speaks(self, request: Request) -> Front:
        """Google's words."""
        return Front("gemini", "models")

    @described("gemini_models_read", "Gemini", body="One model.", parameters=[MODEL], errors=ALWAYS)
    def get(self, request: Request, model_id: str) -> Response:
        """Read a model."""
        return self.one(request, model_id)


class SimpleModelsView(SpeakingView):
    """The price list of the shop, for everybody."""

    @described(
        "models_simple",
        "Compatible paths",
        body="What is sold, for everybody.",
        errors=(405, 429),
        auth=NOBODY,
    )
    def get(self, request: Request) -> Response:
        """List what is sold."""
        shop = self.asked.storefront
        plan, modifiers = pricebook.public_terms(shop)
        picture = service.picture()
        offers = sorted(picture.listed(storefront=shop.pk, plan=plan), key=lambda offer: offer.slug)
        models: list[Any] = [
            (offer, lists.pricing(picture.price(offer, offer.servings[0], storefront=shop.pk, plan=plan), modifiers))
            for offer in offers
        ]
        return said(lists.simple_list(models))


class NowhereView(View):
    """Everything under our prefixes that is no endpoint (yet): media, music and realtime among it."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Say so, whatever the method."""
        return answered(turned_away(path_of(request), request.method or "", request_id_of(request)))
