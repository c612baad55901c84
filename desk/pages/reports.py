"""Reports by mail: what somebody gets, and how they ask for more or less."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from accounts import trail
from accounts.models import User
from accounts.operators import Scope, scope_for
from desk import mailed
from desk.models import Every, MailedReport
from desk.pages.base import show

ALL = ""


class ReportForm(forms.Form):
    """Which shop's figures, and how often."""

    shop = forms.ChoiceField(required=False, label="Shop")
    every = forms.ChoiceField(choices=Every.choices, initial=Every.WEEK, label="How often")

    def __init__(self, *args: Any, scope: Scope, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shops = {shop.public_id: shop for shop in scope.storefronts().order_by("-is_default", "name")}
        choices = [(name, shop.name) for name, shop in self.shops.items()]
        self.fields["shop"].choices = [*([(ALL, "All shops")] if scope.platform else []), *choices]  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["shop"].required = not scope.platform


def reports(request: HttpRequest) -> HttpResponse:
    """Mine, and a form for another one."""
    assert isinstance(request.user, User)
    form = ReportForm(request.POST or None, scope=scope_for(request))
    if request.method == "POST" and form.is_valid():
        shop = form.shops.get(form.cleaned_data["shop"])
        try:
            row = mailed.ask(user=request.user, storefront=shop, every=form.cleaned_data["every"], now=timezone.now())
        except mailed.TooMany as error:
            form.add_error(None, str(error))
        else:
            trail.record("report.asked", source=trail.source_of(request), target=row, storefront=shop)
            messages.success(request, f"It comes to {request.user.email}, {row.get_every_display().lower()}.")
            return HttpResponseRedirect(reverse("admin:desk_reports"))
    mine = scope_for(request).visible(
        MailedReport.objects.filter(user=request.user).select_related("storefront"), "storefront"
    )
    status = 400 if form.errors else 200
    return show(request, "desk/reports.html", title="Reports by mail", form=form, mine=list(mine), status=status)


@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """No more of this one."""
    assert isinstance(request.user, User)
    if not mailed.end(user=request.user, pk=pk):
        raise Http404
    trail.record("report.ended", source=trail.source_of(request))
    messages.success(request, "That report comes no more.")
    return HttpResponseRedirect(reverse("admin:desk_reports"))
