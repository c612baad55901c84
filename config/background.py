"""The background work of an embedded installation: Celery's worker and beat, as threads of the one server process.

Promise: it starts when the server has started and stops when the server stops; the queue in memory may lose a doorbell,
never work, because the outbox rows are the truth and the sweep takes what was forgotten. A server whose ``up`` was
killed stops too, so that it never keeps the port from the next start.
"""

import multiprocessing
import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from celery.beat import EmbeddedService
from celery.contrib.testing.worker import start_worker
from django.conf import settings

from config.celery import app


class Background:
    """Worker and beat, started and stopped together."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def start(self) -> None:
        """Begin taking tasks and ringing schedules."""
        if parent := multiprocessing.parent_process():
            threading.Thread(target=_follow, args=(parent,), name="follow-parent", daemon=True).start()
        self._running.enter_context(
            start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, loglevel=settings.LOG_LEVEL)
        )
        schedule = str(Path(settings.DATA_DIR) / "beat-schedule")
        beat: Any = EmbeddedService(app, thread=True, schedule_filename=schedule)  # a thread or a process, by argument
        beat.start()
        self._running.callback(beat.stop)

    def stop(self) -> None:
        """Finish what runs and take no more."""
        self._running.close()


def _follow(parent: Any) -> None:
    """Stop in good order once the process that started us is gone, however it went."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
