"""What customers and operators hear once money has moved: a receipt, a refund, a dispute.

Promise: each letter goes once, after the transaction it tells of was committed; a provider that does not answer delays
the look at the cards and never the receipt.
"""

from django.utils import timezone

from accounts import letters
from accounts.models import Organization
from accounts.models.organizations import Role
from billing import alarms, money, topups
from billing.models import Payment, Reversal
from billing.models.payments import ReversalState, Taken
from billing.payments import currencies, registry
from billing.settling import PAID, TAKEN
from plumbing import outbox

CARDS = "billing.cards"


@outbox.handles(PAID)
def paid(message: outbox.Message) -> None:
    """A payment was credited: the receipt, and (where one was to be kept) a look at the card."""
    payment = Payment.unscoped.select_related("organization__storefront", "top_up").get(pk=message.payload["payment"])
    organization = payment.organization
    letters.send(
        "payment_received",
        storefront=organization.storefront,
        recipients=payers_of(organization),
        context={
            "organization": organization.name,
            "amount": currencies.text(payment.total_minor, payment.currency),
            "credit": money.dollars(payment.credited_nano + payment.promo_nano),
            "path": f"/app/{organization.slug}/credits/{payment.top_up.public_id}/",
        },
        key=payment.public_id,
        now=timezone.now(),
    )
    if payment.top_up.save_card:
        outbox.add(topic=CARDS, key=payment.public_id, payload={"payment": payment.pk})


@outbox.handles(CARDS)
def look_at_cards(message: outbox.Message) -> None:
    """The card that paid was to be kept; see what is on it."""
    payment = Payment.unscoped.select_related("organization__storefront").get(pk=message.payload["payment"])
    account = registry.account_named(payment.organization.storefront, payment.method, payment.account)
    topups.refresh_cards(payment.organization, account, now=timezone.now())


@outbox.handles(TAKEN)
def taken(message: outbox.Message) -> None:
    """Money went back: the customer hears of a refund, those in charge of a dispute."""
    row = Reversal.objects.select_related("payment__organization__storefront").get(pk=message.payload["reversal"])
    payment = row.payment
    assert payment is not None, "announced only with its payment"
    storefront, now = payment.organization.storefront, timezone.now()
    amount = currencies.text(row.amount_minor, row.currency)
    if row.kind == Taken.DISPUTE or row.state == ReversalState.FAILED:
        sentence = f"The {row.kind} of {amount} by {payment.organization} is now: {row.get_state_display().lower()}."
        key = f"{row.public_id}:{row.state}"
        alarms.ring(
            f"A {row.kind} changed", storefront=storefront, sentence=sentence, reference=str(payment), key=key, now=now
        )
    elif row.state == ReversalState.DONE:
        letters.send(
            "payment_refunded",
            storefront=storefront,
            recipients=payers_of(payment.organization),
            context={
                "organization": payment.organization.name,
                "amount": amount,
                "path": f"/app/{payment.organization.slug}/credits/",
            },
            key=row.public_id,
            now=now,
        )


def payers_of(organization: Organization) -> list[str]:
    """Who hears about money: owners, admins, and whoever has the billing role."""
    payers = organization.memberships.filter(role__in=(Role.OWNER, Role.ADMIN, Role.BILLING), user__is_active=True)
    return sorted(payers.values_list("user__email", flat=True))
