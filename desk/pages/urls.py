"""Where the desk's own pages are, inside the admin's prefix."""

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from desk.pages import books, calls, customers, experiments, ledger, margin, outlook, prices, reports, running, terms
from desk.pages.base import View, answers


def urls(site: AdminSite) -> list[URLPattern]:
    """Every page, guarded as the admin's own are."""

    def door(route: str, view: View, name: str) -> URLPattern:
        return path(f"desk/{route}", site.admin_view(answers(view)), name=f"desk_{name}")

    return [
        door("margins/", margin.margin, "margin"),
        door("customers/", customers.customers, "customers"),
        door("customers/<int:pk>/", customers.customer, "customer"),
        door("customers/<int:pk>/terms/", terms.terms, "terms"),
        door("calls/", calls.calls, "calls"),
        door("prices/", prices.prices, "prices"),
        door("prices/<slug:kind>/<int:pk>/", prices.versions, "versions"),
        door("prices/<slug:kind>/<int:pk>/draft/", prices.begin, "begin"),
        door("drafts/<int:pk>/", prices.draft, "draft"),
        door("experiments/", experiments.experiments, "experiments"),
        door("experiments/<int:pk>/stop/", experiments.stop, "stop"),
        door("demand/", outlook.forecast, "forecast"),
        door("projection/", outlook.projection, "projection"),
        door("reports/", reports.reports, "reports"),
        door("reports/<int:pk>/end/", reports.end, "end_report"),
        door("books/", books.profit_and_loss, "books"),
        door("books/close/", books.close, "close"),
        door("reconciliation/", books.reconcile, "reconcile"),
        door("ledger/", ledger.ledger, "ledger"),
        door("ledger/accounts/", ledger.accounts, "accounts"),
        door("ledger/accounts/<int:pk>/", ledger.account, "account"),
        door("ledger/trial-balance/", ledger.trial_balance, "trial_balance"),
        door("audit/", running.audit, "audit"),
        door("operations/", running.operations, "operations"),
        door("operations/replay/", running.replay, "replay"),
        door("operations/roll-up/", running.roll_again, "roll_again"),
        door("alarms/", running.alarms, "alarms"),
        door("alarms/look/", running.look, "look"),
        door("alarms/<int:pk>/acknowledge/", running.acknowledge, "acknowledge"),
    ]
