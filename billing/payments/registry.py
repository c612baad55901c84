"""Which ways to pay there are, and with which account a storefront uses one.

Promise: a storefront's own account wins over the installation's; without either, the way to pay is not there (503). An
account that only plays (the sandbox, or test keys) is refused in production and while a real provider's key is in use,
so play money can never buy anything that costs us real money.
"""

from collections.abc import Callable
from dataclasses import replace

from django.conf import settings

from accounts.models import Storefront
from billing.models.payments import PLATFORM, PaymentAccount
from billing.payments import operator, stripe
from billing.payments.driver import Driver, NotConfigured, ProviderAccount

DRIVERS: dict[str, Driver] = {driver.slug: driver for driver in (stripe.DRIVER, operator.DRIVER)}
DEFAULT = "stripe"
_spends_real_money: list[Callable[[], bool]] = []


def refuse_play_money_while(condition: Callable[[], bool]) -> None:
    """Let a higher room say when calls cost real money (it knows the providers, we do not)."""
    _spends_real_money.append(condition)


def driver(method: str) -> Driver:
    """The way to pay of that name."""
    try:
        return DRIVERS[method]
    except KeyError:
        message = f"There is no way to pay called {method[:40]!r}."
        raise NotConfigured(message) from None


def account_for(storefront: Storefront, method: str = DEFAULT) -> ProviderAccount:
    """The account this storefront takes money with, or ``NotConfigured``."""
    found = own_or_platform(storefront, method)
    _refuse_play(found)
    return found


def own_or_platform(storefront: Storefront, method: str) -> ProviderAccount:
    """The storefront's own account, else the installation's; whether it may be used now is another question."""
    if method == operator.DRIVER.slug:
        return ProviderAccount(method, PLATFORM, storefront.pk, "", (), livemode=settings.PRODUCTION, sandbox=False)
    driver(method)
    row = PaymentAccount.objects.filter(storefront=storefront, method=method, is_active=True).first()
    if row is not None:
        return _account(storefront, method, row.public_id, row.secret_key, row.webhook_secrets)
    if settings.STRIPE_SECRET_KEY.strip():
        secrets = settings.STRIPE_WEBHOOK_SECRET
        return _account(storefront, method, PLATFORM, settings.STRIPE_SECRET_KEY.strip(), secrets)
    if settings.SANDBOX_STRIPE_KEY and settings.STRIPE_API_BASE:
        return _our_sandbox(storefront, method)
    message = "This shop has not set up a way to pay yet."
    raise NotConfigured(message)


def account_named(storefront: Storefront, method: str, name: str) -> ProviderAccount:
    """The account an order began with, even if the storefront has another one by now."""
    if name == PLATFORM:
        current = own_or_platform(storefront, method)
        if current.name == PLATFORM:
            return current
        return _account(
            storefront, method, PLATFORM, settings.STRIPE_SECRET_KEY.strip(), settings.STRIPE_WEBHOOK_SECRET
        )
    row = PaymentAccount.objects.filter(storefront=storefront, method=method, public_id=name).first()
    if row is None:
        message = "The account this order was made with is gone."
        raise NotConfigured(message)
    return _account(storefront, method, row.public_id, row.secret_key, row.webhook_secrets)


def _our_sandbox(storefront: Storefront, method: str) -> ProviderAccount:
    """The payment sandbox at our own address; ``up`` says where that is."""
    here = settings.STRIPE_API_BASE.removesuffix("/sandbox/stripe")
    found = _account(storefront, method, PLATFORM, settings.SANDBOX_STRIPE_KEY, settings.SANDBOX_STRIPE_WEBHOOK_SECRET)
    return replace(found, webhook_url=f"{here}/webhooks/{method}/{storefront.public_id}")


def _account(storefront: Storefront, method: str, name: str, secret_key: str, secrets: str) -> ProviderAccount:
    live = "_live_" in secret_key[:12] and not settings.STRIPE_API_BASE
    return ProviderAccount(
        method=method,
        name=name,
        storefront_id=storefront.pk,
        secret_key=secret_key,
        webhook_secrets=tuple(secret for part in secrets.split(",") if (secret := part.strip())),
        livemode=live,
        sandbox=not live,
        api_base=settings.STRIPE_API_BASE,
    )


def _refuse_play(account: ProviderAccount) -> None:
    if not account.sandbox:
        return
    if settings.PRODUCTION:
        message = "Payments run on test keys, which take no real money; they are refused in production."
        raise NotConfigured(message)
    if any(condition() for condition in _spends_real_money):
        message = (
            "The payment sandbox is closed while a real provider's key is in use: play money would buy real calls. "
            "Set STRIPE_SECRET_KEY to take real payments."
        )
        raise NotConfigured(message)
