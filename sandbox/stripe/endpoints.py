"""Webhook endpoints and events: who is told what. A new endpoint's secret is shown once, as Stripe does it."""

from urllib.parse import urlsplit

from sandbox.stripe.blanks import blank
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, invalid
from sandbox.stripe.world import Object, World, new_id

CREATE = {
    "api_version": "text",
    "connect": "flag",
    "description": "text",
    "enabled_events!": ["text"],
    "metadata": "map",
    "url!": "text",
}
UPDATE = {
    "description": "text",
    "disabled": "flag",
    "enabled_events": ["text"],
    "metadata": "map",
    "url": "text",
}
MOST = 16
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _loopback(url: str) -> str:
    """The address, when it is one of this machine's own: nothing is ever delivered elsewhere."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise invalid("url", "Invalid URL", code="url_invalid") from None
    if parts.scheme != "http" or host is None:
        raise invalid("url", "Invalid URL: the sandbox delivers over plain http:// only", code="url_invalid")
    if host not in LOOPBACK and not host.endswith(".localhost"):
        raise invalid(
            "url", "Invalid URL: the sandbox delivers to this machine's own addresses only", code="url_invalid"
        )
    return url


def create(world: World, params: Params) -> Object:
    """An endpoint."""
    if len(world.all("webhook_endpoint")) >= MOST:
        raise Problem(400, f"You have reached the maximum of {MOST} webhook endpoints.")
    secret = world.webhook_secret or f"whsec_{new_id('x', length=32)[2:]}"
    body = blank(
        "webhook_endpoint",
        id=new_id("we"),
        api_version=params.get("api_version"),
        created=world.now,
        description=params.get("description"),
        enabled_events=params["enabled_events"] or ["*"],
        metadata=merged({}, params.get("metadata") or {}),
        status="enabled",
        url=_loopback(params["url"]),
        _secrets=[secret],
    )
    world.add(body)
    return {**body, "secret": secret}


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """An endpoint, without its secret."""
    return world.get("webhook_endpoint", id)


def update(world: World, params: Params, *, id: str) -> Object:
    """Change an endpoint."""
    body = world.get("webhook_endpoint", id)
    if params.get("url"):
        body["url"] = _loopback(params["url"])
    if params.get("enabled_events"):
        body["enabled_events"] = params["enabled_events"]
    if "disabled" in params:
        body["status"] = "disabled" if params["disabled"] else "enabled"
    if "description" in params:
        body["description"] = params["description"]
    if "metadata" in params:
        body["metadata"] = merged(body["metadata"], params["metadata"])
    return world.put(body)


def delete(world: World, params: Params, *, id: str) -> Object:
    """Remove an endpoint, and what was still to be delivered to it."""
    body = world.get("webhook_endpoint", id)
    world.remove(body)
    world.db.execute("DELETE FROM deliveries WHERE endpoint = ? AND state IN ('waiting', 'held')", (id,))
    return {"id": id, "object": "webhook_endpoint", "deleted": True}


def rotate(world: World, endpoint: Object, *, secret: str | None = None) -> str:
    """A new secret; the old one signs too until the next rotation."""
    new = secret or f"whsec_{new_id('x', length=32)[2:]}"
    endpoint["_secrets"] = [new, endpoint["_secrets"][0]]
    world.put(endpoint)
    return new


def retrieve_event(world: World, params: Params, *, id: str) -> Object:
    """An event."""
    return seen(world, world.get("event", id))


def seen(world: World, event: Object) -> Object:
    """An event as of now: how many endpoints still wait for it."""
    row = world.db.execute(
        "SELECT COUNT(DISTINCT endpoint) FROM deliveries WHERE event = ? AND state IN ('waiting', 'held')",
        (event["id"],),
    ).fetchone()
    event["pending_webhooks"] = row[0]
    return event
