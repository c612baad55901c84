"""Warnings for customers: found from rollups and rows, told once each, shown until they are over.

Promise: one occasion is one row and one notice, whoever looks and however often (the database says so); a key that
spends ten times its norm is switched off in the same transaction that asks its owner; nothing is told that the
organization muted. Days and caps are in UTC, as the ledger counts them.

    low_balance      what could be spent fell below the threshold; over when it is above again
    cap_near, cap_reached   a cap of the organization, a member or a key at 80 and at 100 per cent, once a window
    unusual_spend    a key's day is ten times its norm: the mean of its active days of two weeks, three of them at least
    recharge_failed  the standing order is paused, and why
    key_leaked       a key was found in public and revoked
    price_change     a version of the plan begins within thirty days, or a model they use becomes dearer
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, Sum

from accounts import access, keys, letters, trail
from accounts.models import ApiKey, AuditEvent, Membership, Organization, User
from accounts.models.bounds import SpendCaps
from analytics.models import CustomerDay, CustomerQuarter
from billing import money
from billing.models import AutoRecharge
from dashboard import coming_prices, spending
from dashboard.models import Alert, AlertKind, AlertSettings, OnUnusual
from gateway import figures
from plumbing import notices, outbound
from plumbing.identifiers import new_id
from plumbing.refusals import Refusal

TIMES_THE_NORM = 10
NORM_DAYS = 14
FEWEST_DAYS = 3
LEAST_UNUSUAL_NANO = 1_000_000_000  # below a dollar a day nobody is woken
REMEMBERED = timedelta(days=7)
LEAKED = "found in public:"
TOLD_BY_OTHERS = (AlertKind.LEAKED, AlertKind.RECHARGE)  # their own letters went out already


class AlertRefused(Refusal, ValueError):
    """What was asked about alerts cannot be; the sentence says why (409)."""

    code = "alert_refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to warn of."""

    kind: AlertKind
    occasion: str
    sentence: str
    key: ApiKey | None = None


def settings_of(organization: Organization) -> AlertSettings:
    """What an organization wants to hear; the defaults until it says so."""
    found: AlertSettings | None = AlertSettings.objects.of(organization).first()
    return found or AlertSettings(organization=organization)


def look(organization: Organization, *, now: datetime) -> list[Alert]:
    """Find what is new and tell it, and end what is over; returns the new warnings."""
    wishes = settings_of(organization)
    wanted = (one for one in _findings(organization, wishes, now) if one.kind not in wishes.muted)
    fresh = [alert for finding in wanted if (alert := _raise(organization, wishes, finding, now))]
    _end_over(organization, wishes, now)
    return fresh


def _findings(organization: Organization, wishes: AlertSettings, now: datetime) -> Iterator[Finding]:
    yield from _low_balance(organization, wishes, now)
    yield from _caps(organization, now)
    yield from _unusual(organization, now)
    yield from _recharge(organization)
    yield from _leaked(organization, now)
    yield from _prices(organization, now)


def _raise(organization: Organization, wishes: AlertSettings, finding: Finding, now: datetime) -> Alert | None:
    """Write the warning, act on it and queue its notices, all or nothing; None when somebody was first."""
    known = Alert.objects.of(organization).filter(kind=finding.kind, occasion=finding.occasion)
    if known.exists():
        return None
    pauses = finding.kind == AlertKind.UNUSUAL and wishes.on_unusual == OnUnusual.PAUSE
    sentence = finding.sentence + (" The key is paused until you answer." if pauses else "")
    try:
        with transaction.atomic():
            alert: Alert = Alert.objects.create(
                organization=organization,
                kind=finding.kind,
                occasion=finding.occasion,
                sentence=sentence[:300],
                api_key=finding.key,
                paused=pauses,
                created_at=now,
            )
            if finding.kind == AlertKind.CAP_REACHED:
                near = Alert.objects.of(organization).filter(kind=AlertKind.CAP_NEAR, occasion=finding.occasion)
                near.filter(ended_at__isnull=True).update(ended_at=now)
            if pauses and finding.key is not None:
                keys.set_enabled(finding.key, enabled=False, now=now, source=trail.SYSTEM, reason=sentence[:200])
            _tell(organization, wishes, alert, now)
    except IntegrityError:
        return None
    return alert


# --- What is found ----------------------------------------------------------------------------------------------------


def _low_balance(organization: Organization, wishes: AlertSettings, now: datetime) -> Iterator[Finding]:
    rows = Alert.objects.of(organization).filter(kind=AlertKind.LOW_BALANCE)
    if not wishes.low_balance_nano or rows.filter(ended_at__isnull=True).exists():
        return
    available = figures.available_nano(organization, now=now)
    if available >= wishes.low_balance_nano or not _ever_spent(organization):
        return
    sentence = f"{money.dollars(available)} are left, below your threshold of {money.dollars(wishes.low_balance_nano)}."
    yield Finding(AlertKind.LOW_BALANCE, f"low-{rows.count() + 1}", sentence)


def _ever_spent(organization: Organization) -> bool:
    """Whoever never spent is not warned of having little."""
    return bool(CustomerQuarter.objects.of(organization).filter(charge_nano__gt=0).exists())


def _caps(organization: Organization, now: datetime) -> Iterator[Finding]:
    capped: list[tuple[str, str, SpendCaps, ApiKey | None]] = [("organization", "The organization", organization, None)]
    members = Membership.objects.of(organization).select_related("user")
    capped += [("member", member.user.get_short_name()[:60], member, None) for member in members]
    set_caps = Q(cap_day_nano__isnull=False) | Q(cap_month_nano__isnull=False) | Q(cap_total_nano__isnull=False)
    living = ApiKey.objects.of(organization).filter(keys.usable(now) & set_caps)
    capped += [("key", f"The key “{key.label}”", key, key) for key in living]
    counted: dict[str, dict[tuple[int, str], int]] = {}
    for scope, name, row, key in capped:
        if scope not in counted:
            counted[scope] = spending.used(organization, scope, now=now, with_holds=False)
        for bar in spending.bars(row, _scope_id(row), counted[scope], now=now):
            if bar.percent < spending.NEAR:
                continue
            full = bar.percent >= spending.FULL
            kind = AlertKind.CAP_REACHED if full else AlertKind.CAP_NEAR
            start = spending.window_start(bar.window, now) or "ever"
            sentence = f"{name} has used {bar.percent} % of {money.dollars(bar.limit_nano)} {bar.words}."
            occasion = f"{scope}:{_scope_id(row)}:{bar.window}:{start}:{bar.limit_nano}"
            yield Finding(kind, occasion, sentence, key)


def _scope_id(row: Any) -> int:
    """The number the ledger counts a scope by."""
    return int(row.pk)


def _unusual(organization: Organization, now: datetime) -> Iterator[Finding]:
    today = now.astimezone(UTC).date()
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    quarters = CustomerQuarter.objects.of(organization).filter(starts_at__gte=midnight, api_key_id__gt=0)
    spent = {
        row["api_key_id"]: row["sum"]
        for row in quarters.order_by().values("api_key_id").annotate(sum=Sum("charge_nano"))
    }
    suspects = [key for key, nano in spent.items() if nano >= LEAST_UNUSUAL_NANO]
    if not suspects:
        return
    days = CustomerDay.objects.of(organization).filter(
        day__gte=today - timedelta(days=NORM_DAYS), day__lt=today, api_key_id__in=suspects, charge_nano__gt=0
    )
    norms = days.order_by().values("api_key_id").annotate(sum=Sum("charge_nano"), days=Count("day", distinct=True))
    for norm in norms:
        number, usual = norm["api_key_id"], norm["sum"] // norm["days"]
        if norm["days"] < FEWEST_DAYS or spent[number] < TIMES_THE_NORM * usual:
            continue
        key = ApiKey.objects.of(organization).filter(keys.usable(now), pk=number).first()
        if key is not None:
            sentence = (
                f"The key “{key.label}” has spent {money.dollars(spent[number])} today;"
                f" {money.dollars(usual)} a day is usual."
            )
            yield Finding(AlertKind.UNUSUAL, f"key:{number}:{today}", sentence, key)


def _leaked(organization: Organization, now: datetime) -> Iterator[Finding]:
    events = AuditEvent.objects.filter(
        organization=organization,
        action="key.revoked",
        created_at__gte=now - REMEMBERED,
        reason__startswith=LEAKED,
    )
    for event in events:
        key = ApiKey.objects.of(organization).filter(public_id=event.target_id).first()
        name = key.label if key else event.target_name
        sentence = f"The key “{name}” was found in public and has been revoked."
        yield Finding(AlertKind.LEAKED, f"leak:{event.public_id}", sentence, key)


def _recharge(organization: Organization) -> Iterator[Finding]:
    """A standing order that paused itself; each pause is an occasion of its own."""
    paused = AutoRecharge.objects.of(organization).filter(is_on=True).first()
    if paused is not None and paused.paused_at is not None:
        because = paused.paused_because.rstrip(".") or "the last payment failed"
        sentence = f"Automatic recharge is paused: {because}."
        yield Finding(AlertKind.RECHARGE, f"paused:{paused.paused_at.isoformat()}", sentence)


def _prices(organization: Organization, now: datetime) -> Iterator[Finding]:
    for coming in coming_prices.of(organization, now=now):
        yield Finding(AlertKind.PRICES, coming.occasion, coming.sentence(now=now))


def _end_over(organization: Organization, wishes: AlertSettings, now: datetime) -> None:
    """A low balance is over when there is enough again; a cap's, when its window has turned."""
    rows = Alert.objects.of(organization).filter(ended_at__isnull=True)
    low = rows.filter(kind=AlertKind.LOW_BALANCE)
    if low.exists() and figures.available_nano(organization, now=now) >= wishes.low_balance_nano:
        low.update(ended_at=now)
    if not any(_recharge(organization)):
        rows.filter(kind=AlertKind.RECHARGE).update(ended_at=now)
    caps = rows.filter(kind__in=(AlertKind.CAP_NEAR, AlertKind.CAP_REACHED))
    for alert in caps:
        _, _, window, start, _ = alert.occasion.split(":")
        if start != "ever" and start != str(spending.window_start(window, now)):
            Alert.objects.of(organization).filter(pk=alert.pk).update(ended_at=now)


# --- Telling ----------------------------------------------------------------------------------------------------------


def _tell(organization: Organization, wishes: AlertSettings, alert: Alert, now: datetime) -> None:
    context = {
        "title": str(AlertKind(alert.kind).label),
        "sentence": alert.sentence,
        "organization": organization.name,
        "path": f"/app/{organization.slug}/alerts/",
        "asks": alert.paused,
    }
    if alert.kind not in TOLD_BY_OTHERS:
        _mail(organization, wishes, context, alert.public_id, now)
    data = {
        "alert_id": alert.public_id,
        "kind": alert.kind,
        "organization_id": organization.public_id,
        "sentence": alert.sentence,
        "key_id": alert.api_key.public_id if alert.api_key else None,
        "paused": alert.paused,
    }
    _webhook(organization, wishes, data, alert.public_id, now)


def _mail(organization: Organization, wishes: AlertSettings, context: dict[str, Any], key: str, now: datetime) -> None:
    members = Membership.objects.of(organization).filter(role__in=wishes.mail_roles, user__is_active=True)
    letters.send(
        "customer_alert",
        storefront=organization.storefront,
        recipients=sorted(set(members.values_list("user__email", flat=True))),
        context=context,
        key=key,
        now=now,
    )


def _webhook(organization: Organization, wishes: AlertSettings, data: dict[str, Any], key: str, now: datetime) -> None:
    if not wishes.webhook_url or not wishes.webhook_secret:
        return
    shop = organization.storefront
    notices.send(
        "alert." + data["kind"],
        recipient=notices.Endpoint(wishes.webhook_url, (wishes.webhook_secret,)),
        context=data,
        key=key,
        shop=notices.Shop(name=shop.name, base_url=access.canonical_base(shop), color=shop.brand_color),
        now=now,
    )


@transaction.atomic
def test(organization: Organization, *, by: User, now: datetime) -> None:
    """Send a harmless warning to whoever asks and to the webhook."""
    wishes, key = settings_of(organization), new_id("test")
    context = {
        "title": "A test",
        "sentence": "This is a test: warnings reach you here.",
        "organization": organization.name,
        "path": f"/app/{organization.slug}/alerts/",
        "asks": False,
    }
    letters.send(
        "customer_alert",
        storefront=organization.storefront,
        recipients=[by.email],
        context=context,
        key=key,
        now=now,
    )
    data = {"alert_id": key, "kind": "test", "organization_id": organization.public_id, "sentence": context["sentence"]}
    _webhook(organization, wishes, data, key, now)


# --- Answering --------------------------------------------------------------------------------------------------------


@transaction.atomic
def answer(alert: Alert, *, resume: bool, by: User, now: datetime, source: trail.Source) -> None:
    """The owner says: that was us (the key works again), or it stays off."""
    if not alert.paused or alert.ended_at is not None or alert.api_key is None:
        raise AlertRefused("This warning was answered already.")
    if resume:
        keys.set_enabled(alert.api_key, enabled=True, now=now, source=source, reason="Unusual spend was confirmed.")
    close(alert, by=by, now=now)


def close(alert: Alert, *, by: User, now: datetime) -> None:
    """Somebody has seen it."""
    Alert.objects.of(alert.organization).filter(pk=alert.pk, ended_at__isnull=True).update(ended_at=now, answered_by=by)


@transaction.atomic
def save(organization: Organization, *, source: trail.Source, **wishes: Any) -> str | None:
    """Keep what an organization wants to hear; returns the signing secret if a new address was given one."""
    row = settings_of(organization)
    secret = None
    if url := wishes.get("webhook_url"):
        _check_url(url)
    if wishes.get("webhook_url", row.webhook_url) != row.webhook_url:
        secret = notices.new_webhook_secret() if wishes["webhook_url"] else None
        row.webhook_secret = secret
    before = {name: getattr(row, name) for name in wishes}
    for name, value in wishes.items():
        setattr(row, name, value)
    row.full_clean(exclude=["organization", "webhook_secret"])
    row.save()
    trail.record("alerts.changed", source=source, target=organization, before=before, after=wishes)
    return secret


@transaction.atomic
def new_secret(organization: Organization, *, source: trail.Source) -> str:
    """A fresh signing secret; the old one ends."""
    row = settings_of(organization)
    if not row.webhook_url:
        raise AlertRefused("Give an address first; it gets its secret then.")
    secret = notices.new_webhook_secret()
    row.webhook_secret = secret
    row.save()
    trail.record("alerts.secret_renewed", source=source, target=organization)
    return secret


def _check_url(url: str) -> None:
    private: bool = settings.WEBHOOKS_TO_PRIVATE_ADDRESSES
    try:
        outbound.check_url(url, bounds=outbound.Bounds(allow_http=private, allow_private=private))
    except outbound.Refused as error:
        raise AlertRefused(str(error)) from error
