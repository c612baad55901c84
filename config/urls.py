"""The switchboard of paths: exact compatible paths first, then one line per room."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

import accounts.views
from config import health, root
from dashboard.views import catalogue, front, guides

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler429 = "config.errors.too_many"  # allauth's name for it
handler500 = "config.errors.server_error"

urlpatterns = [
    path("health", health.health, name="health"),
    path("ready", health.ready, name="ready"),
    path("metrics", health.metrics, name="metrics"),
    path("", include("accounts.api.urls")),
    path("", include("gateway.api.urls")),
    path("", include("gateway.urls")),
    path("", include("billing.urls")),
    path("invitations/<str:token>/", accounts.views.invitation, name="invitation"),
    path("", root.root, name="landing"),
    path("terms", front.terms_page, name="terms"),
    path("models", catalogue.public_models, name="models"),
    path("model/<path:model_id>", catalogue.public_model, name="model"),  # below models/ is the gateway
    path("status", catalogue.status, name="status"),
    path("fair-billing", catalogue.fair_billing_page, name="fair_billing"),
    path("guides", guides.guide, name="guides"),
    path("guides/<slug:slug>", guides.guide, name="guide"),
    path("brand.css", front.brand_css, name="brand_css"),
    path("brand/logo.png", front.logo, name="brand_logo"),
    path("favicon.svg", front.favicon, name="favicon"),
    path("app/", include("dashboard.urls")),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("desk/", include("desk.urls")),
    *([] if settings.PRODUCTION else [path("", include("plumbing.urls"))]),  # letters of a house without a mail server
]
