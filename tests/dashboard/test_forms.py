from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.bounds import LARGEST_NANO
from accounts.models.keys import KeyKind
from dashboard import forms

TODAY = date(2026, 11, 21)


def new_key(**values):
    filled = {"label": "backend", "kind": "inference", **values}
    return forms.NewKeyForm(filled, kinds=[KeyKind.INFERENCE, KeyKind.MANAGEMENT], today=TODAY)


@given(st.integers(1, LARGEST_NANO))
def test_what_a_form_shows_is_what_it_reads(nano):
    field = forms.UsdField()
    assert field.clean(field.prepare_value(nano)) == nano


@pytest.mark.parametrize(
    "amount", ["0", "-1", "NaN", "Infinity", "1e400", "0.0000000001", "ten", "1,5", "1 000", "9000000001"]
)
def test_a_strange_amount_is_refused_with_a_sentence(amount):
    form = new_key(cap_day_nano=amount)
    assert not form.is_valid()
    assert form.errors["cap_day_nano"]


@pytest.mark.parametrize("label", ["a\x00b", "a\u202eb", "a\nb\x07", "\ud800", "x" * 81, "   ", ""])
def test_a_label_is_visible_text(label):
    form = new_key(label=label)
    assert not form.is_valid()
    assert set(form.errors) == {"label"}


def test_lists_are_one_entry_per_line():
    form = new_key(allowed_models="gpt-4o\r\n\n claude-* ,gpt-4o", allowed_networks="203.0.113.7\n2001:db8::/32")
    assert form.is_valid(), form.errors
    assert form.bounds()["allowed_models"] == ["gpt-4o", "claude-*"]
    assert form.bounds()["allowed_networks"] == ["203.0.113.7/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("allowed_models", "<script>"),
        ("allowed_models", "a b"),
        ("allowed_models", "\n".join(f"m{number}" for number in range(51))),
        ("allowed_networks", "10.0.0.0/33"),
        ("allowed_networks", "localhost"),
        ("allowed_networks", "10.0.0.1/8"),
        ("requests_per_minute", "0"),
        ("requests_per_minute", "-1"),
        ("tokens_per_day", str(LARGEST_NANO + 1)),
        ("expires_on", "2026-11-20"),
        ("expires_on", "soon"),
        ("kind", "operator"),
    ],
)
def test_what_cannot_be_is_named(field, text):
    form = new_key(**{field: text})
    assert not form.is_valid()
    assert set(form.errors) == {field}


def test_a_key_works_through_its_last_day():
    form = new_key(expires_on="2026-11-21")
    assert form.is_valid(), form.errors
    assert form.bounds()["expires_at"] == datetime(2026, 11, 22, tzinfo=UTC)
