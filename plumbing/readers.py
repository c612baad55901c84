"""A few threads that ask the database for an event loop, so that nothing of it blocks the loop.

Promise: ``await read(question, ...)`` runs a plain function in one of these threads. There are few of them, so that a
crowd of new callers cannot take every connection of the pool; each gives its connection back with its answer.
``stop()`` ends the threads, and the next question begins anew.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import connections

THREADS = 4

P = ParamSpec("P")
T = TypeVar("T")

_threads: list[ThreadPoolExecutor] = []
os.register_at_fork(after_in_child=_threads.clear)  # threads stay behind in the parent


async def read(question: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that asks the database, beside the loop."""
    if not _threads:
        _threads.append(ThreadPoolExecutor(THREADS, thread_name_prefix="reader"))
    work = partial(_asked, partial(question, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_threads[0], work)


def _asked(question: Callable[[], T]) -> T:
    try:
        return question()
    finally:
        connections.close_all()


def stop() -> None:
    """End the threads."""
    while _threads:
        _threads.pop().shutdown()
