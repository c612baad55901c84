"""A mark moves with every committed change of its tables, by whatever hand, and with nothing else."""

import pytest
from django.db import connection, transaction

from gateway.models import AIModel
from plumbing import change_marks

pytestmark = pytest.mark.django_db
MARK = "gateway_cataloguemark"


@pytest.fixture
def model():
    return AIModel.objects.create(slug="a-model", name="A model")


def moved(deed):
    before = change_marks.position(MARK)
    deed()
    return change_marks.position(MARK) != before


def test_every_way_to_change_a_row_moves_it(model, shop):
    def by_hand():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE gateway_aimodel SET name = 'by hand'")

    assert moved(model.save)
    assert moved(lambda: AIModel.objects.filter(pk=model.pk).update(name="Another"))
    assert moved(by_hand)
    assert moved(lambda: model.hidden_in.add(shop))
    assert moved(model.hidden_in.clear)
    assert moved(shop.save)
    assert moved(model.delete)


def test_what_changes_nothing_leaves_it(model, organization):
    def rolled_back():
        with transaction.atomic():
            model.save()
            transaction.set_rollback(True)

    assert not moved(lambda: list(AIModel.objects.all()))
    assert not moved(organization.save)
    assert not moved(rolled_back)


def test_forgetting_old_rows_keeps_the_newest(model, monkeypatch):
    monkeypatch.setattr(change_marks, "KEPT_ROWS", 3)
    for _ in range(10):
        model.save()
    _, newest = change_marks.position(MARK)
    change_marks.trim(MARK)
    assert change_marks.position(MARK) == (3, newest)
    assert moved(model.save)
