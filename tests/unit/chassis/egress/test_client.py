"""The guard between users' URLs and the network."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import TRANSIENT_FAULTS, Egress, EgressError, EgressFault, EgressPolicy
from support.scripted_origin import Exchange, ScriptedOrigin, answer, drip, endless, head, raw, redirect
from unit.chassis.egress.test_address_policy import DENIED

LOOPBACK = parse_networks(("127.0.0.1/32",))


class Resolver:
    """A getaddrinfo with a script: each lookup takes the next list of addresses, the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_rest: object) -> list[Any]:
        """Answer one lookup."""
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]


def make_egress(*, resolve: Any = socket.getaddrinfo, allowed: Any = LOOPBACK, **policy: Any) -> Egress:
    settings = EgressPolicy(
        allowed_networks=allowed, connect_timeout_s=0.3, read_timeout_s=0.3, total_timeout_s=0.6, **policy
    )
    return Egress(settings, user_agent="Pressroom-test/1", clock=SystemClock(), resolve=resolve)


def fault(egress: Egress, url: str, **options: Any) -> EgressFault:
    with pytest.raises(EgressError) as caught:
        egress.request("GET", url, **options)
    return caught.value.fault


# --- addresses

SPELLINGS = [
    *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "2852039166", "0xA9FEA9FE"),
    *("0251.0376.0251.0376", "169.254.43518", "①②⑦.⓪.⓪.①", "127。0。0。1"),
]
"""All of these lead to 127.0.0.1, 0.0.0.0 or 169.254.169.254 by getaddrinfo; ip_address() knows none of them."""


@pytest.mark.feature("44")
@pytest.mark.fault("G2")
@pytest.mark.threat("T1")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_private_address_passes(spelling: str, dialled: list[Any]) -> None:
    """Decimal, octal, hexadecimal, short and full-width: what counts is the resolved address."""
    refusals = {EgressFault.URL_FORBIDDEN, EgressFault.DNS_FAILED, EgressFault.URL_INVALID}

    assert fault(make_egress(allowed=()), f"http://{spelling}/") in refusals
    assert dialled == []


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note every address that a socket is connected to."""
    targets: list[Any] = []

    class Socket(socket.socket):
        def connect(self, address: Any, /) -> None:
            targets.append(address)
            super().connect(address)

    monkeypatch.setattr(socket, "socket", Socket)
    return targets


@pytest.mark.feature("44")
@pytest.mark.fault("G1")
@pytest.mark.threat("T1")
@pytest.mark.parametrize("line", DENIED.strip().split("\n"))
def test_literal_private_addresses_are_refused_and_never_dialled(line: str, dialled: list[Any]) -> None:
    """Each of the 51 special addresses, those of IPv6 in brackets, with both schemes."""
    address = line.split(maxsplit=1)[0]
    host = f"[{address}]" if ":" in address else address

    for scheme in ("http", "https"):
        assert fault(make_egress(allowed=()), f"{scheme}://{host}/") is EgressFault.URL_FORBIDDEN
    assert dialled == []


def test_the_witness_of_dialling_sees_a_call_that_is_allowed(origin: ScriptedOrigin, dialled: list[Any]) -> None:
    """Otherwise its silence would prove nothing."""
    make_egress().request("GET", origin.on("/", answer()))

    assert dialled == [("127.0.0.1", origin.port)]


@pytest.mark.fault("G3")
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["2606:4700::1", "::1"], ["93.184.216.34", "::ffff:10.0.0.1"]],
    ids=str,
)
def test_a_name_is_refused_when_any_of_its_addresses_is_private(addresses: list[str]) -> None:
    """A mix of public and private is an attack or a mistake; either way nothing is dialled."""
    egress = make_egress(allowed=(), resolve=Resolver(addresses))

    assert fault(egress, "http://images.example/") is EgressFault.URL_FORBIDDEN


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://images.example/", EgressFault.URL_FORBIDDEN),
        ("http://[::1]/", EgressFault.URL_FORBIDDEN),
        ("https://93.184.216.34:22/", EgressFault.URL_FORBIDDEN),
        ("ftp://93.184.216.34/", EgressFault.URL_INVALID),
    ],
)
def test_a_target_is_refused_before_any_call_as_a_call_would_refuse_it(url: str, expected: EgressFault) -> None:
    """For addresses that are kept to be called later."""
    resolve = Resolver(["10.0.0.1"]) if "example" in url else socket.getaddrinfo

    with pytest.raises(EgressError) as refused:
        make_egress(allowed=(), resolve=resolve).check_target(url)
    assert refused.value.fault is expected


def test_a_good_target_is_not_dialled(origin: ScriptedOrigin) -> None:
    """It is looked up and checked, and hears nothing."""
    make_egress(resolve=Resolver(["127.0.0.1"])).check_target(f"http://images.example:{origin.port}/")

    assert origin.connections == 0


@pytest.mark.feature("44")
@pytest.mark.fault("G4")
@pytest.mark.threat("T1")
def test_a_rebinding_name_is_looked_up_once_and_dialled_where_it_was_checked(origin: ScriptedOrigin) -> None:
    """The second answer of a rebinding server is never asked for."""
    origin.on("/", answer(b"checked"))
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    response = make_egress(resolve=resolver).request("GET", f"http://rebind.example:{origin.port}/")

    assert response.body == b"checked"
    assert resolver.asked == ["rebind.example"]


def test_the_host_header_keeps_the_name(origin: ScriptedOrigin) -> None:
    """The address is pinned below HTTP: the origin sees the name it serves."""
    origin.on("/", answer())
    make_egress(resolve=Resolver(["127.0.0.1"])).request("GET", f"http://images.example:{origin.port}/a")

    assert origin.received[0].headers["host"] == f"images.example:{origin.port}"


@pytest.mark.parametrize(
    ("url", "asked"), [("http://[2606:4700::1]/", ("2606:4700::1", 80)), ("https://a.example/", ("a.example", 443))]
)
def test_a_default_port_is_dialled_when_none_is_written(url: str, asked: tuple[str, int]) -> None:
    """Also behind an IPv6 address, whose colons are no port."""
    questions: list[tuple[object, ...]] = []

    def private(*question: object) -> list[Any]:
        questions.append(question[:2])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", question[1]))]

    assert fault(make_egress(resolve=private), url) is EgressFault.URL_FORBIDDEN
    assert questions == [asked]


@pytest.mark.fault("G8")
def test_nothing_is_kept_alive_between_calls(origin: ScriptedOrigin) -> None:
    """Each call resolves and connects anew, so a pool cannot outlive a check."""
    origin.on("/", answer())
    resolver = Resolver(["127.0.0.1"])
    egress = make_egress(resolve=resolver)
    for _ in range(2):
        egress.request("GET", f"http://images.example:{origin.port}/")

    assert (len(resolver.asked), origin.connections) == (2, 2)


def test_the_next_checked_address_is_tried_when_one_does_not_answer(origin: ScriptedOrigin) -> None:
    """Two addresses, the first refuses: the second is dialled."""
    origin.on("/", answer(b"second"))
    egress = make_egress(allowed=parse_networks(("127.0.0.0/8",)), resolve=Resolver(["127.0.0.3", "127.0.0.1"]))

    assert egress.request("GET", f"http://images.example:{origin.port}/").body == b"second"


@pytest.mark.fault("G6")
@pytest.mark.threat("T9")
def test_a_port_outside_the_list_is_refused_on_public_addresses() -> None:
    """22, 25, 5432 and 6379 are not for fetching pictures."""
    egress = make_egress(allowed=(), resolve=Resolver(["93.184.216.34"]))

    for port in (22, 25, 5432, 6379):
        assert fault(egress, f"http://images.example:{port}/") is EgressFault.URL_FORBIDDEN


# --- names and forms


@pytest.mark.fault("G5")
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "a.localhost", "metadata", "metadata.google.internal"),
        *("METADATA.google.internal.", "metadata.goog", "x.internal", "printer.local", "x.metadata.goog"),
    ],
)
def test_internal_names_are_refused_before_any_lookup(host: str) -> None:
    """By name, whatever they resolve to."""
    resolver = Resolver(["93.184.216.34"])

    assert fault(make_egress(allowed=(), resolve=resolver), f"http://{host}/") is EgressFault.URL_FORBIDDEN
    assert resolver.asked == []


@pytest.mark.fault("G11")
@pytest.mark.parametrize("host", ["metadata", "metadata.google.internal", "metadata.goog"])
def test_the_metadata_names_are_refused_even_where_loopback_is_allowed(host: str) -> None:
    """A development setting must not open the way to credentials."""
    assert fault(make_egress(), f"http://{host}/") is EgressFault.URL_FORBIDDEN


@pytest.mark.fault("G6", "G9")
@pytest.mark.threat("T9")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", EgressFault.URL_INVALID),
        ("images.example/a.jpg", EgressFault.URL_INVALID),
        ("//images.example/a.jpg", EgressFault.URL_INVALID),
        ("http://", EgressFault.URL_INVALID),
        ("http:///a.jpg", EgressFault.URL_INVALID),
        ("file:///etc/passwd", EgressFault.URL_INVALID),
        ("ftp://images.example/a.jpg", EgressFault.URL_INVALID),
        ("gopher://images.example/", EgressFault.URL_INVALID),
        ("data:image/png;base64,AA", EgressFault.URL_INVALID),
        ("javascript:alert(1)", EgressFault.URL_INVALID),
        (" http://images.example/", EgressFault.URL_INVALID),
        ("http://images.example/a b", EgressFault.URL_INVALID),
        ("http://images.example/\r\nX: y", EgressFault.URL_INVALID),
        ("http://images.example/\x00", EgressFault.URL_INVALID),
        ("http://images.example/\x7f", EgressFault.URL_INVALID),
        ("http://a.example\\@127.0.0.1/", EgressFault.URL_INVALID),
        ("http://images.example:99999/", EgressFault.URL_INVALID),
        ("http://images.example:port/", EgressFault.URL_INVALID),
        ("http://images.example:0/", EgressFault.URL_INVALID),
        ("http://images.example/\ta", EgressFault.URL_INVALID),
        ("http://127.0.0.1\t@images.example/", EgressFault.URL_INVALID),
        ("http://[::1/", EgressFault.URL_INVALID),
        ("http://images.example/" + "x" * 2083, EgressFault.URL_INVALID),
        ("http://user@images.example/", EgressFault.URL_FORBIDDEN),
        ("http://user:secret@images.example/", EgressFault.URL_FORBIDDEN),
        ("http://a.example@127.0.0.1/", EgressFault.URL_FORBIDDEN),
        ("http://127.0.0.1#@a.example/", EgressFault.URL_FORBIDDEN),
        ("http://127.0.0.1?@a.example/", EgressFault.URL_FORBIDDEN),
    ],
    ids=lambda value: str(value)[:40],
)
def test_malformed_and_tricky_urls_are_refused(url: str, expected: EgressFault) -> None:
    """One parser decides, and it decides before anything is dialled."""
    resolver = Resolver(["127.0.0.1"])

    assert fault(make_egress(allowed=(), resolve=resolver), url) is expected


@given(url=st.text(max_size=60) | st.from_regex(r"https?://[^/]{0,30}/?.{0,20}", fullmatch=True))
def test_any_text_is_a_url_or_a_fault_and_never_a_crash(url: str) -> None:
    """`check_url` is total: whatever a customer writes is parsed or refused."""
    try:
        found: object = CHECKER.check_url(url).scheme
    except EgressError as error:
        found = error.fault

    assert found in {"http", "https", EgressFault.URL_INVALID, EgressFault.URL_FORBIDDEN}


CHECKER = make_egress(allowed=())


def test_international_names_are_looked_up_in_their_ascii_form(origin: ScriptedOrigin) -> None:
    """And paths are percent-encoded."""
    origin.on("/", answer())
    resolver = Resolver(["127.0.0.1"])
    make_egress(resolve=resolver).request("GET", f"http://bücher.example:{origin.port}/größe.jpg")

    assert resolver.asked == ["xn--bcher-kva.example"]
    assert origin.received[0].target == "/gr%C3%B6%C3%9Fe.jpg"


# --- the environment


@pytest.mark.fault("G7")
@pytest.mark.threat("T1")
def test_proxies_and_netrc_of_the_environment_are_ignored(
    origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A dead proxy in every variable changes nothing, and .netrc's password stays home."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    response = make_egress().request("GET", origin.on("/", answer(b"direct")))

    assert response.body == b"direct"
    assert "authorization" not in origin.received[0].headers


# --- time and size


@pytest.mark.fault("D1", "D2")
@pytest.mark.threat("T5")
@pytest.mark.parametrize(
    ("prefix", "piece"),
    [(head(200), b"x"), (b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"), (b"", b"H")],
    ids=["body", "headers", "status line"],
)
def test_one_deadline_spans_everything_a_dripping_origin_sends(
    origin: ScriptedOrigin, prefix: bytes, piece: bytes
) -> None:
    """Each piece arrives within the read time-out; the whole is cut at the total."""
    begun = time.monotonic()

    assert fault(make_egress(), origin.on("/", drip(prefix, piece))) is EgressFault.TIMEOUT
    assert time.monotonic() - begun < 1.1


@pytest.mark.threat("T5")
def test_the_deadline_spans_redirects_too(origin: ScriptedOrigin) -> None:
    """Hops that each take a while share one budget."""

    def slow_hop(exchange: Exchange) -> None:
        if not exchange.pause(0.25):
            redirect("/next")(exchange)

    assert fault(make_egress(), origin.on("/", slow_hop)) is EgressFault.TIMEOUT


@pytest.mark.fault("D3")
def test_a_connection_that_is_never_accepted_is_given_up(dialled: list[Any]) -> None:
    """A listener whose queue is full drops what comes: the call ends at the connect time-out, and is transient."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(3):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        dialled.clear()
        begun = time.monotonic()

        found = fault(make_egress(), f"http://127.0.0.1:{full.getsockname()[1]}/")

    assert found is EgressFault.CONNECT_FAILED
    assert 0.25 < time.monotonic() - begun < 0.6
    assert len(dialled) == 1


@pytest.mark.fault("D19")
def test_a_name_with_a_hundred_dead_addresses_does_not_outlive_the_deadline() -> None:
    """Each is tried in turn; the total time-out spans them all."""
    egress = make_egress(
        allowed=parse_networks(("127.0.0.0/8",)), resolve=Resolver([f"127.0.1.{number}" for number in range(1, 101)])
    )
    begun = time.monotonic()

    assert fault(egress, "http://many.example:1/") in {EgressFault.CONNECT_FAILED, EgressFault.TIMEOUT}
    assert time.monotonic() - begun < 1.0


@pytest.mark.fault("D19")
@pytest.mark.threat("T5")
def test_a_slow_name_lookup_is_cut_at_the_deadline() -> None:
    """Getaddrinfo cannot be interrupted, but nobody waits for it."""
    release = threading.Event()

    def stuck(*_question: object) -> list[Any]:
        release.wait(5)
        return []

    try:
        assert fault(make_egress(resolve=stuck), "http://slow.example/") is EgressFault.TIMEOUT
    finally:
        release.set()


@pytest.mark.fault("D19")
@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_cannot_be_resolved_is_transient(error: Exception) -> None:
    """A name server in trouble looks the same as a name that does not exist."""

    def failing(*_question: object) -> list[Any]:
        raise error

    with pytest.raises(EgressError) as caught:
        make_egress(resolve=failing).request("GET", "http://nowhere.example/")

    assert (caught.value.fault, caught.value.transient) == (EgressFault.DNS_FAILED, True)


def test_a_body_can_be_cut_instead_of_refused(origin: ScriptedOrigin) -> None:
    """For answers of which only the beginning matters."""
    url = origin.on("/", endless(head(200), b"x" * 65536))
    response = make_egress().request("GET", url, truncate_at=1000)

    assert (len(response.body), response.truncated) == (1000, True)


def test_a_length_that_is_no_number_is_not_believed(origin: ScriptedOrigin) -> None:
    """What comes is counted instead: `str.isdigit` holds for a superscript, `int` refuses it."""
    url = origin.on("/odd", raw(head(200, [("Content-Length", "\u00b2")]) + b"body"))

    assert make_egress().request("GET", url).body == b"body"


@pytest.mark.fault("D7")
def test_a_length_of_five_thousand_digits_is_too_large(origin: ScriptedOrigin) -> None:
    """`int` refuses that many; the beginning says enough."""
    url = origin.on("/odd", raw(head(200, [("Content-Length", "9" * 5000)]) + b"body"))

    with pytest.raises(EgressError) as caught:
        make_egress().request("GET", url)

    assert caught.value.fault is EgressFault.TOO_LARGE


def test_a_redirect_can_be_returned_instead_of_followed(origin: ScriptedOrigin) -> None:
    """Webhooks do not follow redirects."""
    response = make_egress().request("POST", origin.on("/", redirect("/next")), body=b"{}", follow_redirects=False)

    assert (response.status, response.headers["location"]) == (302, "/next")
    assert [request.target for request in origin.received] == ["/"]


def test_headers_are_found_in_any_case(origin: ScriptedOrigin) -> None:
    """HTTP header names have no case."""
    response = make_egress().request("GET", origin.on("/", answer(headers=[("rEtRy-aFtEr", "5")])))

    assert response.headers["Retry-After"] == "5"


def test_a_post_carries_its_body_and_headers(origin: ScriptedOrigin) -> None:
    """What is signed is what is sent."""
    origin.on("/hook", answer(b"ok"))
    make_egress().request("POST", origin.url("/hook"), body=b'{"a": 1}', headers={"webhook-id": "msg_1"})

    (received,) = origin.received
    assert (received.method, received.body, received.headers["webhook-id"]) == ("POST", b'{"a": 1}', "msg_1")


@pytest.mark.fault("G10")
@pytest.mark.threat("T9")
def test_a_faults_detail_names_no_address(origin: ScriptedOrigin) -> None:
    """What a customer reads says nothing about our network."""
    with pytest.raises(EgressError) as caught:
        make_egress(allowed=()).request("GET", origin.url("/"))

    assert "127.0.0.1" not in str(caught.value)


def test_transient_faults_are_the_networks_and_not_the_urls() -> None:
    """A URL that is refused once is refused always."""
    assert {
        EgressFault.DNS_FAILED,
        EgressFault.CONNECT_FAILED,
        EgressFault.TIMEOUT,
        EgressFault.INCOMPLETE,
    } == TRANSIENT_FAULTS
