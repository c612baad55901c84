"""Each fault is exactly what its name says, and the books tell the truth whatever is said about usage."""

import http.client
import json
import socket
import time
import zlib

import pytest


def stream(provider, model, **more):
    return provider.chat(model=model, stream=True, stream_options={"include_usage": True}, **more)


def broken_stream(provider, model, **more):
    with pytest.raises(http.client.IncompleteRead) as caught:
        stream(provider, model, **more)
    return caught.value.partial


def usages(answer):
    return [event["usage"] for event in answer.events if event != "[DONE]" and event.get("usage", 0) != 0][-3:]


# --- time ---


def test_first_byte_and_slow_take_their_time(provider):
    started_at = time.monotonic()
    provider.chat(model="sandbox-standard+first-byte=0.4")
    assert 0.4 <= time.monotonic() - started_at < 2
    started_at = time.monotonic()
    stream(provider, "sandbox-standard+tokens=5+slow=0.1")
    assert 0.5 <= time.monotonic() - started_at < 3


@pytest.mark.parametrize("streamed", [True, False])
def test_stall_says_nothing_more(provider, streamed):
    body = {"model": "sandbox-standard+stall=3", "messages": [{"role": "user", "content": "x"}], "stream": streamed}
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=0.5)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {provider.key}"})
    with pytest.raises(TimeoutError):
        connection.getresponse().read()
    connection.close()


# --- endings ---


def test_cut_drops_the_connection_at_that_byte(provider):
    assert len(broken_stream(provider, "sandbox-standard+cut=777")) == 777


def test_eof_and_midline_end_properly_too_early(provider):
    assert len(stream(provider, "sandbox-standard+eof=777").body) == 777
    middle = stream(provider, "sandbox-standard+midline=4").body
    assert middle.count(b"\n\n") == 4
    assert not middle.endswith(b"\n")
    assert len(provider.chat(model="sandbox-standard+eof=50").body) == 50


def test_no_done_leaves_out_the_last_event(provider):
    events = stream(provider, "sandbox-standard+no-done").events
    assert events[-1]["usage"]["total_tokens"] > 0


# --- usage ---


def test_usage_as_ordered(provider):
    true = stream(provider, "sandbox-standard+tokens=10").events[-2]["usage"]
    assert (true["completion_tokens"], true["prompt_tokens"]) == (10, 3 + 2 + 4)

    def told(how):
        return usages(stream(provider, f"sandbox-standard+tokens=10+usage={how}"))

    assert told("null")[-1] is None
    assert told("partial")[-1] == {"prompt_tokens": 9}
    assert told("x10")[-1]["completion_tokens"] == 100
    assert told("strings")[-1]["completion_tokens"] == "10"
    assert told("floats")[-1]["completion_tokens"] == 10.5
    assert told("negative")[-1]["completion_tokens"] == -11
    assert told("1e12")[-1]["completion_tokens"] == 10**12
    assert told("2e63")[-1]["total_tokens"] == 2**63
    assert [one["completion_tokens"] for one in told("repeated")[-2:]] == [10, 10]
    assert [one["completion_tokens"] for one in told("decreasing")[-2:]] == [10, 5]
    none = stream(provider, "sandbox-standard+no-usage").events
    assert all(event == "[DONE]" or not event.get("usage") for event in none)
    assert "usage" not in provider.chat(model="sandbox-standard+no-usage").json


@pytest.mark.parametrize("how", ["null", "partial", "x10", "negative", "2e63", "repeated", "decreasing", "strings"])
def test_every_dialect_tells_usage_as_ordered_and_books_the_truth(clean_books, how):
    provider = clean_books
    model = f"sandbox-standard+tokens=12+usage={how}"
    talk = {"role": "user", "content": "hi"}
    for streamed in (False, True):
        provider.ask("/v1/responses", {"model": model, "input": "hi", "stream": streamed})
        message = {"model": model, "max_tokens": 99, "messages": [talk], "stream": streamed}
        provider.ask("/v1/messages", message, anthropic_version="2023-06-01")
        verb = "streamGenerateContent?alt=sse" if streamed else "generateContent"
        provider.ask(f"/v1beta/models/{model}:{verb}", {"contents": [{"parts": [{"text": "hi"}]}]})
        provider.chat("hi", model=model, stream=streamed)
    entries = provider.control("books")["data"]
    assert len(entries) == 8
    assert {entry["outcome"] for entry in entries} == {"complete"}
    assert {(entry["billed"]["input"], entry["billed"]["output"]) for entry in entries} == {(8, 12)}


# --- errors inside a stream ---


def test_errors_inside_a_200_stream(provider):
    first = stream(provider, "sandbox-standard+error-first").events
    assert list(first[0]) == ["error"]
    later = stream(provider, "sandbox-standard+error-later=4").events
    assert len(later) == 5
    assert "error" in later[-1]
    body = {"model": "sandbox-standard+error-later=5", "input": "hi", "stream": True}
    assert provider.ask("/v1/responses", body).events[-1]["type"] == "error"
    gemini = provider.ask(
        "/v1beta/models/sandbox-standard+error-later=2:streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "hi"}]}]},
    )
    assert gemini.events[-1]["error"]["status"] == "UNAVAILABLE"


# --- nonsense ---


def test_nonsense_of_every_kind(provider):
    with pytest.raises(json.JSONDecodeError):
        _ = provider.chat(model="sandbox-standard+malformed").json
    with pytest.raises(json.JSONDecodeError):
        _ = stream(provider, "sandbox-standard+malformed").events
    html = provider.chat(model="sandbox-standard+html")
    assert (html.status, html.headers["content-type"]) == (200, "text/html")
    away = provider.chat(model="sandbox-standard+redirect")
    assert (away.status, away.headers["location"][:22]) == (307, "http://169.254.169.254")
    assert provider.chat(model="sandbox-standard+empty").status == 204
    assert b"\xe9" in stream(provider, "sandbox-standard+latin1").body
    assert stream(provider, "sandbox-standard+bom").body.startswith(b"\xef\xbb\xbfdata: ")
    assert b"\n" not in stream(provider, "sandbox-standard+cr-only").body
    assert len(provider.chat(model="sandbox-standard+big-header=9000").headers["x-large"]) == 9_000


def test_a_bomb_is_small_outside_and_large_inside(provider):
    packed = provider.chat(model="sandbox-standard+gzip-bomb=20")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < 100_000
    assert len(zlib.decompress(packed.body, wbits=31)) == 20 * 1024 * 1024


@pytest.mark.parametrize("fault", ["endless", "blank-lines", "no-newline", "giant-event=200"])
def test_floods_go_on_until_the_client_leaves(provider, fault):
    with socket.create_connection(("127.0.0.1", provider.port), timeout=10) as client:
        body = json.dumps({"model": f"sandbox-standard+{fault}", "messages": []}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {provider.key}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = 0
        while received < 3_000_000:
            received += len(client.recv(1 << 16))
    assert provider.chat().status == 200  # and the provider is none the worse for it


# --- told by header, and only where the control key opens it ---


def test_the_header_tells_too(provider):
    assert provider.chat(headers={"X-Sandbox": "status=529"}).status == 529


# --- the books ---


def hang_up(provider, model, *, after_bytes=1, streamed=True):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": streamed}
    with socket.create_connection(("127.0.0.1", provider.port), timeout=10) as client:
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {provider.key}\r\n"
        client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        received = 0
        while received < after_bytes:
            received += len(client.recv(after_bytes))
        if not after_bytes:
            time.sleep(0.2)
    return provider.last_entry("sandbox-standard")


def test_whole_answers_and_errors_are_booked(clean_books):
    provider = clean_books
    entry = provider.entry(provider.chat(model="sandbox-standard+tokens=10"))
    assert (entry["outcome"], entry["status"], entry["billed"]["output"]) == ("complete", 200, 10)
    entry = provider.entry(provider.chat(model="sandbox-standard+status=500"))
    assert (entry["outcome"], entry["status"], entry["billed"]) == ("error", 500, None)
    summary = provider.control("summary")
    assert summary["outcomes"] == {"complete": 1, "error": 1}
    assert summary["billed"]["output"] == 10


def test_a_client_that_hangs_up_pays_for_what_it_got(clean_books):
    entry = hang_up(clean_books, "sandbox-standard+tokens=100+slow=0.02", after_bytes=3_000)
    assert entry["outcome"] == "client_gone"
    assert 0 < entry["billed"]["output"] == entry["delivered_tokens"] < 100
    assert entry["billed"]["input"] == entry["true"]["input"]


@pytest.mark.parametrize("streamed", [True, False])
def test_bills_anyway_bills_all_of_it(clean_books, streamed):
    model = "sandbox-standard+tokens=100+bills-anyway+" + ("slow=0.02" if streamed else "first-byte=5")
    entry = hang_up(clean_books, model, after_bytes=1 if streamed else 0, streamed=streamed)
    assert entry["outcome"] == "client_gone"
    assert entry["billed"]["output"] == 100


def test_a_client_gone_before_the_first_byte_pays_its_question(clean_books):
    entry = hang_up(clean_books, "sandbox-standard+first-byte=5", after_bytes=0)
    assert (entry["outcome"], entry["billed"]["output"]) == ("client_gone", 0)
    assert entry["billed"]["input"] == 8


def test_cut_answers_are_booked_as_delivered(clean_books):
    broken_stream(clean_books, "sandbox-standard+tokens=50+cut=4000")
    entry = clean_books.last_entry("sandbox-standard")
    assert entry["outcome"] == "cut"
    assert 0 < entry["billed"]["output"] < 50


def test_calls_without_a_hold_are_refused_when_the_canary_is_on(clean_books):
    provider = clean_books
    provider.control("settings", {"require_hold": True})
    refused = provider.chat()
    assert (refused.status, refused.json["error"]["code"]) == (403, "no_hold")
    held = provider.chat(headers={"X-Tollgate-Hold": "hold_1"})
    assert provider.entry(held)["hold"] == "hold_1"
    summary = provider.control("summary")
    assert (summary["requests"], summary["refused"]) == (1, {"hold": 1})


def test_wrong_keys_never_become_entries(clean_books):
    assert clean_books.ask("/v1/chat/completions", {"model": "sandbox-standard"}, key="sk-wrong").status == 401
    assert clean_books.control("summary")["refused"] == {"key": 1}


def test_books_come_in_pages(clean_books):
    for _ in range(3):
        clean_books.chat()
    entries = clean_books.control("books")["data"]
    rest = clean_books.control(f"books?after={entries[0]['id']}")["data"]
    assert [entry["id"] for entry in rest] == [entry["id"] for entry in entries[1:]]
