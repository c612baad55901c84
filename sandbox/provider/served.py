"""The application that a server process of its own imports; what ``__main__`` was told comes by the environment."""

import os

from sandbox.provider.app import Provider

app = Provider(
    keys=os.environ.get("SANDBOX_PROVIDER_KEYS", "sk-sandbox").split(","),
    control_key=os.environ.get("SANDBOX_PROVIDER_CONTROL_KEY", ""),
    gap_s=float(os.environ.get("SANDBOX_PROVIDER_GAP_MS", "0")) / 1000,
)
