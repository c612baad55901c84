"""One sentence to one recipient, once: mail in the shop's colours, or a signed webhook.

Promise: ``send`` writes an outbox row in the caller's transaction; the same kind, recipient and key a second time
sends nothing. What the notice says is sealed while it waits and wiped once it went. A mail has a subject, a text and
an HTML form side by side in ``templates/emails/<kind>/`` and links only to the base URL it was given. If a worker dies
between sending and saying so, the second copy carries the same ``Message-ID`` (or ``webhook-id``), by which receivers
know it. Webhooks follow Standard Webhooks (standardwebhooks.com): any library of theirs verifies them.

This room knows neither shops nor people: what it needs of them is passed in as plain data.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets as chance
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.utils import formataddr, parseaddr
from typing import Any, Literal
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from django.template import Context
from django.template.loader import get_template
from django.utils import timezone

from plumbing import outbound, outbox

MAIL = "notice.mail"
WEBHOOK = "notice.webhook"
WEBHOOK_TRIES = 24  # with the outbox's growing waits: three days
TOLERANCE = timedelta(minutes=5)
SECRET_PREFIX = "whsec_"  # noqa: S105 - how such a secret begins
GONE = 410
ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+\Z")
COLOR = re.compile(r"#[0-9a-f]{6}\Z")


class BadRecipient(ValueError):
    """The recipient cannot be written to."""


class BadSignature(Exception):
    """The webhook was not signed by anyone we know, or not just now."""


class NotAccepted(Exception):
    """The receiver did not answer with a 2xx."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What a letter shows of the storefront it comes from."""

    name: str
    base_url: str
    color: str = "#0f766e"
    support_email: str = ""
    support_url: str = ""

    def __post_init__(self) -> None:
        if not ORIGIN.match(self.base_url):
            raise ValueError("base_url is the shop's scheme and host alone, such as https://shop.example.com")
        if not COLOR.match(self.color):
            raise ValueError("color is six hexadecimal digits, such as #0f766e")
        if self.support_url and not self.support_url.startswith(("https://", "http://")):
            raise ValueError("support_url begins with https://")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A person's mailbox."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A customer's webhook endpoint; ``secrets`` newest first, all of them sign while they rotate."""

    url: str
    secrets: tuple[str, ...]


def send(
    kind: str, *, recipient: Mailbox | Endpoint, context: Mapping[str, Any], key: str, shop: Shop, now: datetime
) -> None:
    """Queue one notice in the caller's transaction; ``key`` names the occasion and makes a repetition harmless."""
    if isinstance(recipient, Mailbox):
        _check_mailbox(recipient)
        _send_mail(kind, recipient, context, key, shop)
    else:
        outbound.check_url(recipient.url, bounds=_bounds())
        _send_webhook(kind, recipient, context, key, now)


def _once(*parts: str) -> str:
    """A business key of bounded length that shows its kind and hides the rest."""
    return f"{parts[0][:80]}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]}"


# --- Mail -------------------------------------------------------------------------------------------------------------


def _send_mail(kind: str, recipient: Mailbox, context: Mapping[str, Any], key: str, shop: Shop) -> None:
    get_template(f"emails/{kind}/subject.txt")  # a notice without words fails here, not in a worker
    letter = {"recipient": asdict(recipient), "shop": asdict(shop), "context": dict(context)}
    once = _once(kind, recipient.email.lower(), key)
    outbox.add(topic=MAIL, key=once, payload={"kind": kind}, confidential=json.dumps(letter))


def _check_mailbox(recipient: Mailbox) -> None:
    try:
        validate_email(recipient.email)
    except ValidationError:
        refused = True
    else:
        refused = not recipient.name.isprintable()
    if refused:
        raise BadRecipient("This is not an address that mail can be sent to.")


@outbox.handles(MAIL)
def _deliver_mail(message: outbox.Message) -> None:
    letter = json.loads(message.confidential or "{}")
    shop, recipient = Shop(**letter["shop"]), Mailbox(**letter["recipient"])
    mail = compose(message.payload["kind"], recipient=recipient, context=letter["context"], shop=shop)
    host = urlsplit(shop.base_url).hostname
    mail.extra_headers["Message-ID"] = f"<{message.key.rpartition(':')[2]}@{host}>"
    mail.send()


def compose(kind: str, *, recipient: Mailbox, context: Mapping[str, Any], shop: Shop) -> EmailMultiAlternatives:
    """Write the letter: subject, text and HTML from their templates, from the shop, in its colour."""
    words = {**context, "shop": shop, "recipient": recipient, "kind": kind}
    subject = " ".join(_plain(f"emails/{kind}/subject.txt", words).split())
    sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
    mail = EmailMultiAlternatives(
        subject=subject,
        body=_plain(f"emails/{kind}/body.txt", words).strip() + "\n",
        from_email=formataddr((shop.name, sender)),
        to=[formataddr((recipient.name, recipient.email)) if recipient.name else recipient.email],
        reply_to=[shop.support_email] if shop.support_email else None,
        headers={"Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(get_template(f"emails/{kind}/body.html").render({**words, "subject": subject}), "text/html")
    return mail


def _plain(name: str, words: dict[str, Any]) -> str:
    """Render without HTML escapes, so that no author of a text can forget to switch them off."""
    template: Any = get_template(name)
    return str(template.template.render(Context(words, autoescape=False)))


# --- Webhooks ---------------------------------------------------------------------------------------------------------


def _send_webhook(kind: str, recipient: Endpoint, context: Mapping[str, Any], key: str, now: datetime) -> None:
    for secret in recipient.secrets:
        _key_of(secret)
    # Written once: every try sends, and signs, the same bytes.
    body = json.dumps({"type": kind, "timestamp": now.isoformat(), "data": dict(context)}, separators=(",", ":"))
    sealed = json.dumps({"url": recipient.url, "secrets": recipient.secrets, "body": body})
    outbox.add(topic=WEBHOOK, key=_once(kind, recipient.url, key), payload={"kind": kind}, confidential=sealed)


@outbox.handles(WEBHOOK, tries=WEBHOOK_TRIES)
def _deliver_webhook(message: outbox.Message) -> None:
    errand = json.loads(message.confidential or "{}")
    body = errand["body"].encode()
    message_id = f"msg_{message.key.rpartition(':')[2]}"
    headers = signed_headers(message_id=message_id, body=body, secrets=errand["secrets"], now=timezone.now())
    answer = outbound.send("POST", errand["url"], headers=headers, content=body, bounds=_bounds())
    if answer.status == GONE:
        raise outbox.Hopeless("The endpoint answered 410: it wants no more webhooks.")
    if not 200 <= answer.status < 300:
        message_text = f"The endpoint answered {answer.status} instead of 2xx."
        raise NotAccepted(message_text)


def _bounds() -> outbound.Bounds:
    """Only https to public addresses, but for an operator who said otherwise for this installation."""
    private: bool = settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    return outbound.Bounds(total_s=15.0, largest_body=65_536, allow_http=private, allow_private=private)


def new_webhook_secret() -> str:
    """A fresh signing secret for an endpoint."""
    return SECRET_PREFIX + base64.b64encode(chance.token_bytes(24)).decode()


def signed_headers(*, message_id: str, body: bytes, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks for these bytes."""
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(secret, message_id, timestamp, body)}" for secret in secrets),
    }


def verify_webhook(*, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> Literal[True]:
    """Believe a webhook if one of its signatures is by one of these secrets and it was signed just now."""
    lower = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    if not message_id or not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise BadSignature("The webhook's id or timestamp is missing or malformed.")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise BadSignature("The webhook was signed too long ago or in the future.")
    offered = [
        signature.partition(",")[2]
        for signature in lower.get("webhook-signature", "").split()
        if signature.startswith("v1,")
    ]
    expected = [_signature(secret, message_id, timestamp, body) for secret in secrets]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in offered for other in expected):
        raise BadSignature("No signature on the webhook is ours.")
    return True


def _signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(_key_of(secret), signed, hashlib.sha256).digest()).decode()


def _key_of(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 16:
        raise BadRecipient("A webhook secret is whsec_ and at least 16 bytes in base 64.")
    return key
