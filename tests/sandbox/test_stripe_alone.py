"""What the payment sandbox is made of: no Django, no stripe, no room of ours; shared and kept."""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import stripe

from sandbox.stripe import Stripe
from sandbox.stripe.running import Box, running_stripe
from tests.config.test_settings import PRODUCTION
from tests.sandbox.test_provider_alone import asked
from tests.sandbox.test_stripe_sdk import Hook

ROOT = Path(__file__).resolve().parents[2]
PAID = {"amount": 1000, "currency": "usd", "confirm": True, "off_session": True, "payment_method": "pm_card_visa"}


def test_it_starts_without_django_stripe_or_any_room_of_ours():
    code = (
        "import sys, sandbox.stripe.served, sandbox.stripe.running;"
        "rooms = {'django', 'stripe', 'httpx', 'config', 'gateway', 'billing', 'accounts', 'plumbing', 'analytics',"
        " 'desk', 'dashboard'};"
        "sys.exit(', '.join(sorted(rooms & {name.split('.')[0] for name in sys.modules})) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_without_keys_nobody_comes_in_and_without_a_control_key_there_is_no_control():
    box = Stripe(keys=())
    assert asked(box, "/v1/customers")[0] == 401
    assert asked(box, "/v1/customers", headers=[(b"authorization", b"Bearer ")])[0] == 401
    assert asked(box, "/_control/reset", method="POST", headers=[(b"x-sandbox-control", b"")])[0] == 404
    box.stop()


def test_it_answers_where_it_is_mounted(settings):
    from config.asgi import application

    path = "/sandbox/stripe/v1/account"
    ours = [(b"authorization", f"Bearer {settings.SANDBOX_STRIPE_KEY}".encode())]
    status, body = asked(application, path, headers=ours)
    assert status == 200
    assert json.loads(body)["id"].startswith("acct_")
    assert asked(application, path, headers=[(b"authorization", b"Bearer sk_test_wrong")])[0] == 401
    assert asked(application, "/sandbox/stripe/_control/reset", method="POST", headers=ours)[0] == 404


def test_production_never_loads_it(tmp_path):
    code = (
        "import sys, config.asgi;"
        "from django.conf import settings;"
        "found = [name for name in sys.modules if name.startswith('sandbox')];"
        "sys.exit(repr(found) if found or settings.SANDBOX_STRIPE_KEY or config.asgi.stripe_sandbox else 0)"
    )
    environment = {**os.environ, **PRODUCTION, "DATA_DIR": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert finished.returncode == 0, finished.stderr


def test_what_was_paid_and_what_is_still_to_be_told_outlive_a_restart(tmp_path):
    file = tmp_path / "stripe.sqlite3"
    hook = Hook()
    hook.answers = [503] * 50
    with running_stripe(path=file) as box:
        client = stripe.StripeClient(box.key, base_addresses={"api": box.url})
        params = {"url": hook.url, "enabled_events": ["payment_intent.succeeded"]}
        secret = client.v1.webhook_endpoints.create(params=params).secret
        box.do("setting", first_retry_s=1)
        intent = client.v1.payment_intents.create(params=PAID, options={"idempotency_key": "once"})
        assert box.settle()
    assert hook.came
    assert file.stat().st_mode & 0o077 == 0
    assert box.key.encode() not in file.read_bytes()
    hook.came, hook.answers = [], []
    with running_stripe(path=file) as box:
        client = stripe.StripeClient(box.key, base_addresses={"api": box.url})
        again = client.v1.payment_intents.create(params=PAID, options={"idempotency_key": "once"})
        assert again.id == intent.id
        deadline = time.monotonic() + 10
        while not hook.came:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert hook.verified(secret)[0].data.object.id == intent.id
    hook.close()


@contextlib.contextmanager
def process(file):
    """A server of its own, as an operator would start it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sandbox.stripe", "--port", str(port), "--key", "sk_test_shared"]
    command += ["--file", str(file), "--control-key", "control"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        deadline = time.monotonic() + 20
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", port)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Box(url=f"http://127.0.0.1:{port}", key="sk_test_shared", control_key="control")
    finally:
        running.terminate()
        running.wait(10)


def test_two_processes_share_one_world(tmp_path):
    file, hook = tmp_path / "stripe.sqlite3", Hook()
    with process(file) as one, process(file) as two:
        clients = [stripe.StripeClient(box.key, base_addresses={"api": box.url}) for box in (one, two)]
        params = {"url": hook.url, "enabled_events": ["payment_intent.succeeded"]}
        secret = clients[0].v1.webhook_endpoints.create(params=params).secret
        made, failures = [], []

        def pay(number):
            try:
                options = {"idempotency_key": f"order-{number // 2}", "max_network_retries": 10}
                made.append(clients[number % 2].v1.payment_intents.create(params=PAID, options=options).id)
            except stripe.StripeError as error:
                failures.append(error)

        threads = [threading.Thread(target=pay, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert (len(made), len(set(made))) == (20, 10)
        assert one.settle()
        heard = [event.data.object.id for event in hook.verified(secret)]
        assert sorted(heard) == sorted(set(made))
        assert clients[1].v1.balance.retrieve().pending[0].amount == 10 * 941
    hook.close()


def test_a_file_of_the_future_or_of_nonsense_is_not_overwritten(tmp_path):
    file = tmp_path / "stripe.sqlite3"
    file.write_bytes(b"not a database" * 100)
    box = Stripe(keys={"sk_test_a"}, path=file)
    with pytest.raises(sqlite3.DatabaseError):
        box.start()
    assert file.read_bytes().startswith(b"not a database")


def test_it_can_be_stopped_and_started_again():
    box = Stripe(keys={"sk_test_a"})
    key = [(b"authorization", b"Bearer sk_test_a")]
    for _ in range(2):
        assert asked(box, "/v1/customers", headers=key)[0] == 200
        box.stop()

    async def live():
        waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = []

        async def receive():
            return waiting.pop(0)

        async def send(message):
            sent.append(message["type"])

        await box({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
