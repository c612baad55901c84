"""Lists, newest first, page by page; and the objects that ``expand`` puts where an id was."""

import json
from collections.abc import Callable
from typing import Any

from sandbox.stripe import balance, endpoints, promotions
from sandbox.stripe.forms import Params
from sandbox.stripe.problems import Problem, invalid, no_such
from sandbox.stripe.world import Object, World

DEEPEST = 4
SEEN: dict[str, Callable[[World, Object], Object]] = {
    "balance_transaction": balance.seen,
    "coupon": promotions.seen,
    "event": endpoints.seen,
    "promotion_code": promotions.seen_code,
}
_COLUMNS = frozenset({"customer", "payment_intent", "charge", "code"})


def page(world: World, kind: str, params: Params, *, url: str) -> Object:
    """One page of a kind's objects. What is neither paging nor ``created`` must be equal."""
    limit = params.pop("limit", 10)
    if not 1 <= limit <= 100:
        edge = "less than or equal to 100" if limit > 100 else "greater than or equal to 1"
        raise invalid("limit", f"This value must be {edge}.")
    after, before = params.pop("starting_after", None), params.pop("ending_before", None)
    if after and before:
        raise Problem(400, "You may only specify one of these parameters: starting_after, ending_before.")
    where = "account = ? AND type = ?"
    values: list[Any] = [world.account, kind]
    for at, param, sign in ((after, "starting_after", "<"), (before, "ending_before", ">")):
        if at:
            where += f" AND seq {sign} ?"
            values.append(_place(world, kind, at, param))
    where, values = _times(where, values, params.pop("created", None))
    for name in _COLUMNS & set(params):
        where += f" AND {name} = ?"
        values.append(params.pop(name))
    direction = "ASC" if before else "DESC"
    rows = world.db.execute(f"SELECT body FROM objects WHERE {where} ORDER BY seq {direction}", values)
    found: list[Object] = []
    for row in rows:
        body = _seen(world, json.loads(row["body"]))
        if not body.get("deleted") and _matches(body, params):
            found.append(body)
        if len(found) > limit:
            break
    data = found[:limit]
    return {"object": "list", "data": data[::-1] if before else data, "has_more": len(found) > limit, "url": url}


def _seen(world: World, body: Object) -> Object:
    look = SEEN.get(body["object"])
    return body if look is None else look(world, body)


def _place(world: World, kind: str, edge: str, param: str) -> int:
    row = world.db.execute(
        "SELECT seq FROM objects WHERE account = ? AND type = ? AND id = ?", (world.account, kind, edge)
    ).fetchone()
    if row is None:
        raise no_such(kind.rpartition(".")[2], edge, param=param, status=400)
    return int(row["seq"])


def _times(where: str, values: list[Any], created: Any) -> tuple[str, list[Any]]:
    if isinstance(created, int):
        return f"{where} AND created = ?", [*values, created]
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    for name, moment in (created or {}).items():
        where, values = f"{where} AND created {signs[name]} ?", [*values, moment]
    return where, values


def _matches(body: Any, wanted: Params) -> bool:
    for name, value in wanted.items():
        if name == "types":
            if value and body["type"] not in value:
                return False
        elif isinstance(value, dict):
            if not _matches(body.get(name) or {}, value):
                return False
        elif value is not None and body.get(name) != value and not _like(body.get(name), value):
            return False
    return True


def _like(have: Any, want: Any) -> bool:
    """``charge.*`` among events."""
    return isinstance(want, str) and want.endswith("*") and isinstance(have, str) and have.startswith(want[:-1])


# --- expand ---


def expanded(world: World, body: Any, paths: list[str] | None) -> Any:
    """The answer with what was asked for in place of its id."""
    for path in paths or ():
        steps = path.split(".")
        if len(steps) > DEEPEST + 1:
            raise invalid("expand", "You cannot expand more than 4 levels of a property.")
        _expand(world, body, steps, path)
    return body


def _expand(world: World, body: Any, steps: list[str], path: str) -> None:
    if isinstance(body, list):
        for one in body:
            _expand(world, one, steps, path)
        return
    if not steps or body is None:
        return
    name, rest = steps[0], steps[1:]
    if not isinstance(body, dict) or (
        name not in body and f"_{name}" not in body and _included(world, body, name) is None
    ):
        message = f"This property cannot be expanded ({path})."
        raise Problem(400, message, code="property_not_expandable", param="expand")
    value = body.get(name)
    if value is None:
        value = _included(world, body, name)
        value = value if value is not None else body.get(f"_{name}")
    if isinstance(value, str):
        found = world.find(value)
        if found is None:
            message = f"This property cannot be expanded ({path})."
            raise Problem(400, message, code="property_not_expandable", param="expand")
        value = _seen(world, found)
    body[name] = value
    _expand(world, value, rest, path)


def _included(world: World, body: Object, name: str) -> Any:
    """What is part of an object only when asked for."""
    kind, id_ = body.get("object"), body.get("id")
    if kind == "checkout.session" and name == "line_items":
        return whole(body.get("_lines") or [], f"/v1/checkout/sessions/{id_}/line_items")
    if kind == "charge" and name == "refunds":
        return whole(world.all("refund", charge=id_)[::-1], f"/v1/charges/{id_}/refunds")
    if kind == "invoice" and name == "payments":
        return whole(body["_payments"], "/v1/invoice_payments")
    if kind == "customer" and name == "sources":
        return whole([], f"/v1/customers/{id_}/sources")
    return None


def whole(data: list[Object], url: str) -> Object:
    """A list that fits on one page."""
    return {"object": "list", "data": data, "has_more": False, "url": url}
