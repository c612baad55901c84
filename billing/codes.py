"""Redemption codes: made in batches by operators, turned into credit by customers.

Promise: a code gives exactly as many times as it may (the last use is decided by one conditional update), once for each
organization, only in its own shop, and what it gives is a gift that never becomes cash. Guessing is slow: ten wrong
codes in a minute, by a person, by an organization or from an address, and the door is shut for the rest of it.
"""

import csv
import io
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F

from accounts import trail
from accounts.models import Organization, Storefront, User
from billing import ledger
from billing.models import CodeBatch, CodeUse, RedemptionCode
from billing.models.ledger import House, Kind
from billing.operations import Credit, Credited
from plumbing.identifiers import ALPHABET
from plumbing.refusals import Refusal

LETTERS = 16  # of 32 each: 80 bits
GROUP = 4
MOST_CODES = 10_000
WRONG_PER_MINUTE = 10
CONFUSED = str.maketrans({"o": "0", "i": "1", "l": "1", "u": "v"})


class BadBatch(Refusal, ValueError):
    """Not a batch that makes sense."""

    status = 400
    code = "bad_batch"


class NoSuchCode(Refusal):
    """Unknown here: mistyped, of another shop, or never made."""

    status = 404
    code = "unknown_code"


class CodeUsed(Refusal):
    """Somebody, or this organization, has used it."""

    code = "code_used"


class CodeOver(Refusal):
    """Its time is over, or it was withdrawn."""

    status = 410
    code = "code_expired"


class TooManyWrong(Refusal):
    """Too many wrong codes in this minute."""

    status = 429
    code = "too_many_wrong_codes"


# --- Making -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as somebody wants it."""

    name: str
    value_nano: int
    count: int
    uses_per_code: int = 1
    credit_days: int | None = None
    expires_at: datetime | None = None


@transaction.atomic
def make_batch(
    *, storefront: Storefront, wish: Batch, source: trail.Source, now: datetime, reason: str = ""
) -> CodeBatch:
    """Make a batch and all of its codes."""
    if not 1 <= wish.count <= MOST_CODES:
        message = f"A batch has 1 to {MOST_CODES:,} codes."
        raise BadBatch(message)
    batch = CodeBatch(
        storefront=storefront,
        name=wish.name,
        value_nano=wish.value_nano,
        uses_per_code=wish.uses_per_code,
        credit_days=wish.credit_days,
        expires_at=wish.expires_at,
        made_by=source.user,
        created_at=now,
    )
    batch.full_clean(exclude=["made_by"])
    batch.save(force_insert=True)
    RedemptionCode.objects.bulk_create(
        (RedemptionCode(batch=batch, code=_fresh(), uses=wish.uses_per_code) for _ in range(wish.count)),
        batch_size=500,
    )
    trail.record("code_batch.made", source=source, target=batch, after=asdict(wish), reason=reason)
    return batch


def _fresh() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LETTERS))


@transaction.atomic
def revoke(batch: CodeBatch, *, source: trail.Source, reason: str, now: datetime) -> None:
    """Nobody can use its codes any more; what they gave stays given."""
    if CodeBatch.objects.filter(pk=batch.pk, revoked_at=None).update(revoked_at=now):
        trail.record("code_batch.revoked", source=source, target=batch, reason=reason)


def written(code: str) -> str:
    """A code as it is handed out: XXXX-XXXX-XXXX-XXXX."""
    return "-".join(code[place : place + GROUP] for place in range(0, len(code), GROUP)).upper()


def as_csv(batch: CodeBatch) -> Iterator[str]:
    """The batch for a spreadsheet, line by line; no cell begins with what a spreadsheet would run."""
    yield _line(["code", "value_usd_nano", "used", "uses", "batch"])
    for row in batch.codes.order_by("id").iterator(chunk_size=1_000):
        yield _line([written(row.code), str(batch.value_nano), str(row.used), str(row.uses), batch.name])


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(neutral(cell) for cell in cells)
    return buffer.getvalue()


def neutral(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} else cell


# --- Using ------------------------------------------------------------------------------------------------------------


def redeem(text: str, *, organization: Organization, user: User | None, source: trail.Source, now: datetime) -> CodeUse:
    """Turn a code into credit."""
    names = _guessers(organization, user, source, now)
    if any((cache.get(name) or 0) >= WRONG_PER_MINUTE for name in names):
        message = "Too many wrong codes; wait a minute."
        raise TooManyWrong(message)
    try:
        return _redeem(_read(text), organization, user, source, now)
    except NoSuchCode:
        for name in names:
            cache.add(name, 0, timeout=120)
            cache.incr(name)
        raise


def _guessers(organization: Organization, user: User | None, source: trail.Source, now: datetime) -> list[str]:
    minute = int(now.timestamp()) // 60
    who = (f"org{organization.pk}", f"user{user.pk if user else 'none'}", f"ip{source.ip_address or 'none'}")
    return [f"wrong-code:{name}:{minute}" for name in who]


def _read(text: str) -> str:
    code = "".join(character for character in text.lower() if character not in "- \t\r\n").translate(CONFUSED)
    if len(code) != LETTERS or not set(code) <= set(ALPHABET):
        message = "This code is not known here; check it for a missing or wrong letter."
        raise NoSuchCode(message)
    return code


@transaction.atomic
def _redeem(code: str, organization: Organization, user: User | None, source: trail.Source, now: datetime) -> CodeUse:
    row = (
        RedemptionCode.objects.select_related("batch")
        .filter(code=code, batch__storefront=organization.storefront)
        .first()
    )
    if row is None:
        message = "This code is not known here; check it for a missing or wrong letter."
        raise NoSuchCode(message)
    batch = row.batch
    if batch.revoked_at or (batch.expires_at and batch.expires_at <= now):
        message = "This code is over."
        raise CodeOver(message)
    # The code's row is the queue: whoever raises the count first, uses it first.
    if not RedemptionCode.objects.filter(pk=row.pk, used__lt=F("uses")).update(used=F("used") + 1):
        message = "This code has been used."
        raise CodeUsed(message)
    if CodeUse.objects.of(organization).filter(code=row).exists():
        message = "This organization has used this code already."
        raise CodeUsed(message)
    use: CodeUse = CodeUse.objects.of(organization).create(
        organization=organization,
        code=row,
        user=user,
        transfer_uid=f"code:{row.pk}:{organization.pk}",
        created_at=now,
    )
    operation = Credit(
        uid=use.transfer_uid,
        organization_id=organization.pk,
        amount=batch.value_nano,
        kind=Kind.PROMO,
        source=House.PROMOTIONS,
        code="code_redeemed",
        label=f"Code from {batch.name}"[:120],
        reference=batch.public_id,
        expires_at=now + timedelta(days=batch.credit_days) if batch.credit_days else None,
    )
    [verdict] = ledger.apply(connection, [operation], now)
    if not isinstance(verdict, Credited):
        message = f"The ledger did not take this code: {verdict}"
        raise RuntimeError(message)  # noqa: TRY004 - a verdict, not a type
    trail.record(
        "code.redeemed", source=source, target=batch, organization=organization, after={"value_nano": batch.value_nano}
    )
    return use
