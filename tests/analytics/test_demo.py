from collections import Counter

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from analytics import demo, demo_world, proof, rollups
from analytics.models import CustomerDay, RollupMark, ShopDay
from analytics.rows import read_json
from billing import audit
from gateway.catalog import take_picture
from gateway.models import Attempt, Call


def test_ninety_days_are_lively_and_the_books_hold(shop, capsys, client):
    call_command("demo", calls=600, seed=3)
    assert "audit" in capsys.readouterr().out
    assert audit.run().findings == []
    days = {row.day for row in ShopDay.objects.all()}
    assert len(days) > 80
    assert Call.unscoped.count() > 400
    assert Attempt.unscoped.count() >= Call.unscoped.count()
    assert len({row.organization_id for row in CustomerDay.unscoped.all()}) >= 8
    assert len({row.storefront_id for row in ShopDay.objects.all()}) == 2
    seen = proof.Proof()
    for day in sorted(days)[::9]:
        assert proof.prove_day(day, proof=seen) == []
    assert seen.calls > 30
    assert abs((RollupMark.objects.get().rolled_until - timezone.now()).total_seconds()) < 600
    assert rollups.mend(now=timezone.now(), days=1) == []
    shelf = take_picture(timezone.now())
    on_sale = {offer.slug for offer in shelf.listed(storefront=shop.pk, plan=demo.PLAN)}
    assert {slug for slug, *_ in demo_world.MODELS} <= on_sale
    assert client.get("/model/demo/atlas-large", headers={"host": "localhost"}).status_code == 200
    sold = sum(row.charge_nano for row in ShopDay.objects.all())
    cost = sum(row.cost_nano for row in ShopDay.objects.all())
    assert sold > cost > 0


def test_a_second_time_changes_nothing(shop):
    call_command("demo", calls=200)
    before = Call.unscoped.count()
    with pytest.raises(CommandError, match="already"):
        call_command("demo", calls=200)
    assert Call.unscoped.count() == before


def test_demo_data_is_refused_in_production(shop, settings):
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        call_command("demo")


def test_every_price_is_the_engines_own(shop):
    demo.make(calls=150, seed=5)
    from billing.models.plans import CostCardVersion, PlanVersion
    from billing.pricing import Card, Circumstances, Plan, Rates, Usage, charge

    for call in Call.unscoped.all():
        plan = PlanVersion.objects.get(pk=call.plan_version_id)
        card = CostCardVersion.objects.get(pk=call.card_version_id)
        made = charge(
            usage=Usage.from_json(read_json(call.usage)),
            rates=Rates.of(plan=Plan.from_json(plan.body), card=Card.from_json(card.body), model=call.model_served),
            circumstances=Circumstances.from_json(read_json(call.circumstances)),
        )
        assert (made.charge_nano, made.cost_nano) == (call.price_nano, call.cost_nano)


def test_a_load_of_calls_keeps_the_books_and_wants_postgresql(shop):
    if connection.vendor != "postgresql":
        with pytest.raises(CommandError, match="PostgreSQL"):
            call_command("loaddata_scale", calls=10)
        return
    call_command("loaddata_scale", calls=5_000, organizations=20, days=2)
    assert Call.unscoped.count() == 5_000
    assert audit.run().findings == []
    shares = Counter(Call.unscoped.values_list("organization_id", flat=True))
    assert max(shares.values()) == 2_500
    assert len(shares) > 10
    days = sorted({call.ended_at.date() for call in Call.unscoped.only("ended_at")})
    seen = proof.Proof()
    for day in days:
        rollups.roll(since=rollups.day_of(day), until=rollups.day_of(day) + rollups.DAY)
        assert proof.prove_day(day, proof=seen) == []
    assert seen.calls == 5_000
