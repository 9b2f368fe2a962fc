"""Where a caller is: the peer's address or, behind proxies that are trusted, the one they say it has.

`X-Forwarded-For` is read from the right, since only what a trusted proxy wrote there can be believed: the first address that is
no trusted proxy's is the caller's. An entry that is no address ends the walk, and the last good one stands. An address has one
spelling here: an IPv4 address in IPv6 clothes (`::ffff:1.2.3.4`) is written as IPv4, and nothing has a port, brackets or a zone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNIX = "unix"
"""The address of whoever came over a Unix socket. It counts as a trusted proxy: the file's mode says who may open it."""

MAX_HOPS = 32
"""Entries that are looked at; nobody has more proxies, and the header may hold thousands."""

MAX_ENTRY = 64
SITE_BITS = 64
"""What one caller has of IPv6 at the least: it can change the rest of its address at will."""


def networks_of(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as they are configured. Bits behind the mask are ignored. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def client_address(remote: str, forwarded_for_values: Iterable[str], trusted: Sequence[Network]) -> str:
    """The caller's address; UNIX or "" where nothing else is known.

    remote: the peer, as `Exchange.remote`. forwarded_for_values: the values of all X-Forwarded-For lines, in their order.
    """
    if remote == UNIX:
        found = UNIX
    else:
        peer = parse_address(remote)
        if peer is None:
            return remote
        found = str(peer)
        if not is_in(peer, trusted):
            return found
    for entry in _from_the_right(forwarded_for_values):
        address = parse_address(entry)
        if address is None:
            break
        found = str(address)
        if not is_in(address, trusted):
            break
    return found


def subject_of(ip: str) -> str:
    """What limits count a caller at this address by: an IPv6 address by its /64, anything else by itself."""
    if ":" not in ip:
        return ip
    address = parse_address(ip)
    if not isinstance(address, IPv6Address):
        return ip if address is None else str(address)
    return str(IPv6Network((int(address) >> SITE_BITS << SITE_BITS, 128 - SITE_BITS)))


def is_trusted(remote: str, trusted: Sequence[Network]) -> bool:
    """Whether a peer is believed what it says about others."""
    if remote == UNIX:
        return True
    address = parse_address(remote)
    return address is not None and is_in(address, trusted)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def parse_address(text: str) -> Address | None:
    """An address, with or without brackets, port and zone; None for anything else."""
    text = text.strip(" \t")
    if len(text) > MAX_ENTRY:
        return None
    port = ""
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or ":" not in text or (port and not port.startswith(":")):
            return None
        port = port and (port[1:] or "none")
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        port = port or "none"
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.scope_id is not None:
            return IPv6Address(int(address))
    return address


def _from_the_right(values: Iterable[str]) -> list[str]:
    """The last entries of all lines, the last first."""
    entries: list[str] = []
    for value in reversed(list(values)):
        entries += reversed(value.rsplit(",", MAX_HOPS))
        if len(entries) >= MAX_HOPS:
            break
    return entries[:MAX_HOPS]
