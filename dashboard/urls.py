"""The customer's addresses. Everything of an organization carries its slug, so that the middleware finds the seat."""

from django.urls import path

from dashboard.views import activity, catalogue, home, keys, members, overview, settings, usage
from dashboard.views import credits as credit

app_name = "dashboard"

urlpatterns = [
    path("", home.start, name="start"),
    path("new/", home.new_organization, name="new_organization"),
    path("account/", settings.account, name="account"),
    path("<slug:organization_slug>/", overview.overview, name="overview"),
    path("<slug:organization_slug>/activity/", activity.activity, name="activity"),
    path("<slug:organization_slug>/activity/file/", activity.calls_file, name="calls_file"),
    path("<slug:organization_slug>/activity/<int:call_id>/", activity.receipt, name="receipt"),
    path("<slug:organization_slug>/usage/", usage.usage, name="usage"),
    path("<slug:organization_slug>/usage/file/<slug:kind>/", usage.usage_file, name="usage_file"),
    path("<slug:organization_slug>/models/", catalogue.models, name="models"),
    path("<slug:organization_slug>/models/<path:model_id>/", catalogue.model, name="model"),
    path("<slug:organization_slug>/keys/", keys.key_list, name="keys"),
    path("<slug:organization_slug>/keys/new/", keys.key_new, name="key_new"),
    path("<slug:organization_slug>/keys/<str:key_id>/", keys.key_edit, name="key_edit"),
    path("<slug:organization_slug>/keys/<str:key_id>/switch/", keys.key_switch, name="key_switch"),
    path("<slug:organization_slug>/keys/<str:key_id>/rotate/", keys.key_rotate, name="key_rotate"),
    path("<slug:organization_slug>/keys/<str:key_id>/revoke/", keys.key_revoke, name="key_revoke"),
    path("<slug:organization_slug>/credits/", credit.overview, name="credits"),
    path("<slug:organization_slug>/credits/buy/", credit.buy, name="credits_buy"),
    path("<slug:organization_slug>/credits/redeem/", credit.redeem, name="credits_redeem"),
    path("<slug:organization_slug>/credits/recharge/", credit.recharge, name="credits_recharge"),
    path("<slug:organization_slug>/credits/cards/", credit.cards, name="credits_cards"),
    path("<slug:organization_slug>/credits/receipts/<str:payment_id>.pdf", credit.receipt_pdf, name="credits_pdf"),
    path("<slug:organization_slug>/credits/<str:top_up_id>/", credit.top_up, name="credits_top_up"),
    path("<slug:organization_slug>/credits/<str:top_up_id>/cancel/", credit.cancel, name="credits_cancel"),
    path("<slug:organization_slug>/members/", members.member_list, name="members"),
    path("<slug:organization_slug>/members/invite/", members.invite, name="invite"),
    path("<slug:organization_slug>/members/<str:member_id>/role/", members.change_role, name="member_role"),
    path("<slug:organization_slug>/members/<str:member_id>/remove/", members.remove, name="member_remove"),
    path("<slug:organization_slug>/members/<str:member_id>/offer/", members.offer, name="member_offer"),
    path("<slug:organization_slug>/invitations/<str:invitation_id>/resend/", members.resend, name="invitation_resend"),
    path("<slug:organization_slug>/invitations/<str:invitation_id>/revoke/", members.revoke, name="invitation_revoke"),
    path("<slug:organization_slug>/settings/", settings.organization, name="settings"),
]
