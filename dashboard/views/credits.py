"""Credit on pages: what there is, buying more, codes, the standing order, receipts.

Coming back from the provider's page credits nothing. It asks the provider at most, and shows what is known.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import access, trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from billing import codes, money, receipts, recharging, statements, topups
from billing.models import AutoRecharge, Payment, SavedCard, TopUp
from billing.models.payments import UNDER_WAY
from billing.payments import currencies, registry
from billing.payments.driver import NotConfigured
from dashboard import forms
from dashboard.doors import Told, ToldAbove, needs
from plumbing.identifiers import new_id
from plumbing.refusals import Refusal

LATEST = 20


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def overview(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """What there is, and every way to more."""
    return _page(request, forms.TopUpForm(initial={"attempt_key": new_id("try")}), forms.CodeForm(), _recharge(request))


def _page(request: TenantRequest, form: Any, code: Any, recharge: Any, *, status: int = 200) -> HttpResponse:
    organization = request.seat.organization
    terms = topups.terms_of(organization.storefront)
    top_ups = TopUp.objects.of(organization).prefetch_related("payments")[:LATEST]
    context = {
        "balance": statements.balance(organization, now=timezone.now()),
        "presets": [
            {"value": _plain(amount, terms.currency), "label": currencies.text(amount, terms.currency)}
            for amount in topups.presets(terms)
        ],
        "bounds": [currencies.text(bound, terms.currency) for bound in (terms.minimum_minor, terms.maximum_minor)],
        "currency": terms.currency.upper(),
        "form": form,
        "code": code,
        "recharge": recharge,
        "recharge_row": AutoRecharge.objects.of(organization).first(),
        "cards": SavedCard.objects.of(organization).filter(removed_at=None)[:5],
        "top_ups": [_shown(order) for order in top_ups],
        "movements": [_movement(row) for row in statements.history(organization)[:LATEST]],
        "closed": _closed(request),
        "sandbox": _is_sandbox(request),
    }
    return render(request, "dashboard/credits/overview.html", context, status=status)


def _plain(amount_minor: int, currency: str) -> str:
    return currencies.text(amount_minor, currency).partition(" ")[0].replace(",", "")


def _shown(order: TopUp) -> dict[str, Any]:
    return {"order": order, "amount": currencies.text(order.amount_minor, order.currency)}


def _movement(row: Any) -> dict[str, Any]:
    signed = statements.signed(row)
    is_money = row.debit.unit == "nano_usd"
    amount = money.dollars(signed) if is_money else f"{signed:,} {row.debit.unit}"
    return {"at": row.created_at, "what": statements.words(row), "amount": amount}


def _closed(request: TenantRequest) -> str:
    """Why nothing can be bought now, if so."""
    try:
        registry.account_for(request.storefront)
    except NotConfigured as refusal:
        return refusal.sentence
    return ""


def _is_sandbox(request: TenantRequest) -> bool:
    try:
        return registry.account_for(request.storefront).sandbox
    except NotConfigured:
        return False


@require_POST
@needs(Permission.SPEND)
def buy(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Begin a top-up and go to the provider's page."""
    form = forms.TopUpForm(request.POST)
    if form.is_valid():
        with Told(form):
            currency = topups.terms_of(request.storefront).currency
            order = topups.start(
                organization=request.seat.organization,
                user=request.seat.user,
                wish=topups.Wish(
                    currencies.minor(form.cleaned_data["amount"], currency),
                    form.cleaned_data["attempt_key"],
                    form.cleaned_data["save_card"],
                ),
                source=trail.source_of(request),
                now=timezone.now(),
            )
            if order.url and order.state in UNDER_WAY:
                return redirect(order.url)
            return redirect("dashboard:credits_top_up", organization_slug, order.public_id)
    return _page(request, form, forms.CodeForm(), _recharge(request), status=400)


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def top_up(request: TenantRequest, organization_slug: str, top_up_id: str) -> HttpResponse:
    """How one top-up stands; whoever just came back from paying makes us ask the provider."""
    order = _own(request, top_up_id)
    if request.GET.get("from") == "provider":
        try:
            order = topups.look(order, now=timezone.now())
        except Refusal:  # the webhook will say it as well
            messages.info(request, "The payment provider has not answered yet; this page will know in a moment.")
    payments = Payment.objects.of(request.seat.organization).filter(top_up=order)
    context = {
        "order": order,
        "amount": currencies.text(order.amount_minor, order.currency),
        "waits": order.state in UNDER_WAY,
        "receipts": [{"payment": payment, "lines": statements.receipt_lines(payment)} for payment in payments],
    }
    return render(request, "dashboard/credits/top_up.html", context)


def _own(request: TenantRequest, top_up_id: str) -> TopUp:
    rows = TopUp.objects.of(request.seat.organization).select_related("organization__storefront")
    order: TopUp | None = rows.filter(public_id=top_up_id).first()
    if order is None:
        raise Http404
    return order


@require_POST
@needs(Permission.SPEND)
def cancel(request: TenantRequest, organization_slug: str, top_up_id: str) -> HttpResponse:
    """Give up."""
    order = _own(request, top_up_id)
    with ToldAbove(request):
        topups.cancel(order, source=trail.source_of(request), now=timezone.now())
        messages.success(request, "Canceled. If money comes all the same, it is credited.")
    return redirect("dashboard:credits_top_up", organization_slug, order.public_id)


@require_POST
@needs(Permission.SPEND)
def redeem(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Turn a code into credit."""
    form = forms.CodeForm(request.POST)
    if form.is_valid():
        with Told(form):
            use = codes.redeem(
                form.cleaned_data["code"],
                organization=request.seat.organization,
                user=request.seat.user,
                source=trail.source_of(request),
                now=timezone.now(),
            )
            messages.success(request, f"{money.dollars(use.code.batch.value_nano)} of credit was added.")
            return redirect("dashboard:credits", organization_slug)
    fresh = forms.TopUpForm(initial={"attempt_key": new_id("try")})
    return _page(request, fresh, form, _recharge(request), status=400)


def _recharge(request: TenantRequest) -> forms.RechargeForm:
    row = AutoRecharge.objects.of(request.seat.organization).first()
    if row is None:
        return forms.RechargeForm()
    currency = topups.terms_of(request.storefront).currency
    return forms.RechargeForm(
        initial={
            "is_on": row.is_on,
            "threshold": money.usd_text(row.threshold_nano),
            "amount": _plain(row.amount_minor, currency),
            "month_cap": _plain(row.month_cap_minor, currency),
        }
    )


@require_POST
@needs(Permission.SPEND)
def recharge(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Set the standing order."""
    form = forms.RechargeForm(request.POST)
    organization = request.seat.organization
    if form.is_valid():
        with Told(form):
            currency = topups.terms_of(request.storefront).currency
            recharging.configure(
                organization,
                is_on=form.cleaned_data["is_on"],
                threshold_nano=form.cleaned_data["threshold"],
                amount_minor=currencies.minor(form.cleaned_data["amount"], currency),
                month_cap_minor=currencies.minor(form.cleaned_data["month_cap"], currency),
                card=SavedCard.objects.of(organization).filter(removed_at=None).first(),
                source=trail.source_of(request),
                now=timezone.now(),
            )
            messages.success(request, "Saved.")
            return redirect("dashboard:credits", organization_slug)
    fresh = forms.TopUpForm(initial={"attempt_key": new_id("try")})
    return _page(request, fresh, forms.CodeForm(), form, status=400)


@require_POST
@needs(Permission.SPEND)
def cards(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Go to the provider's page of saved cards."""
    back = f"{access.canonical_base(request.storefront)}/app/{organization_slug}/credits/"
    with ToldAbove(request):
        return redirect(topups.portal(request.seat.organization, return_url=back))
    return redirect("dashboard:credits", organization_slug)


@require_GET
@needs(Permission.SEE_BILLING)
def receipt_pdf(request: TenantRequest, organization_slug: str, payment_id: str) -> HttpResponse:
    """The receipt as a file."""
    rows = Payment.objects.of(request.seat.organization).select_related("organization__storefront")
    payment = rows.filter(public_id=payment_id).first()
    if payment is None:
        raise Http404
    answer = HttpResponse(receipts.pdf(payment), content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="receipt-{payment.public_id}.pdf"'
    return answer
