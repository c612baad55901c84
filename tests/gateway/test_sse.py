"""Server-sent events come out the same however the bytes were sliced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import sse
from tests.gateway.recordings import streams

STREAM = (
    b'\xef\xbb\xbfdata: {"a":1}\n\n: keep-alive\n\nevent: delta\ndata: {"b":\ndata: 2}\nid: 7\nretry: 10\n\n'
    b"data:no-space\n\ndata\n\n\n\ndata: [DONE]\n\n"
)
MEANING = [
    ("", b'{"a":1}'),
    ("", b""),
    ("delta", b'{"b":\n2}'),
    ("", b"no-space"),
    ("", b""),
    ("", b""),
    ("", b"[DONE]"),
]


def read(*slices: bytes) -> list[tuple[str, bytes]]:
    decoder = sse.Decoder()
    return [(event.name, event.data) for piece in slices for event in decoder.feed(piece)]


def said(events):
    return [(name, data) for name, data in events if data]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_cut_gives_the_same_events(ending):
    stream = STREAM.replace(b"\n", ending)
    assert said(read(stream)) == [pair for pair in MEANING if pair[1].replace(b"\n", ending) and pair[1]]
    for cut in range(len(stream) + 1):
        assert said(read(stream[:cut], stream[cut:])) == said(MEANING), cut
    assert said(read(*(stream[i : i + 1] for i in range(len(stream))))) == said(MEANING)


def test_empty_events_and_comments_are_handed_out_too_so_that_they_can_be_passed_on():
    assert read(STREAM) == MEANING


@given(
    st.lists(st.sampled_from([b"data: x", b"\r", b"\n", b"\r\n", b": c", b"event: e", b"\xff", b"data:"])), st.data()
)
def test_raw_bytes_are_exactly_what_came_in(pieces, data):
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = sse.Decoder()
    out = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += b"".join(event.raw for event in decoder.feed(stream[start:end]))
    left = decoder.close()
    assert out + (left.raw if left else b"") == stream
    assert decoder.close() is None


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_cut_of_any_bytes_says_the_same(stream, cut):
    assert said(read(stream)) == said(read(stream[:cut], stream[cut:]))


@pytest.mark.parametrize(("name", "payload"), streams(), ids=[name for name, _ in streams()])
def test_recorded_streams_cut_at_every_byte(name, payload):
    whole = read(payload)
    step = max(1, len(payload) // 4000)
    for cut in range(0, len(payload), step):
        decoder = sse.Decoder()
        first, second = decoder.feed(payload[:cut]), decoder.feed(payload[cut:])
        assert len(first) + len(second) == len(whole)
        if first and second:
            assert (second[0].name, second[0].data) == whole[len(first)]
    assert read(*(payload[i : i + 1] for i in range(len(payload)))) == whole


def test_an_event_cut_off_is_left_over_and_not_acted_upon():
    decoder = sse.Decoder()
    assert decoder.feed(b'data: {"a":1}\n') == []
    assert decoder.close().raw == b'data: {"a":1}\n'


def test_an_event_may_not_be_longer_than_its_limit():
    with pytest.raises(sse.TooMuch):
        sse.Decoder(max_event_bytes=100).feed(b"data: " + b"x" * 100 + b"\n\n")
    unfinished = sse.Decoder(max_event_bytes=100)
    unfinished.feed(b"x" * 100)
    with pytest.raises(sse.TooMuch):
        unfinished.feed(b"x")


def test_a_stream_may_not_be_longer_than_its_limit():
    decoder = sse.Decoder(max_stream_bytes=100)
    for _ in range(10):
        decoder.feed(b"data: x\r\n\n")
    with pytest.raises(sse.TooMuch):
        decoder.feed(b"x")


def test_a_long_event_in_small_slices_costs_time_in_proportion():
    decoder = sse.Decoder()
    body = b"data: " + b"x" * 4_000_000 + b"\n\n"
    events = [event for i in range(0, len(body), 1024) for event in decoder.feed(body[i : i + 1024])]
    assert [len(event.data) for event in events] == [4_000_000]


def test_writing():
    assert sse.event(b"{}") == b"data: {}\n\n"
    assert sse.event(b"{}", name="ping") == b"event: ping\ndata: {}\n\n"
    assert read(sse.event(b"{}", name="ping")) == [("ping", b"{}")]
