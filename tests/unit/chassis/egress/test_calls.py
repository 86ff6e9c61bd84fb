"""What a call says of itself, how it follows redirects, and what it tells of its answer."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from chassis.clock import Clock, SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from chassis.egress.connections import Call
from support.scripted_origin import Exchange, ScriptedOrigin, answer, drip, endless, head, raw, redirect, silent


def make_egress(*, resolve: Any = socket.getaddrinfo, **policy: Any) -> Egress:
    settings = EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8",)), **policy)
    return Egress(settings, user_agent="Pressroom-test/1", clock=SystemClock(), resolve=resolve)


def refusal(egress: Egress, url: str) -> tuple[EgressFault, str]:
    with pytest.raises(EgressError) as caught:
        egress.request("GET", url)
    return caught.value.fault, caught.value.detail


def test_a_connection_that_is_not_made_in_the_time_of_the_call_is_a_time_out() -> None:
    """However long one connection alone might take."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(3):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"

        found = refusal(make_egress(connect_timeout_s=30, total_timeout_s=0.2), url)

    assert found == (EgressFault.TIMEOUT, "the connection was not made in time")


def test_a_name_without_an_address_cannot_be_reached() -> None:
    """A name server may say so without an error."""
    egress = make_egress(resolve=lambda *_question: [])

    assert refusal(egress, "http://images.example/") == (EgressFault.DNS_FAILED, "the host name has no address")


def test_a_target_is_checked_however_long_its_name_takes_to_be_found() -> None:
    """Within the time for a connection."""

    def slow(host: str, port: int, *_rest: object) -> list[Any]:
        threading.Event().wait(0.1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))]

    make_egress(resolve=slow, connect_timeout_s=30).check_target("http://images.example/")


@pytest.mark.parametrize(("characters", "allowed"), [(2083, True), (2084, False)])
def test_a_url_has_a_longest_length(characters: int, allowed: bool) -> None:
    """That of the browser that had the shortest one."""
    url = "http://images.example/".ljust(characters, "x")

    if allowed:
        assert make_egress().check_url(url).host == "images.example"
    else:
        with pytest.raises(EgressError) as caught:
            make_egress().check_url(url)
        assert (caught.value.fault, caught.value.detail) == (EgressFault.URL_INVALID, "longer than 2083 characters")


@pytest.mark.parametrize("url", ["http://images.example/a!b", "https://images.example:8443/~x?y=(1)#z"])
def test_a_usual_url_may_be_dialled(url: str) -> None:
    """Every character that a URL may hold is let through."""
    assert make_egress().check_url(url).host == "images.example"


def test_a_call_names_itself_and_wants_its_answer_as_it_is(origin: ScriptedOrigin) -> None:
    """Not packed, and on a connection that ends with it."""
    make_egress().request("GET", origin.on("/", answer()))

    (received,) = origin.received
    said = {name: received.headers.get(name) for name in ("user-agent", "accept-encoding", "connection")}
    assert said == {"user-agent": "Pressroom-test/1", "accept-encoding": "identity", "connection": "close"}


def test_an_origin_that_says_nothing_is_given_up_long_before_the_whole_time_is_over(origin: ScriptedOrigin) -> None:
    """The read time-out is for each silence, the total one for the call."""
    begun = time.monotonic()

    found = refusal(make_egress(read_timeout_s=0.2), origin.on("/", silent()))

    assert found == (EgressFault.TIMEOUT, "the server did not answer in time")
    assert time.monotonic() - begun < 15


def test_a_cookie_that_a_redirect_sets_is_sent_with_the_next_hop_and_then_forgotten(origin: ScriptedOrigin) -> None:
    """Some servers redirect to the same URL until it comes back."""

    def gate(exchange: Exchange) -> None:
        if exchange.request.headers.get("cookie") == "seen=yes":
            answer(b"in")(exchange)
        else:
            answer(status=302, headers=[("Location", "/gate"), ("Set-Cookie", "seen=yes")])(exchange)

    egress = make_egress()
    url = origin.on("/gate", gate)
    bodies = [egress.request("GET", url).body for _ in range(2)]

    assert bodies == [b"in", b"in"]
    assert [received.headers.get("cookie") for received in origin.received] == [None, "seen=yes"] * 2


def test_a_further_header_is_sent_with_every_hop(origin: ScriptedOrigin) -> None:
    """Beside the cookies."""
    origin.on("/", redirect("/next"))
    origin.on("/next", answer())
    make_egress().request("GET", origin.url("/"), headers={"X-Mine": "1"})

    assert [received.headers.get("x-mine") for received in origin.received] == ["1", "1"]


@pytest.mark.parametrize(
    ("locations", "repaired"),
    [([], False), (["/end"], False), (["/e nd"], True), (["/2", "/end"], False), (["/a b", "/end"], True)],
    ids=str,
)
def test_an_answer_tells_whether_a_location_had_to_be_put_right(
    origin: ScriptedOrigin, locations: list[str], repaired: bool
) -> None:
    """Wherever on the way that was."""
    for number, location in enumerate(locations):
        written = ["/", *locations][number].replace(" ", "%20")
        origin.on(written, redirect(location))
    origin.on(["/", *locations][-1].replace(" ", "%20"), answer(b"there"))

    got = make_egress().request("GET", origin.url("/"))

    assert (got.body, got.redirect_repaired) == (b"there", repaired)
    assert got.url == origin.url(["/", *locations][-1].replace(" ", "%20"))


def test_an_answer_tells_how_long_its_own_hop_took(origin: ScriptedOrigin) -> None:
    """The hops before do not count."""

    def slow_redirect(exchange: Exchange) -> None:
        exchange.pause(0.1)
        redirect("/next")(exchange)

    def slower(exchange: Exchange) -> None:
        exchange.pause(0.2)
        answer()(exchange)

    origin.on("/", slow_redirect)
    origin.on("/next", slower)
    begun = time.monotonic()
    got = make_egress().request("GET", origin.url("/"))

    assert 0.19 <= got.first_byte_s <= time.monotonic() - begun - 0.09


@pytest.mark.parametrize(("status", "body"), [(200, b"body"), (299, b"body"), (300, b""), (404, b""), (500, b"")])
def test_bodies_of_answers_that_are_no_success_can_be_left_unread(
    origin: ScriptedOrigin, status: int, body: bytes
) -> None:
    """Nobody looks at them."""
    url = origin.on("/", answer(b"body", status=status))

    got = make_egress().request("GET", url, skip_error_bodies=True)
    assert (got.status, got.url, got.body) == (status, url, body)
    assert make_egress().request("GET", url).body == b"body"


@pytest.mark.parametrize("redirects", [2, 3])
def test_redirects_are_followed_up_to_their_limit(origin: ScriptedOrigin, redirects: int) -> None:
    """The limit itself is allowed."""
    for number in range(redirects):
        origin.on(f"/{number}", redirect(f"/{number + 1}"))
    origin.on(f"/{redirects}", answer(b"there"))
    egress = make_egress(max_redirects=2)

    if redirects == 2:
        assert egress.request("GET", origin.url("/0")).body == b"there"
    else:
        assert refusal(egress, origin.url("/0")) == (EgressFault.REDIRECT_LIMIT, "more than 2 redirects")


def test_a_body_without_a_length_is_counted_over_all_its_pieces(origin: ScriptedOrigin) -> None:
    """Each piece is below the limit."""
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    url = origin.on("/", endless(head(200, [("Transfer-Encoding", "chunked")]), chunk))

    assert refusal(make_egress(max_body_bytes=100_000), url) == (EgressFault.TOO_LARGE, "more than 100000 bytes")


def test_a_chunked_body_is_put_together(origin: ScriptedOrigin) -> None:
    """In its order."""
    url = origin.on("/", raw(head(200, [("Transfer-Encoding", "chunked")]) + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))

    assert make_egress().request("GET", url).body == b"abc"


def test_a_body_that_is_not_packed_as_it_says_is_incomplete(origin: ScriptedOrigin) -> None:
    """It may be whole the next time."""
    url = origin.on("/", answer(b"plain", headers=[("Content-Encoding", "gzip")]))

    assert refusal(make_egress(), url) == (EgressFault.INCOMPLETE, "the content encoding is broken")


@pytest.mark.parametrize("data", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["nothing", "no HTTP"])
def test_an_answer_that_is_none_is_incomplete_while_there_is_time(
    origin: ScriptedOrigin, clock: Clock, data: bytes
) -> None:
    """Even if little of it is left."""
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8",)), total_timeout_s=0.9)
    egress = Egress(policy, user_agent="test", clock=clock)  # on a clock that stands still

    found = refusal(egress, origin.on("/", raw(data)))
    assert found == (EgressFault.INCOMPLETE, "the answer broke off or is not HTTP")


def test_a_call_that_takes_too_long_says_how_long_it_might_have_taken(origin: ScriptedOrigin) -> None:
    """It is no error of ours, so nothing is logged as one."""
    url = origin.on("/", drip(head(200), b"x"))

    with capture_logs() as logs:
        found = refusal(make_egress(total_timeout_s=0.3), url)

    assert found == (EgressFault.TIMEOUT, "not finished after 0.3 s")
    assert logs == []


def test_nothing_of_a_call_is_kept_when_it_is_over(origin: ScriptedOrigin) -> None:
    """Although its time would not be over yet. The one that was watched last may be seen until the next look."""

    def calls() -> int:
        gc.collect()
        return sum(isinstance(each, Call) for each in gc.get_objects())

    egress, url, before = make_egress(), origin.on("/", answer()), calls()
    for _ in range(5):
        egress.request("GET", url)

    assert calls() <= before + 1


def test_the_end_of_a_call_shuts_down_each_of_its_sockets() -> None:
    """Also behind one that the peer has closed already."""
    call = Call(EgressPolicy(), deadline=0.0, clock=SystemClock())
    closed = socket.socket()
    ours, theirs = socket.socketpair()
    with closed, ours, theirs:
        theirs.settimeout(10)
        for sock in (closed, ours):
            call.watch(sock)
        call.expire()
        assert theirs.recv(1) == b""
        call.close()


def test_a_socket_that_is_connected_after_the_end_of_its_call_is_shut_down_at_once() -> None:
    """The deadline may pass while a connection is being made."""
    call = Call(EgressPolicy(), deadline=0.0, clock=SystemClock())
    call.expire()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        call.watch(ours)
        assert theirs.recv(1) == b""
        call.close()


@pytest.mark.parametrize("ends_first", [pytest.param(False, id="reset"), pytest.param(True, id="broken-pipe")])
def test_an_answer_counts_although_the_server_did_not_want_the_whole_body(ends_first: bool) -> None:
    """It answers and closes while the body is on its way: the connection is reset, or its pipe is broken."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
                if ends_first:
                    connection.shutdown(socket.SHUT_WR)

        server = threading.Thread(target=refuse)
        server.start()
        found = make_egress().request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", body=bytes(32_000_000))
        server.join()

    assert found.status == 413
