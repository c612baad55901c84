"""What must not be read by whoever sees the database, a log or an error: sealed at rest, blacked out in words.

Promise: a sealed value can be opened with any key in ``ENCRYPTION_KEYS`` and is always sealed with the newest, so keys
rotate without a pause; a wrong key is one sentence that names the setting, never a mystery. ``redact`` blacks out
everything that looks like a key, a password or a token, in time linear in the text, and never raises.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import models

BLACK = "[redacted]"
ISNULL_ONLY = "isnull"


class CannotUnseal(Exception):
    """No key in ENCRYPTION_KEYS opens this value."""


def seal(text: str) -> str:
    """Encrypt with the newest key."""
    return _ring().encrypt(text.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """Open what ``seal`` closed, with whichever key it was."""
    try:
        return _ring().decrypt(sealed.encode()).decode()
    except InvalidToken:
        pass
    message = (
        "A sealed value cannot be opened with any key in ENCRYPTION_KEYS. If the key was replaced, put the old one "
        "back behind the new one (new,old) and run manage.py rotate_secrets before dropping it."
    )
    raise CannotUnseal(message)


def reseal(sealed: str) -> str:
    """Close again with the newest key what an older one opens."""
    return seal(unseal(sealed))


def check_keys() -> None:
    """Refuse to start with a key that could not seal anything."""
    _ring()


def _ring() -> MultiFernet:
    return _ring_of(tuple(settings.ENCRYPTION_KEYS))


@lru_cache(maxsize=8)
def _ring_of(keys: Sequence[str]) -> MultiFernet:
    try:
        fernets = [Fernet(key) for key in keys]
    except ValueError:
        fernets = []
    if not fernets:
        message = (
            "ENCRYPTION_KEYS must hold one or more Fernet keys (32 bytes in URL-safe base 64), newest first and "
            "separated by commas; manage.py new_secrets prints a fresh one"
        )
        raise ImproperlyConfigured(message)
    return MultiFernet(fernets)


# Django has no such brackets at run time, so the argument stays out.
class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is plain in Python and sealed in the database; it cannot be searched, only be there or not."""

    description = "Text sealed at rest"

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return seal(text) if isinstance(text, str) else text

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Open the seal on the way out of the database."""
        return None if value is None else unseal(value)

    def get_lookup(self, lookup_name: str) -> Any:
        """Each sealing differs, so a comparison would silently find nothing; refuse it instead."""
        if lookup_name == ISNULL_ONLY:
            return super().get_lookup(lookup_name)
        message = f"{self.name} is sealed and can only be looked up with isnull, not {lookup_name}"
        raise FieldError(message)


# --- Redaction --------------------------------------------------------------------------------------------------------

ANY_CASE = re.IGNORECASE | re.ASCII
_NAME = (
    r"(?:api[_-]?)?key|(?:access|refresh|id)?[_-]?token|(?:client|webhook)?[_-]?secret|passwd|password|passphrase|pwd"
    r"|signature|authorization|session(?:[_-]?id)?"
)
# What stands between a name and its value in queries, JSON, Python and prose.
_IS = r"(?:\\?[\"'])?\s{0,4}+[=:]\s{0,4}+"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What to black out, and words without which there is nothing to look for.

    Every pattern is anchored on a literal and runs over one bounded class, so no text can make it slow; the words make
    ordinary lines, which have none of them, cost next to nothing.
    """

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    black: str

    def apply(self, text: str, lower: str) -> str:
        return self.pattern.sub(self.black, text) if any(word in lower for word in self.words) else text


def _rule(words: str, pattern: str, black: str, flags: int = 0) -> _Rule:
    return _Rule(tuple(words.split()), re.compile(pattern, flags), black)


_RULES = (
    # scheme://user:password@host
    _rule("://", r"(://[^\s:/@?#]{0,128}):[^\s@/?#]{1,256}@", rf"\1:{BLACK}@"),
    # Whole cookie headers, and Authorization: Bearer ..., Basic ..., Token ...
    _rule("cookie", rf"(cookie{_IS}(?:\\?[\"'])?)(?!\[redacted)[^\"'\r\n]{{1,4096}}", rf"\1{BLACK}", ANY_CASE),
    _rule("bearer basic", r"\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{6,}", rf"\1 {BLACK}", ANY_CASE),
    _rule("token", r"\b(token)\s{1,4}[A-Za-z0-9._~+/=-]{20,}", rf"\1 {BLACK}", ANY_CASE),
    # Our own keys (sk-<prefix>-...) and those of most providers: OpenAI, Anthropic, OpenRouter.
    _rule("sk-", r"(?<![A-Za-z])sk-[A-Za-z0-9_-]{8,}", f"sk-{BLACK}"),
    # Stripe: secret, restricted and webhook secrets; live and test alike.
    _rule("sk_ rk_", r"(sk|rk)_(live|test)_[A-Za-z0-9]{4,}", rf"\1_\2_{BLACK}"),
    _rule("whsec_", r"whsec_[A-Za-z0-9+/=_-]{4,}", f"whsec_{BLACK}"),
    # Google, Groq, xAI, Hugging Face, Replicate, Perplexity, GitHub.
    _rule("aiza", r"AIza[A-Za-z0-9_-]{10,}", f"AIza{BLACK}"),
    _rule(
        "gsk_ xai- hf_ r8_ pplx- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"(?<![A-Za-z])(gsk_|xai-|hf_|r8_|pplx-|gh[pousr]_|github_pat_)[A-Za-z0-9_]{10,}",
        rf"\1{BLACK}",
    ),
    # Paths that open something for whoever knows them: an invitation, a link to a new password.
    _rule("/invitations/", r"(/invitations/)[^/\s?#\"'&]{8,512}", rf"\1{BLACK}", ANY_CASE),
    _rule("/reset/key/", r"(/reset/key/)[0-9a-z]{1,16}-(?!set-password)[^/\s?#\"'&]{4,512}", rf"\1{BLACK}", ANY_CASE),
    # Tokens in three parts (JWT), values sealed by this room, private keys.
    _rule("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]{0,})?", BLACK),
    _rule("gaaaaa", r"gAAAAA[A-Za-z0-9_-]{20,}={0,2}", BLACK),
    _rule("private", r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,8192}", BLACK),
    # "api_key": "...", password='...'; then key=... and password: ... without quotes.
    _rule(
        "key token secret pass pwd signature authorization session",
        rf"(?<![A-Za-z])((?:{_NAME}){_IS}\\?[\"'])(?!\[redacted|bearer\b|basic\b)[^\"'\r\n]{{1,4096}}",
        rf"\1{BLACK}",
        ANY_CASE,
    ),
    _rule(
        "key token secret pass pwd signature authorization session",
        rf"(?<![A-Za-z])((?:{_NAME}){_IS})(?!\[redacted|bearer\b|basic\b|token\b)[^\s\"'\\&,;<>}}]{{1,4096}}",
        rf"\1{BLACK}",
        ANY_CASE,
    ),
)
_WORDS = tuple(dict.fromkeys(word for rule in _RULES for word in rule.words))
_SECRET_NAMES = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|passphrase|secret|secrets|(?:access|refresh|id)?token|clientsecret|authorization"
    r"|cookie|session|sessionid|api_?key|credential|private_?key)s?\Z",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Black out everything in a text that looks like a secret."""
    lower = text.lower()
    for word in _WORDS:
        if word in lower:
            return _apply_rules(text, lower)
    return text


def _apply_rules(text: str, lower: str) -> str:
    for rule in _RULES:
        text = rule.apply(text, lower)
    return text


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret whatever it looks like."""
    return _SECRET_NAMES.search(name) is not None
