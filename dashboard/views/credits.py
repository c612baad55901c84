"""Credit on pages: what there is, buying more, codes, the standing order, how each payment stands, receipts.

Coming back from the provider's page credits nothing. It asks the provider at most, and shows what is known.
"""

import contextlib
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Sum
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts import access, trail
from accounts.requests import TenantRequest
from accounts.roles import Permission
from billing import codes, details, money, receipts, recharging, statements, topups
from billing.models import Payment, SavedCard, TopUp, TopUpTerms
from billing.models.payments import UNDER_WAY, Origin
from billing.payments import currencies, registry
from billing.payments.driver import NotConfigured
from dashboard import payment_words, purse_forms
from dashboard.doors import Told, ToldAbove, needs
from plumbing.refusals import Refusal

LATEST = 5
PAGE_SIZE = 20
MOVEMENTS = 20
MOST_CARDS = 5


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def overview(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """What there is, and every way to more; whoever comes back from the page of cards makes us ask which are left."""
    if request.GET.get("from") == "cards" and request.seat.may(Permission.SPEND):
        with contextlib.suppress(Refusal):  # the next payment says it as well
            topups.look_at_cards(request.seat.organization, now=timezone.now())
    return _page(request, topups.terms_of(request.storefront))


def _page(request: TenantRequest, terms: TopUpTerms, *, status: int = 200, **forms: Any) -> HttpResponse:
    """The page, with the form that was refused, if one was."""
    organization, now = request.seat.organization, timezone.now()
    row = recharging.standing(organization, now=now)
    presets, cards = topups.presets(terms), _cards(request)
    latest = list(TopUp.objects.of(organization).annotate(went_back=Sum("payments__reversed_nano"))[:LATEST])
    context = {
        "balance": statements.balance(organization, now=now),
        "presets": [_preset(amount, terms) for amount in presets],
        "bounds": [currencies.text(bound, terms.currency) for bound in (terms.minimum_minor, terms.maximum_minor)],
        "terms": terms,
        "rate": _rate(terms),
        "form": purse_forms.fresh_top_up(terms, preset=_middle(presets, terms)),
        "code": purse_forms.CodeForm(),
        "recharge": purse_forms.RechargeForm(row=row, terms=terms, cards=cards),
        "recharge_row": row,
        "recharged": _recharged(row, terms, latest),
        "cards": cards,
        "top_ups": [{"order": order, "told": payment_words.of_top_up(order)} for order in latest],
        **_way_to_pay(request),
        **forms,
    }
    return render(request, "dashboard/credits/overview.html", context, status=status)


def _cards(request: TenantRequest) -> list[SavedCard]:
    return list(SavedCard.objects.of(request.seat.organization).filter(removed_at=None)[:MOST_CARDS])


def _preset(amount_minor: int, terms: TopUpTerms) -> dict[str, str]:
    return {
        "value": purse_forms.plain(amount_minor, terms.currency),
        "label": currencies.text(amount_minor, terms.currency),
        "worth": money.dollars(amount_minor * terms.nano_per_minor),
    }


def _middle(presets: list[int], terms: TopUpTerms) -> str:
    return purse_forms.plain(presets[(len(presets) - 1) // 2], terms.currency) if presets else purse_forms.OWN


def _rate(terms: TopUpTerms) -> str:
    """What one unit of the currency buys, where it is not simply itself."""
    unit_minor = 10 ** currencies.places(terms.currency)
    worth = money.dollars(unit_minor * terms.nano_per_minor)
    same = terms.currency.lower() == "usd" and unit_minor * terms.nano_per_minor == money.NANO_PER_USD
    return "" if same else f"{currencies.text(unit_minor, terms.currency)} buys {worth} of credit"


def _recharged(row: Any, terms: TopUpTerms, latest: list[TopUp]) -> dict[str, Any]:
    """What the standing order bought this month, and how its last try went if that was lately."""
    if row is None:
        return {}
    last = next((order for order in latest if order.origin == Origin.RECHARGE), None)
    return {
        "spent": currencies.text(row.month_minor, terms.currency),
        "cap": currencies.text(row.month_cap_minor, terms.currency),
        "percent": min(100, row.month_minor * 100 // row.month_cap_minor),
        "full": row.month_minor + row.amount_minor > row.month_cap_minor,
        "last": {"order": last, "told": payment_words.of_top_up(last)} if last else None,
    }


def _shown(order: TopUp) -> dict[str, Any]:
    payments = list(order.payments.all())
    told = payment_words.whole(order, payments)
    return {"order": order, "told": told[0], "taken": told[1:], "payments": payments}


def _way_to_pay(request: TenantRequest) -> dict[str, Any]:
    """Why nothing can be bought now, if so, and whether the money is play money."""
    try:
        account = registry.account_for(request.storefront)
    except NotConfigured as refusal:
        return {"closed": refusal.sentence, "sandbox": False}
    return {"closed": "", "sandbox": account.sandbox}


@require_POST
@needs(Permission.SPEND)
def buy(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Begin a top-up and go to the provider's page."""
    terms = topups.terms_of(request.storefront)
    form = purse_forms.TopUpForm(request.POST, terms=terms)
    if form.is_valid():
        with Told(form):
            order = topups.start(
                organization=request.seat.organization,
                user=request.seat.user,
                wish=topups.Wish(
                    form.cleaned_data["amount"], form.cleaned_data["attempt_key"], form.cleaned_data["save_card"]
                ),
                source=trail.source_of(request),
                now=timezone.now(),
            )
            if order.url and order.state in UNDER_WAY:
                return redirect(order.url)
            return redirect("dashboard:credits_top_up", organization_slug, order.public_id)
    return _page(request, terms, form=form, status=400)


@never_cache
@require_GET
@needs(Permission.SEE_BILLING)
def payments(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Every payment and what became of it, and every other movement of credit."""
    organization = request.seat.organization
    orders = TopUp.objects.of(organization).select_related("started_by").prefetch_related("payments__reversals")
    page = Paginator(orders, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [_shown(order) for order in page],
        "movements": [_movement(row) for row in statements.history(organization)[:MOVEMENTS]],
    }
    return render(request, "dashboard/credits/payments.html", context)


def _movement(row: Any) -> dict[str, Any]:
    signed = statements.signed(row)
    is_money = row.debit.unit == "nano_usd"
    amount = money.dollars(signed) if is_money else f"{signed:,} {payment_words.unit(row.debit.unit)}"
    return {"at": row.created_at, "what": statements.words(row), "amount": amount, "less": signed < 0}


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
    context = _shown(order) | {
        "amount": currencies.text(order.amount_minor, order.currency),
        "waits": order.state in UNDER_WAY,
        "receipts": [
            {"payment": payment, "lines": statements.receipt_lines(payment)} for payment in order.payments.all()
        ],
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
    form = purse_forms.CodeForm(request.POST)
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
    return _page(request, topups.terms_of(request.storefront), code=form, status=400)


@require_POST
@needs(Permission.SPEND)
def recharge(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Set the standing order."""
    organization = request.seat.organization
    terms = topups.terms_of(request.storefront)
    form = purse_forms.RechargeForm(request.POST, row=None, terms=terms, cards=_cards(request))
    if form.is_valid():
        with Told(form):
            row = recharging.configure(
                organization,
                is_on=form.cleaned_data["is_on"],
                threshold_nano=form.cleaned_data["threshold"],
                amount_minor=form.cleaned_data["amount"],
                month_cap_minor=form.cleaned_data["month_cap"],
                card=form.card_to_charge,
                source=trail.source_of(request),
                now=timezone.now(),
            )
            messages.success(request, "Automatic recharge is on." if row.is_on else "Saved. Automatic recharge is off.")
            return redirect("dashboard:credits", organization_slug)
    return _page(request, terms, recharge=form, status=400)


@require_POST
@needs(Permission.SPEND)
def cards(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Go to the provider's page of saved cards."""
    back = f"{access.canonical_base(request.storefront)}/app/{organization_slug}/credits/?from=cards"
    with ToldAbove(request):
        return redirect(topups.portal(request.seat.organization, return_url=back))
    return redirect("dashboard:credits", organization_slug)


@needs(Permission.SPEND)
def billing_details(request: TenantRequest, organization_slug: str) -> HttpResponse:
    """Whom receipts and statements are made out to."""
    organization = request.seat.organization
    row = details.of(organization)
    form = purse_forms.DetailsForm(request.POST if request.method == "POST" else None, row=row)
    if request.method == "POST" and form.is_valid():
        with Told(form):
            details.save(organization, source=trail.source_of(request), now=timezone.now(), **form.cleaned_data)
            messages.success(request, "Saved. Papers you download from now on carry it.")
            return redirect("dashboard:credits_details", organization_slug)
    context = {"form": form, "lines": details.made_out_to(organization, row)}
    return render(request, "dashboard/credits/details.html", context, status=400 if form.errors else 200)


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
