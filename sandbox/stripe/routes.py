"""Every address of the API: what it is called, what it accepts, who answers. What is not here is not served."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.stripe import (
    balance,
    checkout,
    customers,
    disputes,
    endpoints,
    forms,
    intents,
    invoices,
    listing,
    portal,
    promotions,
    refunds,
    selling,
    setups,
)
from sandbox.stripe.forms import Params, Shape
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import Object, World

Handler = Callable[..., Object]


@dataclass(frozen=True, slots=True)
class Route:
    """One address."""

    method: str
    path: str
    handler: Handler
    shape: Shape


def _listed(kind: str, path: str, **filters: Any) -> Route:
    def pages(world: World, params: Params, **ids: str) -> Object:
        _ = ids
        return listing.page(world, kind, params, url=path)

    return Route("GET", path, pages, {**forms.LIST, **filters})


def _account(world: World, params: Params, *, id: str | None = None) -> Object:
    if id is not None and id != world.account:
        message = f"The provided key does not have access to account '{id[:60]}' (or that account does not exist)."
        raise Problem(403, message, code="account_invalid")
    return {
        "id": world.account,
        "object": "account",
        "business_profile": {"name": "Payment sandbox", "support_email": None, "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "crypto_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": world.now,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "external_accounts": listing.whole([], f"/v1/accounts/{world.account}/external_accounts"),
        "metadata": {},
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Payment sandbox", "timezone": "Etc/UTC"}},
        "type": "standard",
    }


def _line_items(world: World, params: Params, *, id: str) -> Object:
    session = world.get("checkout.session", id)
    return listing.whole(session.get("_lines") or [], f"/v1/checkout/sessions/{id}/line_items")


def _methods_of(world: World, params: Params, *, id: str) -> Object:
    customer = customers.alive(world, id, param="id", status=404)
    url = f"/v1/customers/{id}/payment_methods"
    return listing.page(world, "payment_method", {**params, "customer": customer["id"]}, url=url)


def _method_of(world: World, params: Params, *, id: str, method: str) -> Object:
    customers.alive(world, id, param="id", status=404)
    found = world.get("payment_method", method)
    if found["customer"] != id:
        world.get("payment_method", "")
    return found


def _methods(world: World, params: Params) -> Object:
    if not params.get("customer"):
        raise Problem(400, "Missing required param: customer.", code="parameter_missing", param="customer")
    return listing.page(world, "payment_method", params, url="/v1/payment_methods")


def _product(world: World, params: Params) -> Object:
    return selling.make_product(world, params)


def _price(world: World, params: Params) -> Object:
    product = params.get("product")
    if product:
        world.named("product", product, param="product")
    else:
        product = selling.make_product(world, params.get("product_data") or {"name": "Product"})["id"]
    return selling.make_price(world, params, product)


def _got(kind: str) -> Handler:
    def retrieved(world: World, params: Params, *, id: str) -> Object:
        return world.get(kind, id)

    return retrieved


_PRODUCT = checkout.PRODUCT_DATA
_PRICE = {**checkout.PRICE_DATA, "metadata": "map", "nickname": "text"}
_INTENT = "/v1/payment_intents/{id}"
_SETUP = "/v1/setup_intents/{id}"
_METHOD = "/v1/payment_methods/{id}"
_SESSION = "/v1/checkout/sessions/{id}"
_REASON = {"cancellation_reason": "abandoned|duplicate|requested_by_customer"}
_PAID_WITH = {"type": "text", "payment_intent": "text"}
_PM_LIST = {"customer": "text", "type": "text", "allow_redisplay": "text"}

ROUTES = (
    Route("GET", "/v1/account", _account, {}),
    Route("GET", "/v1/accounts/{id}", _account, {}),
    Route("GET", "/v1/balance", balance.retrieve, {}),
    _listed("balance_transaction", "/v1/balance_transactions", type="text", source="text", currency="text"),
    Route("GET", "/v1/balance_transactions/{id}", balance.retrieve_transaction, {}),
    Route("POST", "/v1/customers", customers.create, customers.CREATE),
    _listed("customer", "/v1/customers", email="text"),
    Route("GET", "/v1/customers/{id}", customers.retrieve, {}),
    Route("POST", "/v1/customers/{id}", customers.update, customers.UPDATE),
    Route("DELETE", "/v1/customers/{id}", customers.delete, {}),
    Route(
        "GET",
        "/v1/customers/{id}/payment_methods",
        _methods_of,
        {**forms.LIST, "type": "text", "allow_redisplay": "text"},
    ),
    Route("GET", "/v1/customers/{id}/payment_methods/{method}", _method_of, {}),
    Route("POST", "/v1/payment_methods", customers.create_method, customers.METHOD),
    Route("GET", "/v1/payment_methods", _methods, {**forms.LIST, **_PM_LIST}),
    Route("GET", _METHOD, customers.retrieve_method, {}),
    Route(
        "POST",
        _METHOD,
        customers.update_method,
        {"billing_details": customers.PERSON, "metadata": "map", "allow_redisplay": "always|limited|unspecified"},
    ),
    Route("POST", f"{_METHOD}/attach", customers.attach, {"customer!": "text"}),
    Route("POST", f"{_METHOD}/detach", customers.detach, {}),
    Route("POST", "/v1/setup_intents", setups.create, setups.CREATE),
    _listed("setup_intent", "/v1/setup_intents", customer="text", payment_method="text"),
    Route("GET", _SETUP, setups.retrieve, {"client_secret": "text"}),
    Route("POST", _SETUP, setups.update, setups.COMMON),
    Route("POST", f"{_SETUP}/confirm", setups.confirm, setups.CONFIRM),
    Route("POST", f"{_SETUP}/cancel", setups.cancel, _REASON),
    Route("POST", "/v1/payment_intents", intents.create, intents.CREATE),
    _listed("payment_intent", "/v1/payment_intents", customer="text"),
    Route("GET", _INTENT, intents.retrieve, {"client_secret": "text"}),
    Route("POST", _INTENT, intents.update, intents.UPDATE),
    Route("POST", f"{_INTENT}/confirm", intents.confirm, intents.CONFIRM),
    Route("POST", f"{_INTENT}/cancel", intents.cancel, intents.CANCEL),
    _listed("charge", "/v1/charges", customer="text", payment_intent="text"),
    Route("GET", "/v1/charges/{id}", intents.retrieve_charge, {}),
    Route("POST", "/v1/charges/{id}", intents.update_charge, intents.UPDATE_CHARGE),
    Route("POST", "/v1/refunds", refunds.create, refunds.CREATE),
    _listed("refund", "/v1/refunds", charge="text", payment_intent="text"),
    Route("GET", "/v1/refunds/{id}", refunds.retrieve, {}),
    Route("POST", "/v1/refunds/{id}", refunds.update, refunds.UPDATE),
    Route("POST", "/v1/refunds/{id}/cancel", refunds.cancel, {}),
    _listed("dispute", "/v1/disputes", charge="text", payment_intent="text"),
    Route("GET", "/v1/disputes/{id}", disputes.retrieve, {}),
    Route("POST", "/v1/disputes/{id}", disputes.update, disputes.UPDATE),
    Route("POST", "/v1/disputes/{id}/close", disputes.close, {}),
    Route("POST", "/v1/checkout/sessions", checkout.create, checkout.CREATE),
    _listed("checkout.session", "/v1/checkout/sessions", **checkout.LIST),
    Route("GET", _SESSION, checkout.retrieve, {}),
    Route("POST", _SESSION, checkout.update, checkout.UPDATE),
    Route("POST", f"{_SESSION}/expire", checkout.expire, {}),
    Route("GET", f"{_SESSION}/line_items", _line_items, forms.LIST),
    Route("POST", "/v1/coupons", promotions.create_coupon, promotions.COUPON),
    _listed("coupon", "/v1/coupons"),
    Route("GET", "/v1/coupons/{id}", promotions.retrieve_coupon, {}),
    Route("POST", "/v1/coupons/{id}", promotions.update_coupon, promotions.UPDATE_COUPON),
    Route("DELETE", "/v1/coupons/{id}", promotions.delete_coupon, {}),
    Route("POST", "/v1/promotion_codes", promotions.create_code, promotions.CODE),
    _listed("promotion_code", "/v1/promotion_codes", active="flag", code="text", coupon="text", customer="text"),
    Route("GET", "/v1/promotion_codes/{id}", promotions.retrieve_code, {}),
    Route("POST", "/v1/promotion_codes/{id}", promotions.update_code, promotions.UPDATE_CODE),
    _listed("invoice", "/v1/invoices", customer="text", status="text", collection_method="text"),
    Route("GET", "/v1/invoices/{id}", invoices.retrieve, {}),
    _listed("invoice_payment", "/v1/invoice_payments", invoice="text", status="text", payment=_PAID_WITH),
    Route("GET", "/v1/invoice_payments/{id}", _got("invoice_payment"), {}),
    Route("POST", "/v1/products", _product, _PRODUCT),
    _listed("product", "/v1/products", active="flag"),
    Route("GET", "/v1/products/{id}", _got("product"), {}),
    Route("POST", "/v1/prices", _price, _PRICE),
    _listed("price", "/v1/prices", active="flag", product="text", currency="text"),
    Route("GET", "/v1/prices/{id}", _got("price"), {}),
    Route("POST", "/v1/billing_portal/sessions", portal.create, portal.CREATE),
    _listed("event", "/v1/events", type="text", types=["text"]),
    Route("GET", "/v1/events/{id}", endpoints.retrieve_event, {}),
    Route("POST", "/v1/webhook_endpoints", endpoints.create, endpoints.CREATE),
    _listed("webhook_endpoint", "/v1/webhook_endpoints"),
    Route("GET", "/v1/webhook_endpoints/{id}", endpoints.retrieve, {}),
    Route("POST", "/v1/webhook_endpoints/{id}", endpoints.update, endpoints.UPDATE),
    Route("DELETE", "/v1/webhook_endpoints/{id}", endpoints.delete, {}),
)
_PATTERNS = [(re.compile("^" + re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path) + "$"), route) for route in ROUTES]


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Who answers, and the ids in the address."""
    for pattern, route in _PATTERNS:
        if route.method == method and (match := pattern.match(path)):
            return route, match.groupdict()
    message = f"Unrecognized request URL ({method}: {path[:200]}). The sandbox may not serve this part of Stripe's API."
    raise Problem(404, message)
