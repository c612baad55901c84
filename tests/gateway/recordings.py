"""The recorded conversations of tests/payloads: what was asked, and the bytes that came back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).resolve().parents[1] / "payloads"


@dataclass(frozen=True)
class Exchange:
    name: str
    dialect: str
    provider: str
    url: str
    request: dict[str, Any] | None
    status: int
    headers: dict[str, str]
    body: bytes
    is_stream: bool
    expected: Any


@cache
def exchanges(*dialects: str) -> tuple[Exchange, ...]:
    """All exchanges of the dialects, or of all of them."""
    folders = (
        [PAYLOADS / dialect for dialect in dialects]
        if dialects
        else sorted(p for p in PAYLOADS.iterdir() if p.is_dir())
    )
    return tuple(exchange for folder in folders for path in sorted(folder.glob("*.json")) for exchange in _read(path))


def _read(path: Path) -> Iterator[Exchange]:
    recording = json.loads(path.read_text())
    expected = _expected().get(path.stem, [])
    for number, exchange in enumerate(recording.get("exchanges", ())):
        request, response = exchange.get("request") or {}, exchange["response"]
        if "://" in request.get("url", "") and request.get("method") != "POST":
            continue
        is_stream = "sse" in response or "chunks" in response
        yield Exchange(
            name=f"{path.stem}[{number}]",
            dialect=path.parent.name,
            provider=path.stem.split("__")[0],
            url=request.get("url", ""),
            request=request.get("body") if isinstance(request.get("body"), dict) else None,
            status=response["status"],
            headers={name.lower(): str(value) for name, value in (response.get("headers") or {}).items()},
            body=_stream(response) if is_stream else json.dumps(response.get("json")).encode(),
            is_stream=is_stream,
            expected=expected[number] if number < len(expected) else None,
        )


def _stream(response: dict[str, Any]) -> bytes:
    if "sse" in response:
        return response["sse"].encode()
    events = []
    for chunk in response["chunks"]:
        name = f"event: {chunk['type']}\n" if "type" in chunk else ""
        events.append(f"{name}data: {json.dumps(chunk)}\n\n")
    if "object" in response["chunks"][0]:
        events.append("data: [DONE]\n\n")
    return "".join(events).encode()


@cache
def _expected() -> dict[str, Any]:
    return json.loads((PAYLOADS / "expected_usage.json").read_text())


def streams(*dialects: str) -> list[tuple[str, bytes]]:
    """Every recorded stream, by name."""
    return [(exchange.name, exchange.body) for exchange in exchanges(*dialects) if exchange.is_stream]
