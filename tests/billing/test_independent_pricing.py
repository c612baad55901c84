"""The pricing vectors hold together before any engine is asked.

Each vector's expectation was worked out by hand; here a second arithmetic, in whole numbers only,
reaches the same figures. It also watches that the vectors stay many, each with a source, and that no
priced figure of the requirements lost its vector.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.billing.independent_pricing import answer, decimal_text, exact

VECTORS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(Path(__file__).parent.glob("vectors/*.json"))
}
CASES = [pytest.param(row, id=f"{story}: {row['name']}") for story, rows in VECTORS.items() for row in rows]
EVERY = [row for rows in VECTORS.values() for row in rows]

STORIES = {
    *("presets_s0", "presets_s1", "presets_s2", "presets_s3", "presets_s4", "cost_cards", "context_tiers"),
    *("service_tiers_and_peak", "cache_classes", "methods", "modifiers", "minimums", "rounding", "orders"),
    *("unknown_models", "holds", "display", "failures"),
}


def numbered(prefix: str, *spans: tuple[int, int], digits: int = 2) -> set[str]:
    return {f"{prefix}-{number:0{digits}}" for first, last in spans for number in range(first, last + 1)}


# Lines that state a price, a formula or a worked figure. Left out: lines about pages, queries, views and
# storage, which no price function can show.
REQUIRED = {
    *numbered("S0", (45, 46), (51, 54), (56, 56), (72, 72), (101, 105)),
    *numbered("S1", (19, 24), (34, 37), (41, 41), (50, 50)),
    *numbered("S2", (40, 43), (45, 45)),
    *numbered("S3", (34, 34), (42, 47)),
    *numbered("S4", (1, 12), (14, 14), (16, 16), (18, 21), (28, 29), (33, 33), (35, 37)),
    *numbered(
        "F", (4, 5), (22, 22), (24, 24), (26, 26), (28, 28), (30, 30), (35, 41), (123, 123), (142, 142), digits=3
    ),
    *(f"conflict-{number}" for number in (1, 2, 3, 4, 6, 7, 8, 9)),
    *(f"preset-s{number}" for number in range(5)),
}
KNOWN_FIELDS = {"name", "source", "card", "plan", "modifiers", "usage", "order", "bounds", "at", "context", "expect"}


@pytest.mark.parametrize("vector", CASES)
def test_a_second_arithmetic_reaches_the_same_figures(vector: dict[str, Any]) -> None:
    found = answer(vector)
    wanted = vector["expect"]
    assert wanted, "a vector that expects nothing shows nothing"
    assert {name: found.get(name, "not answered") for name in wanted} == wanted


def test_every_story_is_told_and_there_are_enough_vectors() -> None:
    assert set(VECTORS) == STORIES
    assert len(EVERY) >= 260


def test_every_vector_has_its_own_name_a_source_and_one_question() -> None:
    names = [vector["name"] for vector in EVERY]
    assert len(set(names)) == len(names)
    for vector in EVERY:
        assert set(vector) <= KNOWN_FIELDS, vector["name"]
        assert vector["source"].strip(), vector["name"]
        assert len({"usage", "order", "bounds"} & set(vector)) == 1, vector["name"]


def test_every_priced_requirement_is_the_source_of_a_vector() -> None:
    named = {source for vector in EVERY for source in vector["source"].split("; ")}
    assert sorted(named & REQUIRED) == sorted(REQUIRED)


def test_vectors_hold_no_floats_and_write_money_as_text() -> None:
    def refuse(text: str) -> float:
        raise AssertionError(text)

    for path in sorted(Path(__file__).parent.glob("vectors/*.json")):
        json.loads(path.read_text("utf-8"), parse_float=refuse, parse_constant=refuse)


def test_buckets_of_one_request_never_overlap() -> None:
    for vector in EVERY:
        keys = [
            (line["direction"], line.get("modality", "text"), line.get("cache", "none"), line.get("unit", "token"))
            for line in vector.get("usage", ())
        ]
        assert len(set(keys)) == len(keys), vector["name"]


@pytest.mark.parametrize("text", ["0", "1", "0.1", "187.5", "0.000000123456789", "1000000"])
def test_decimals_survive_the_way_through_whole_numbers(text: str) -> None:
    assert decimal_text(exact(text)) == text


def test_a_third_has_no_decimal_text() -> None:
    assert decimal_text(exact("1").over(exact("3"))) is None
