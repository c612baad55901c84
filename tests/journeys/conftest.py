"""A real Chromium before the real server. Whatever a page does that our policy forbids fails the test that saw it."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.core.signals import request_finished, request_started
from django.db import connections
from playwright.sync_api import Browser, Page, sync_playwright

from tests import factories

PATIENCE_S = 10
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/journeys/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for the stories of a file.

    While Playwright runs it keeps an event loop in this thread, and Django keeps other connections for such a thread.
    None of either kind may stay open across the border: tests put the database file back underneath them.
    """
    connections.close_all()
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # the tests themselves stay synchronous
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
        connections.close_all()


class Visitor:
    """Somebody with a browser at our address, and what went wrong before their eyes."""

    def __init__(self, browser: Browser, base: str, *, width: int = 1280, theme: Any = "light") -> None:
        self.base = base
        self.context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=theme)
        self.context.set_default_timeout(15_000)
        self.page: Page = self.context.new_page()
        self.trouble: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.trouble.append(f"script error: {error}"))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", self._watch)

    def _hear(self, message: Any) -> None:
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            self.trouble.append(message.text)

    def _dismiss(self, dialog: Any) -> None:
        if dialog.type == "beforeunload":
            dialog.accept()
            return
        self.trouble.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.trouble.append(f"asked another host: {request.url}")

    def go(self, path: str) -> Any:
        return self.page.goto(self.base + path)

    def log_in(self, user: Any, password: str = factories.PASSWORD) -> None:
        self.go("/accounts/login/")
        self.page.get_by_label("Email").fill(user.email)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/app/**")

    def confirm(self, password: str = factories.PASSWORD) -> None:
        """Show once more that it is us; the pages about signing in want that."""
        self.go("/accounts/reauthenticate/?next=/app/account/")
        self.page.get_by_label("Password", exact=True).fill(password)
        self.page.get_by_role("button", name="Confirm").click()
        self.page.wait_for_url("**/app/account/")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def at_rest() -> Iterator[None]:
    """Afterwards wait until the server has answered what browsers still asked; then the database may be put back."""
    open_requests: set[int] = set()

    def begin(environ: Any = None, scope: Any = None, **_: Any) -> None:
        open_requests.add(threading.get_ident())

    def end(**_: Any) -> None:
        open_requests.discard(threading.get_ident())

    request_started.connect(begin)
    request_finished.connect(end)
    yield
    deadline = time.monotonic() + PATIENCE_S
    while open_requests and time.monotonic() < deadline:
        time.sleep(0.02)
    request_started.disconnect(begin)
    request_finished.disconnect(end)


@pytest.fixture
def visitors(chromium: Browser, live_server: Any, shop: Any, at_rest: None) -> Iterator[Any]:
    """Make visitors; at the end none of them may have seen trouble."""
    made: list[Visitor] = []

    def make(**options: Any) -> Visitor:
        made.append(Visitor(chromium, live_server.url, **options))
        return made[-1]

    yield make
    trouble = [line for visitor in made for line in visitor.trouble]
    for visitor in made:
        visitor.page.goto("about:blank")
        visitor.close()
    assert not trouble


@pytest.fixture
def visitor(visitors: Any) -> Visitor:
    made: Visitor = visitors()
    return made


def code_from_mail() -> str:
    """The code in the newest letter."""
    found = re.search(r"^\s*([0-9A-Z]{3,}(?:-[0-9A-Z]{3,})?)\s*$", mail.outbox[-1].body, re.MULTILINE)
    assert found, mail.outbox[-1].body
    return found[1]
