"""The doctor's questions about the house itself: settings, database, cache, queues, mail."""

from collections.abc import Iterator

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from kombu import Connection
from kombu.exceptions import OperationalError

from plumbing import outbox
from plumbing.diagnosis import Finding, Visit, examines

OLDEST_WAITING_S = 300.0


@examines("settings")
def the_settings(visit: Visit) -> Iterator[Finding]:
    """What would be weak in the open."""
    yield Finding("settings", "good", f"Mode {settings.MODE}, version {settings.VERSION}.")
    if settings.DEBUG:
        yield Finding("settings", "note", "DEBUG is on: errors show the inside of the house.", "Unset DEBUG.")
    if settings.PRODUCTION and not settings.METRICS_TOKEN:
        yield Finding("settings", "note", "Nobody can collect metrics.", "Set METRICS_TOKEN.")
    if not settings.TRUSTED_PROXIES and settings.PRODUCTION:
        yield Finding(
            "settings",
            "note",
            "No proxy is trusted, so behind a balancer every caller has its address.",
            "Name the balancer's network in TRUSTED_PROXIES.",
        )


@examines("database")
def the_database(visit: Visit) -> Iterator[Finding]:
    """Is it there, and is it up to date."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        yield Finding("database", "bad", "The database does not answer.", "Check DATABASE_URL and the server's log.")
        return
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if missing:
        yield Finding("database", "bad", f"{missing} migrations are missing.", "Run manage.py migrate.")
    else:
        yield Finding("database", "good", f"{connection.vendor} answers and is up to date.")


@examines("cache")
def the_cache(visit: Visit) -> Iterator[Finding]:
    """Redis, or the memory of this process."""
    try:
        cache.set("doctor", 1, 5)
        works = cache.get("doctor") == 1
    except Exception:  # noqa: BLE001 - whatever the client library raises, the cache is not there
        works = False
    where = "Redis" if settings.REDIS_URL else "This process's memory"
    if works:
        yield Finding("cache", "good", f"{where} keeps what is cached.")
    else:
        yield Finding("cache", "bad", f"{where} does not answer.", "Check REDIS_URL; limits fall back to each process.")


@examines("queue")
def the_queue(visit: Visit) -> Iterator[Finding]:
    """What must happen after commit, and who is told of it."""
    if not settings.CELERY_BROKER_URL.startswith("memory:"):
        try:
            with Connection(settings.CELERY_BROKER_URL, connect_timeout=3) as broker:
                broker.ensure_connection(max_retries=1, timeout=3)
            yield Finding("queue", "good", "The broker answers.")
        except (OperationalError, OSError):
            yield Finding("queue", "bad", "The broker does not answer.", "Check CELERY_BROKER_URL.")
    state = outbox.state(now=timezone.now())
    if state.parked:
        yield Finding(
            "queue",
            "bad",
            f"{state.parked} messages of the outbox are parked.",
            "Look at them on the desk, mend the cause, and put them back.",
        )
    if state.pending and state.oldest_age_s > OLDEST_WAITING_S:
        yield Finding(
            "queue",
            "bad",
            f"{state.pending} messages wait, the oldest for {int(state.oldest_age_s)} s.",
            "Start a worker and beat: celery -A config worker, celery -A config beat.",
        )
    elif not state.parked:
        yield Finding("queue", "good", f"The outbox flows; {state.pending} wait.")


@examines("mail")
def the_mail(visit: Visit) -> Iterator[Finding]:
    """Where letters go."""
    if "mailbox" in settings.EMAIL_BACKEND:
        yield Finding("mail", "note", "Letters are kept here and not sent.", "Set EMAIL_URL to send them.")
    else:
        yield Finding("mail", "good", f"Letters leave by {settings.EMAIL_BACKEND.rpartition('.')[2]}.")
