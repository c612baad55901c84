"""The addresses of the gateway. The exact paths come first; what is left under our prefixes is nowhere."""

from typing import Any

from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from gateway.views import admin, calls, compatible, lists, register


def _verb(verb: str, view: Any) -> Any:
    """Gemini's addresses: a model, which may hold slashes and colons, and a verb at its end."""
    return re_path(rf"^v1(?:beta)?/models/(?P<model>.{{1,200}}):{verb}$", view.as_view(), name=f"gateway_{verb}")


NOWHERE = csrf_exempt(lists.NowhereView.as_view())

urlpatterns = [
    path("v1/chat/completions", calls.ChatView.as_view(), name="gateway_chat"),
    path("v1/chat", calls.PlainChatView.as_view(), name="gateway_plain_chat"),
    path("v1/completions", calls.CompletionsView.as_view(), name="gateway_completions"),
    path("v1/responses", calls.ResponsesView.as_view(), name="gateway_responses"),
    path("v1/embeddings", calls.EmbeddingsView.as_view(), name="gateway_embeddings"),
    path("v1/moderations", calls.ModerationsView.as_view(), name="gateway_moderations"),
    path("v1/rerank", calls.RerankView.as_view(), name="gateway_rerank"),
    path("v1/messages", calls.MessagesView.as_view(), name="gateway_messages"),
    path("v1/messages/count_tokens", calls.CountTokensView.as_view(), name="gateway_count_tokens"),
    path("v1/quote", calls.QuoteView.as_view(), name="gateway_quote"),
    path("ai-proxy/v1/chat/completions", calls.ProxyChatView.as_view(), name="gateway_proxy_chat"),
    _verb("generateContent", calls.GenerateView),
    _verb("streamGenerateContent", calls.StreamView),
    _verb("countTokens", calls.GeminiCountView),
    _verb("embedContent", calls.EmbedView),
    _verb("batchEmbedContents", calls.BatchEmbedView),
    path("v1/models", lists.ModelsView.as_view(), name="gateway_models"),
    path("v1/models/<path:model_id>", lists.ModelView.as_view(), name="gateway_model"),
    path("v1beta/models", lists.GeminiModelsView.as_view(), name="gateway_gemini_models"),
    path("v1beta/models/<path:model_id>", lists.GeminiModelView.as_view(), name="gateway_gemini_model"),
    path("ai-proxy/v1/models", lists.ProxyModelsView.as_view(), name="gateway_proxy_models"),
    path("models/simple", lists.SimpleModelsView.as_view(), name="gateway_models_simple"),
    path("v1/balance", compatible.BalanceView.as_view(), name="gateway_balance"),
    path("v1/register", register.RegisterView.as_view(), name="gateway_register"),
    path("ai-proxy/", compatible.ProxyInfoView.as_view(), name="gateway_proxy_info"),
    path("ai-proxy/v1/auth", compatible.ProxyAuthView.as_view(), name="gateway_proxy_auth"),
    path("user/balance", compatible.UserBalanceView.as_view(), name="gateway_user_balance"),
    path("user/monitor", compatible.UserMonitorView.as_view(), name="gateway_user_monitor"),
    path("user/limit", compatible.UserLimitView.as_view(), name="gateway_user_limit"),
    path("admin/create_user", admin.CreateUserView.as_view(), name="gateway_admin_create_user"),
    path("admin/add_credits", admin.AddCreditsView.as_view(), name="gateway_admin_add_credits"),
    path("admin/balance", admin.AdminBalanceView.as_view(), name="gateway_admin_balance"),
    path("admin/monitor", admin.AdminMonitorView.as_view(), name="gateway_admin_monitor"),
    path("admin/limit", admin.AdminLimitView.as_view(), name="gateway_admin_limit"),
    *(
        path(f"{prefix}/<path:path>", NOWHERE, name="gateway_nowhere")
        for prefix in ("v1", "v1beta", "ai-proxy", "user", "models")
    ),
]
