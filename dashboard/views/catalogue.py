"""The catalogue, for everybody and for members; the page of one model; what is up; how fairly things are billed."""

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import access
from accounts.models import Organization
from accounts.requests import TenantRequest
from accounts.roles import Permission
from dashboard import catalogue, uptime
from dashboard.catalogue import Buyer, Listing, Need
from dashboard.doors import needs
from gateway import fair_billing
from gateway.models.catalogue import Purpose

MOST_TOKENS = 10_000_000


class NeedForm(forms.Form):
    """What somebody looks for."""

    text = forms.CharField(max_length=120, required=False, label="Search")
    takes = forms.ChoiceField(required=False, label="Reads")
    ability = forms.ChoiceField(required=False, label="Can")
    purpose = forms.ChoiceField(required=False, choices=[("", "Anything"), *Purpose.choices], label="For")
    input_tokens = forms.IntegerField(required=False, min_value=0, max_value=MOST_TOKENS, label="Tokens in")
    output_tokens = forms.IntegerField(required=False, min_value=0, max_value=MOST_TOKENS, label="Tokens out")
    sort = forms.ChoiceField(required=False, choices=list(catalogue.SORTS.items()), label="Sort by")

    def __init__(self, data: Any, found: list[Listing]) -> None:
        super().__init__(data)
        for name, words in (
            ("takes", sorted({word for one in found for word in one.takes})),
            ("ability", sorted({word for one in found for word in one.abilities})),
        ):
            field: Any = self.fields[name]
            field.choices = [("", "Anything"), *((word, word.capitalize()) for word in words)]

    @property
    def need(self) -> Need:
        """The same for the room; what was not understood is told by the form and left out."""
        self.is_valid()
        return Need(**{name: value for name, value in self.cleaned_data.items() if value not in (None, "")})


def _catalogue(request: TenantRequest, organization: Organization | None, template: str) -> HttpResponse:
    now = timezone.now()
    buyer = Buyer.of(request.storefront, organization, now=now)
    found = catalogue.listings(buyer, now=now)
    form = NeedForm(request.GET, found)
    need = form.need
    asked = any(request.GET.get(name) for name in ("text", "takes", "ability", "purpose", "sort"))
    context = {
        "form": form,
        "need": need,
        "all": found,
        "models": catalogue.find_for(need, found, buyer.modifiers, now=now),
        "picks": [] if asked else catalogue.picks(found),
    }
    return render(request, template, context)


def _model(request: TenantRequest, organization: Organization | None, model_id: str, template: str) -> HttpResponse:
    now = timezone.now()
    buyer = Buyer.of(request.storefront, organization, now=now)
    found = catalogue.listings(buyer, now=now, slug=model_id)
    if not found:
        raise Http404
    context = {
        "one": found[0],
        "history": catalogue.history(buyer, found[0].offer, now=now),
        "now": now,
        "base_url": access.canonical_base(request.storefront),
        "line": uptime.lines(request.storefront, [found[0].offer.served_as or model_id], now=now)[0],
    }
    return render(request, template, context)


@require_safe
def public_models(request: TenantRequest) -> HttpResponse:
    """What the shop sells, at the prices in its window."""
    return _catalogue(request, None, "front/models.html")


@require_safe
def public_model(request: TenantRequest, model_id: str) -> HttpResponse:
    """One model, for everybody."""
    return _model(request, None, model_id, "front/model.html")


@require_safe
@needs(Permission.SEE)
def models(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """What this organization may buy, at its own prices."""
    return _catalogue(request, request.seat.organization, "dashboard/models/list.html")


@require_safe
@needs(Permission.SEE)
def model(request: TenantRequest, organization_slug: str, model_id: str) -> HttpResponse:
    """One model at the organization's prices."""
    return _model(request, request.seat.organization, model_id, "dashboard/models/model.html")


@require_safe
def status(request: TenantRequest) -> HttpResponse:
    """How each model did in the last ninety days."""
    now = timezone.now()
    sold = catalogue.listings(Buyer.of(request.storefront, now=now), now=now)
    names = list(dict.fromkeys(one.offer.served_as or one.slug for one in sold))
    lines = uptime.lines(request.storefront, names, now=now)
    context = {"lines": lines, "overall": uptime.overall(lines), "now": now, "days": uptime.DAYS}
    return render(request, "front/status.html", context)


@require_safe
def fair_billing_page(request: TenantRequest) -> HttpResponse:
    """What is charged in each way a call can end."""
    return render(request, "front/fair_billing.html", {"rules": fair_billing.published()})
