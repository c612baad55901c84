"""The customer portal: saved cards - see, add, remove, use first."""

from html import escape
from typing import Any

from sandbox.stripe import cards, customers, portal
from sandbox.stripe.api import Answer
from sandbox.stripe.control import Control
from sandbox.stripe.pages.layout import alert, button, page
from sandbox.stripe.problems import Problem
from sandbox.stripe.world import Object, World


def show(world: World, session: Object, *, words: str | None = None) -> Answer:
    """The cards there are, and a way to add one."""
    customer = portal.customer_of(world, session)
    default = customer["invoice_settings"]["default_payment_method"]
    owned = world.all("payment_method", customer=customer["id"])
    listed = "".join(_card(one, first=one["id"] == default) for one in owned) or '<p class="soft">No saved cards.</p>'
    options = "".join(
        f'<option value="{escape(one.name)}">{escape(one.label)} (•••• {one.last4})</option>'
        for one in cards.CARDS
        if one.kind == "card"
    )
    add = (
        '<form method="post" class="panel"><h2>Add a card</h2><div class="inline">'
        '<label class="field"><span>Card</span>'
        f'<select name="card">{options}</select></label>{button("do", "add", "Add")}</div></form>'
    )
    back = session["return_url"]
    link = f'<p><a href="{escape(back)}">Back to the shop</a></p>' if back else ""
    who = f'<p class="soft">{escape(customer["email"] or customer["id"])}</p>'
    return page(
        "Your cards",
        f'{alert(words)}{who}<div class="panel">{listed}</div>{add}{link}',
        narrow=True,
        status=400 if words else 200,
        leads_to=(back,),
    )


def _card(method: Object, *, first: bool) -> str:
    card = customers.card_of(method)
    use = "" if first else button("first", method["id"], "Use first", kind="plain small")
    mark = ' <span class="soft">(used first)</span>' if first else ""
    return (
        f'<form method="post" class="row"><span>{escape(card.brand.title())} •••• {card.last4}{mark}</span><span>{use} '
        f"{button('remove', method['id'], 'Remove', kind='plain small')}</span></form>"
    )


def act(control: Control, account: str, session_id: str, given: dict[str, Any], here: str) -> Answer:
    """A button was pressed."""
    words: str | None = None
    try:
        control.inside(
            account, lambda world: _do(world, world.get("billing_portal.session", session_id), given), here=here
        )
    except Problem as problem:
        words = problem.message
    answer: Answer = control.inside(
        account, lambda world: show(world, world.get("billing_portal.session", session_id), words=words), here=here
    )
    return answer


def _do(world: World, session: Object, given: dict[str, Any]) -> None:
    customer = portal.customer_of(world, session)
    if given.get("remove"):
        portal.remove_card(world, customer, str(given["remove"]))
    elif given.get("first"):
        portal.make_default(world, customer, str(given["first"]))
    elif given.get("do") == "add":
        card = cards.BY_NAME.get(str(given.get("card")))
        if card is None or card.kind != "card":
            raise Problem(400, "No such card.")
        portal.add_card(world, customer, customers.make_method(world, card))
