"""The cards and other ways to pay that exist here, and what each does when it is charged: Stripe's own test numbers."""

import hashlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """A way to pay and its fate.

    ``asks`` says when the bank wants the cardholder to be there: ``never``, ``always``, ``unsaved`` (not once the card
    was saved with a confirmed setup), ``on_session`` (only while the cardholder is there anyway). ``after`` is what
    happens to a charge that worked: a dispute, a refund that fails or takes its time.
    """

    name: str
    number: str
    label: str
    brand: str = "visa"
    declined: str | None = None
    code: str = "card_declined"
    asks: str = "never"
    refuses_to_be_saved: bool = True
    after: str | None = None
    kind: str = "card"
    later: str | None = None

    @property
    def last4(self) -> str:
        return self.number[-4:]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self.number.encode()).hexdigest()[:16]


CARDS = (
    Card("visa", "4242424242424242", "Visa, pays"),
    Card("visa_debit", "4000056655665556", "Visa debit, pays"),
    Card("mastercard", "5555555555554444", "Mastercard, pays", "mastercard"),
    Card("amex", "378282246310005", "American Express, pays", "amex"),
    Card("visa_chargeDeclined", "4000000000000002", "Declined", declined="generic_decline"),
    Card(
        "visa_chargeDeclinedInsufficientFunds",
        "4000000000009995",
        "Declined: insufficient funds",
        declined="insufficient_funds",
    ),
    Card("visa_chargeDeclinedLostCard", "4000000000009987", "Declined: lost card", declined="lost_card"),
    Card("visa_chargeDeclinedStolenCard", "4000000000009979", "Declined: stolen card", declined="stolen_card"),
    Card("chargeDeclinedFraudulent", "4100000000000019", "Declined: blocked as fraud", declined="fraudulent"),
    Card("chargeDeclinedExpiredCard", "4000000000000069", "Declined: expired card", code="expired_card", declined=""),
    Card("chargeDeclinedIncorrectCvc", "4000000000000127", "Declined: wrong CVC", code="incorrect_cvc", declined=""),
    Card(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        "Declined: processing error",
        code="processing_error",
        declined="",
    ),
    Card(
        "visa_chargeDeclinedVelocityLimitExceeded",
        "4000000000006975",
        "Declined: too often",
        declined="card_velocity_exceeded",
    ),
    Card(
        "chargeCustomerFail",
        "4000000000000341",
        "Can be saved, then every charge is declined",
        declined="generic_decline",
        refuses_to_be_saved=False,
    ),
    Card("authenticationRequired", "4000002760003184", "Always needs authentication (3-D Secure)", asks="always"),
    Card("authenticationRequiredOnSetup", "4000002500003155", "Needs authentication until saved", asks="unsaved"),
    Card(
        "authenticationRequiredSetupForOffSession",
        "4000003800000446",
        "Needs authentication only while you are there",
        asks="on_session",
    ),
    Card(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        "Needs authentication, then declined",
        asks="always",
        declined="insufficient_funds",
    ),
    Card("createDispute", "4000000000000259", "Pays, disputed as fraud at once", after="fraudulent"),
    Card("createDisputeProductNotReceived", "4000000000002685", "Pays, disputed as not received", after="not_received"),
    Card("createDisputeInquiry", "4000000000001976", "Pays, an inquiry follows", after="inquiry"),
    Card("pendingRefund", "4000000000007726", "Pays, refunds take their time", after="refund_pending"),
    Card("refundFail", "4000000000005126", "Pays, refunds fail later", after="refund_fails"),
    Card("bankDebit", "000123456789", "Bank debit, the money arrives later", kind="us_bank_account", later="succeeds"),
    Card("bankDebitFails", "000111111116", "Bank debit that fails later", kind="us_bank_account", later="fails"),
    Card("stablecoin", "0x5aAeb6053F", "Stablecoin, pays at once", kind="crypto"),
)
BY_NAME = {card.name: card for card in CARDS}
BY_NUMBER = {card.number: card for card in CARDS}
_ALIASES = {
    "usBankAccount": "bankDebit",
    "us_bankAccount": "bankDebit",
    "visa_chargeDeclinedFraudulent": "chargeDeclinedFraudulent",
}
MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "card_velocity_exceeded": "Your card was declined for making repeated attempts too frequently.",
}


def named(given: str) -> Card | None:
    """The card that ``pm_card_visa`` or ``tok_visa`` means."""
    name = given.removeprefix("pm_").removeprefix("tok_").removeprefix("card_")
    return BY_NAME.get(_ALIASES.get(name, name)) if given.startswith(("pm_", "tok_")) else None


def details(card: Card) -> dict[str, Any]:
    """What a payment method shows of itself."""
    if card.kind == "us_bank_account":
        return {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None,
            "fingerprint": card.fingerprint,
            "last4": card.last4,
            "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": "110000000",
            "status_details": None,
        }
    if card.kind == "crypto":
        return {}
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": card.fingerprint,
        "funding": "debit" if card.name.endswith("debit") else "credit",
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def charged_details(card: Card, *, amount: int, authenticated: bool) -> dict[str, Any]:
    """What a charge shows of the way it was paid."""
    if card.kind == "us_bank_account":
        bank = details(card)
        kept = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        body = {**{name: bank[name] for name in kept}, "mandate": None, "payment_reference": None}
        return {card.kind: body, "type": card.kind}
    if card.kind == "crypto":
        return {
            card.kind: {
                "buyer_address": card.number,
                "network": "base",
                "token_currency": "usdc",
                "transaction_hash": f"0x{card.fingerprint}",
            },
            "type": card.kind,
        }
    secure = None
    if authenticated:
        secure = {
            "authentication_flow": "challenge",
            "result": "authenticated",
            "result_reason": None,
            "version": "2.2.0",
        }
    body = {name: value for name, value in details(card).items() if name not in {"display_brand", "generated_from"}}
    body |= {
        "amount_authorized": amount,
        "authorization_code": "123456",
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": card.fingerprint[:15],
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "three_d_secure": secure,
    }
    for unasked in ("networks", "three_d_secure_usage"):
        body.pop(unasked)
    return {"card": body, "type": "card"}
