import pytest
from django.test import Client


@pytest.fixture
def client():
    """A browser at the default storefront's own address."""
    return Client(headers={"host": "localhost"})
