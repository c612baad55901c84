"""The payment sandbox as a server of its own, on loopback: ``python -m sandbox.stripe --port 9300``."""

import argparse
import os
import sys


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--key", action="append", help="a secret key, with an account of its own; may be given several times"
    )
    parser.add_argument("--file", default="", help="keep the state in this SQLite file; processes may share it")
    parser.add_argument("--control-key", default="", help="opens /_control")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    from granian.constants import HTTPModes, Interfaces, Loops  # only here: an embedding server brings its own
    from granian.server import Server

    asked = _asked()
    os.environ["SANDBOX_STRIPE_KEYS"] = ",".join(asked.key or ["sk_test_sandbox"])
    os.environ["SANDBOX_STRIPE_FILE"] = asked.file
    os.environ["SANDBOX_STRIPE_CONTROL_KEY"] = asked.control_key
    sys.stdout.write(f"payment sandbox on http://127.0.0.1:{asked.port}\n")
    Server(
        "sandbox.stripe.served:app",
        address="127.0.0.1",
        port=asked.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    main()
