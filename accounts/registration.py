"""A first key by mail alone: ask with a mailbox, send back the code from the letter, get a key.

Promise: nobody learns from the first answer whether a mailbox is known; a key is given only to whoever reads the
letter, and only where the shop is open to anyone; the code works once, since the second time the account exists. An
operator who makes a customer proves no mailbox: the account waits for its owner like any unverified one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from allauth.account.models import EmailAddress
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from accounts import access, keys, letters, organizations, trail
from accounts.keys import MintedKey
from accounts.models import Organization, SignUpPolicy, Storefront, User
from accounts.models.keys import KeyKind
from plumbing.refusals import Refusal

SALT = "accounts.registration"
LIFETIME = timedelta(hours=1)
LETTER_EVERY = timedelta(minutes=10)
LONGEST_EMAIL = 254


class NotOpen(Refusal, PermissionError):
    """The shop gives keys to those it knows (403)."""

    status = 403
    code = "sign_up_closed"


class BadCode(Refusal, ValueError):
    """The code is none of ours, too old, or was used (409)."""

    code = "code_refused"


class MailboxTaken(Refusal, ValueError):
    """The mailbox has an account (409)."""

    code = "mailbox_taken"


@dataclass(frozen=True, slots=True)
class Registered:
    """A new customer with a first key."""

    user: User
    organization: Organization
    minted: MintedKey


@transaction.atomic
def ask(*, storefront: Storefront, email: str, now: datetime) -> None:
    """Send the code to the mailbox, at most every ten minutes."""
    _check_open(storefront)
    email = _clean(email)
    token = signing.dumps([email, storefront.pk], salt=SALT)
    letters.send(
        "registration",
        storefront=storefront,
        recipients=[email],
        context={
            "token": token,
            "link": f"{access.canonical_base(storefront)}/v1/register",
            "expires_at": f"{now + LIFETIME:%d %B %Y %H:%M} UTC",
        },
        key=f"{storefront.pk}:{int(now.timestamp() // LETTER_EVERY.total_seconds())}",
        now=now,
    )


def redeem(*, storefront: Storefront, token: str, now: datetime, source: trail.Source) -> Registered:
    """Open the account whose mailbox the code proves, and give it a key."""
    _check_open(storefront)
    try:
        email, shop = signing.loads(token, salt=SALT, max_age=LIFETIME)
    except (signing.BadSignature, ValueError, TypeError):
        email, shop = "", 0
    if shop != storefront.pk:
        raise BadCode("This code is not known here, or it is over an hour old; ask for another.")
    return _open(storefront, email, name="", is_proven=True, now=now, source=source)


def make(*, storefront: Storefront, email: str, name: str, now: datetime, source: trail.Source) -> Registered:
    """An operator opens an account for somebody, who proves the mailbox when they first sign in."""
    return _open(storefront, _clean(email), name=name, is_proven=False, now=now, source=source)


def _open(
    storefront: Storefront, email: str, *, name: str, is_proven: bool, now: datetime, source: trail.Source
) -> Registered:
    try:
        with transaction.atomic():
            if User.objects.filter(email__iexact=email).exists():
                raise MailboxTaken("This mailbox has an account; its owner signs in and makes keys there.")
            user = User.objects.create_user(email, None, name=name)
            if is_proven:  # whoever asked for the key accepted what the shop says about that
                user.terms_accepted_at = now
                user.save(update_fields=["terms_accepted_at"])
            EmailAddress.objects.create(user=user, email=email, verified=is_proven, primary=True)
            trail.record("user.signed_up", source=source, target=user, storefront=storefront)
            organization = organizations.create(
                storefront=storefront, owner=user, name=f"{user.get_short_name()[:60]}'s workspace", source=source
            )
            minted = keys.create(
                organization=organization,
                storefront=None,
                made_by=user,
                kind=KeyKind.INFERENCE,
                label="First key",
                source=source,
            )
            return Registered(user, organization, minted)
    except IntegrityError as error:
        raise MailboxTaken("This mailbox has an account; its owner signs in and makes keys there.") from error


def _check_open(storefront: Storefront) -> None:
    if storefront.sign_up_policy != SignUpPolicy.OPEN:
        raise NotOpen("This shop gives keys to people it has invited; sign in with your invitation.")


def _clean(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise ValidationError({"email": "This is not an address that mail can be sent to."}) from error
    if len(email) > LONGEST_EMAIL:
        raise ValidationError({"email": "This address is too long."})
    return email
