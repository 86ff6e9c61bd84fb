"""Calls between our services."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chassis.errors import ApiError, Status
from chassis.peer_service import InternalService
from support.scripted_origin import Exchange, ScriptedOrigin, answer, head, raw, redirect, silent

JSON = [("Content-Type", "application/json")]


class FixedTokens:
    """Gives a token that names its audience."""

    def token(self, audience: str) -> str:
        """Return it."""
        return f"token-for-{audience}"


@pytest.fixture
def peer(origin: ScriptedOrigin) -> InternalService:
    return InternalService("ingest", origin.url("/"), FixedTokens())


def refusal(peer: InternalService, **options: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        peer.call("POST", "/thing", body={}, **options)
    return caught.value


def test_a_call_carries_json_and_a_token_for_the_root_url(peer: InternalService, origin: ScriptedOrigin) -> None:
    """The audience is the peer's root URL without a slash at its end."""
    origin.on("/thing", answer(b'{"applied": true}', headers=JSON))

    assert peer.call("PUT", "/thing", body={"a": "é"}) == {"applied": True}
    (received,) = origin.received
    assert (received.method, json.loads(received.body)) == ("PUT", {"a": "é"})
    assert received.headers["authorization"] == f"Bearer token-for-{origin.url('')}"


def test_the_peers_own_error_comes_through(peer: InternalService, origin: ScriptedOrigin) -> None:
    """Status, reason, message, metadata and HTTP code."""
    error = ApiError.to_json(
        ApiError(Status.ABORTED, "BATCH_OWNED", "Owned.", metadata={"by": "x"}),
        domain="ingest",
        request_id="r",
    )
    origin.on("/thing", answer(json.dumps(error).encode(), status=409, headers=JSON))
    caught = refusal(peer)

    assert (caught.http_code, caught.reason, caught.message, caught.metadata) == (
        409,
        "BATCH_OWNED",
        "Owned.",
        {"by": "x"},
    )


@pytest.mark.parametrize(
    "script",
    [
        answer(b"<html>Bad gateway</html>", status=502),
        answer(b"not json", headers=JSON),
        answer(b"[1]", headers=JSON),
        answer(b'{"error": "odd"}', status=500, headers=JSON),
        raw(b""),
        raw(head(200, [("Content-Length", "100")]) + b"{"),
        redirect("http://127.0.0.1:1/"),
    ],
    ids=["proxy page", "not JSON", "a list", "foreign error", "hangs up", "breaks off", "redirect"],
)
def test_a_peer_that_does_not_answer_as_it_should_is_503(
    peer: InternalService, origin: ScriptedOrigin, script: Any
) -> None:
    """Whatever stands between us and the peer: come again, and name the peer."""
    origin.on("/thing", script)
    caught = refusal(peer)

    assert (caught.http_code, caught.reason) == (503, "PEER_UNAVAILABLE")
    assert "ingest" in caught.message


def test_a_silent_peer_is_503_at_the_time_out(peer: InternalService, origin: ScriptedOrigin) -> None:
    """No call waits for ever."""
    origin.on("/thing", silent())

    assert refusal(peer, timeout_s=0.2).reason == "PEER_UNAVAILABLE"


def test_a_connection_that_died_while_idle_is_replaced(peer: InternalService, origin: ScriptedOrigin) -> None:
    """The first connection is closed without an answer; the second try succeeds."""

    def first_hangs_up(exchange: Exchange) -> None:
        if len(origin.received) > 1:
            answer(b"{}", headers=JSON)(exchange)

    origin.on("/thing", first_hangs_up)

    assert peer.call("POST", "/thing", body={}) == {}


def test_lines_are_streamed(peer: InternalService, origin: ScriptedOrigin) -> None:
    """Non-empty lines, one by one."""
    origin.on("/rows", answer(b'{"a":1}\n\n{"a":2}\n'))
    with peer.stream_lines("/rows") as lines:
        assert [json.loads(line) for line in lines] == [{"a": 1}, {"a": 2}]


def test_a_stream_that_breaks_off_is_503(peer: InternalService, origin: ScriptedOrigin) -> None:
    """Half a report is no report."""
    origin.on("/rows", raw(head(200, [("Content-Length", "1000")]) + b'{"a":1}\n'))
    with peer.stream_lines("/rows") as lines, pytest.raises(ApiError) as caught:
        list(lines)

    assert caught.value.http_code == 503


def test_proxies_of_the_environment_never_see_internal_tokens(
    origin: ScriptedOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead proxy changes nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    origin.on("/thing", answer(b"{}", headers=JSON))

    assert InternalService("ingest", origin.url(""), FixedTokens()).call("GET", "/thing") == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(peer: InternalService, origin: ScriptedOrigin, status: int) -> None:
    """The token is for this peer; whoever can answer for it once must not get it sent elsewhere."""
    with ScriptedOrigin() as elsewhere:
        elsewhere.on("/thing", answer(b'{"got": "a token"}', headers=JSON))
        origin.on("/thing", redirect(elsewhere.url("/thing"), status=status))

        with pytest.raises(ApiError) as caught:
            peer.call("GET", "/thing")

        assert caught.value.reason == "PEER_UNAVAILABLE"
        assert elsewhere.received == []
