"""Sealed at rest, rotated without a pause, and blacked out wherever words go."""

import io
import re
import time
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from plumbing import secrets
from plumbing.models import OutboxMessage


def _key() -> str:
    return Fernet.generate_key().decode()


class TestSeal:
    def test_what_is_sealed_comes_back_and_cannot_be_read(self) -> None:
        for text in ("", "sk-ant-canary", "Grüße, 世界 \U0001f512"):
            sealed = secrets.seal(text)
            assert text == "" or text not in sealed
            assert secrets.unseal(sealed) == text
        assert secrets.seal("same") != secrets.seal("same")

    def test_older_keys_still_open_and_the_newest_seals(self, settings: Any) -> None:
        old, new = _key(), _key()
        settings.ENCRYPTION_KEYS = [old]
        sealed = secrets.seal("whisper")
        settings.ENCRYPTION_KEYS = [new, old]
        assert secrets.unseal(sealed) == "whisper"
        resealed = secrets.reseal(sealed)
        settings.ENCRYPTION_KEYS = [new]
        assert secrets.unseal(resealed) == "whisper"
        with pytest.raises(secrets.CannotUnseal, match="ENCRYPTION_KEYS") as raised:
            secrets.unseal(sealed)
        assert raised.value.__context__ is None

    @pytest.mark.parametrize("keys", [[], [""], ["too-short"], ["x" * 44], ["ключ" * 11]])
    def test_a_key_that_cannot_seal_is_refused_at_start(self, settings: Any, keys: list[str]) -> None:
        settings.ENCRYPTION_KEYS = keys
        with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS must hold"):
            secrets.check_keys()

    def test_rubbish_in_the_column_is_the_same_sentence(self) -> None:
        with pytest.raises(secrets.CannotUnseal):
            secrets.unseal("not a token at all")


@pytest.mark.django_db
class TestField:
    def test_plain_in_python_and_sealed_in_the_database(self) -> None:
        row = OutboxMessage.objects.create(topic="t", key="k", confidential="canary")
        assert OutboxMessage.objects.get(pk=row.pk).confidential == "canary"
        assert "canary" not in _stored(row.pk)
        OutboxMessage.objects.filter(pk=row.pk).update(confidential="other")
        assert OutboxMessage.objects.values_list("confidential", flat=True).get() == "other"
        assert OutboxMessage.objects.filter(confidential__isnull=False).count() == 1

    def test_a_search_that_would_find_nothing_is_refused(self) -> None:
        for lookup in ("confidential", "confidential__contains", "confidential__in"):
            with pytest.raises(FieldError, match="isnull"):
                OutboxMessage.objects.filter(**{lookup: "canary"})

    def test_null_stays_null(self) -> None:
        OutboxMessage.objects.create(topic="t", key="k")
        assert OutboxMessage.objects.get().confidential is None


def _stored(key: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT confidential FROM outbox_messages WHERE id = %s", [key])
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
class TestCommands:
    def test_rotation_reseals_every_row_in_slices_and_then_the_old_key_may_go(self, settings: Any) -> None:
        old, new = _key(), _key()
        settings.ENCRYPTION_KEYS = [old]
        for n in range(7):
            OutboxMessage.objects.create(topic="t", key=str(n), confidential=f"whisper {n}")
        OutboxMessage.objects.create(topic="t", key="empty")
        settings.ENCRYPTION_KEYS = [new, old]
        out = io.StringIO()
        call_command("rotate_secrets", "--slice", "3", stdout=out)
        assert "plumbing.OutboxMessage.confidential: 7 resealed, 0 unreadable" in out.getvalue()
        settings.ENCRYPTION_KEYS = [new]
        told = set(OutboxMessage.objects.exclude(key="empty").values_list("confidential", flat=True))
        assert told == {f"whisper {n}" for n in range(7)}

    def test_rotation_leaves_what_it_cannot_open_and_says_so(self, settings: Any) -> None:
        lost, new = _key(), _key()
        settings.ENCRYPTION_KEYS = [lost]
        row = OutboxMessage.objects.create(topic="t", key="lost", confidential="whisper")
        before = _stored(row.pk)
        settings.ENCRYPTION_KEYS = [new]
        OutboxMessage.objects.create(topic="t", key="fine", confidential="whisper")
        with pytest.raises(CommandError, match="1 sealed values cannot be opened"):
            call_command("rotate_secrets", stdout=io.StringIO())
        assert _stored(row.pk) == before

    def test_rotation_never_overwrites_a_value_changed_meanwhile(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = OutboxMessage.objects.create(topic="t", key="k", confidential="old")
        reseal = secrets.reseal

        def meanwhile(sealed: str) -> str:
            OutboxMessage.objects.filter(pk=row.pk).update(confidential="new")
            return reseal(sealed)

        monkeypatch.setattr(secrets, "reseal", meanwhile)
        out = io.StringIO()
        call_command("rotate_secrets", stdout=out)
        assert OutboxMessage.objects.get().confidential == "new"
        assert "0 resealed" in out.getvalue()

    def test_fresh_secrets_satisfy_the_settings_and_differ_each_time(self, settings: Any) -> None:
        first, second = io.StringIO(), io.StringIO()
        call_command("new_secrets", stdout=first)
        call_command("new_secrets", stdout=second)
        printed = dict(line.split("=", 1) for line in first.getvalue().split())
        assert set(printed) == {"SECRET_KEY", "API_KEY_PEPPERS", "ENCRYPTION_KEYS", "METRICS_TOKEN"}
        assert all(len(value) >= 32 and "," not in value for value in printed.values())
        assert not set(first.getvalue().split()) & set(second.getvalue().split())
        settings.ENCRYPTION_KEYS = [printed["ENCRYPTION_KEYS"]]
        secrets.check_keys()


CANARY = "CaNaRy0123456789CaNaRy"
LEAKS = [
    f"sk-tg-{CANARY}",
    f"sk-tg-mgmt-{CANARY}",
    f"sk-ant-api03-{CANARY}-xyz_AA",
    f"sk-or-v1-{CANARY}",
    f"sk-proj-{CANARY}",
    f"key AIzaSy{CANARY}0123456",
    f"Authorization: Bearer {CANARY}",
    f"authorization: basic {CANARY}==",
    f"{{'x-api-key': '{CANARY}'}}",
    f'{{"api_key": "{CANARY}"}}',
    f'{{"apiKey":"{CANARY}"}}',
    f"GET https://api.example.com/v1/models?key={CANARY}&alt=sse",
    f"https://api.example.com/?a=1&access_token={CANARY}",
    f"postgres://tollgate:{CANARY}@db.internal:5432/tollgate",
    f"redis://:{CANARY}@cache:6379/0",
    f"sk_live_{CANARY}",
    f"sk_test_{CANARY}",
    f"rk_live_{CANARY}",
    f"whsec_{CANARY}",
    f"whsec_{CANARY}+/==",
    f"password={CANARY}",
    f"Password: {CANARY}",
    f"client_secret = '{CANARY}'",
    f"Cookie: sessionid={CANARY}",
    f"Cookie: theme=dark; tollgate_session={CANARY}; other={CANARY}",
    f"Authorization: Token {CANARY}",
    f'{{"password": "correct horse {CANARY} staple"}}',
    f'"{{\\"password\\": \\"{CANARY}\\"}}"',
    f"accessToken={CANARY}",
    f"tollgate_session={CANARY}",
    f"tag_sk-tg-{CANARY}",
    f"ref_whsec_{CANARY}",
    f"gsk_{CANARY}",
    f"hf_{CANARY}",
    f"ghp_{CANARY}",
    f"eyJhbGciOi{CANARY}.eyJzdWIi.{CANARY}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
]


class TestRedaction:
    @pytest.mark.parametrize("leak", LEAKS)
    def test_the_canary_is_gone_wherever_it_stands(self, leak: str) -> None:
        for text in (leak, f"before {leak} after", f'"{leak}"', f"({leak})", f"line\n{leak}\nline"):
            assert CANARY not in secrets.redact(text)
            assert "redacted" in secrets.redact(text)

    def test_redacting_twice_changes_nothing_more(self) -> None:
        for leak in LEAKS:
            once = secrets.redact(leak)
            assert secrets.redact(once) == once

    def test_what_is_sealed_is_not_shown_either(self) -> None:
        assert secrets.seal("whisper") not in secrets.redact(f"row {secrets.seal('whisper')}")

    @pytest.mark.parametrize(
        "text",
        [
            "The request took 12 ms and used 512 tokens.",
            "org_7h2k3m4n5p6q7r8s9t0v paid $5.00",
            "https://shop.example.com:8443/keys/?page=2",
            "a task-based risk-free desk-top answer",
            "bob@example.com asked for 10:30",
            "",
        ],
    )
    def test_ordinary_words_stay(self, text: str) -> None:
        assert secrets.redact(text) == text

    def test_the_rest_of_the_text_stays_readable(self) -> None:
        text = secrets.redact(f"GET https://x.example/v1?key={CANARY}&alt=sse answered 401")
        assert text == "GET https://x.example/v1?key=[redacted]&alt=sse answered 401"

    @pytest.mark.parametrize(
        "piece", ["sk-", "key=", "://a:", "Bearer ", "eyJa.", "a", "=", " ", "-----BEGIN ", "token", "x-"]
    )
    def test_no_text_makes_it_slow(self, piece: str) -> None:
        text = piece * (200_000 // len(piece))
        started_at = time.perf_counter()
        secrets.redact(text)
        assert time.perf_counter() - started_at < 2

    def test_names_of_secrets_are_known(self) -> None:
        for name in (
            "password",
            "api_key",
            "Authorization",
            "client_secret",
            "stripe.secret",
            "refresh_token",
            "cookies",
        ):
            assert secrets.is_secret_name(name), name
        for name in ("key", "outbox_key", "path", "tokens_per_minute", "secretary", "input_tokens_total"):
            assert not secrets.is_secret_name(name), name


def test_no_pattern_is_unbounded_on_whitespace() -> None:
    assert not any(re.search(r"\\s[*+]", rule.pattern.pattern) for rule in secrets._RULES)


PIECES = [*LEAKS, "a", " ", "=", ":", "key", "\u017fk-", "\u212aey=", '"', "sk-", "Token "]


@given(st.lists(st.sampled_from(PIECES) | st.text()).map("".join))
def test_looking_for_words_first_changes_nothing(text: str) -> None:
    """The shortcut finds what the patterns find."""
    every = text
    for rule in secrets._RULES:
        every = rule.pattern.sub(rule.black, every)
    assert secrets.redact(text) == every
