"""README, .env.example and the settings name the same things; production refuses what is weak."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STRONG = "k9Vt3mQ8xZr1Lw6Yp4Nc7Hs2Bf5Jd0Ga-Ue"
PRODUCTION = {
    "TOLLGATE_MODE": "production",
    "SECRET_KEY": STRONG,
    "API_KEY_PEPPERS": STRONG,
    "ENCRYPTION_KEYS": "mQ3vT8xZr1Lw6Yp4Nc7Hs2Bf5Jd0Gak9Ue1aB2cD3eE=",
    "PLATFORM_HOSTS": "gate.example.com",
    "DATABASE_URL": "postgres://u:p@127.0.0.1:1/x",
    "EMAIL_URL": "smtp://127.0.0.1:1",
}


def names_read() -> set[str]:
    """Every name that settings.py asks the environment for."""
    tree = ast.parse((ROOT / "config" / "settings.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func
            from_env = (
                isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "env"
            )
            if from_env or (isinstance(called, ast.Name) and called.id in {"secret", "secrets_of"}):
                names.add(node.args[0].value)
    provider_names = re.findall(r'"([A-Z]+_API_KEY)"', (ROOT / "config" / "settings.py").read_text())
    return (
        names | set(provider_names) | {f"{p}_CLIENT_{part}" for p in ("GITHUB", "GOOGLE") for part in ("ID", "SECRET")}
    )


def test_the_readme_names_every_setting():
    readme = (ROOT / "README.md").read_text()
    missing = sorted(name for name in names_read() if f"`{name}`" not in readme)
    assert not missing


def test_the_example_environment_names_every_setting_and_no_other():
    listed = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == names_read()


def start(**changed: str | None) -> subprocess.CompletedProcess[str]:
    """Load the settings as a production server would."""
    environment = {"PATH": os.environ["PATH"], **PRODUCTION}
    for name, value in changed.items():
        if value is None:
            environment.pop(name)
        else:
            environment[name] = value
    return subprocess.run(
        [sys.executable, "-c", "from django.conf import settings; settings.MODE; print('started')"],
        cwd=ROOT,
        env={**environment, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_starts_with_everything_set():
    finished = start()
    assert finished.stdout.strip() == "started", finished.stderr


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("SECRET_KEY", None),
        ("SECRET_KEY", "changeme-changeme-changeme-changeme-changeme"),
        ("SECRET_KEY", "short"),
        ("API_KEY_PEPPERS", None),
        ("API_KEY_PEPPERS", "   "),
        ("API_KEY_PEPPERS", f",{STRONG}"),
        ("API_KEY_PEPPERS", f"short,{STRONG}"),
        ("API_KEY_PEPPERS", "ab" * 20),
        ("ENCRYPTION_KEYS", None),
        ("PLATFORM_HOSTS", None),
        ("PLATFORM_HOSTS", "*"),
        ("PLATFORM_HOSTS", "gate.example.com,*.example.com"),
        ("PLATFORM_HOSTS", ".example.com"),
        ("PLATFORM_HOSTS", "https://gate.example.com"),
        ("DATABASE_URL", None),
        ("DATABASE_URL", "nonsense"),
        ("TRUSTED_PROXIES", "the proxy"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("PUBLIC_PORT", "https"),
        ("WEB_CONCURRENCY", "many"),
        ("ADMIN_ID_LIST", "me"),
        ("EMAIL_URL", None),
        ("DEBUG", "true"),
    ],
)
def test_production_refuses_in_one_sentence_that_names_the_setting(setting, value):
    finished = start(**{setting: value})
    assert finished.returncode != 0
    last = finished.stderr.strip().splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured: " + setting), last


def test_production_refuses_stripe_without_a_webhook_secret():
    finished = start(STRIPE_SECRET_KEY="sk_live_x", STRIPE_WEBHOOK_SECRET=" ")
    assert "ImproperlyConfigured: STRIPE_WEBHOOK_SECRET" in finished.stderr


def test_production_refuses_several_workers_without_redis():
    assert "ImproperlyConfigured: REDIS_URL" in start(WEB_CONCURRENCY="2").stderr


def test_an_unknown_mode_is_refused():
    assert "TOLLGATE_MODE" in start(TOLLGATE_MODE="prod").stderr


def test_fresh_secrets_can_be_had_where_production_refuses_to_start_without_them():
    finished = subprocess.run(
        [sys.executable, "manage.py", "new_secrets"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "TOLLGATE_MODE": "production"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    fresh = dict(line.split("=", 1) for line in finished.stdout.splitlines())
    assert start(**fresh).stdout.strip() == "started"


def test_production_has_no_mailbox_page_and_points_nobody_to_one():
    script = "import django; django.setup(); from django.urls import reverse; print(reverse('mailbox'))"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **PRODUCTION, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NoReverseMatch" in finished.stderr
