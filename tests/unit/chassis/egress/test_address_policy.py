"""Which addresses may be dialled for a user: one line an address."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from chassis.egress.address_policy import DENIED_IPV4, DENIED_IPV6, is_public, parse_address, parse_networks

DENIED = """
0.0.0.0                     this network
0.255.255.255               this network, its end
10.0.0.1                    private
10.255.255.255              private, its end
100.64.0.1                  carrier-grade NAT
100.127.255.255             carrier-grade NAT, its end
127.0.0.1                   loopback
127.255.255.254             loopback, its end
169.254.0.1                 link-local
169.254.169.254             cloud metadata
169.254.170.2               container credentials
172.16.0.1                  private
172.31.255.255              private, its end
192.0.0.1                   IETF protocol assignments
192.0.0.8                   IPv4 dummy address, is_global in Python
192.0.2.1                   TEST-NET-1
192.88.99.1                 6to4 relay, is_global in Python
192.168.0.1                 private
192.168.255.255             private, its end
198.18.0.1                  benchmarking
198.19.255.255              benchmarking, its end
198.51.100.1                TEST-NET-2
203.0.113.1                 TEST-NET-3
224.0.0.1                   multicast, is_global in Python
239.255.255.255             multicast, its end
240.0.0.1                   reserved
255.255.255.255             broadcast
::                          unspecified
::1                         loopback
::10.0.0.1                  IPv4-compatible
::127.0.0.1                 IPv4-compatible loopback
::ffff:10.0.0.1             IPv4-mapped private
::ffff:127.0.0.1            IPv4-mapped loopback
::ffff:169.254.169.254      IPv4-mapped metadata
::ffff:100.64.0.1           IPv4-mapped carrier-grade NAT
64:ff9b::a9fe:a9fe          NAT64 of the metadata address
64:ff9b:1::a00:1            local NAT64
100::1                      discard only
2001::1                     Teredo
2001:0:a9fe:a9fe::1         Teredo of an inner address
2001:10::1                  ORCHID
2001:20::1                  ORCHIDv2
2001:db8::1                 documentation
2002:a9fe:a9fe::1           6to4 of the metadata address
2620:4f:8000::1             AS112
3fff::1                     documentation, new
5f00::1                     segment routing
fc00::1                     unique local
fd20:ce::254                Google's IPv6 metadata address
fe80::1                     link-local
ff02::1                     multicast, is_global in Python
"""

ALLOWED = """
1.1.1.1
8.8.8.8
9.255.255.255
11.0.0.0
100.63.255.255
100.128.0.0
126.255.255.255
128.0.0.1
172.15.255.255
172.32.0.0
192.167.255.255
198.20.0.0
223.255.255.255
2606:4700:4700::1111
2a00:1450:4001:81b::200e
::ffff:8.8.8.8
"""


def test_the_tables_have_the_sizes_of_the_threat_model() -> None:
    """51 denied and 16 allowed addresses: a line lost by accident is noticed."""
    assert len(DENIED.split("\n")) - 2 == 51
    assert len(ALLOWED.split()) == 16


@pytest.mark.fault("G1")
@pytest.mark.threat("T1")
@pytest.mark.parametrize("line", DENIED.strip().split("\n"))
def test_special_addresses_are_denied(line: str) -> None:
    """Every special-purpose range, also those that Python calls global, and what embeds an address in another."""
    assert not is_public(parse_address(line.split(maxsplit=1)[0]))


@pytest.mark.parametrize("address", ALLOWED.split())
def test_public_addresses_are_allowed(address: str) -> None:
    """The internet, right up to the borders of the denied ranges."""
    assert is_public(parse_address(address))


def test_a_scope_id_is_cut_off() -> None:
    """Getaddrinfo may append the interface to a link-local address."""
    assert parse_address("fe80::1%eth0") == parse_address("fe80::1%a%b") == IPv6Address("fe80::1")
    assert not is_public(parse_address("fe80::1%eth0"))


def test_networks_of_settings_are_parsed_or_named() -> None:
    """A typing error in a network is an error that names it."""
    assert [str(network) for network in parse_networks(("127.0.0.0/8", "::1/128"))] == ["127.0.0.0/8", "::1/128"]
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        parse_networks(("10.0.0.1/8",))


def test_every_denied_range_names_its_source() -> None:
    """The table is documentation: each range says what it is and by which RFC."""
    assert all("RFC " in why for _, why in (*DENIED_IPV4, *DENIED_IPV6))
