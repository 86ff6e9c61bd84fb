"""How bodies are read: decompressed, up to a limit that counts what they become, whole or cut where asked for."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest
import urllib3

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressPolicy, _pieces
from chassis.egress.faults import EgressFault
from support.scripted_origin import ScriptedOrigin, answer

LIMIT = 1000


@pytest.fixture
def egress() -> Egress:
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8", "::1/128")), max_body_bytes=LIMIT)
    return Egress(policy, user_agent="test", clock=SystemClock())


def refusal(egress: Egress, url: str) -> tuple[EgressFault, str]:
    """Return fault and detail of a call."""
    with pytest.raises(EgressError) as caught:
        egress.request("GET", url)
    return caught.value.fault, caught.value.detail


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_a_body_within_the_limit_is_returned_whole(egress: Egress, origin: ScriptedOrigin, size: int) -> None:
    """The limit itself is allowed."""
    origin.on("/x", answer(b"x" * size))

    got = egress.request("GET", origin.url("/x"))

    assert (got.body, got.truncated) == (b"x" * size, False)


def test_a_body_that_says_that_it_is_too_large_is_not_read(egress: Egress, origin: ScriptedOrigin) -> None:
    """Size and limit are told."""
    origin.on("/x", answer(b"x" * (LIMIT + 1)))

    assert refusal(egress, origin.url("/x")) == (EgressFault.TOO_LARGE, "1001 bytes, the limit is 1000")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate"])
def test_a_body_is_decompressed_and_counts_as_what_it_becomes(
    egress: Egress, origin: ScriptedOrigin, encoding: str
) -> None:
    """One that is small on the way may be large."""
    for size in (LIMIT, LIMIT + 1):
        body = b"x" * size
        for name in encoding.split(", "):
            body = gzip.compress(body) if name == "gzip" else zlib.compress(body)
        origin.on(f"/{size}", answer(body, headers=[("Content-Encoding", encoding)]))

    assert egress.request("GET", origin.url(f"/{LIMIT}")).body == b"x" * LIMIT
    assert refusal(egress, origin.url(f"/{LIMIT + 1}")) == (EgressFault.TOO_LARGE, "more than 1000 bytes")


@pytest.mark.parametrize("encodings", ["gzip, gzip, gzip", "identity,identity,identity,identity"])
def test_more_than_two_encodings_are_refused(egress: Egress, origin: ScriptedOrigin, encodings: str) -> None:
    """Each may multiply a body by a thousand."""
    origin.on("/x", answer(b"x", headers=[("Content-Encoding", encodings)]))

    fault, detail = refusal(egress, origin.url("/x"))
    assert (fault, detail) == (EgressFault.TOO_LARGE, f"{encodings.count(',') + 1} encodings, the limit is 2")


@pytest.mark.parametrize(("size", "cut"), [(49, False), (50, False), (51, True), (200_000, True)])
def test_a_body_is_cut_where_that_is_asked_for(egress: Egress, origin: ScriptedOrigin, size: int, cut: bool) -> None:
    """Whatever length it announces, also above the limit of others."""
    origin.on("/x", answer(b"x" * size))

    got = egress.request("GET", origin.url("/x"), truncate_at=50)

    assert (got.body, got.truncated) == (b"x" * min(size, 50), cut)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://93.184.216.34/", True),
        ("https://93.184.216.34/", True),
        ("http://93.184.216.34:80/", True),
        ("http://93.184.216.34:8080/", False),
        ("https://93.184.216.34:444/", False),
        ("https://[2606:4700::1]/", True),
        ("https://[fe80::1]/", False),
    ],
)
def test_a_target_is_checked_with_the_port_that_would_be_dialled(url: str, allowed: bool) -> None:
    """80 for http and 443 for https, where none is written."""
    egress = Egress(EgressPolicy(ports=frozenset({80, 443})), user_agent="test", clock=SystemClock())
    if allowed:
        egress.check_target(url)
        return
    with pytest.raises(EgressError) as caught:
        egress.check_target(url)
    assert caught.value.fault is EgressFault.URL_FORBIDDEN


@pytest.mark.parametrize(("scheme", "port"), [("http", 443), ("https", 80)])
def test_the_port_of_the_other_scheme_does_not_count(scheme: str, port: int) -> None:
    """A policy may allow only one of the two."""
    egress = Egress(EgressPolicy(ports=frozenset({port})), user_agent="test", clock=SystemClock())

    with pytest.raises(EgressError) as caught:
        egress.check_target(f"{scheme}://93.184.216.34/")
    assert caught.value.fault is EgressFault.URL_FORBIDDEN


def test_a_body_is_unpacked_in_small_pieces() -> None:
    """The limit is looked at after each: what unpacks to gigabytes is never in memory whole."""
    packed = io.BytesIO(gzip.compress(bytes(10_000_000)))
    response = urllib3.HTTPResponse(packed, headers={"Content-Encoding": "gzip"}, preload_content=False)

    sizes = [len(piece) for piece in _pieces(response, 1000)]

    assert max(sizes) <= 65_536
    assert sum(sizes) == 10_000_000
