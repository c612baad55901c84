"""What the sandbox is made of: no Django, no rooms of ours, closed where nobody opened it, and mounted as it stands."""

import asyncio
import subprocess
import sys

from sandbox.provider import Provider


def test_it_starts_without_django_or_any_room_of_ours():
    code = (
        "import sys, sandbox.provider.served;"
        "rooms = {'django', 'config', 'gateway', 'billing', 'accounts', 'plumbing', 'analytics', 'desk', 'dashboard'};"
        "sys.exit(', '.join(sorted(rooms & {name.split('.')[0] for name in sys.modules})) or 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def asked(provider, path, *, root_path="", headers=()):
    """One GET, straight into the application."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": list(headers)}
    asyncio.run(provider(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]


def test_without_a_control_key_there_is_no_control():
    provider = Provider(keys={"sk-a"})
    key = [(b"authorization", b"Bearer sk-a")]
    assert asked(provider, "/_control/summary", headers=key)[0] == 404
    assert asked(provider, "/_control/summary", headers=[*key, (b"x-sandbox-control", b"")])[0] == 404
    assert asked(provider, "/_control/summary")[0] == 401


def test_without_keys_nobody_comes_in():
    assert asked(Provider(keys=()), "/v1/models")[0] == 401
    assert asked(Provider(keys=()), "/v1/models", headers=[(b"authorization", b"Bearer ")])[0] == 401


def test_it_can_be_mounted_under_a_path():
    provider = Provider(keys={"sk-a"})
    headers = [(b"authorization", b"Bearer sk-a")]
    status, body = asked(provider, "/sandbox/provider/v1/models", root_path="/sandbox/provider", headers=headers)
    assert status == 200
    assert b"sandbox-standard" in body


def test_our_own_server_mounts_it_for_its_own_gateway_alone(settings):
    """Embedded and test mode have it, behind a key that only this installation knows."""
    from config.asgi import application

    path = "/sandbox/provider/v1/models"
    ours = [(b"authorization", f"Bearer {settings.SANDBOX_PROVIDER_KEY}".encode())]
    assert len(settings.SANDBOX_PROVIDER_KEY) >= 32
    assert asked(application, path, headers=ours)[0] == 200
    assert asked(application, path)[0] == 401
    assert asked(application, path, headers=[(b"authorization", b"Bearer sk-sandbox")])[0] == 401


def test_production_never_loads_it():
    code = (
        "import sys, types, django.conf as c; import config.asgi as a;"
        "c.settings.SANDBOX = False; assert a._sandbox_provider() is None"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
