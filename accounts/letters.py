"""Letters of this room: an invitation, and the news that a key leaked.

Promise: a letter leaves only after its transaction has committed, speaks for the storefront, and links to the
storefront's own domain; a mail server that is down is logged and never undoes what the letter tells of.
"""

from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string

from accounts import access
from accounts.models import Storefront


def send(kind: str, *, storefront: Storefront, recipients: list[str], context: dict[str, Any]) -> None:
    """Send one letter to each recipient when the running transaction commits."""
    known = {**context, "storefront": storefront, "base_url": access.canonical_base(storefront)}
    letters = [_letter(kind, recipient, known) for recipient in recipients]
    for letter in letters:
        transaction.on_commit(letter.send, robust=True)


def _letter(kind: str, recipient: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    subject, text, html = (
        render_to_string(f"emails/{kind}/{part}", context) for part in ("subject.txt", "body.txt", "body.html")
    )
    letter = EmailMultiAlternatives(subject=" ".join(subject.split()), body=text, to=[recipient])
    letter.attach_alternative(html, "text/html")
    return letter
