"""The way in for every server: Django, and in embedded mode the background work that lives in the same process."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

try:
    pages = get_asgi_application()
except ImproperlyConfigured as error:
    message = f"tollgate: {error}"
    raise SystemExit(message) from None

from gateway.doorway import capped, front_for  # noqa: E402 - rooms can be imported only after Django is set up
from gateway.service import Gateway  # noqa: E402


def _sandbox_provider() -> Any:
    """The AI provider of embedded and test mode, as a world outside that happens to live at our address."""
    if not settings.SANDBOX:
        return None
    from sandbox.provider import Provider  # only here: production never loads it

    return Provider(keys={settings.SANDBOX_PROVIDER_KEY}, gap_s=0.02 if settings.MODE == "embedded" else 0)


def _sandbox_stripe() -> Any:
    """The payment service of embedded and test mode; embedded keeps what was paid over a restart."""
    if not settings.SANDBOX:
        return None
    from sandbox.stripe import Stripe  # only here: production never loads it

    return Stripe(
        keys={settings.SANDBOX_STRIPE_KEY},
        path=settings.DATA_DIR / "sandbox_stripe.sqlite3" if settings.MODE == "embedded" else None,
        webhook_secret=settings.SANDBOX_STRIPE_WEBHOOK_SECRET,
    )


SANDBOX_PROVIDER = "/sandbox/provider/"
SANDBOX_STRIPE = "/sandbox/stripe/"
provider = _sandbox_provider()
stripe_sandbox = _sandbox_stripe()
gateway = Gateway()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand each conversation to whoever answers it."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http":
        if provider is not None and scope["path"].startswith(SANDBOX_PROVIDER):
            await provider({**scope, "root_path": SANDBOX_PROVIDER.rstrip("/")}, receive, send)
        elif stripe_sandbox is not None and scope["path"].startswith(SANDBOX_STRIPE):
            await stripe_sandbox({**scope, "root_path": SANDBOX_STRIPE.rstrip("/")}, receive, send)
        elif express_takes(scope) and gateway.express and (front := front_for(scope["path"])):
            await gateway.express(scope, receive, send, front)
        else:
            await pages(scope, capped(receive), send)
    else:  # no sockets yet: refuse the handshake instead of breaking on it
        await send({"type": "websocket.close", "code": 1000})


def express_takes(scope: Scope) -> bool:
    """Whether the express door is open for this request; what it does not take goes to the canonical one."""
    return bool(scope["method"] == "POST" and settings.EXPRESS_DOOR)


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop with the server."""
    background = _background()
    await receive()  # lifespan.startup
    await gateway.start_when_possible()
    if stripe_sandbox is not None:
        await asyncio.to_thread(stripe_sandbox.start)  # what it still has to deliver waits for no request
    if background:
        await asyncio.to_thread(background.start)
    if settings.MODE != "test":
        _spare_the_collector()
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    await gateway.stop()
    if stripe_sandbox is not None:
        await asyncio.to_thread(stripe_sandbox.stop)
    if background:
        await asyncio.to_thread(background.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _spare_the_collector() -> None:
    """What is loaded by now stays: Python need not look through all of it again after every few dozen requests.

    The collector still runs, a tenth as often; what a call leaves behind falls away by itself, with no cycles in it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _background() -> Any:
    if settings.MODE != "embedded":
        return None
    from config.background import Background  # only here: production workers need neither Celery's worker nor its beat

    return Background()
