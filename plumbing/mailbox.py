"""Mail of an installation without a mail server: letters are kept in a folder and read at ``/mailbox``.

Promise: a letter is a file its owner alone can read; the newest ``KEPT`` stay. The log says to whom and about what,
never what it says, since letters hold codes and links that open doors.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage as Letter
from pathlib import Path

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

log = structlog.get_logger(__name__)

KEPT = 200
NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}\Z")


class NoSuchLetter(Exception):
    """No letter of that name is kept."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept letter, ready to be shown."""

    name: str
    sent_at: datetime
    sender: str
    recipients: str
    subject: str
    text: str
    html: str


class MailboxBackend(BaseEmailBackend):
    """Django's mail door for the embedded mode."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Keep every letter and say so in one line each."""
        for message in email_messages:
            name = keep(message.message().as_bytes(), now=timezone.now())
            log.info("mail_kept", to=", ".join(message.to), subject=message.subject, read_at=f"/mailbox/{name}/")
        return len(email_messages)


def keep(raw: bytes, *, now: datetime) -> str:
    """Write one letter and let the oldest go; return its name."""
    folder = _folder()
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    draft = folder / f".{name}"
    draft.touch(mode=0o600)
    draft.write_bytes(raw)
    draft.rename(folder / f"{name}.eml")
    for old in _files()[KEPT:]:
        old.unlink(missing_ok=True)
    return name


def letters() -> list[Kept]:
    """All kept letters, newest first."""
    return [_read(path) for path in _files()]


def letter(name: str) -> Kept:
    """One letter by its name."""
    path = _folder() / f"{name}.eml"
    if not NAME.match(name) or not path.is_file():
        raise NoSuchLetter("There is no letter of this name.")
    return _read(path)


def _folder() -> Path:
    folder = Path(settings.DATA_DIR) / "mail"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _files() -> list[Path]:
    return sorted((path for path in _folder().glob("*.eml") if NAME.match(path.stem)), reverse=True)


def _read(path: Path) -> Kept:
    parsed = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(parsed, Letter)
    return Kept(
        name=path.stem,
        sent_at=datetime.strptime(path.stem.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC),
        sender=str(parsed["From"] or ""),
        recipients=str(parsed["To"] or ""),
        subject=str(parsed["Subject"] or "(no subject)"),
        text=_body(parsed, "plain"),
        html=_body(parsed, "html"),
    )


def _body(parsed: Letter, form: str) -> str:
    part = parsed.get_body(preferencelist=(form,))
    return str(part.get_content()) if part else ""
