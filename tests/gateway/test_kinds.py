"""Kinds: addresses, keys and headers that nobody but us chooses, and each quirk with the payload that shows it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import DIALECTS
from gateway.dialects.oneshot import ONE_SHOTS
from gateway.errors import Inexpressible, InvalidRequest
from gateway.kinds import KINDS, NotSpoken, UnfitKey, checked_key, headers, outgoing, quirks, url
from tests.gateway.recordings import exchanges

COUNTING = {"count_tokens", "gemini_count_tokens"}


def test_every_company_asked_for_is_there():
    wanted = {"openai", "azure", "anthropic", "gemini", "xai", "mistral", "cohere", "deepseek", "groq", "together"}
    wanted |= {"fireworks", "deepinfra", "openrouter", "cometapi", "openai_compatible", "sandbox"}
    assert wanted <= set(KINDS)


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_a_row_speaks_what_we_speak(slug):
    kind = KINDS[slug]
    assert kind.slug == slug
    assert set(kind.speaks) <= set(DIALECTS) | set(ONE_SHOTS) | COUNTING
    assert kind.base_url == "" or kind.base_url.startswith("https://")
    assert not kind.base_url.endswith("/")


URLS = [
    ("openai", "openai_chat", False, "", "https://api.openai.com/v1/chat/completions"),
    ("openai", "openai_responses", True, "", "https://api.openai.com/v1/responses"),
    ("anthropic", "anthropic_messages", True, "", "https://api.anthropic.com/v1/messages"),
    ("gemini", "gemini", False, "", "https://generativelanguage.googleapis.com/v1beta/models/m-1:generateContent"),
    (
        "gemini",
        "gemini",
        True,
        "",
        "https://generativelanguage.googleapis.com/v1beta/models/m-1:streamGenerateContent?alt=sse",
    ),
    ("groq", "openai_chat", False, "", "https://api.groq.com/openai/v1/chat/completions"),
    ("openrouter", "openai_chat", False, "", "https://openrouter.ai/api/v1/chat/completions"),
    ("deepseek", "openai_chat", False, "", "https://api.deepseek.com/chat/completions"),
    ("deepseek", "anthropic_messages", False, "", "https://api.deepseek.com/anthropic/v1/messages"),
    ("cometapi", "gemini", True, "", "https://api.cometapi.com/v1beta/models/m-1:streamGenerateContent?alt=sse"),
    ("cometapi", "openai_chat", True, "", "https://api.cometapi.com/v1/chat/completions"),
    (
        "azure",
        "openai_chat",
        False,
        "https://r.openai.azure.com/openai/v1",
        "https://r.openai.azure.com/openai/v1/chat/completions",
    ),
    (
        "azure",
        "openai_chat",
        False,
        "https://r.openai.azure.com/openai/deployments/{model}?api-version=2024-10-21",
        "https://r.openai.azure.com/openai/deployments/m-1/chat/completions?api-version=2024-10-21",
    ),
    (
        "openai_compatible",
        "openai_chat",
        False,
        "http://127.0.0.1:8000/v1/",
        "http://127.0.0.1:8000/v1/chat/completions",
    ),
    ("sandbox", "anthropic_messages", False, "http://127.0.0.1:1/provider", "http://127.0.0.1:1/provider/v1/messages"),
]


@pytest.mark.parametrize(("slug", "dialect", "stream", "base", "wanted"), URLS)
def test_addresses(slug, dialect, stream, base, wanted):
    assert url(KINDS[slug], dialect, model="m-1", stream=stream, base_url=base) == wanted


RECORDED_AT = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "groq": "groq",
    "openrouter": "openrouter",
    "xai": "xai",
}


@pytest.mark.parametrize(
    "exchange",
    [e for e in exchanges() if e.provider in RECORDED_AT and e.dialect in DIALECTS and e.url],
    ids=lambda e: e.name,
)
def test_addresses_are_those_that_were_recorded(exchange):
    recorded = exchange.url.removesuffix("?beta=true")
    if (
        "ount_tokens" in exchange.name
        or "cachedContents" in recorded
        or "/openai/chat" in recorded.replace("groq.com/openai", "")
    ):
        return
    model = recorded.rpartition("/models/")[2].partition(":")[0] if exchange.dialect == "gemini" else "m"
    stream = "stream" in recorded
    assert url(KINDS[RECORDED_AT[exchange.provider]], exchange.dialect, model=model, stream=stream) == recorded


@pytest.mark.parametrize(
    "model", ["../../evil", "a/b", "m?key=x", "m#x", "m%2f..", "m:generateContent", "é", "a b", "@evil.example"]
)
def test_a_models_name_never_leaves_its_place(model):
    address = url(KINDS["gemini"], "gemini", model=model, stream=False)
    assert address.startswith("https://generativelanguage.googleapis.com/v1beta/models/")
    assert address.endswith(":generateContent")
    middle = address.removeprefix("https://generativelanguage.googleapis.com/v1beta/models/").removesuffix(
        ":generateContent"
    )
    assert not set("/?#:@ ") & set(middle)


@pytest.mark.parametrize("model", ["", ".", "..", "a\r\nHost: evil", "a\x00"])
def test_names_that_cannot_be_are_refused(model):
    with pytest.raises(InvalidRequest):
        url(KINDS["azure"], "openai_chat", model=model, stream=False, base_url="https://r/deployments/{model}")


def test_what_a_company_does_not_speak():
    with pytest.raises(NotSpoken):
        url(KINDS["groq"], "gemini", model="m", stream=False)
    assert KINDS["groq"].dialect_for("gemini") == "openai_chat"
    assert KINDS["deepseek"].dialect_for("anthropic_messages") == "anthropic_messages"
    assert KINDS["anthropic"].dialect_for("openai_chat") == "anthropic_messages"


KEYS = [
    ("openai", "openai_chat", {"authorization": "Bearer k"}),
    ("azure", "openai_chat", {"api-key": "k"}),
    ("gemini", "gemini", {"x-goog-api-key": "k"}),
    ("anthropic", "anthropic_messages", {"x-api-key": "k", "anthropic-version": "2023-06-01"}),
    ("cometapi", "gemini", {"x-goog-api-key": "k"}),
    ("cometapi", "openai_chat", {"authorization": "Bearer k"}),
    ("deepseek", "anthropic_messages", {"x-api-key": "k"}),
]


@pytest.mark.parametrize(("slug", "dialect", "wanted"), KEYS)
def test_the_key_is_shown_as_the_company_wants_it(slug, dialect, wanted):
    assert headers(KINDS[slug], dialect, key=" k\n") == {"content-type": "application/json"} | wanted


def test_anthropics_newer_version_wants_a_bearer():
    sent = headers(
        KINDS["anthropic"],
        "anthropic_messages",
        key="k",
        client_headers={"anthropic-version": "2026-10-21", "anthropic-beta": "a-1,b-2"},
    )
    assert sent == {
        "content-type": "application/json",
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "a-1,b-2",
        "authorization": "Bearer k",
    }


STEERING = [
    "authorization",
    "cookie",
    "host",
    "openai-organization",
    "openai-project",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
]
STEERING += [
    "x-goog-user-project",
    "x-portkey-custom-host",
    "connection",
    "transfer-encoding",
    "x-forwarded-for",
    "content-length",
]


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_no_header_of_a_client_steers_or_leaks(slug):
    kind = KINDS[slug]
    for dialect in kind.speaks:
        sent = headers(kind, dialect, key="k", client_headers=dict.fromkeys(STEERING, "canary"))
        assert "canary" not in sent.values()


@pytest.mark.parametrize("value", ["2023-06-01\r\nx: y", "latest", "", "2023-06-01 ", "\uff12023-06-01"])
def test_a_version_that_is_none_is_not_passed(value):
    sent = headers(KINDS["anthropic"], "anthropic_messages", key="k", client_headers={"anthropic-version": value})
    assert sent["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("key", ["", "  ", "a\r\nb", "a b", "é", "a\x00", "x" * 1001])
def test_keys_that_no_header_may_carry(key):
    with pytest.raises(UnfitKey) as refused:
        checked_key(key)
    assert not key.strip() or key not in str(refused.value)


def sent(slug, **members):
    return json.loads(outgoing(KINDS[slug], json.dumps({"model": "m", "messages": []} | members).encode()))


def test_without_a_quirk_the_same_bytes_go_out():
    body = b'{ "model":"m" , "messages":[ ] }'
    for kind in KINDS.values():
        assert outgoing(kind, body) is body


def test_limit_by_old_name():
    """Mistral and most hosts of open models know max_tokens alone (mistral__chat_json was sent with it)."""
    assert sent("mistral", max_completion_tokens=5) == {"model": "m", "messages": [], "max_tokens": 5}
    assert sent("openai", max_completion_tokens=5)["max_completion_tokens"] == 5


def test_usage_comes_unasked():
    """mistral__chat_stream was asked without stream_options and reports its usage in the last chunk."""
    [recorded] = exchanges_named("mistral__chat_stream[0]")
    assert "stream_options" not in recorded.request
    assert b'"usage":{' in recorded.body
    assert "stream_options" not in sent("mistral", stream=True, stream_options={"include_usage": True})


def test_seed_is_random_seed():
    assert sent("mistral", seed=7)["random_seed"] == 7
    assert sent("groq", seed=7)["seed"] == 7


def test_developer_is_system():
    """openai__chat_error_400_unsupported_role shows what a host says to a role it does not know."""
    [recorded] = exchanges_named("openai__chat_error_400_unsupported_role[0]")
    assert b"does not support" in recorded.body
    assert sent("deepseek", messages=[{"role": "developer", "content": "S"}])["messages"] == [
        {"role": "system", "content": "S"}
    ]


def test_thinking_stays_home():
    message = {"role": "assistant", "content": "x", "reasoning_content": "Hm", "reasoning_details": []}
    assert sent("openai", messages=[message])["messages"] == [{"role": "assistant", "content": "x"}]
    assert sent("openrouter", messages=[message])["messages"] == [message]


def test_thinking_only_with_tools():
    """deepseek__chat_reasoning answers with reasoning_content; it is wanted back where it led to a call."""
    [recorded] = exchanges_named("deepseek__chat_reasoning[0]")
    assert b"reasoning_content" in recorded.body
    plain = {"role": "assistant", "content": "x", "reasoning_content": "Hm"}
    calling = plain | {"tool_calls": [{"id": "c"}]}
    assert sent("deepseek", messages=[plain, calling])["messages"] == [{"role": "assistant", "content": "x"}, calling]


def test_short_call_ids():
    """mistral__chat_tools_stream has ids of nine letters and digits; others are made so, the same on both sides."""
    [recorded] = exchanges_named("mistral__chat_tools_stream[1]")
    ids = [message["tool_call_id"] for message in recorded.request["messages"] if message.get("tool_call_id")]
    assert ids
    kept = sent("mistral", messages=[{"role": "tool", "tool_call_id": ids[0], "content": "x"}])
    assert kept["messages"][0]["tool_call_id"] == ids[0]
    turn = [
        {"role": "assistant", "tool_calls": [{"id": "call_4hrT4QP9jfojtK69vGiFCFjG", "type": "function"}]},
        {"role": "tool", "tool_call_id": "call_4hrT4QP9jfojtK69vGiFCFjG", "content": "x"},
    ]
    asked, answered = sent("mistral", messages=turn)["messages"]
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"]
    assert len(answered["tool_call_id"]) == 9


@pytest.mark.parametrize(
    ("members", "param"), [({"n": 2}, "n"), ({"logprobs": True}, "logprobs"), ({"top_logprobs": 3}, "top_logprobs")]
)
def test_one_answer_without_logprobs(members, param):
    with pytest.raises(Inexpressible) as refused:
        sent("groq", **members)
    assert refused.value.param == param
    assert sent("groq", n=1, logprobs=False) == {"model": "m", "messages": [], "n": 1, "logprobs": False}


def exchanges_named(name):
    return [exchange for exchange in exchanges() if exchange.name == name]


ROWS = [quirk for quirk in vars(quirks).values() if isinstance(quirk, quirks.Quirk)]


CALLS = st.lists(st.none() | st.dictionaries(st.just("id"), st.none() | st.text()))
ODD = st.none() | st.text() | CALLS
MESSAGES = st.lists(
    st.none() | st.dictionaries(st.sampled_from(["role", "tool_calls", "tool_call_id", "reasoning"]), ODD)
)


@given(st.sampled_from(ROWS), st.dictionaries(st.sampled_from(["messages", "n", "seed", "tools"]), ODD | MESSAGES))
def test_quirks_take_any_shape(quirk, body):
    assert isinstance(quirk.change(body), dict)
    assert quirk.name == quirk.name.lower()
