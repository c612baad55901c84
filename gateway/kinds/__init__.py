"""Kinds: how a company is spoken to. One frozen row each, and a few named quirks; `KINDS` finds one by its slug.

A kind knows addresses, headers and departures from a dialect, by the dialect's name; the dialects themselves it has
never met. An account we buy from (a row of the database) names its kind and adds key and, where needed, address.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.kinds.kind import Kind, NotSpoken, UnfitKey, Way, checked_key, headers, outgoing, url
from gateway.kinds.rows import ROWS

KINDS: Mapping[str, Kind] = MappingProxyType({row.slug: row for row in ROWS})

__all__ = ["KINDS", "Kind", "NotSpoken", "UnfitKey", "Way", "checked_key", "headers", "outgoing", "url"]
