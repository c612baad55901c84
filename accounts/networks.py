"""From which addresses a key may be used: a short list of networks, ``203.0.113.0/24`` or a single address.

Promise: what is stored is exact (no host bits, no names, no ports), so it means what it says; an empty list allows
every address.
"""

import ipaddress
from ipaddress import IPv4Network, IPv6Network

from django.core.exceptions import ValidationError

MOST_NETWORKS = 50
LONGEST = 49  # the longest spelling of an IPv6 network


def clean(networks: object) -> list[str]:
    """Return the networks in their canonical spelling, once each, or say what is wrong with one."""
    if not isinstance(networks, list) or not all(isinstance(network, str) for network in networks):
        raise ValidationError({"allowed_networks": "Must be a list of addresses or networks as text."})
    if len(networks) > MOST_NETWORKS:
        raise ValidationError({"allowed_networks": f"{MOST_NETWORKS} networks are the most."})
    return list(dict.fromkeys(_clean_one(network) for network in networks))


def _clean_one(text: str) -> str:
    shown = text[:LONGEST]
    try:
        network = ipaddress.ip_network(text.strip()[: LONGEST + 1], strict=False)
        exact = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        message = f"'{shown}' is not an address or a network such as 203.0.113.0/24."
        if "has host bits set" in str(error):
            message = f"'{shown}' has bits set after its prefix; did you mean {network}?"
        raise ValidationError({"allowed_networks": message}) from error
    if isinstance(exact, IPv6Network) and exact.network_address.ipv4_mapped:
        message = f"'{shown}' is an IPv4 address in IPv6 spelling; write it as IPv4."
        raise ValidationError({"allowed_networks": message})
    return str(exact)


def allow(networks: list[str], ip_address: str) -> bool:
    """Whether an address lies in one of the networks; no networks means everywhere."""
    if not networks:
        return True
    address = ipaddress.ip_address(ip_address)
    return any(address in ipaddress.ip_network(network) for network in networks)


def within(child: list[str], parent: list[str]) -> bool:
    """Whether every address of the child lies in one of the parent's networks, neighbours taken together."""
    if not parent:
        return True
    wide = [ipaddress.ip_network(network) for network in parent]
    joined: list[IPv4Network | IPv6Network] = [
        *ipaddress.collapse_addresses(network for network in wide if isinstance(network, IPv4Network)),
        *ipaddress.collapse_addresses(network for network in wide if isinstance(network, IPv6Network)),
    ]
    return bool(child) and all(any(_inside(ipaddress.ip_network(inner), outer) for outer in joined) for inner in child)


def _inside(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network) and isinstance(outer, IPv4Network):
        return inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and isinstance(outer, IPv6Network) and inner.subnet_of(outer)
