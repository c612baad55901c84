"""The way to the pages: which one an address means, whose it is, and who may see it."""

import hmac
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe import forms
from sandbox.stripe.api import Answer, Api, Request
from sandbox.stripe.control import Control
from sandbox.stripe.pages import desk, papers, paying, wallet
from sandbox.stripe.pages.layout import go, page
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import World

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Site:
    """All pages. Whoever knows the address of a session, receipt or invoice may see it, as with Stripe."""

    def __init__(self, api: Api, control: Control) -> None:
        self.api = api
        self.control = control

    def answer(self, request: Request, client: str) -> Answer:
        """The page, or one sentence about why not."""
        try:
            return self._page(request, client)
        except Problem as problem:
            body = '<div class="panel"><p>This page leads nowhere, or no longer.</p></div>'
            return page(problem.message, body, status=problem.status, narrow=True)

    def _page(self, request: Request, client: str) -> Answer:
        _, place, *more = request.path.split("/")
        if place in {"", "control", "events"}:
            _refuse_strangers(request, client)
            if not place:
                return go(f"{request.here}/control")
            return desk.answer(self.control, request, place)
        if not more:
            raise Problem(404, "No such page.")
        target = more[0]
        account = self.control.account_of(target)
        if request.method == "POST":
            _refuse_other_sites(request)
            return self._posted(
                place, account, target, forms.decode(request.body.decode("utf-8", "replace")), request.here
            )
        return self._seen(place, account, target, more[1:], request.here)

    def _seen(self, place: str, account: str, target: str, rest: list[str], here: str) -> Answer:
        def shown(world: World) -> Answer:
            body = world.find(target) or {}
            kind = body.get("object")
            if place == "pay" and kind == "checkout.session":
                return paying.show(world, body, here)
            if place == "authenticate" and kind in {"payment_intent", "setup_intent"}:
                return paying.challenge(world, body)
            if place == "receipts" and kind == "charge":
                return papers.receipt(world, body)
            if place == "invoices" and kind == "invoice":
                return papers.invoice_pdf(body) if rest == ["pdf"] else papers.invoice(body)
            if place == "portal" and kind == "billing_portal.session":
                return wallet.show(world, body)
            raise Problem(404, "No such page.")

        answer: Answer = self.control.inside(account, shown, here=here)
        return answer

    def _posted(self, place: str, account: str, target: str, given: dict[str, Any], here: str) -> Answer:
        if place == "pay" and target.startswith("cs_"):
            return paying.act(self.control, account, target, given, here)
        if place == "authenticate" and target.startswith(("pi_", "seti_")):
            return paying.challenged(self.control, account, target, given, here)
        if place == "portal" and target.startswith("bps_"):
            return wallet.act(self.control, account, target, given, here)
        raise Problem(405, "This page takes no answers.")


def _refuse_strangers(request: Request, client: str) -> None:
    """The control is for people at this machine, under one of its own names, and for forms of its own."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if client not in LOOPBACK or not (host in LOOPBACK or host.endswith(".localhost")):
        raise Problem(403, "The sandbox's control answers on this machine only.")
    if request.method == "POST":
        _refuse_other_sites(request)


def _refuse_other_sites(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin not in (None, "null") and not hmac.compare_digest(
        urlsplit(str(origin)).netloc.encode(), request.headers.get("host", "").encode()
    ):
        raise Problem(403, "This form was sent by another site.")
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem(403, "This form was sent by another site.")
