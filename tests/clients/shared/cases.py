"""What every Python client's script shares: cases that report one by one, and what the client saw of usage and charges.

A line of JSON on standard output for each: the versions, what was seen, and each case's end. The caller compares what
was seen here with the receipts and with the provider's own books. Runs inside the client's environment, so it imports
nothing but the standard library.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BASE_URL, KEY, EMPTY_KEY = os.environ["BASE_URL"], os.environ["KEY"], os.environ["EMPTY_KEY"]
WRONG_KEY = "sk-tg-" + "0" * 33
CHAT, THINKING, EMBEDDING, UNKNOWN = "shop-chat", "shop-thinking", "shop-embedding", "no-such-model"
IMAGE_TOKENS = 256  # what the provider counts for any image
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
_cases: list[tuple[str, Callable[[], Any]]] = []


def case(name: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Make a function a case of that name; it fails by raising."""

    def keep(function: Callable[[], Any]) -> Callable[[], Any]:
        _cases.append((name, function))
        return function

    return keep


def saw(input_tokens: int | None, output_tokens: int | None, *, headers: Any = None) -> None:
    """Write down the usage the client was told, and what the answer's headers said of the call."""
    told = {"input": input_tokens, "output": output_tokens}
    if headers is not None:
        told |= {"call": headers["x-call-id"], "charge_usd": headers.get("x-charge-usd")}
    _say({"seen": told})


def check(truth: object, *shown: object) -> None:
    """Fail unless true, showing what was found instead."""
    if not truth:
        raise AssertionError(" ".join(repr(one)[:300] for one in shown) or "not so")


def refused(function: Callable[[], Any], kind: type[BaseException], status: int | None = None) -> Any:
    """Expect the client's own exception, of exactly that kind, with that HTTP status where it tells one."""
    try:
        answer = function()
    except BaseException as error:
        check(isinstance(error, kind), type(error), error)
        if status is not None:
            told = getattr(error, "status_code", None) or getattr(error, "code", None)
            check(told == status, type(error), told, error)
        return error
    raise AssertionError(f"no error, but {answer!r}"[:300])


def run(*packages: str, node: str = "") -> None:
    """Run every case in order and report; the exit code says whether all went well."""
    seen = {package: version(package) for package in packages}
    if node:
        about = Path(sys.argv[0]).resolve().parent / "node_modules" / node / "package.json"
        seen[node] = json.loads(about.read_text())["version"]
    _say({"versions": seen})
    failed = 0
    for name, function in _cases:
        try:
            function()
        except BaseException as error:
            failed += 1
            last = traceback.extract_tb(error.__traceback__)
            where = next((frame for frame in reversed(last) if Path(frame.filename).name == "client.py"), last[-1])
            _say({"case": name, "ok": False, "why": f"{type(error).__name__}: {error} (line {where.lineno})"})
        else:
            _say({"case": name, "ok": True})
    sys.exit(1 if failed else 0)


def _say(told: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
