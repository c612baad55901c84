"""The sandbox provider as a server of its own, on loopback: ``python -m sandbox.provider --port 9200``."""

import argparse
import os
import sys


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.provider", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", action="append", help="an API key it accepts; may be given several times")
    parser.add_argument("--control-key", default="", help="opens /_control and the X-Sandbox header")
    parser.add_argument("--gap-ms", type=float, default=0, help="time between two events of a stream")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    from granian.constants import HTTPModes, Interfaces, Loops  # only here: an embedding server brings its own
    from granian.server import Server

    asked = _asked()
    os.environ["SANDBOX_PROVIDER_KEYS"] = ",".join(asked.key or ["sk-sandbox"])
    os.environ["SANDBOX_PROVIDER_CONTROL_KEY"] = asked.control_key
    os.environ["SANDBOX_PROVIDER_GAP_MS"] = str(asked.gap_ms)
    sys.stdout.write(f"sandbox provider on http://127.0.0.1:{asked.port}\n")
    Server(
        "sandbox.provider.served:app",
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
