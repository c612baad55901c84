"""SetupIntents: a card made ready for payments while its owner is away."""

from sandbox.stripe import customers
from sandbox.stripe.blanks import blank
from sandbox.stripe.customers import METHOD
from sandbox.stripe.forms import Params, merged
from sandbox.stripe.problems import Problem, missing
from sandbox.stripe.world import Object, World, new_id, public

CONFIRM = {
    "mandate_data": "any",
    "payment_method": "text",
    "payment_method_data": METHOD,
    "payment_method_options": "any",
    "return_url": "text",
    "use_stripe_sdk": "flag",
}
COMMON = {"customer": "text", "description": "text", "metadata": "map", "payment_method": "text"}
CREATE = {
    **COMMON,
    **CONFIRM,
    "allowed_payment_method_types": ["text"],
    "automatic_payment_methods": {"enabled!": "flag", "allow_redirects": "always|never"},
    "confirm": "flag",
    "usage": "off_session|on_session",
}
OPEN = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})


def make(world: World, *, customer: str | None, metadata: dict[str, str], usage: str = "off_session") -> Object:
    """An intent without a card yet."""
    id_ = new_id("seti")
    return world.add(
        blank(
            "setup_intent",
            id=id_,
            automatic_payment_methods={"allow_redirects": "always", "enabled": True},
            client_secret=f"{id_}_{new_id('secret')}",
            created=world.now,
            customer=customer,
            metadata=merged({}, metadata),
            payment_method_options={},
            payment_method_types=["card"],
            status="requires_payment_method",
            usage=usage,
        )
    )


def create(world: World, params: Params) -> Object:
    """A setup, and at once the attempt when asked."""
    customer = customers.alive(world, params["customer"])["id"] if params.get("customer") else None
    setup = make(
        world,
        customer=customer,
        metadata=params.get("metadata") or {},
        usage=params.get("usage") or "off_session",
    )
    setup["description"] = params.get("description")
    setup["allowed_payment_method_types"] = params.get("allowed_payment_method_types")
    automatic = params.get("automatic_payment_methods")
    if automatic is not None:
        setup["automatic_payment_methods"] = {"allow_redirects": "always", **automatic}
    method = _given(world, params)
    if method is not None:
        setup |= {"payment_method": method["id"], "status": "requires_confirmation"}
    world.put(setup)
    world.tell("setup_intent.created", setup)
    return _confirmed(world, setup, params) if params.get("confirm") else setup


def _given(world: World, params: Params) -> Object | None:
    if params.get("payment_method_data"):
        return customers.method_from(world, params["payment_method_data"], param="payment_method_data")
    return customers.method(world, params["payment_method"]) if params.get("payment_method") else None


def _confirmed(world: World, setup: Object, params: Params) -> Object:
    if setup["payment_method"] is None:
        raise Problem(
            400,
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            code="setup_intent_unexpected_state",
            setup_intent=public(setup),
        )
    redirects = (setup["automatic_payment_methods"] or {}).get("allow_redirects") == "always"
    if not params.get("return_url") and redirects and not params.get("use_stripe_sdk"):
        raise missing("return_url")
    setup["_return_url"] = params.get("return_url")
    return attempt(world, setup, world.get("payment_method", setup["payment_method"]))


def attempt(world: World, setup: Object, method: Object, *, authenticated: bool = False) -> Object:
    """Ask the bank whether the card may be kept."""
    card = customers.card_of(method)
    setup["payment_method"] = method["id"]
    if card.asks in {"always", "unsaved"} and not authenticated and not method["_confirmed"]:
        setup["status"] = "requires_action"
        address = f"{world.here}/authenticate/{setup['id']}"
        setup["next_action"] = {
            "redirect_to_url": {"return_url": setup.get("_return_url"), "url": address},
            "type": "redirect_to_url",
        }
        world.put(setup)
        world.tell("setup_intent.requires_action", setup)
        return setup
    try:
        customers.refuse_to_save(card)
    except Problem as problem:
        _fail(world, setup, method, problem)
    setup |= {"status": "succeeded", "next_action": None, "last_setup_error": None}
    method["_confirmed"] = True
    world.put(method)
    world.put(setup)
    if setup["customer"] and method["customer"] is None:
        customers.keep(world, method, setup["customer"])
    world.tell("setup_intent.succeeded", setup)
    return setup


def _fail(world: World, setup: Object, method: Object, problem: Problem) -> None:
    error = {**problem.words("")["error"], "payment_method": public(method)}
    error.pop("request_log_url")
    setup |= {"status": "requires_payment_method", "payment_method": None, "last_setup_error": error}
    world.put(setup)
    world.tell("setup_intent.setup_failed", setup)
    problem.more |= {"setup_intent": public(setup), "payment_method": public(method)}
    raise problem


def refuse_authentication(world: World, setup: Object) -> None:
    """The cardholder did not show up."""
    message = "We are unable to authenticate your payment method. Please choose a different one and try again."
    error = {"code": "setup_intent_authentication_failure", "message": message, "type": "invalid_request_error"}
    setup |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_setup_error": error,
    }
    world.put(setup)
    world.tell("setup_intent.setup_failed", setup)


def confirm(world: World, params: Params, *, id: str) -> Object:
    """Try."""
    setup = world.get("setup_intent", id)
    if setup["status"] not in OPEN:
        raise _in_this_state(setup, "confirmed")
    method = _given(world, params)
    if method is not None:
        setup["payment_method"] = method["id"]
    return _confirmed(world, setup, params)


def update(world: World, params: Params, *, id: str) -> Object:
    """Change a setup."""
    setup = world.get("setup_intent", id)
    if "metadata" in params:
        setup["metadata"] = merged(setup["metadata"], params["metadata"])
    if "description" in params:
        setup["description"] = params["description"]
    if params.get("customer"):
        setup["customer"] = customers.alive(world, params["customer"])["id"]
    method = _given(world, params)
    if method is not None:
        setup |= {"payment_method": method["id"], "status": "requires_confirmation"}
    return world.put(setup)


def cancel(world: World, params: Params, *, id: str) -> Object:
    """Give a setup up."""
    setup = world.get("setup_intent", id)
    if setup["status"] not in OPEN:
        raise _in_this_state(setup, "canceled")
    return canceled(world, setup, reason=params.get("cancellation_reason"))


def canceled(world: World, setup: Object, *, reason: str | None) -> Object:
    """A setup that will not happen."""
    setup |= {"status": "canceled", "cancellation_reason": reason, "next_action": None}
    world.put(setup)
    world.tell("setup_intent.canceled", setup)
    return setup


def _in_this_state(setup: Object, done: str) -> Problem:
    message = f"This SetupIntent could not be {done} because it has a status of {setup['status']}."
    return Problem(400, message, code="setup_intent_unexpected_state", setup_intent=public(setup))


def retrieve(world: World, params: Params, *, id: str) -> Object:
    """A setup."""
    return world.get("setup_intent", id)
