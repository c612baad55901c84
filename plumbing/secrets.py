"""What must not be read by whoever sees the database, a log or an error: sealed at rest, blacked out in words.

Promise: a sealed value can be opened with any key in ``ENCRYPTION_KEYS`` and is always sealed with the newest, so keys
rotate without a pause; a wrong key is one sentence that names the setting, never a mystery. ``redact`` blacks out
everything that looks like a key, a password or a token, in time linear in the text, and never raises.
"""

import re
from collections.abc import Sequence
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

# Every pattern is anchored on a literal and runs over one bounded class, so no text can make it slow.
_NAMES = r"(?:x-)?(?:goog-)?(?:api[_-]?)?key|apikey|access[_-]?token|refresh[_-]?token|token|secret|client[_-]?secret|passwd|password|pwd|signature|authorization|cookie"  # noqa: E501 - one alternation
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (re.compile(r"(://[^\s:/@?#]{0,128}):[^\s@/?#]{1,256}@"), rf"\1:{BLACK}@"),
    # Authorization: Bearer ..., Basic ...
    (re.compile(r"\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {BLACK}"),
    # Our own keys (sk-<prefix>-...) and those of most providers: OpenAI, Anthropic, OpenRouter.
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), f"sk-{BLACK}"),
    # Stripe: secret, restricted and webhook secrets; live and test alike.
    (re.compile(r"\b(sk|rk)_(live|test)_[A-Za-z0-9]{4,}"), rf"\1_\2_{BLACK}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{4,}"), f"whsec_{BLACK}"),
    # Google, Groq, xAI, Hugging Face, Replicate, Perplexity, GitHub.
    (re.compile(r"\bAIza[A-Za-z0-9_-]{10,}"), f"AIza{BLACK}"),
    (re.compile(r"\b(gsk_|xai-|hf_|r8_|pplx-|gh[pousr]_|github_pat_)[A-Za-z0-9_]{10,}"), rf"\1{BLACK}"),
    # Tokens with three parts (JWT), and values sealed by this room.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]{0,})?"), BLACK),
    (re.compile(r"\bgAAAAA[A-Za-z0-9_-]{20,}={0,2}"), BLACK),
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,8192}"), BLACK),
    # key=..., "api_key": "...", password: ...
    (
        re.compile(
            rf"(?<![A-Za-z])((?:{_NAMES})[\"']?\s{{0,4}}[=:]\s{{0,4}}[\"']?)(?!\[redacted|bearer\b|basic\b)[^\s\"'&,;<>}}]{{1,4096}}",
            re.IGNORECASE,
        ),
        rf"\1{BLACK}",
    ),
)
_SECRET_NAMES = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|secret|secrets|token|authorization|cookie|api_?key|credential|private_key)s?\Z",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Black out everything in a text that looks like a secret."""
    for pattern, black in _PATTERNS:
        text = pattern.sub(black, text)
    return text


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is a secret whatever it looks like."""
    return _SECRET_NAMES.search(name) is not None
