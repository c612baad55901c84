"""Differences between two versions of a card or a plan, field by field, as their author reads them before saving."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from billing.pricing.cards import Card
from billing.pricing.plans import Plan

NAMING_FIELDS = ("direction", "modality", "cache", "unit", "above_tokens", "from", "to")


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that was, and what it became; None where it is not there at all."""

    field: str
    before: str | None
    after: str | None


def differences(before: Card | Plan, after: Card | Plan) -> tuple[Difference, ...]:
    """List every field in which two versions differ; rates are matched by bucket, not by their place in a list."""
    old, new = dict(_leaves("", before.to_json())), dict(_leaves("", after.to_json()))
    fields = [*old, *(field for field in new if field not in old)]
    return tuple(
        Difference(field, old.get(field), new.get(field)) for field in fields if old.get(field) != new.get(field)
    )


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _leaves(f"{path}[{_label(item)}]", _without_label(item))
    else:
        yield path, str(value)


def _label(item: Mapping[str, object]) -> str:
    return " ".join(str(item[name]) for name in NAMING_FIELDS if name in item)


def _without_label(item: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in item.items() if name not in NAMING_FIELDS}
