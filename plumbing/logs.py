"""Structured logs: one line per event, the request id on each, and no secret in any.

Promise: in production every event is one line of JSON, elsewhere one readable line (a traceback's lines are set in
behind a bar). Whatever text reaches a log, ours or a stranger's, it cannot begin a line of its own, move the reader's
cursor or hide characters; every value is searched for secrets first. The standard library's, Django's and Celery's
lines go the same way.
"""

import logging.config
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from plumbing.secrets import BLACK, is_secret_name, redact

NUMBERS = frozenset({bool, int, float})
LONGEST_VALUE = 16_384
DEEPEST = 6

bind = structlog.contextvars.bind_contextvars


def bound(**values: Any) -> AbstractContextManager[None]:
    """Say these on every line while the block runs."""
    return structlog.contextvars.bound_contextvars(**values)


@contextmanager
def fresh(**values: Any) -> Iterator[None]:
    """Start with nothing bound but these, and leave nothing behind: the frame around one request or task."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values)
    try:
        yield
    finally:
        structlog.contextvars.clear_contextvars()


def configure(options: dict[str, Any]) -> None:
    """Set up logging for the whole process: ``level`` and ``json`` (else readable lines)."""
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=True) if options["json"] else readable
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            black_out,
            renderer,
        ],
    }
    ours = {"handlers": [], "propagate": True}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
            "loggers": {
                # Django's own handlers would print a second, unguarded line.
                "django": ours,
                "django.server": {**ours, "level": "WARNING"},  # the access line is ours
                "django.request": {**ours, "level": "ERROR"},  # the same for 4xx
                "httpx": {**ours, "level": "WARNING"},  # prints whole URLs
                "httpcore": {**ours, "level": "WARNING"},
                # Three lines for every sweep, which comes every ten seconds; rooms log what they did.
                "celery.beat": {**ours, "level": "WARNING"},
                "celery.worker.strategy": {**ours, "level": "WARNING"},
                "celery.app.trace": {**ours, "level": "WARNING"},
            },
        }
    )


def black_out(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """No secret in any value, whatever its name or depth."""
    return {name: _clean(value, name, 0) for name, value in event.items()}


def _clean(value: Any, name: str, depth: int) -> Any:
    if value is None or type(value) in NUMBERS:
        return value
    if is_secret_name(name):
        return BLACK
    if isinstance(value, str):  # nearly always, and this runs for every value of every line
        return _text(value)
    if depth < DEEPEST and isinstance(value, Mapping):
        return {_text(key): _clean(item, str(key), depth + 1) for key, item in value.items()}
    if depth < DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item, name, depth + 1) for item in value]
    return _text(value)


def _text(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:  # noqa: BLE001 - a value that cannot describe itself must not cost the line
        text = f"<{type(value).__name__}>"
    if len(text) > LONGEST_VALUE:
        text = f"{text[:LONGEST_VALUE]}... ({len(text)} characters)"
    return redact(text)


def harmless(text: str) -> str:
    """Write out every character that could end a line, steer a terminal or hide (controls, bidi marks, surrogates)."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def readable(logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> str:
    """One line a person can read; a traceback follows, set in behind a bar that no message can imitate."""
    traceback = event.pop("exception", None)
    head = (
        f"{event.pop('timestamp', '')[11:19]} {event.pop('level', '').upper():<7} "
        f"{harmless(str(event.pop('event', '')))}"
    )
    where = harmless(str(event.pop("logger", "")))
    pairs = " ".join(f"{harmless(name)}={_quoted(value)}" for name, value in event.items())
    line = "  ".join(part for part in (head, pairs, f"({where})" if where else "") if part)
    if traceback is None:
        return line
    return "\n".join([line, *(f"    | {harmless(row)}" for row in str(traceback).splitlines())])


def _quoted(value: Any) -> str:
    text = harmless(str(value))
    return f'"{text}"' if " " in text or not text else text
