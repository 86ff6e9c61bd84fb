"""Cookies live for one call, and go only where their server may send them."""

from __future__ import annotations

import pytest

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from support.scripted_origin import Exchange, ScriptedOrigin, answer


@pytest.fixture
def egress() -> Egress:
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8",)), max_redirects=3)
    return Egress(policy, user_agent="test", clock=SystemClock())


def moved(to: str, *cookies: str) -> object:
    return answer(status=302, headers=[("Location", to), *(("Set-Cookie", cookie) for cookie in cookies)])


def gate(origin: ScriptedOrigin, path: str, cookie: str, *set_cookies: str) -> str:
    """Redirect to the same path until the cookie comes back."""

    def script(exchange: Exchange) -> None:
        allowed = cookie in exchange.request.headers.get("cookie", "")
        (answer(b"open") if allowed else moved(path, *set_cookies))(exchange)  # type: ignore[operator]

    return origin.on(path, script)


@pytest.mark.parametrize(
    "set_cookies",
    [
        ("gate=1; Path=/",),
        ("gate=1",),
        ("other=2; Path=/", "gate=1; Path=/gate; HttpOnly; SameSite=Lax"),
        ("gate=1; Max-Age=60; Expires=Wed, 21 Oct 2065 07:28:00 GMT",),
    ],
)
def test_a_gate_opens_when_its_cookie_comes_back(
    egress: Egress, origin: ScriptedOrigin, set_cookies: tuple[str, ...]
) -> None:
    """A redirect to itself until the cookie is there is passed in two requests."""
    response = egress.request("GET", gate(origin, "/gate", "gate=1", *set_cookies))

    assert (response.body, len(origin.received)) == (b"open", 2)


@pytest.mark.parametrize("cookie", ["gate=1; Path=/elsewhere", "gate=1; Domain=other.example", "gate=1; Secure"])
def test_a_cookie_goes_only_where_it_may(egress: Egress, origin: ScriptedOrigin, cookie: str) -> None:
    """Path, domain and https are respected: this gate stays shut."""
    with pytest.raises(EgressError) as caught:
        egress.request("GET", gate(origin, "/gate", "gate=1", cookie))

    assert caught.value.fault is EgressFault.REDIRECT_LIMIT


def test_another_host_gets_no_cookie(egress: Egress, origin: ScriptedOrigin) -> None:
    """The same listener under another address is another server."""
    origin.on("/a", moved(f"http://127.0.0.2:{origin.port}/b", "gate=1; Path=/"))  # type: ignore[arg-type]
    with pytest.raises(EgressError):
        egress.request("GET", origin.url("/a"))  # nobody listens on 127.0.0.2
    origin.on("/c", moved(origin.url("/d"), "gate=1; Path=/"))  # type: ignore[arg-type]
    origin.on("/d", answer(b"x"))
    egress.request("GET", origin.url("/c"))

    assert "cookie" not in origin.received[0].headers
    assert origin.received[-1].headers["cookie"] == "gate=1"


def test_nothing_is_remembered_between_calls(egress: Egress, origin: ScriptedOrigin) -> None:
    """The second call begins without cookies."""
    url = gate(origin, "/gate", "gate=1", "gate=1; Path=/")
    egress.request("GET", url)
    egress.request("GET", url)

    assert ["cookie" in received.headers for received in origin.received] == [False, True, False, True]


@pytest.mark.parametrize(
    "cookie",
    ["", "=", ";;;", "a" * 5000, "gate", "x=1; Expires=" + "9" * 400, "x=1; Max-Age=" + "9" * 4000, "\xff\xfe=\xfd"],
)
def test_an_odd_cookie_costs_nothing(egress: Egress, origin: ScriptedOrigin, cookie: str) -> None:
    """It is left out; the redirect is followed."""
    origin.on("/a", moved("/b", cookie, *["x" * 40] * 100))  # type: ignore[arg-type]
    origin.on("/b", answer(b"here"))

    assert egress.request("GET", origin.url("/a")).body == b"here"
