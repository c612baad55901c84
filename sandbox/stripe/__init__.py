"""A Stripe that needs no network, no account and no money: the second world outside.

Promise: it speaks Stripe's API (2026-10-28.endive) well enough for the real client, keeps its own books, signs and
delivers its webhooks over real HTTP (to this machine only), shows the pages a customer would see, and misbehaves
exactly as it is told to. A plain ASGI application that imports neither Django, nor any of our rooms, nor the stripe
package.

    python -m sandbox.stripe --port 9300 --key sk_test_a --control-key secret      its own server, on loopback
    Stripe(keys={"sk_test_a"}, path="var/sandbox-stripe.sqlite3")                   an application to mount

In a test::

    from sandbox.stripe.running import running_stripe

    with running_stripe() as box:                                   # its own thread, a free port, state in memory
        client = stripe.StripeClient(box.key, base_addresses={"api": box.url})
        client.v1.webhook_endpoints.create(params={"url": hook, "enabled_events": ["*"]}).secret
        box.pay(session.id, card="visa")                            # what the customer does; see cards.py
        box.money(intent, succeeds=False); box.dispute(payment_intent=intent); box.decide(dispute, won=True)
        box.fault("timeout", method="POST")                         # the next request; see faults.py
        box.order(types=["charge.*"], duplicates=3, times=1)        # the next webhooks; see orders.py
        box.advance(3600); box.settle(); box.deliveries(); box.resend(event); box.reset()

Every key is an account of its own; ``box.add_key("sk_test_b")`` opens another. Nothing is exchanged: each currency
settles in itself.
"""

from sandbox.stripe.app import Stripe

__all__ = ["Stripe"]
