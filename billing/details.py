"""Whom receipts and statements are made out to, as the customer says it.

Promise: every word is visible text, lines stay lines, and a change is in the trail. The details are printed on papers
as they are now: a paper downloaded again carries the new address, its figures never change.
"""

import re
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import trail
from accounts.models import Organization
from billing.models import BillingDetails
from plumbing.text import NotOneLine, one_line

MOST_LINES = 8
LONGEST_LINE = 80
LONGEST = {"name": 120, "tax_id": 40, "reference": 80}
TAX_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./-]{2,38}[A-Za-z0-9]\Z")


def of(organization: Organization) -> BillingDetails:
    """What they said; the organization's own name where they said nothing."""
    found: BillingDetails | None = BillingDetails.objects.of(organization).first()
    return found or BillingDetails(organization=organization)


def made_out_to(organization: Organization, details: BillingDetails) -> list[str]:
    """The lines of the address on a paper."""
    lines = [details.name or organization.name, *details.address.splitlines()]
    lines += [f"Tax id {details.tax_id}"] if details.tax_id else []
    return [*lines, *([f"Your reference: {details.reference}"] if details.reference else [])]


@transaction.atomic
def save(organization: Organization, *, source: trail.Source, now: datetime, **wanted: str) -> BillingDetails:
    """Keep what they say; a field that is not named stays as it is."""
    row = of(organization)
    fields = (*LONGEST, "address")
    before = {name: getattr(row, name) for name in fields}
    after = before | {name: _clean(name, text) for name, text in wanted.items()}
    if after == before:
        return row
    kept, _ = BillingDetails.objects.of(organization).update_or_create(
        organization=organization, defaults=after | {"changed_at": now}
    )
    trail.record("billing_details.changed", source=source, target=organization, before=before, after=after)
    found: BillingDetails = kept
    return found


def _clean(name: str, text: str) -> str:
    if name == "address":
        return _clean_lines(text)
    line = _line(name, text, LONGEST[name])
    if name == "tax_id" and line and not TAX_ID.match(line):
        raise ValidationError({name: "A tax id has 4 to 40 letters and digits, such as DE123456789."})
    return line


def _clean_lines(text: str) -> str:
    lines = [_line("address", line, LONGEST_LINE) for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_LINES:
        raise ValidationError({"address": f"An address has at most {MOST_LINES} lines."})
    return "\n".join(lines)


def _line(name: str, text: str, longest: int) -> str:
    if not text.strip():
        return ""
    try:
        return one_line(text, longest=longest)
    except NotOneLine as error:
        raise ValidationError({name: str(error)}) from error
