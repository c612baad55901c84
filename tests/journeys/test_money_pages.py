"""The pages about money and settings of an organization that has lived: readable by all, in both themes, on a phone."""

import pytest
from django.utils import timezone

from billing import topups
from billing.models import TopUpTerms
from tests.axe import serious
from tests.billing.payment_stage import configure
from tests.dashboard.rich import DOLLAR, furnish
from tests.journeys.test_everywhere import HOSTILE

pytestmark = pytest.mark.django_db(transaction=True)
PAGES = (
    "credits/",
    "credits/payments/",
    "credits/statements/",
    "credits/statements/{month}/",
    "credits/details/",
    "credits/{top_up}/",
    "members/",
    "members/{member}/caps/",
    "settings/",
    "settings/close/",
)

# Ids that two elements share: a label would lead to the wrong one.
TWICE = "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at)"


@pytest.fixture
def scene(shop, alice, organization, bob, settings):
    """Everything that these pages can show."""
    configure(settings)
    shop.support_email = "help@example.com"
    shop.save()
    member = organization.memberships.get(user=bob)
    member.cap_day_nano, member.cap_month_nano = 5 * DOLLAR, 50 * DOLLAR
    member.save()
    return furnish(organization) | {"organization": organization, "member": member}


def addresses(scene):
    start = f"/app/{scene['organization'].slug}/"
    names = {
        "month": f"{timezone.now():%Y-%m}",
        "top_up": scene["top_up"].public_id,
        "member": scene["member"].public_id,
    }
    return [start + page.format(**names) for page in PAGES] + ["/app/account/", "/app/account/delete/"]


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_everybody_can_read_them(visitors, scene, alice, theme, width, tmp_path):
    visitor = visitors(theme=theme, width=width)
    visitor.log_in(alice)
    visitor.confirm()
    findings, too_wide, twice = [], [], []
    for place, path in enumerate(addresses(scene)):
        assert visitor.go(path).status == 200, path
        assert visitor.page.url == visitor.base + path
        visitor.page.screenshot(path=tmp_path / f"{place:02}-{theme}-{width}.png", full_page=True)
        findings += serious(visitor.page) if width > 360 else []
        twice += visitor.page.evaluate(TWICE)
        too_wide += [path] * (visitor.page.evaluate("document.documentElement.scrollWidth") > width)
    assert not findings
    assert not too_wide
    assert not twice


def test_an_own_amount_is_asked_for_only_by_who_wants_it(visitors, scene, alice):
    visitor = visitors()
    visitor.log_in(alice)
    visitor.go(f"/app/{scene['organization'].slug}/credits/")
    own = visitor.page.get_by_label("Another amount (USD)")
    assert not own.is_visible()
    visitor.page.get_by_role("radio", name="Other amount").check()
    own.fill("1.00")
    visitor.page.get_by_role("button", name="Go to payment").click()
    visitor.page.get_by_text("A top-up is between").first.wait_for()
    assert own.is_visible()


def test_words_of_others_never_run_here(visitors, scene, alice, shop):
    organization = scene["organization"]
    TopUpTerms.objects.update_or_create(storefront=shop, defaults={"presets_minor": [2_500]})
    assert topups.terms_of(shop).presets_minor == [2_500]
    row = organization.billing_details
    row.name, row.address, row.reference = HOSTILE[:120], HOSTILE, HOSTILE[:80]
    row.save()
    order = scene["top_up"]
    order.failure = HOSTILE
    order.save()
    organization.auto_recharge.paused_because = HOSTILE
    organization.auto_recharge.save()
    organization.accounts.filter(kind="promo").update(label=HOSTILE[:120])
    visitor = visitors()
    visitor.log_in(alice)
    visitor.confirm()
    for path in addresses(scene):
        visitor.go(path)
        assert visitor.page.locator("img[src='x']").count() == 0
