"""Stripe's signature of a webhook, and the ways to get it wrong on purpose."""

import hashlib
import hmac
import json
import secrets
import time
from typing import Any


def signed(event: dict[str, Any], keys: list[str], orders: dict[str, Any]) -> tuple[bytes, str | None]:
    """The bytes to send and the header that vouches for them; two signatures while a secret is being replaced."""
    told = {name: value for name, value in event.items() if not name.startswith("_")}
    told |= orders.get("event", {})
    if "changes" in orders:
        told["data"] = {**told["data"], "object": {**told["data"]["object"], **orders["changes"]}}
    body = json.dumps(told, indent=2, ensure_ascii=False).encode()
    moment = int(time.time() - float(orders.get("age_s", 0)))
    forgery = orders.get("forge")
    if forgery == "missing":
        return body, None
    if forgery == "empty":
        return body, f"t={moment},v1="
    if forgery == "secret":
        keys = [f"whsec_{secrets.token_hex(16)}"]
    if forgery == "empty_key":
        keys = [""]
    scheme = "v0" if forgery == "v0" else "v1"
    header = ",".join([f"t={moment}", *(f"{scheme}={signature(body, key, moment)}" for key in keys)])
    if forgery == "body":
        body = body.replace(b'"livemode": false', b'"livemode":  false', 1)
    return body, header


def signature(body: bytes, key: str, moment: int) -> str:
    """HMAC-SHA256 over the moment and the bytes."""
    return hmac.new(key.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
