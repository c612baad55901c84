import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from accounts import networks, patterns, reach, roles, scopes
from accounts.models import ApiKey, Role
from accounts.models.keys import KeyKind

NOW = datetime(2026, 11, 1, tzinfo=UTC)


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("gpt-5", "gpt-5", True),
        ("gpt-5", "gpt-5-mini", False),
        ("gpt-*", "gpt-5-mini", True),
        ("gpt-*", "gpt-", True),
        ("*", "anything/at:all", True),
        ("*-mini", "gpt-5-mini", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("*x*x*", "x", False),
        ("GPT-*", "gpt-5", False),
        ("gpt.5", "gptX5", False),
    ],
)
def test_a_star_is_anything_and_nothing_else_is(pattern, name, fits):
    assert patterns.matches(pattern, name) is fits


@pytest.mark.parametrize(
    "bad", ["", "a b", "[a-z]+", "(a+)+$", "a\x00", "a\n", "x" * 121, "*a*b*c*d*e*", "naïve", "a?"]
)
def test_what_is_not_a_pattern_is_refused(bad):
    with pytest.raises(ValidationError):
        patterns.clean([bad])


@pytest.mark.parametrize("bad", ["gpt-*", None, {"a": 1}, [1], [None], ["a"] * 51])
def test_what_is_not_a_short_list_of_patterns_is_refused(bad):
    with pytest.raises(ValidationError):
        patterns.clean(bad)


def test_patterns_are_kept_once_with_stars_joined():
    assert patterns.clean(["gpt-**", "gpt-*", "o1"]) == ["gpt-*", "o1"]


def test_a_hostile_pattern_is_quick():
    started_at = time.perf_counter()
    assert not patterns.matches("*a*a*a*b", "a" * 5000 + "c")
    assert time.perf_counter() - started_at < 0.05


PATTERN = st.text(alphabet="ab*", min_size=1, max_size=6)


@given(outer=PATTERN, inner=PATTERN, name=st.text(alphabet="abc", max_size=7))
def test_covering_never_lets_a_name_through_that_the_parent_refuses(outer, inner, name):
    if patterns.within([inner], [outer]) and patterns.matches(inner, name):
        assert patterns.matches(outer, name)


@given(outer=PATTERN, inner=PATTERN)
def test_refusing_to_cover_has_a_witness(outer, inner):
    if not patterns.within([inner], [outer]):
        witness = inner.replace("*", "\N{SNOWMAN}")  # a letter no pattern spells out
        assert patterns.matches(inner, witness)
        assert not patterns.matches(outer, witness)


def test_an_unbounded_child_is_wider_than_a_bounded_parent():
    assert not patterns.within([], ["gpt-*"])
    assert patterns.within([], [])
    assert patterns.allow([], "anything")
    assert not patterns.allow(["gpt-*"], "o1")


# --- networks ---------------------------------------------------------------------------------------------------------


def test_networks_are_kept_in_canonical_spelling():
    assert networks.clean([" 203.0.113.7", "203.0.113.7/32", "2001:DB8::/32"]) == ["203.0.113.7/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "example.com",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "::ffff:10.0.0.1",
        "1.2.3.4:80",
        "a" * 10_000,
        "10.0.0.0/\x00",
        "0x7f.1",
    ],
)
def test_what_is_not_a_network_is_refused(bad):
    with pytest.raises(ValidationError):
        networks.clean([bad])


@pytest.mark.parametrize("bad", ["10.0.0.0/8", [1], [167772160], None, ["10.0.0.0/8"] * 51])
def test_what_is_not_a_short_list_of_networks_is_refused(bad):
    with pytest.raises(ValidationError):
        networks.clean(bad)


def test_host_bits_are_refused_with_what_was_probably_meant():
    with pytest.raises(ValidationError, match=r"10\.0\.0\.0/8"):
        networks.clean(["10.1.2.3/8"])


@pytest.mark.parametrize(
    ("child", "parent", "fits"),
    [
        (["10.0.0.0/9"], ["10.0.0.0/8"], True),
        (["10.0.0.0/8"], ["10.0.0.0/9"], False),
        (["10.0.0.0/8"], ["10.0.0.0/9", "10.128.0.0/9"], True),
        (["2001:db8::/48"], ["10.0.0.0/8", "2001:db8::/32"], True),
        (["10.0.0.0/8"], ["::/0"], False),
        ([], ["10.0.0.0/8"], False),
        (["10.0.0.0/8"], [], True),
    ],
)
def test_networks_within_networks(child, parent, fits):
    assert networks.within(child, parent) is fits


def test_an_address_of_the_other_family_is_not_in_the_network():
    assert not networks.allow(["10.0.0.0/8"], "2001:db8::1")
    assert networks.allow(["10.0.0.0/8"], "10.9.9.9")
    assert networks.allow([], "2001:db8::1")


# --- scopes and roles -------------------------------------------------------------------------------------------------


def test_every_scope_names_the_permission_it_needs():
    assert set(scopes.NEEDS) == set(scopes.Scope)


def test_no_scope_reaches_ownership():
    everything = scopes.permissions([scope.value for scope in scopes.Scope])
    assert roles.Permission.TRANSFER_OWNERSHIP not in everything


def test_a_role_gives_no_scope_whose_permission_it_lacks():
    assert "keys:write" not in scopes.within_role(Role.VIEWER)
    assert scopes.within_role(Role.DEVELOPER) == ["organization:read", "members:read", "keys:read", "keys:write"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (KeyKind.INFERENCE, ["keys:read"]),
        (KeyKind.MANAGEMENT, ["operator:read"]),
        (KeyKind.MANAGEMENT, []),
        (KeyKind.MANAGEMENT, "keys:read"),
        (KeyKind.MANAGEMENT, [1]),
        (KeyKind.OPERATOR, ["keys:read"]),
        (KeyKind.OPERATOR, []),
    ],
)
def test_scopes_of_the_wrong_kind_are_refused(kind, words):
    with pytest.raises(ValidationError):
        scopes.clean(kind, words)


# --- reach ------------------------------------------------------------------------------------------------------------


def test_every_bound_of_a_key_is_compared():
    not_bounds = {
        "id", "public_id", "kind", "organization", "storefront", "label", "secret_hash", "visible_start", "last_four",
        "created_by", "created_at", "disabled_at", "revoked_at", "replaces", "last_used_at", "last_used_ip",
    }  # fmt: skip
    assert {field.name for field in ApiKey._meta.concrete_fields} - not_bounds == reach.COMPARED


@pytest.mark.parametrize("name", [*reach.NUMBERS, "expires_at"])
def test_each_number_and_the_expiry_bind_a_child(name):
    bound = NOW if name == "expires_at" else 10
    step = timedelta(seconds=1) if name == "expires_at" else 1
    maker = ApiKey(**{name: bound})
    assert reach.wider(ApiKey(), maker) == name
    assert reach.wider(ApiKey(**{name: bound + step}), maker) == name
    assert reach.wider(ApiKey(**{name: bound}), maker) is None
    assert reach.wider(ApiKey(**{name: bound}), ApiKey()) is None


def test_lists_bind_a_child_too():
    maker = ApiKey(scopes=["keys:read"], allowed_models=["gpt-*"], allowed_networks=["10.0.0.0/8"])
    fine = {"scopes": ["keys:read"], "allowed_models": ["gpt-5"], "allowed_networks": ["10.1.0.0/16"]}
    assert reach.wider(ApiKey(**fine), maker) is None
    assert reach.wider(ApiKey(**fine | {"scopes": ["keys:write"]}), maker) == "scopes"
    assert reach.wider(ApiKey(**fine | {"allowed_models": ["*"]}), maker) == "allowed_models"
    assert reach.wider(ApiKey(**fine | {"allowed_networks": []}), maker) == "allowed_networks"


def test_no_key_makes_an_operator_key():
    assert reach.wider(ApiKey(kind=KeyKind.OPERATOR), ApiKey()) == "scopes"
