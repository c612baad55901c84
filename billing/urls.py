"""The addresses of billing: its API, and where providers knock."""

from django.urls import path

from billing import webhooks
from billing.api import urls as api

urlpatterns = [
    *api.urlpatterns,
    path("webhooks/<slug:method>/<public_id:storefront_id>", webhooks.webhook, name="payment_webhook"),
]
