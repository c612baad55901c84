"""The way in for every server: Django, and in embedded mode the background work that lives in the same process."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

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


def _sandbox_provider() -> Any:
    """The AI provider of embedded and test mode, as a world outside that happens to live at our address."""
    from django.conf import settings

    if not settings.SANDBOX:
        return None
    from sandbox.provider import Provider  # only here: production never loads it

    return Provider(keys={settings.SANDBOX_PROVIDER_KEY}, gap_s=0.02 if settings.MODE == "embedded" else 0)


SANDBOX_PROVIDER = "/sandbox/provider/"
provider = _sandbox_provider()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Hand each conversation to whoever answers it."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "http":
        if provider is not None and scope["path"].startswith(SANDBOX_PROVIDER):
            await provider({**scope, "root_path": SANDBOX_PROVIDER.rstrip("/")}, receive, send)
        else:
            await pages(scope, receive, send)
    else:  # no sockets yet: refuse the handshake instead of breaking on it
        await send({"type": "websocket.close", "code": 1000})


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop with the server."""
    background = _background()
    await receive()  # lifespan.startup
    if background:
        await asyncio.to_thread(background.start)
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    if background:
        await asyncio.to_thread(background.stop)
    await send({"type": "lifespan.shutdown.complete"})


def _background() -> Any:
    from django.conf import settings

    if settings.MODE != "embedded":
        return None
    from config.background import Background  # only here: production workers need neither Celery's worker nor its beat

    return Background()
