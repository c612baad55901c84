"""Which plan, group and multiplier hold for one customer; changed through the price book, which keeps the trail."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounts import trail
from accounts.models import Organization
from accounts.operators import scope_for
from billing import pricebook
from billing.models import PlanVersion, PriceGroup, PriceTerms
from desk.pages.base import show
from desk.pages.customers import found_or_404

MOST = Decimal(1000)


class TermsForm(forms.Form):
    """A plan in force, a group of the same shop, a multiplier."""

    plan = forms.ChoiceField()
    group = forms.ModelChoiceField(PriceGroup.objects.none(), required=False, empty_label="no group")
    multiplier = forms.DecimalField(
        min_value=Decimal("0.000001"), max_value=MOST, max_digits=12, decimal_places=6, initial=Decimal(1)
    )

    def __init__(self, *args: Any, organization: Organization, **options: Any) -> None:
        super().__init__(*args, **options)
        names = PlanVersion.objects.filter(storefront=organization.storefront).order_by("name")
        chosen = names.values_list("name", flat=True).distinct()
        self.fields["plan"].choices = [(name, name) for name in chosen]  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["group"].queryset = PriceGroup.objects.filter(  # type: ignore[attr-defined]  # a ModelChoiceField
            storefront=organization.storefront
        )


def terms(request: HttpRequest, pk: int) -> HttpResponse:
    """Show and change them."""
    one = found_or_404(request, pk)
    if not scope_for(request).may_change(one.storefront):
        raise Http404
    own = PriceTerms.objects.filter(organization=one).first()
    plan, _ = pricebook.terms_of(one)
    start = {"plan": plan, "group": own.group_id if own else None, "multiplier": own.multiplier if own else Decimal(1)}
    form = TermsForm(request.POST or None, organization=one, initial=start)
    if request.method == "POST" and form.is_valid():
        told = form.cleaned_data
        try:
            pricebook.set_terms(
                storefront=one.storefront,
                organization=one,
                plan_name=told["plan"],
                group=told["group"],
                multiplier=told["multiplier"],
                at=timezone.now(),
                source=trail.source_of(request),
            )
        except pricebook.NobodysPlan:
            form.add_error("plan", "No version of this plan is in force yet.")
        else:
            messages.success(request, f"From the next call on {one} pays by these terms.")
            return HttpResponseRedirect(reverse("admin:desk_customer", args=[one.pk]))
    status = 400 if form.errors else 200
    return show(
        request, "desk/terms.html", title=f"Price terms of {one.name}", form=form, one=one, own=own, status=status
    )
