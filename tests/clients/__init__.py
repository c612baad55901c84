"""Real clients, each in an environment of its own, against a running server: ``python -m tests.clients``."""
