"""Which addresses a socket may be made for: asked by the connector for every address it is about to try."""

import ipaddress
import socket

import aiohttp

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class NotThere(OSError):
    """An OSError, so that the other addresses of a name are tried too."""


def public_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket, if the address is a public machine's."""
    if not _is_public(ipaddress.ip_address(info[4][0])):
        raise NotThere
    return _socket(info)


def private_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket, if the address is anybody's machine: our own, a neighbour's or a public one."""
    address = _innermost(ipaddress.ip_address(info[4][0]))
    if not (address.is_loopback or _is_a_machine(address)):
        raise NotThere
    return _socket(info)


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    return socket.socket(family=info[0], type=info[1], proto=info[2])


def _is_public(address: Address) -> bool:
    inner = _innermost(address)
    return inner.is_global and _is_a_machine(inner) and (inner is address or address.is_global)


def _is_a_machine(address: Address) -> bool:
    return not (address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved)


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries inside, where it carries one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return address.ipv4_mapped or address.sixtofour or address
        if address in NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
