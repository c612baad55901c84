import pytest
from django.test import Client


@pytest.fixture
def client():
    """A browser at the default storefront's own address."""
    return Client(headers={"host": "localhost"})


@pytest.fixture
def catalogue(shop):
    """The sandbox's models, on the shelf of the default storefront."""
    from django.utils import timezone

    from gateway.seed import stock

    stock(shop, sandbox_url="http://127.0.0.1:1/sandbox/provider", now=timezone.now())
