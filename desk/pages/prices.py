"""Prices: what holds, what is being drafted, what each version changed, and the way of a draft to a version."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone

from accounts import trail
from accounts.models import Organization
from accounts.operators import Scope, scope_for
from analytics.reports import BadQuestion
from billing import pricebook
from billing.models import CostCardVersion, PlanVersion
from desk import drafts, figures, tables, words
from desk.drafts import DraftRefused
from desk.models import DraftKind, DraftState, PriceDraft
from desk.pages.base import exported, show
from desk.tables import BAD, GOOD, Card, Column, Parts, Table

MOST = 100
Version = PlanVersion | CostCardVersion


def visible_drafts(scope: Scope) -> Any:
    """Drafts of plans in scope; those of cards are the platform's."""
    return scope.visible(PriceDraft.objects.select_related("storefront", "author", "approved_by"), "storefront")


def _version(request: HttpRequest, kind: str, pk: int) -> Version:
    scope = scope_for(request)
    if kind == DraftKind.PLAN:
        return get_object_or_404(scope.visible(PlanVersion.objects.select_related("storefront"), "storefront"), pk=pk)
    if kind != DraftKind.CARD or not scope.platform:
        raise Http404
    return get_object_or_404(CostCardVersion, pk=pk)


def _may_change(scope: Scope, row: PlanVersion | CostCardVersion | PriceDraft) -> bool:
    shop = getattr(row, "storefront", None)
    return scope.may_change(shop) if shop is not None else scope.platform


# --- What holds -------------------------------------------------------------------------------------------------------


def prices(request: HttpRequest) -> HttpResponse:
    """Plans, cards and open drafts."""
    scope, now = scope_for(request), timezone.now()
    plans = scope.visible(PlanVersion.objects.select_related("storefront"), "storefront").order_by("version")
    newest = {(one.storefront_id, one.name): one for one in plans if one.effective_from <= now}
    coming = [one for one in plans if one.effective_from > now]
    found = list(visible_drafts(scope)[:MOST])
    listed = [_drafts([one for one in found if one.published_version is None and one.decided_at is None])]
    listed.append(_plans(list(newest.values()), coming))
    if scope.platform:
        listed.append(_cards(now))
    listed.append(_done([one for one in found if one.decided_at is not None]))
    parts = Parts(tables=listed)
    return exported(request, parts, "prices") or show(request, "desk/prices.html", title="Prices", parts=parts)


def _drafts(found: list[PriceDraft]) -> Table:
    columns = (
        *(Column("what", "What would change"), Column("shop", "Shop"), Column("state", "State")),
        *(Column("author", "Author"), Column("changed_utc", "Changed (UTC)"), Column("note", "Note")),
    )
    lines = [
        [
            tables.text(str(one), link=reverse("admin:desk_draft", args=[one.pk])),
            tables.text(one.storefront.name if one.storefront else "every shop"),
            tables.text(one.get_state_display(), tone="warn" if one.state == DraftState.WAITING else ""),
            *(tables.text(str(one.author)), tables.moment(one.changed_at), tables.text(one.note)),
        ]
        for one in found
    ]
    return Table("drafts", "Drafts", columns, lines, "No change of prices is being drafted.")


def _done(found: list[PriceDraft]) -> Table:
    columns = (
        *(Column("what", "What"), Column("outcome", "What became of it"), Column("author", "Author")),
        *(Column("second", "Agreed by"), Column("decided_utc", "Decided (UTC)")),
    )
    lines = [
        [
            tables.text(str(one), link=reverse("admin:desk_draft", args=[one.pk])),
            tables.text(f"published as v{one.published_version}" if one.published_version else "thrown away"),
            *(tables.text(str(one.author)), tables.text(str(one.approved_by or "")), tables.moment(one.decided_at)),
        ]
        for one in found
    ]
    return Table("done", "Drafts that were decided", columns, lines, "No draft has been decided yet.")


def _plans(found: list[PlanVersion], coming: list[PlanVersion]) -> Table:
    columns = (
        *(
            Column("plan", "Plan"),
            Column("shop", "Shop"),
            Column("version", "Version"),
            Column("method", "How it prices"),
        ),
        *(Column("since_utc", "Holds from (UTC)"), Column("note", "Note"), Column("deeds", "Do")),
    )
    lines = [
        [
            *(
                tables.text(one.name, link=reverse("admin:desk_versions", args=["plan", one.pk])),
                tables.text(one.storefront.name),
            ),
            *(tables.text(f"v{one.version}", note=later), tables.text(figures.method(one.body))),
            *(tables.moment(one.effective_from), tables.text(one.note)),
            tables.deeds(("Draft a change", reverse("admin:desk_begin", args=["plan", one.pk]))),
        ]
        for one in sorted(found, key=lambda one: (one.storefront.name, one.name))
        for later in [
            ", ".join(
                f"v{next_.version} from {words.moment(next_.effective_from)}"
                for next_ in coming
                if (next_.storefront_id, next_.name) == (one.storefront_id, one.name)
            )
        ]
    ]
    return Table(
        "plans", "Plans in force", columns, lines, "No plan holds yet; nothing can be sold.", export="?csv=plans"
    )


def _cards(now: datetime) -> Table:
    newest: dict[tuple[str, str], CostCardVersion] = {}
    for one in CostCardVersion.objects.filter(effective_from__lte=now).order_by("version"):
        newest[one.provider, one.model] = one
    columns = (
        *(Column("provider", "Provider"), Column("model", "Model"), Column("version", "Version")),
        *(
            Column("input", "Input", number=True),
            Column("cached", "Cached", number=True),
            Column("output", "Output", number=True),
        ),
        *(Column("since_utc", "Holds from (UTC)"), Column("deeds", "Do")),
    )
    lines = [
        [
            tables.text(one.provider),
            tables.text(one.model, link=reverse("admin:desk_versions", args=["card", one.pk])),
            tables.text(f"v{one.version}"),
            *(tables.Cell(price, price.removeprefix("$")) for price in figures.text_rates(one.body)),
            tables.moment(one.effective_from),
            tables.deeds(("Draft a change", reverse("admin:desk_begin", args=["card", one.pk]))),
        ]
        for one in sorted(newest.values(), key=lambda one: (one.provider, one.model))
    ]
    note = "What providers charge us for a million text tokens, in dollars."
    return Table("cards", "Cost cards in force", columns, lines, "No cost is known yet.", note, "?csv=cards")


def versions(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Every version of a plan or card, with what each changed. They are never edited."""
    one = _version(request, kind, pk)
    family: Any = (
        PlanVersion.objects.filter(storefront=one.storefront, name=one.name)
        if isinstance(one, PlanVersion)
        else CostCardVersion.objects.filter(provider=one.provider, model=one.model)
    )
    columns = (
        *(Column("version", "Version"), Column("since_utc", "Holds from (UTC)"), Column("by", "By")),
        *(Column("changes", "What it changed"), Column("note", "Note")),
    )
    lines = []
    for row in family.select_related("author").order_by("-version")[:20]:
        told = "; ".join(
            f"{one_.field}: {one_.before or 'nothing'} → {one_.after or 'nothing'}"
            for one_ in pricebook.changes(row)
            if one_.field != "version"
        )
        lines.append(
            [
                *(
                    tables.text(f"v{row.version}"),
                    tables.moment(row.effective_from),
                    tables.text(str(row.author or "the system")),
                ),
                *(tables.text(told or ("the first one" if row.version == 1 else "nothing")), tables.text(row.note)),
            ]
        )
    parts = Parts(
        tables=[
            Table("versions", "Versions", columns, lines, "", note="The latest twenty; none of them can be edited.")
        ]
    )
    title = f"{one.name} of {one.storefront.name}" if isinstance(one, PlanVersion) else f"{one.provider}/{one.model}"
    return show(
        request,
        "desk/versions.html",
        title=title,
        parts=parts,
        kind=kind,
        one=one,
        may_change=_may_change(scope_for(request), one),
    )


# --- Drafts -----------------------------------------------------------------------------------------------------------


def begin(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """Ask, and on a POST start a draft."""
    one = _version(request, kind, pk)
    if not _may_change(scope_for(request), one):
        raise Http404
    if request.method != "POST":
        return show(request, "desk/begin.html", title=f"Draft a change of {one}", one=one)
    draft = drafts.begin(one, source=trail.source_of(request), now=timezone.now())
    return HttpResponseRedirect(reverse("admin:desk_draft", args=[draft.pk]))


def draft(request: HttpRequest, pk: int) -> HttpResponse:
    """One draft: its figures, its difference, what it would mean, and what can be done with it."""
    one = get_object_or_404(visible_drafts(scope_for(request)), pk=pk)
    problem = ""
    if request.method == "POST":
        if not _may_change(scope_for(request), one):
            raise Http404
        try:
            return _acted(request, one)
        except DraftRefused as error:
            problem = str(error)
            one.refresh_from_db()
    is_open = one.state in {DraftState.DRAFT, DraftState.WAITING}
    parts = Parts(cards=_forecast_cards(one), tables=[_difference(one), *_pay_more(one)])
    return show(
        request,
        "desk/draft.html",
        title=f"{one.get_kind_display()} {one}",
        parts=parts,
        one=one,
        problem=problem,
        status=400 if problem else 200,
        fields=figures.fields(one.body),
        as_json=json.dumps(one.body, indent=2),
        is_open=is_open and _may_change(scope_for(request), one),
        second=drafts.wants_second_person(one) if one.forecast else "",
        may_agree=one.state == DraftState.WAITING and request.user.pk != one.author_id,
        days=drafts.WEIGHED_DAYS,
    )


def _acted(request: HttpRequest, one: PriceDraft) -> HttpResponse:
    now, source, deed = timezone.now(), trail.source_of(request), request.POST.get("do", "")
    if deed == "save":
        _save(request, one, source, now)
        messages.success(request, "Saved. Weigh it to see what it would mean.")
    elif deed == "weigh":
        drafts.weigh(one, now=now)
    elif deed in {"submit", "approve", "discard"}:
        done = {"submit": drafts.submit, "approve": drafts.approve, "discard": drafts.discard}[deed](
            one, source=source, now=now
        )
        messages.success(request, f"{done.get_state_display()}.")
        if done.state == DraftState.DISCARDED:
            return HttpResponseRedirect(reverse("admin:desk_prices"))
    else:
        raise BadQuestion("A draft is saved, weighed, submitted, agreed to or discarded.")
    return HttpResponseRedirect(reverse("admin:desk_draft", args=[one.pk]))


def _save(request: HttpRequest, one: PriceDraft, source: trail.Source, now: datetime) -> None:
    if "json" in request.POST:
        try:
            body = json.loads(request.POST["json"])
        except (ValueError, RecursionError) as error:
            message = f"This is no JSON: {error}."
            raise DraftRefused(message) from error
    else:
        body = figures.with_fields(one.body, request.POST)
    when = one.effective_from
    if request.POST.get("effective_from"):
        try:
            when = datetime.fromisoformat(request.POST["effective_from"]).replace(tzinfo=UTC)
        except ValueError as error:
            raise DraftRefused("The moment it holds from is written like 2026-11-24T00:00.") from error
    note = request.POST.get("note", one.note).replace("\x00", "")
    drafts.change(one, body=body, effective_from=when, note=note, source=source, now=now)


def _forecast_cards(one: PriceDraft) -> list[Card]:
    said = one.forecast
    if not said:
        return []
    before, after = (drafts.share_in(said, name) for name in ("margin_before", "margin_after"))
    change = drafts.share_in(said, "revenue_change")
    newest = "" if said["complete"] else "the newest "
    return [
        Card(
            "Revenue",
            words.percent(change, signed=True),
            f"{words.money(said['revenue_before_nano'])} → {words.money(said['revenue_after_nano'])}",
            tone=BAD if change and change < 0 else GOOD if change else "",
        ),
        Card(
            "Margin on price",
            f"{words.percent(before)} → {words.percent(after)}",
            "of the calls whose cost is known",
            tone=BAD if before is not None and after is not None and after < before else "",
        ),
        Card(
            "Calls that change",
            words.count(said["changed"]),
            f"of {newest}{said['calls']:,} in {drafts.WEIGHED_DAYS} days",
        ),
        Card("Customers who pay more", words.count(said["pay_more_count"]), f"{said['pay_less_count']:,} pay less"),
        Card(
            "No longer sold", words.count(said["no_longer_sold"]), "calls", tone=BAD if said["no_longer_sold"] else ""
        ),
    ]


def _difference(one: PriceDraft) -> Table:
    columns = (Column("field", "Field"), Column("before", f"v{one.base_version}"), Column("after", "This draft"))
    lines = [
        [tables.text(each.field), tables.text(each.before or "nothing"), tables.text(each.after or "nothing")]
        for each in drafts.differences_of(one)
    ]
    return Table("difference", "What would change", columns, lines, "Nothing yet: change a figure below.")


def _pay_more(one: PriceDraft) -> list[Table]:
    more = dict(one.forecast.get("pay_more", []))
    if not more:
        return []
    columns = (Column("customer", "Customer"), Column("more_usd", "More in 30 days", number=True))
    names = dict(Organization.objects.filter(pk__in=more).values_list("pk", "name"))
    lines = [
        [tables.text(names.get(pk, "")), tables.money(nano)]
        for pk, nano in sorted(more.items(), key=lambda row: -row[1])
    ]
    return [
        Table("pay-more", "Who would pay more", columns, lines, "", note="With the calls they made, at most twenty.")
    ]
