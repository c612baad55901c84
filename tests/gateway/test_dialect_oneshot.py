"""Embeddings, rerank and moderations: read for what admission needs, and for the usage of their answers."""

import json

import pytest

from gateway.dialects.oneshot import OneShot, read_request, read_tally
from gateway.errors import InvalidRequest
from tests.gateway.recordings import exchanges

READ = [
    ("embeddings", {"model": "m", "input": "one"}, OneShot("m", ("one",))),
    ("embeddings", {"model": "m", "input": ["one", "two"], "encoding_format": "base64"}, OneShot("m", ("one", "two"))),
    ("embeddings", {"model": "m", "input": [1, 2, 3]}, OneShot("m", token_ids=3)),
    ("embeddings", {"model": "m", "input": [[1, 2], [3]]}, OneShot("m", token_ids=3)),
    ("moderations", {"input": "one"}, OneShot("omni-moderation-latest", ("one",))),
    (
        "moderations",
        {"model": "m", "input": [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {"url": "x"}}]},
        OneShot("m", ("one",), pictures=1),
    ),
    (
        "rerank",
        {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
        OneShot("m", ("q", "a", "b"), documents=2),
    ),
]


@pytest.mark.parametrize(("kind", "source", "wanted"), READ)
def test_what_a_request_is_about(kind, source, wanted):
    assert read_request(kind, json.dumps(source).encode()) == wanted


REFUSED = [
    ("embeddings", {"model": "m"}, "input"),
    ("embeddings", {"input": "x"}, "model"),
    ("embeddings", {"model": "m", "input": []}, "input"),
    ("embeddings", {"model": "m", "input": ["x"] * 2049}, "input"),
    ("embeddings", {"model": "m", "input": ["x", None]}, "input[1]"),
    ("embeddings", {"model": "m", "input": [[1, "x"]]}, "input[0]"),
    ("moderations", {"input": [1, 2]}, "input"),
    ("rerank", {"model": "m", "query": "q", "documents": []}, "documents"),
    ("rerank", {"model": "m", "query": "q", "documents": [{"title": "x"}]}, "documents[0]"),
    ("rerank", {"model": "m", "documents": ["x"]}, "query"),
    ("rerank", {"model": "m", "query": "q", "documents": ["x"], "top_n": "1"}, "top_n"),
]


@pytest.mark.parametrize(("kind", "source", "param"), REFUSED)
def test_a_refusal_names_its_field(kind, source, param):
    with pytest.raises(InvalidRequest) as refused:
        read_request(kind, json.dumps(source).encode())
    assert refused.value.param == param


def test_recorded_requests_are_read():
    for exchange in exchanges("embeddings"):
        if exchange.provider == "cohere":
            continue
        assert read_request("embeddings", json.dumps(exchange.request).encode()).texts
    [moderation] = exchanges("moderations")
    assert read_request("moderations", json.dumps(moderation.request).encode()).texts


def test_moderations_report_nothing():
    [moderation] = exchanges("moderations")
    assert read_tally(moderation.body).input is None


def test_searches_are_billed_in_units():
    tally = read_tally(b'{"results":[],"meta":{"billed_units":{"search_units":2}}}')
    assert (tally.search_units, tally.input) == (2, None)
