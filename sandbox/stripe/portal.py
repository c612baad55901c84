"""Customer portal sessions: a page where a customer looks after saved cards."""

from sandbox.stripe import customers
from sandbox.stripe.blanks import blank
from sandbox.stripe.forms import Params
from sandbox.stripe.problems import Problem, invalid, missing
from sandbox.stripe.world import Object, World, new_id

CREATE = {
    "configuration": "text",
    "customer": "text",
    "flow_data": {"type!": "payment_method_update", "after_completion": "any"},
    "locale": "text",
    "return_url": "text",
}
LIVES_S = 3600


def create(world: World, params: Params) -> Object:
    """A session."""
    if not params.get("customer"):
        raise missing("customer")
    customer = customers.alive(world, params["customer"])
    back = params.get("return_url")
    if back and not back.startswith(("http://", "https://")):
        raise invalid("return_url", "Not a valid URL", code="url_invalid")
    id_ = new_id("bps")
    flow = None
    if params.get("flow_data"):
        flow = {
            "after_completion": {"hosted_confirmation": None, "redirect": None, "type": "portal_homepage"},
            "customer_update": None,
            "subscription_cancel": None,
            "subscription_pause": None,
            "subscription_update": None,
            "subscription_update_confirm": None,
            "type": "payment_method_update",
        }
    return world.add(
        blank(
            "billing_portal.session",
            id=id_,
            configuration="bpc_sandbox",
            created=world.now,
            customer=customer["id"],
            flow=flow,
            locale=params.get("locale"),
            return_url=back,
            url=f"{world.here}/portal/{id_}",
        )
    )


def customer_of(world: World, session: Object) -> Object:
    """Whose page it is, while the session lives."""
    if session["created"] + LIVES_S <= world.now:
        raise Problem(400, "This portal session has expired.")
    return customers.alive(world, session["customer"])


def add_card(world: World, customer: Object, method: Object) -> None:
    """Keep a card; the first one becomes the default."""
    method["_confirmed"] = True
    world.put(method)
    customers.attach(world, {"customer": customer["id"]}, id=method["id"])
    if customer["invoice_settings"]["default_payment_method"] is None:
        make_default(world, customer, method["id"])


def make_default(world: World, customer: Object, method: str) -> None:
    """Use this card first."""
    customers.update(world, {"invoice_settings": {"default_payment_method": method}}, id=customer["id"])


def remove_card(world: World, customer: Object, given: str) -> None:
    """Forget a card of this customer."""
    if world.get("payment_method", given)["customer"] != customer["id"]:
        raise Problem(404, "No such card.")
    customers.detach(world, {}, id=given)
