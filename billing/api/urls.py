"""The addresses of the API of money, below an organization's own."""

from django.urls import path

from accounts.api.urls import ORGANIZATION
from billing.api import views

urlpatterns = [
    path(f"{ORGANIZATION}/balance", views.BalanceView.as_view(), name="api_balance"),
    path(f"{ORGANIZATION}/movements", views.MovementsView.as_view(), name="api_movements"),
    path(f"{ORGANIZATION}/top-up-terms", views.TermsView.as_view(), name="api_top_up_terms"),
    path(f"{ORGANIZATION}/top-ups", views.TopUpsView.as_view(), name="api_top_ups"),
    path(f"{ORGANIZATION}/top-ups/<public_id:top_up_id>", views.TopUpView.as_view(), name="api_top_up"),
    path(f"{ORGANIZATION}/top-ups/<public_id:top_up_id>/cancel", views.TopUpCancelView.as_view(), name="api_cancel"),
    path(f"{ORGANIZATION}/receipts/<public_id:payment_id>", views.ReceiptView.as_view(), name="api_receipt"),
    path(f"{ORGANIZATION}/cards", views.CardsView.as_view(), name="api_cards"),
    path(f"{ORGANIZATION}/cards/portal", views.PortalView.as_view(), name="api_cards_portal"),
    path(f"{ORGANIZATION}/auto-recharge", views.RechargeView.as_view(), name="api_auto_recharge"),
    path(f"{ORGANIZATION}/codes/redeem", views.RedeemView.as_view(), name="api_redeem"),
]
