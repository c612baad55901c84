"""Names of what calls only know by number: keys and members, also those that have gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts.models import ApiKey, Membership, Organization

MOST = 500
NO_KEY = "Dashboard"
NOBODY = "Nobody"


@dataclass(frozen=True, slots=True)
class Names:
    """Labels of keys and names of members, by primary key."""

    keys: Mapping[int, str]
    members: Mapping[int, str]

    def naming(self, by: str) -> Any:
        """How a value of a dimension is called."""
        if by == "key":
            return lambda pk: key_name(pk, self.keys)
        if by == "member":
            return lambda pk: member_name(pk, self.members)
        return str


def key_name(pk: int | None, labels: Mapping[int, str]) -> str:
    """A key's label; ended keys keep their rows, so an unknown number is no key of these."""
    return labels.get(pk, "A key of before") if pk else NO_KEY


def member_name(pk: int | None, names: Mapping[int, str]) -> str:
    """A member's name; who left is no longer named."""
    return names.get(pk, "A former member") if pk else NOBODY


def of(organization: Organization) -> Names:
    """Read both."""
    keys = ApiKey.objects.of(organization).order_by("-pk").values_list("pk", "label")[:MOST]
    members = Membership.objects.of(organization).select_related("user").order_by("-pk")[:MOST]
    return Names(dict(keys), {one.user_id: one.user.get_short_name() for one in members})
