import re

import pytest
from django.test import Client

from accounts.models import SignUpPolicy
from dashboard import terms
from tests import factories

pytestmark = pytest.mark.django_db


def test_the_front_page_names_the_shop_and_its_base_url(client, other_shop):
    response = client.get("/", headers={"Host": "canary.test"})
    text = response.content.decode()
    assert response.status_code == 200
    assert "Canary Shop" in text
    assert "http://canary.test/v1/chat/completions" in text


def test_every_link_of_the_front_page_leads_somewhere(client, shop):
    text = client.get("/").content.decode()
    links = {link for link in re.findall(r'href="(/[^"#]*)"', text) if not link.startswith("/static/")}
    assert "/accounts/signup/" in links
    for link in links:
        assert client.get(link, follow=True).status_code == 200, link


def test_a_campaign_is_remembered_until_sign_up(client, shop):
    client.get("/?utm_source=newsletter&utm_campaign=launch", headers={"Referer": "https://blog.example/post"})
    assert client.session["acquisition"] == {
        "utm_source": "newsletter",
        "utm_campaign": "launch",
        "referrer": "https://blog.example/post",
        "landing": "/",
    }


def test_a_shop_that_takes_nobody_does_not_offer_signing_up(client, shop):
    shop.sign_up_policy = SignUpPolicy.CLOSED
    shop.save()
    assert "/accounts/signup/" not in client.get("/").content.decode()
    assert "Sign-up is closed" in client.get("/accounts/signup/").content.decode()


def test_brand_colours_come_per_shop_and_are_kept(client, shop):
    factories.make_storefront(name="Plum", host="plum.test", brand_color="#7c3aed", brand_color_dark="#c4b5fd")
    first = client.get("/brand.css", headers={"Host": "plum.test"})
    assert first["Content-Type"].startswith("text/css")
    assert "--brand:#7c3aed" in first.content.decode()
    assert "--brand:#c4b5fd" in first.content.decode()
    assert "max-age=3600" in first["Cache-Control"]
    again = client.get("/brand.css", headers={"Host": "plum.test", "If-None-Match": first["ETag"]})
    assert again.status_code == 304
    assert not again.content
    assert "#7c3aed" not in client.get("/brand.css").content.decode()
    assert "#7c3aed" in client.get("/favicon.svg", headers={"Host": "plum.test"}).content.decode()


def test_a_logo_is_a_png_or_nothing(client, shop):
    assert client.get("/brand/logo.png").status_code == 404
    shop.logo_png = b"<svg onload=alert(1)>"
    shop.save()
    assert client.get("/brand/logo.png").status_code == 404
    shop.logo_png = b"\x89PNG\r\n\x1a\n-and-pixels"
    shop.save()
    response = client.get("/brand/logo.png")
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_terms_are_the_shops_own_or_the_template(client, shop):
    shop.name = "Rock & *Roll*"
    shop.support_email = "help@example.com"
    shop.save()
    text = client.get("/terms").content.decode()
    assert "Terms of service of Rock &amp; *Roll*" in text
    assert "help@example.com" in text
    assert "{{" not in text
    shop.terms = "# Ours\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    shop.save()
    text = client.get("/terms").content.decode()
    assert "<h1>Ours</h1>" in text
    assert "<td>1</td>" in text


@pytest.mark.parametrize(
    "payload",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "![x](data:text/html;base64,PHNjcmlwdD4=)",
        "<img src=x onerror=alert(1)>",
        '[x](https://example.com "onmouseover=alert(1)")',
    ],
)
def test_terms_never_run(shop, payload):
    shop.terms = payload
    tags = [re.sub(r'title="[^"]*"', "", tag) for tag in re.findall(r"<[^>]*>", terms.page(shop))]
    assert not [tag for tag in tags if re.search(r"<script|<img|javascript:|\bon\w+=", tag)]


def test_pages_ask_no_other_host_and_allow_nothing_inline(client, shop):
    response = client.get("/")
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    text = response.content.decode()
    assert not re.search(r'\sstyle="', text)
    assert not re.search(r"\son[a-z]+=", text)
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", text)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 421, 429, 500, 503])
def test_error_pages_need_no_database(status, rf, django_assert_num_queries, shop):
    from plumbing import problems

    request = rf.get("/somewhere", headers={"Accept": "text/html"})
    request.request_id = "req_12345678"
    request.storefront = shop
    with django_assert_num_queries(0):
        response = problems.answer(request, status, "code", "A sentence of ours.")
    text = response.content.decode()
    assert response.status_code == status
    assert "req_12345678" in text
    assert "A sentence of ours." in text
    assert shop.name in text


def test_an_unknown_host_gets_the_page_without_a_shop(shop):
    response = Client().get("/", headers={"Host": "nobody.test", "Accept": "text/html"})
    assert response.status_code == 421
    assert "No shop at this address" in response.content.decode()
    assert "/brand.css" not in response.content.decode()


def test_too_many_tries_get_a_friendly_page(client, alice):
    for _ in range(11):
        response = client.post("/accounts/login/", {"login": alice.email, "password": "wrong"})
    assert response.status_code in {200, 429}
    for _ in range(30):
        response = client.post("/accounts/login/", {"login": alice.email, "password": "wrong"})
    assert response.status_code == 429
    assert "A little too fast" in response.content.decode()
    assert response["Retry-After"] == "60"
    assert response["X-Request-Id"] in response.content.decode()


def test_the_address_of_a_form_says_what_it_is(client, organization, alice):
    client.force_login(alice)
    response = client.get(f"/app/{organization.slug}/members/invite/")
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert "Nothing was changed" in response.content.decode()
    told = client.get(f"/app/{organization.slug}/members/invite/", headers={"accept": "application/json"})
    assert told.json()["error"]["code"] == "method_not_allowed"


def test_a_stale_form_says_so(shop):
    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost", "accept": "text/html"})
    response = strict.post("/accounts/login/", {"login": "a@example.com", "password": "x"})
    assert response.status_code == 403
    assert "grown stale" in response.content.decode()


def test_letters_of_a_house_without_a_mail_server_can_be_read(client, shop):
    assert client.get("/mailbox/").status_code == 200
