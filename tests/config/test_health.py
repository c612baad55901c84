"""The three doors of probes, and every other page, while the database cannot be reached."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client

ROOT = Path(__file__).resolve().parents[2]
PATHS = ["/health", "/ready", "/metrics", "/", "/accounts/login/", "/app/", "/admin/", "/api/v1/me", "/nothing"]
# Asks each path as somebody whose browser still has a session cookie, and tells what was answered.
ASK = """
import json, django
django.setup()
from django.test import Client
client = Client(HTTP_HOST="localhost", HTTP_ACCEPT="text/html", raise_request_exception=False)
client.cookies["tollgate_session"] = "a" * 32
answers = {path: client.get(path, headers={"authorization": "Bearer " + "m" * 32}) for path in %r}
print(json.dumps({path: [one.status_code, one.content.decode(), dict(one.items())] for path, one in answers.items()}))
"""


def test_without_a_database_everybody_hears_so_and_nobody_meets_a_500(tmp_path):
    environment = {
        "PATH": os.environ["PATH"],
        "TOLLGATE_MODE": "test",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody:canary-password@127.0.0.1:1/none",  # nobody listens there
        "DATABASE_POOL_WAIT_S": "0.2",
        "METRICS_TOKEN": "m" * 32,
    }
    finished = subprocess.run(
        [sys.executable, "-c", ASK % PATHS], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    answers = json.loads(finished.stdout)
    assert answers["/health"][0] == 200
    assert answers["/metrics"][0] == 200
    status, body, _ = answers["/ready"]
    assert (status, json.loads(body)) == (
        503,
        {"status": "unready", "database": "unavailable", "cache": "ok", "migrations": "unavailable"},
    )
    for path in PATHS[3:]:
        status, body, headers = answers[path]
        assert (status, headers["Retry-After"]) == (503, "5"), path
        assert headers["X-Request-Id"] in body, path
        assert "canary-password" not in body
        assert "127.0.0.1" not in body
    assert answers["/api/v1/me"][2]["Content-Type"] == "application/json"
    assert "<h1>" in answers["/"][1]
    assert "canary-password" not in finished.stderr


@pytest.mark.django_db
def test_a_view_that_loses_the_database_answers_503_and_a_bug_stays_a_bug(shop, monkeypatch):
    from django.db import OperationalError

    def gone(*_, **__):
        raise OperationalError("server closed the connection unexpectedly")

    client = Client(HTTP_HOST="localhost", raise_request_exception=False)
    monkeypatch.setattr("dashboard.terms.page", gone)
    assert client.get("/terms").status_code == 503
    monkeypatch.setattr("dashboard.terms.page", lambda _: 1 / 0)
    assert client.get("/terms").status_code == 500


@pytest.mark.django_db
def test_metrics_open_to_the_token_alone(settings):
    client = Client()
    assert client.get("/metrics").status_code == 404
    settings.METRICS_TOKEN = "a-token-of-the-collector"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer a-token-of-the-collecto"}).status_code == 401
    assert client.get("/metrics?token=a-token-of-the-collector").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer ä"}).status_code == 401
    told = client.get("/metrics", headers={"authorization": "Bearer a-token-of-the-collector"})
    assert told.status_code == 200
    assert b"tollgate_requests_total" in told.content


def test_probes_look_and_never_write():
    client = Client()
    for path in ("/health", "/ready", "/metrics"):
        assert client.post(path).status_code == 405
