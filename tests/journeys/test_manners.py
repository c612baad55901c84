"""Keyboard, theme and passkeys: what a page does when it is used."""

import pytest

from tests import factories


@pytest.mark.django_db(transaction=True)
def test_the_keyboard_reaches_everything(visitor, alice, organization):
    page = visitor.page
    visitor.log_in(alice)
    visitor.go(f"/app/{organization.slug}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    summary = page.locator("details.switcher summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("link", name="New organization").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("link", name="New organization").is_visible()
    assert summary.evaluate("element => element === document.activeElement")

    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Python").get_attribute("aria-selected") == "true"
    assert "from openai import OpenAI" in page.get_by_role("tabpanel").inner_text()
    page.keyboard.press("End")
    assert "Anthropic" in page.get_by_role("tabpanel").inner_text()


@pytest.mark.django_db(transaction=True)
def test_a_chosen_theme_stays_and_is_there_before_the_first_paint(visitors):
    visitor = visitors(theme="dark")
    visitor.context.add_init_script(
        "new MutationObserver(() => { if (document.body && window.themeAtBody === undefined)"
        " window.themeAtBody = document.documentElement.dataset.bsTheme })"
        ".observe(document, { childList: true, subtree: true })"
    )
    page = visitor.page
    visitor.go("/")
    assert page.evaluate("window.themeAtBody") == "dark"
    page.get_by_role("button", name="Light").click()
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "light"
    visitor.go("/terms")
    assert page.evaluate("window.themeAtBody") == "light"
    assert page.get_by_role("button", name="Light").get_attribute("aria-pressed") == "true"


@pytest.mark.django_db(transaction=True)
def test_copying_takes_what_is_shown(visitor):
    page = visitor.page
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.go("/")
    page.get_by_role("tab", name="Node").click()
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_text("Copied", exact=True).wait_for()
    taken = page.evaluate("navigator.clipboard.readText()")
    assert taken.startswith('import OpenAI from "openai";')
    assert "http://localhost/v1" in taken


@pytest.mark.django_db(transaction=True)
def test_a_passkey_is_added_and_opens_the_account(visitor, organization, alice):
    page = visitor.page
    devtools = visitor.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    visitor.log_in(alice)
    visitor.confirm()
    visitor.go("/accounts/2fa/webauthn/add/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Add").click()
    page.wait_for_url(lambda url: not url.endswith("/add/"))
    visitor.go("/accounts/2fa/webauthn/")
    assert "Laptop" in page.inner_text("table")
    assert "passkey" in page.inner_text("table")

    visitor.context.clear_cookies()
    visitor.go("/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/app/**")
    assert factories.Organization.objects.get(pk=organization.pk).name in page.inner_text("aside")
