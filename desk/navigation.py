"""The desk's menu, by story; a table that no story names yet stands at the end, so that none is lost."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from accounts.operators import scope_for

STORIES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Customers",
        (
            ("accounts.organization", "Organizations", "apartment"),
            ("accounts.user", "People", "person"),
            ("accounts.membership", "Members", "groups"),
            ("accounts.invitation", "Invitations", "mail"),
            ("accounts.apikey", "API keys", "key"),
        ),
    ),
    (
        "Shops",
        (
            ("accounts.storefront", "Storefronts", "storefront"),
            ("accounts.storefrontdomain", "Domains", "language"),
            ("accounts.storefrontstaff", "Shop staff", "badge"),
        ),
    ),
    (
        "Supply",
        (
            ("gateway.aimodel", "Models", "neurology"),
            ("gateway.route", "Routes", "alt_route"),
            ("gateway.provider", "Providers", "cloud"),
            ("gateway.credential", "Provider keys", "vpn_key"),
            ("gateway.priceproposal", "Price proposals", "price_change"),
        ),
    ),
    (
        "Money",
        (
            ("billing.payment", "Payments", "payments"),
            ("billing.topup", "Top-ups", "add_card"),
            ("billing.reversal", "Refunds and disputes", "undo"),
            ("billing.mismatch", "What does not fit", "rule"),
            ("billing.adjustment", "Corrections", "exposure"),
            ("billing.codebatch", "Redemption codes", "redeem"),
            ("billing.autorecharge", "Auto-recharge", "autorenew"),
            ("billing.topupterms", "Top-up terms", "tune"),
            ("billing.paymentaccount", "Payment accounts", "account_balance"),
            ("billing.inboxevent", "Provider events", "inbox"),
        ),
    ),
    (
        "Trail",
        (
            ("accounts.auditevent", "Audit events", "history"),
            ("accounts.impersonation", "Visits", "visibility"),
        ),
    ),
)

# Pages of our own: address, title, icon, and whether they are the platform's alone.
PAGES: tuple[tuple[str, tuple[tuple[str, str, str, bool], ...]], ...] = (
    (
        "Business",
        (
            ("margin", "Margins", "percent", False),
            ("customers", "Customers", "group", False),
            ("calls", "Calls", "receipt_long", False),
            ("books", "Profit and loss", "account_balance", False),
            ("forecast", "Demand", "trending_up", False),
            ("projection", "Projection", "calculate", False),
            ("reports", "Reports by mail", "outgoing_mail", False),
        ),
    ),
    ("Pricing", (("prices", "Prices", "sell", False), ("experiments", "Experiments", "science", False))),
    (
        "Proof",
        (
            ("ledger", "Ledger", "menu_book", False),
            ("trial_balance", "Trial balance", "balance", False),
            ("audit", "Audit", "verified", True),
            ("reconcile", "Reconciliation", "compare_arrows", True),
            ("operations", "Operations", "manufacturing", True),
            ("alarms", "Alarms", "notifications", True),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups this operator has anything in."""
    tables = {model._meta.label_lower: found for model, found in admin.site._registry.items()}
    visible = {label: found for label, found in tables.items() if found.has_module_permission(request)}
    groups: list[dict[str, Any]] = [{"items": [{"title": "Desk", "icon": "dashboard", "link": reverse("admin:index")}]}]
    for story, pages in PAGES:
        shown = [page for page in pages if scope_for(request).platform or not page[3]]
        groups.append({"title": story, "separator": True, "items": [_page(*page[:3]) for page in shown]})
    for story, entries in STORIES:
        items = [_item(visible.pop(label), title, icon) for label, title, icon in entries if label in visible]
        groups += [{"title": story, "separator": True, "items": items}] if items else []
    rest = [_item(found, str(found.opts.verbose_name_plural).capitalize(), "table") for found in visible.values()]
    return [*groups, {"title": "More", "separator": True, "items": rest}] if rest else groups


def _page(name: str, title: str, icon: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:desk_{name}")}


def _item(table: Any, title: str, icon: str) -> dict[str, Any]:
    options = table.opts
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{options.app_label}_{options.model_name}_changelist"),
    }
