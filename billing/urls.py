"""The addresses of billing beside its API: where providers knock."""

from django.urls import path

from billing import webhooks

urlpatterns = [
    path("webhooks/<slug:method>/<public_id:storefront_id>", webhooks.webhook, name="payment_webhook"),
]
