"""What the sandbox is made of: no Django, no rooms of ours, closed where nobody opened it, and mounted as it stands."""

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.provider import Provider
from tests.config.test_settings import PRODUCTION

ROOT = Path(__file__).resolve().parents[2]


def test_it_starts_without_django_or_any_room_of_ours():
    code = (
        "import sys, sandbox.provider.served;"
        "rooms = {'django', 'config', 'gateway', 'billing', 'accounts', 'plumbing', 'analytics', 'desk', 'dashboard'};"
        "sys.exit(', '.join(sorted(rooms & {name.split('.')[0] for name in sys.modules})) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def asked(provider, path, *, method="GET", body=b"", root_path="", headers=()):
    """One request, straight into the application: the status, and the first of what is said."""
    sent = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        if waiting:
            return waiting.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": root_path, "headers": list(headers)}
    asyncio.run(provider(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_without_a_control_key_there_is_no_control():
    provider = Provider(keys={"sk-a"})
    key = [(b"authorization", b"Bearer sk-a")]
    assert asked(provider, "/_control/summary", headers=key)[0] == 404
    assert asked(provider, "/_control/summary", headers=[*key, (b"x-sandbox-control", b"")])[0] == 404
    assert asked(provider, "/_control/summary")[0] == 401


def test_without_keys_nobody_comes_in():
    assert asked(Provider(keys=()), "/v1/models")[0] == 401
    assert asked(Provider(keys=()), "/v1/models", headers=[(b"authorization", b"Bearer ")])[0] == 401


def test_it_can_be_mounted_under_a_path():
    provider = Provider(keys={"sk-a"})
    headers = [(b"authorization", b"Bearer sk-a")]
    status, body = asked(provider, "/sandbox/provider/v1/models", root_path="/sandbox/provider", headers=headers)
    assert status == 200
    assert b"sandbox-standard" in body


def test_our_own_server_mounts_it_for_its_own_gateway_alone(settings):
    """Embedded and test mode have it, behind a key that only this installation knows."""
    from config.asgi import application

    path = "/sandbox/provider/v1/models"
    ours = [(b"authorization", f"Bearer {settings.SANDBOX_PROVIDER_KEY}".encode())]
    assert len(settings.SANDBOX_PROVIDER_KEY) >= 32
    assert asked(application, path, headers=ours)[0] == 200
    assert asked(application, path)[0] == 401
    assert asked(application, path, headers=[(b"authorization", b"Bearer sk-sandbox")])[0] == 401


@pytest.mark.slow
def test_production_never_loads_it(tmp_path):
    code = "import config.asgi, sys; sys.exit('sandbox.provider' in sys.modules or config.asgi.provider is not None)"
    environment = {"PATH": os.environ["PATH"], **PRODUCTION, "DATA_DIR": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr


# --- mutations ---

TALK = [{"role": "user", "content": "use the tool"}]
TOOL = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"anyOf": [{}, {"enum": [1]}]}}}
SEEDS = {
    "/v1/chat/completions": {
        "model": "sandbox-standard+tokens=9",
        "messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}, *TALK],
        "tools": [{"type": "function", "function": {"name": "t", "parameters": TOOL}}],
        "tool_choice": "auto",
        "max_tokens": 50,
        "n": 2,
        "stop": ["x"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 1,
    },
    "/v1/completions": {"model": "sandbox-mini", "prompt": ["a"], "max_tokens": 5, "stream": False},
    "/v1/responses": {
        "model": "sandbox-reasoning",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "text": {"format": {"type": "json_schema", "schema": TOOL}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["message.output_text.logprobs"],
        "max_output_tokens": 99,
    },
    "/v1/messages": {
        "model": "sandbox-standard",
        "max_tokens": 50,
        "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": TALK,
        "tools": [{"name": "t", "input_schema": TOOL}],
        "tool_choice": {"type": "tool", "name": "t"},
        "thinking": {"type": "enabled", "budget_tokens": 5},
        "stream": True,
    },
    "/v1beta/models/sandbox-standard:generateContent": {
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"inlineData": {"mimeType": "image/png", "data": "A"}}]}
        ],
        "systemInstruction": {"parts": [{"text": "y"}]},
        "tools": [{"functionDeclarations": [{"name": "t", "parameters": TOOL}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 9, "candidateCount": 2, "thinkingConfig": {"includeThoughts": True}},
    },
    "/v1/embeddings": {"model": "sandbox-embedding", "input": ["a", [1, 2]], "dimensions": 4},
    "/v1/rerank": {"model": "sandbox-rerank", "query": "a", "documents": ["a", {"text": "b"}], "top_n": 1},
    "/v1/moderations": {"model": "sandbox-moderation", "input": [{"type": "text", "text": "a"}]},
}
ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    "",
    "x" * 300,
    "\ud800",
    [],
    {},
    [[]],
    {"$ref": "#"},
    [None],
    "sandbox-mini+n=inf",
]


def mutated(value, rng):
    """The same with one thing in it changed, dropped or put elsewhere."""
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD)
    copy = value.copy()
    places = list(copy) if isinstance(copy, dict) else range(len(copy))
    place = rng.choice(list(places))
    if isinstance(copy, dict) and rng.random() < 0.1:
        del copy[place]
    else:
        copy[place] = mutated(copy[place], rng)
    return copy


@pytest.mark.parametrize("path", SEEDS)
def test_no_mutation_of_a_request_is_a_500(path):
    rng = random.Random(path)
    provider = Provider(keys={"sk-a"})
    statuses = set()
    for _ in range(400):
        body = SEEDS[path]
        for _ in range(rng.randrange(1, 4)):
            body = mutated(body, rng) if isinstance(body, dict) else body
        given = json.dumps(body).encode()
        headers = [(b"authorization", b"Bearer sk-a"), (b"anthropic-version", b"2023-06-01")]
        status, _ = asked(provider, path, method="POST", body=given, headers=headers)
        assert status < 500, given
        statuses.add(status)
    assert {200, 400} <= statuses
    assert all(entry.outcome in {"complete", "error"} for entry in provider.books.entries.values())
