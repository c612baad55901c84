import contextlib
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import APIException, ParseError

from plumbing import parsers, text


def parse(body):
    return parsers.StrictJSONParser().parse(io.BytesIO(body))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b'{"a":NaN}',
        b"[Infinity]", b"-Infinity", b'"\\u0000"', b'{"\\u0000":1}', b'"\\ud800"', b"[" * 34 + b"]" * 34,
        b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"'a'", b"{}x", b"\x00",
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_a_short_400(body):
    started_at = time.perf_counter()
    with pytest.raises(ParseError) as refused:
        parse(body)
    assert len(str(refused.value.detail)) < 300
    assert time.perf_counter() - started_at < 1


@pytest.mark.parametrize("body", [b"null", b'{"a": [1, 2.5, "\xc3\xa9", "\\ud83d\\ude00"]}', b"[" * 32 + b"]" * 32])
def test_what_is_json_is_read(body):
    parse(body)


def test_the_cap_holds_whatever_the_header_says(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert parse(b'"12345678"') == "12345678"
    with pytest.raises(APIException) as refused:
        parse(b'"123456789"')
    assert refused.value.status_code == 413


@given(st.binary(max_size=60))
def test_no_bytes_are_a_surprise(body):
    with contextlib.suppress(ParseError):
        parse(body)


@given(st.text(max_size=40))
def test_a_line_is_clean_or_refused(name):
    try:
        cleaned = text.one_line(name, longest=20)
    except text.NotOneLine:
        return
    assert 1 <= len(cleaned) <= 20
    assert cleaned == cleaned.strip()
    assert not set(cleaned) & set("\x00\n\r\x1b\u202e\u2028")
    assert text.one_line(cleaned, longest=20) == cleaned


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "a\x00b", "\u202eabc", "a\ud800", "x" * 21, "x" * 10_000, "\ufeff", "a\u2028b"]
)
def test_hostile_names_are_refused(name):
    with pytest.raises(text.NotOneLine):
        text.one_line(name, longest=20)


def test_names_of_people_everywhere_are_welcome():
    for name in ("Zoë  O'Neil", "李雷", "Ольга", "👩\u200d💻 team", "नमस्ते", "cafe\u0301"):
        assert text.one_line(name, longest=20)
    assert text.one_line("cafe\u0301", longest=20) == "café"
