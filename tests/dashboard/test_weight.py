"""What a first visit to the overview transfers, as production sends it: compressed, charts and letters included."""

import gzip
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.urls import reverse

from accounts.models import Organization
from analytics import demo

pytestmark = pytest.mark.django_db
MOST_BYTES = 220_000


def weight(address: str) -> int:
    """A static file as it travels; letters and pictures that are packed already gain nothing."""
    found = finders.find(address.removeprefix(settings.STATIC_URL).partition("?")[0])
    assert found, address
    content = Path(found).read_bytes()
    return min(len(content), len(gzip.compress(content, 9)))


def test_the_overview_is_light(client):
    demo.make(calls=400)
    organization = Organization.objects.get(name="Acme Robotics")
    client.force_login(organization.memberships.get(role="owner").user)
    page = client.get(reverse("dashboard:overview", args=[organization.slug]))
    text = page.content.decode()
    files = {one.partition("#")[0] for one in re.findall(rf'(?:src|href)="({settings.STATIC_URL}[^"]+)"', text)}
    assert any("chart.min.js" in one for one in files)
    assert any(one.endswith(".woff2") for one in files)
    weights = {one: weight(one) for one in files} | {"page": len(gzip.compress(page.content, 6))}
    for own in ("/brand.css", "/favicon.svg"):
        weights[own] = len(client.get(own).content)
    assert sum(weights.values()) <= MOST_BYTES, weights
    assert min(weights.values()) > 0
