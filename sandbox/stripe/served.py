"""The application that a server process of its own imports; what ``__main__`` was told comes by the environment."""

import os

from sandbox.stripe.app import Stripe

app = Stripe(
    keys=os.environ.get("SANDBOX_STRIPE_KEYS", "sk_test_sandbox").split(","),
    path=os.environ.get("SANDBOX_STRIPE_FILE") or None,
    control_key=os.environ.get("SANDBOX_STRIPE_CONTROL_KEY", ""),
)
