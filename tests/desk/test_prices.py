"""Prices change as drafts: weighed against real calls, agreed to by a second person if they are much, then versions."""

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from accounts import trail
from accounts.models import AuditEvent, Organization, User
from analytics.what_if import Proposal, what_if
from billing import pricebook
from billing.models import CostCardVersion, PlanVersion
from billing.pricing import Plan
from desk import drafts, figures
from desk.models import DraftState, PriceDraft
from tests.desk.business import HOME_MODEL, fill_business

Browse = Callable[..., Client]


@pytest.fixture
def draft(ours: Organization, staff: User) -> PriceDraft:
    """25 per cent on cost became 30 in a draft of the platform's staff; the shop has an operator, too."""
    fill_business(ours, model=HOME_MODEL, seed=1, author=staff)
    return PriceDraft.objects.get()


def post(client: Client, draft: PriceDraft, **sent: Any) -> Any:
    return client.post(f"/admin/desk/drafts/{draft.pk}/", sent)


def raised(draft: PriceDraft, multiplier: str, staff: User) -> PriceDraft:
    source, now = trail.Source(user=staff), timezone.now()
    body = {**draft.body, "multiplier": multiplier}
    changed = drafts.change(draft, body=body, effective_from=now, note="more", source=source, now=now)
    return drafts.weigh(changed, now=now)


def test_what_it_would_mean_is_what_the_engine_says(browse: Browse, staff: User, draft: PriceDraft) -> None:
    assert post(browse(staff), draft, do="weigh").status_code == 302
    draft.refresh_from_db()
    now = timezone.now()
    plan = Plan.from_json({**draft.body, "name": "standard", "version": 2})
    said = what_if(Proposal(plan=plan), storefront=draft.storefront, since=now - timedelta(days=30), until=now)
    assert draft.forecast["revenue_after_nano"] == said.after.price_nano > said.before.price_nano > 0
    assert drafts.share_in(draft.forecast, "margin_after") == said.after.margin
    page = browse(staff).get(f"/admin/desk/drafts/{draft.pk}/").content.decode()
    assert "HOMEMARK Organization" in page  # who would pay more
    assert "+4.0 %" in page  # 1.30 over 1.25
    assert "1.25" in page


def test_a_small_change_is_published_by_one_person(browse: Browse, staff: User, draft: PriceDraft) -> None:
    post(browse(staff), draft, do="weigh")
    assert post(browse(staff), draft, do="submit").status_code == 302
    draft.refresh_from_db()
    made = PlanVersion.objects.get(version=2)
    assert (draft.state, draft.published_version, made.body["multiplier"]) == (DraftState.PUBLISHED, 2, "1.3")
    assert made.author == staff
    assert set(AuditEvent.objects.values_list("action", flat=True)) >= {"price_draft.published", "plan.published"}
    assert post(browse(staff), draft, do="discard").status_code == 400


def test_a_large_one_waits_for_somebody_else(browse: Browse, staff: User, operator: User, draft: PriceDraft) -> None:
    raised(draft, "1.5", staff)
    assert post(browse(staff), draft, do="submit").status_code == 302
    draft.refresh_from_db()
    assert draft.state == DraftState.WAITING
    refused = post(browse(staff), draft, do="approve")
    assert refused.status_code == 400
    assert "other than its author" in refused.content.decode()
    assert not PlanVersion.objects.filter(version=2).exists()
    assert post(browse(operator), draft, do="approve").status_code == 302
    draft.refresh_from_db()
    assert (draft.state, draft.approved_by) == (DraftState.PUBLISHED, operator)


def test_changing_what_waits_takes_it_back(staff: User, draft: PriceDraft) -> None:
    source, now = trail.Source(user=staff), timezone.now()
    waiting = drafts.submit(raised(draft, "1.5", staff), source=source, now=now)
    again = drafts.change(
        waiting, body={**waiting.body, "multiplier": "9"}, effective_from=now, note="", source=source, now=now
    )
    assert (again.state, again.forecast) == (DraftState.DRAFT, {})
    with pytest.raises(drafts.DraftRefused, match="Weigh it"):
        drafts.submit(again, source=source, now=now)


def test_where_nobody_else_could_agree_the_trail_says_so(staff: User, draft: PriceDraft) -> None:
    User.objects.exclude(pk=staff.pk).update(is_active=False)
    done = drafts.submit(raised(draft, "1.5", staff), source=trail.Source(user=staff), now=timezone.now())
    assert done.state == DraftState.PUBLISHED
    assert AuditEvent.objects.get(action="price_draft.published").after["nobody_else_could_agree"] is True


def test_what_somebody_published_meanwhile_stands(staff: User, draft: PriceDraft, ours: Organization) -> None:
    pricebook.publish_plan(
        storefront=ours.storefront,
        name="standard",
        body={"method": "cost_plus", "percent": "26"},
        effective_from=timezone.now(),
        note="",
        source=trail.SYSTEM,
    )
    weighed = drafts.weigh(draft, now=timezone.now())
    with pytest.raises(drafts.DraftRefused, match="published v2 meanwhile"):
        drafts.submit(weighed, source=trail.Source(user=staff), now=timezone.now())


def test_a_plan_that_loses_money_is_refused_with_its_reason(browse: Browse, staff: User, draft: PriceDraft) -> None:
    User.objects.exclude(pk=staff.pk).update(is_active=False)
    raised(draft, "0.5", staff)
    refused = post(browse(staff), draft, do="submit")
    assert refused.status_code == 400
    assert PlanVersion.objects.count() == 1


@pytest.mark.parametrize(
    "sent",
    [
        {"json": "{"},
        {"json": "[]"},
        {"json": "{}"},
        {"json": '{"method": "cost_plus", "percent": "25", "colour": "red"}'},
        {"figure:multiplier": "-1"},
        {"figure:multiplier": "much"},
        {"effective_from": "soon"},
    ],
)
def test_nonsense_is_a_sentence_and_changes_nothing(
    browse: Browse, staff: User, draft: PriceDraft, sent: dict[str, str]
) -> None:
    refused = post(browse(staff), draft, do="save", **sent)
    assert refused.status_code == 400
    assert 'role="alert"' in refused.content.decode()
    before = draft.body
    draft.refresh_from_db()
    assert draft.body == before


def test_figures_are_edited_one_by_one(browse: Browse, staff: User, draft: PriceDraft) -> None:
    saved = {"do": "save", "figure:multiplier": "1.4", "note": "Spring", "effective_from": "2099-01-01T00:00"}
    assert post(browse(staff), draft, **saved).status_code == 302
    draft.refresh_from_db()
    assert (draft.body["multiplier"], draft.note, draft.effective_from.year) == ("1.4", "Spring", 2099)


def test_a_card_goes_the_same_way(browse: Browse, staff: User, draft: PriceDraft) -> None:
    client = browse(staff)
    card = CostCardVersion.objects.filter(model=HOME_MODEL, provider="north").get()
    assert client.get(f"/admin/desk/prices/card/{card.pk}/draft/").status_code == 200
    assert client.post(f"/admin/desk/prices/card/{card.pk}/draft/").status_code == 302
    of_card = PriceDraft.objects.get(kind="card")
    path = next(one.path for one in figures.fields(of_card.body) if one.value == "15")
    post(client, of_card, do="save", **{f"figure:{path}": "15.3"})
    post(client, of_card, do="weigh")
    of_card.refresh_from_db()
    assert drafts.share_in(of_card.forecast, "revenue_change") > 0  # type: ignore[operator]  # there were calls
    assert post(client, of_card, do="submit").status_code == 302
    assert CostCardVersion.objects.filter(model=HOME_MODEL, provider="north", version=2).exists()
    page = client.get(f"/admin/desk/prices/card/{card.pk}/").content.decode()
    assert "15 → 15.3" in page


def test_the_database_lets_nobody_agree_with_themselves(draft: PriceDraft, staff: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceDraft.objects.filter(pk=draft.pk).update(approved_by=staff)


def test_thresholds(draft: PriceDraft) -> None:
    draft.forecast = {"revenue_change": "1/20", "margin_before": "1/5", "margin_after": "9/50", "no_longer_sold": 0}
    assert drafts.wants_second_person(draft) == ""
    for change in ({"revenue_change": str(Fraction(-51, 1000))}, {"margin_after": "89/500"}, {"no_longer_sold": 1}):
        draft.forecast = {**draft.forecast, "revenue_change": "0", "margin_after": "1/5", "no_longer_sold": 0, **change}
        assert drafts.wants_second_person(draft)


def test_a_rise_is_published_only_so_many_days_ahead_and_a_fall_at_once(
    staff: User, draft: PriceDraft, settings: Any
) -> None:
    settings.PRICE_NOTICE_DAYS = 14
    source, now = trail.Source(user=staff), timezone.now()
    weighed = drafts.weigh(draft, now=now)
    with pytest.raises(drafts.DraftRefused, match=f"{HOME_MODEL} would become dearer and 3 more, and customers"):
        drafts.submit(weighed, source=source, now=now)
    ahead = drafts.change(
        draft, body=draft.body, effective_from=now + timedelta(days=14), note="", source=source, now=now
    )
    assert drafts.submit(drafts.weigh(ahead, now=now), source=source, now=now).state == DraftState.PUBLISHED
    lower = drafts.begin(PlanVersion.objects.get(version=2), source=source, now=now)
    body = {**lower.body, "multiplier": "1.29"}
    fallen = drafts.change(lower, body=body, effective_from=now, note="", source=source, now=now)
    assert drafts.raised(fallen, now=now) == []
    assert drafts.submit(drafts.weigh(fallen, now=now), source=source, now=now).state == DraftState.PUBLISHED
