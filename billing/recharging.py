"""Auto-recharge: below the threshold the saved card buys the next credit, within a cap for each month.

Promise: an organization has at most one recharge under way (a database constraint), the cap is counted inside the
transaction that makes the order, and the card is charged under the order's own name, so a repetition charges nothing
twice. A card that is declined, or a bank that wants to see its holder, pauses the recharge and tells the customer.

The wallets are looked at by a sweep of a few seconds that is one indexed question, and not by the calls themselves: the
hot path knows nothing of cards.
"""

from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts import letters, trail
from accounts.models import Organization
from accounts.models.organizations import Standing
from billing import flight, settling
from billing.models import Account, AutoRecharge, SavedCard, TopUp
from billing.models.ledger import NANO_USD, Kind
from billing.models.payments import UNDER_WAY, Origin, State
from billing.payments import currencies, registry
from billing.payments.driver import Declined, NotConfigured, Unreachable
from billing.tidings import payers_of
from billing.topups import check_amount, order_fields, order_for_driver, terms_of
from plumbing import outbox
from plumbing.identifiers import new_id
from plumbing.refusals import Refusal

TOPIC = "billing.recharge"
TRIES = 12
SLICE = 200


class NoCard(Refusal):
    """There is no saved card to charge."""

    code = "no_saved_card"


class CapTooLow(Refusal, ValueError):
    """The month's cap is below a single recharge."""

    status = 400
    code = "cap_below_amount"


@transaction.atomic
def configure(
    organization: Organization,
    *,
    is_on: bool,
    threshold_nano: int,
    amount_minor: int,
    month_cap_minor: int,
    card: SavedCard | None,
    source: trail.Source,
    now: datetime,
) -> AutoRecharge:
    """Set the standing order; switching it on again ends a pause."""
    terms = terms_of(organization.storefront)
    check_amount(terms, amount_minor)
    if month_cap_minor < amount_minor:
        message = "The month's cap must allow at least one recharge."
        raise CapTooLow(message)
    if is_on and (card is None or card.organization_id != organization.pk or card.removed_at):
        message = "Save a card first: top up once and tick 'keep this card', or choose one of yours."
        raise NoCard(message)
    wanted = {
        "is_on": is_on,
        "threshold_nano": threshold_nano,
        "amount_minor": amount_minor,
        "month_cap_minor": month_cap_minor,
        "card": card,
        "paused_at": None,
        "paused_because": "",
        "changed_at": now,
    }
    row, _ = AutoRecharge.objects.of(organization).update_or_create(organization=organization, defaults=wanted)
    trail.record(
        "auto_recharge.changed",
        source=source,
        target=organization,
        after={name: value for name, value in wanted.items() if name not in {"card", "changed_at"}},
    )
    found: AutoRecharge = row
    return found


def sweep(*, now: datetime) -> int:
    """Start a recharge wherever one is due; return how many."""
    balance = Coalesce(
        Sum(
            F("organization__accounts__posted") - F("organization__accounts__held"),
            filter=Q(organization__accounts__unit=NANO_USD)
            & ~Q(organization__accounts__kind=Kind.DEBT)
            & (Q(organization__accounts__expires_at=None) | Q(organization__accounts__expires_at__gt=now)),
        ),
        0,
    )
    due = (
        AutoRecharge.unscoped.filter(is_on=True, paused_at=None, organization__standing=Standing.ACTIVE)
        .annotate(balance=balance)
        .filter(balance__lt=F("threshold_nano"))
        .exclude(organization__top_ups__origin=Origin.RECHARGE, organization__top_ups__state__in=UNDER_WAY)
    )
    ids = list(due.order_by("pk").values_list("organization_id", flat=True)[:SLICE])
    return sum(begin(organization_id, now=now) is not None for organization_id in ids)


def begin(organization_id: int, *, now: datetime) -> TopUp | None:
    """Make the order of one recharge, if it is still due and within the month's cap."""
    try:
        with transaction.atomic():
            return _begin(organization_id, now)
    except IntegrityError:  # somebody else was faster: one is under way
        return None


def _begin(organization_id: int, now: datetime) -> TopUp | None:
    rows = AutoRecharge.unscoped.select_for_update(of=("self",)).select_related("organization__storefront")
    wish = rows.get(organization_id=organization_id)
    organization = wish.organization
    if not wish.is_on or wish.paused_at or available_nano(organization, now=now) >= wish.threshold_nano:
        return None
    recharges = TopUp.objects.of(organization).filter(origin=Origin.RECHARGE)
    if recharges.filter(state__in=UNDER_WAY).exists():
        return None
    terms = terms_of(organization.storefront)
    if this_month_minor(organization, now=now) + wish.amount_minor > wish.month_cap_minor:
        cap = currencies.text(wish.month_cap_minor, terms.currency)
        _tell(wish, f"The cap of {cap} for this month is reached.", key=f"cap:{now:%Y-%m}", now=now)
        return None
    try:
        account = registry.account_for(organization.storefront)
    except NotConfigured:
        return None
    order: TopUp = TopUp.objects.of(organization).create(
        organization=organization,
        attempt_key=new_id("rech"),
        origin=Origin.RECHARGE,
        **order_fields(terms, account, wish.amount_minor, now) | {"with_tax": False, "with_promotions": False},
    )
    flight.record(flight.REQUEST, "recharge due", now=now, top_up=order, amount_minor=order.amount_minor)
    outbox.add(topic=TOPIC, key=order.public_id)
    return order


def standing(organization: Organization, *, now: datetime) -> AutoRecharge | None:
    """The standing order, with what it came to this month as ``month_minor``, in one question."""
    total = _of_this_month(organization, now).values("organization").annotate(total=Sum("amount_minor"))
    rows = AutoRecharge.objects.of(organization).select_related("card")
    found: AutoRecharge | None = rows.annotate(month_minor=Coalesce(Subquery(total.values("total")), 0)).first()
    return found


def this_month_minor(organization: Organization, *, now: datetime) -> int:
    """What recharges came to since the first of this UTC month; those that failed do not count."""
    return int(_of_this_month(organization, now).aggregate(total=Sum("amount_minor"))["total"] or 0)


def _of_this_month(organization: Organization, now: datetime) -> QuerySet[TopUp]:
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows: QuerySet[TopUp] = TopUp.objects.of(organization).filter(origin=Origin.RECHARGE, created_at__gte=month)
    return rows.exclude(state__in=(State.FAILED, State.CANCELED, State.EXPIRED)).order_by()


def available_nano(organization: Organization, *, now: datetime) -> int:
    """Money that could be spent now."""
    living = Account.objects.of(organization).filter(Q(expires_at=None) | Q(expires_at__gt=now), unit=NANO_USD)
    sums = living.exclude(kind=Kind.DEBT).aggregate(total=Sum(F("posted") - F("held")))
    return int(sums["total"] or 0)


@outbox.handles(TOPIC, tries=TRIES)
def charge(message: outbox.Message) -> None:
    """Charge the card, with no transaction open; then settle what the provider said."""
    order = TopUp.unscoped.select_related("organization__storefront").get(public_id=message.key)
    if order.state != State.STARTED:
        return
    now = timezone.now()
    wish = AutoRecharge.unscoped.select_related("card__customer", "organization__storefront").get(
        organization=order.organization
    )
    if wish.card is None or not wish.is_on:
        _fail(order, wish, "There is no saved card.", now)
        return
    account = registry.account_named(order.organization.storefront, order.method, order.account)
    asked = order_for_driver(order, customer_id=wish.card.customer.outside_id, card_id=wish.card.outside_id)
    try:
        facts = registry.driver(order.method).recharge(account, asked)
    except Declined as refusal:
        with transaction.atomic():
            settling.apply(account, refusal.facts, now=now)
        _fail(order, wish, refusal.sentence, now)
        return
    except (NotConfigured, Unreachable) as refusal:
        if message.tries < TRIES:
            raise
        # If the card was charged all the same, the webhook or the reconciler says so, and it is credited.
        _fail(order, wish, refusal.sentence, now)
        return
    with transaction.atomic():
        settling.apply(account, facts, now=now)


@transaction.atomic
def _fail(order: TopUp, wish: AutoRecharge, sentence: str, now: datetime) -> None:
    """End the order and pause the standing order, until somebody has seen to the card."""
    fresh = TopUp.unscoped.select_for_update(of=("self",)).select_related("organization__storefront").get(pk=order.pk)
    settling.advance(fresh, State.FAILED, now=now, failure=sentence)
    if fresh.state != State.PAID:
        pause(wish, sentence, key=order.public_id, now=now)


def pause(wish: AutoRecharge, sentence: str, *, key: str, now: datetime) -> None:
    """Stop recharging and say so."""
    AutoRecharge.unscoped.filter(pk=wish.pk, paused_at=None).update(paused_at=now, paused_because=sentence[:200])
    _tell(wish, sentence, key=key, now=now)


def _tell(wish: AutoRecharge, sentence: str, *, key: str, now: datetime) -> None:
    organization = wish.organization
    letters.send(
        "recharge_paused",
        storefront=organization.storefront,
        recipients=payers_of(organization),
        context={"organization": organization.name, "sentence": sentence, "path": f"/app/{organization.slug}/credits/"},
        key=f"{organization.public_id}:{key}",
        now=now,
    )
