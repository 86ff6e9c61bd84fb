"""Which network addresses may be dialled for a user: the special-purpose registries as one table.

Python's `is_global` is not a policy: it calls 192.88.99.1, ff02::1 or 64:ff9b::a9fe:a9fe global. IPv6 is therefore an
allow-list: IPv4-mapped addresses are unwrapped, and of the rest only 2000::/3 passes, minus the ranges named below
(which also ends ::/96, 64:ff9b::/96, fc00::/7 with Google's metadata address fd20:ce::254, fe80::/10 and ff00::/8).
Sources: https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED_IPV4: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network, RFC 791"),
    ("10.0.0.0/8", "private, RFC 1918"),
    ("100.64.0.0/10", "carrier-grade NAT, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    ("169.254.0.0/16", "link-local and cloud metadata, RFC 3927"),
    ("172.16.0.0/12", "private, RFC 1918"),
    ("192.0.0.0/24", "IETF protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "TEST-NET-1, RFC 5737"),
    ("192.88.99.0/24", "6to4 relay anycast, RFC 7526"),
    ("192.168.0.0/16", "private, RFC 1918"),
    ("198.18.0.0/15", "benchmarking, RFC 2544"),
    ("198.51.100.0/24", "TEST-NET-2, RFC 5737"),
    ("203.0.113.0/24", "TEST-NET-3, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("240.0.0.0/4", "reserved and broadcast, RFC 1112"),
)

ALLOWED_IPV6 = "2000::/3"

DENIED_IPV6: tuple[tuple[str, str], ...] = (
    ("2001::/23", "IETF protocol assignments with Teredo, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("2620:4f:8000::/48", "AS112 direct delegation, RFC 7534"),
    ("3fff::/20", "documentation, RFC 9637"),
)

_DENIED_IPV4 = tuple(IPv4Network(cidr) for cidr, _ in DENIED_IPV4)
_DENIED_IPV6 = tuple(IPv6Network(cidr) for cidr, _ in DENIED_IPV6)
_ALLOWED_IPV6 = IPv6Network(ALLOWED_IPV6)


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        return address in _ALLOWED_IPV6 and not any(address in network for network in _DENIED_IPV6)
    return not any(address in network for network in _DENIED_IPV4)


def parse_networks(cidrs: Sequence[str]) -> tuple[Network, ...]:
    """Return networks from settings such as `("127.0.0.0/8", "::1/128")`.

    Raises:
        ValueError: naming the item that is no network.
    """
    return tuple(ip_network(cidr) for cidr in cidrs)


def parse_address(text: str) -> Address:
    """Return the address that getaddrinfo gave as text; a scope id (`fe80::1%eth0`) is cut off."""
    return ip_address(text.split("%", 1)[0])
