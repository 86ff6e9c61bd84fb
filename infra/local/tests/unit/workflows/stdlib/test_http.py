"""http.*: what happens at the edges of the host's ports."""

from __future__ import annotations

import json

import pytest

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.http_bodies import value_from_body
from localcloud.workflows.limits import MAX_HTTP_RESPONSE_BYTES
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.host import Host, HttpResponse
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program
from localcloud.workflows.runtime.scripted_host import ScriptedHttp, make_host
from localcloud.workflows.stdlib.http_encoding import HttpArguments, build_request


class NoTokens:
    """A token source whose account cannot be impersonated."""

    def oidc_token(self, audience: str) -> str:
        """Fail as the port allows."""
        raise ValueError(f"no token for {audience}")

    def access_token(self, scopes: list[str]) -> str:
        """Fail as the port allows."""
        raise ValueError(f"no token for {scopes}")


def host_without_tokens() -> Host:
    """Return a host that cannot mint."""
    host = make_host()
    return Host(host.clock, host.http, NoTokens(), host.callbacks, host.log, host.observer)


@pytest.mark.parametrize("kind", ["OIDC", "OAuth2"])
def test_credentials_that_cannot_be_made_are_an_auth_error(kind: str) -> None:
    """The workflow sees AuthError and nothing is sent."""
    arguments = HttpArguments("GET", "https://storage.googleapis.com", auth={"type": kind})

    with pytest.raises(WorkflowError) as caught:
        build_request(host_without_tokens(), arguments)

    assert caught.value.tags == ["AuthError"]


@pytest.mark.parametrize("excess", [0, 1])
async def test_a_response_has_at_most_two_megabytes(excess: int) -> None:
    """One byte more exhausts a limit, which no except catches."""
    response = HttpResponse(200, {"Content-Type": "text/plain"}, b"x" * (MAX_HTTP_RESPONSE_BYTES + excess))
    get = {"try": {"call": "http.get", "args": {"url": "http://a.example"}}}
    handled = {**get, "except": {"as": "e", "steps": [{"r": {"return": "caught"}}]}}
    program = load_program(json.dumps([{"a": handled}, {"b": {"return": "fine"}}]))

    try:
        result = await run_program(program, None, make_host(http=ScriptedHttp([response])))
    except ExecutionFailedError as error:
        result = json.loads(error.payload)["tags"]

    assert result == (["ResourceLimitError"] if excess else "fine")


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("text/plain; charset=iso-8859-1", b"\xe9", "é"),
        ("text/plain; charset=no-such", b"a", b"a"),
        ("text/plain", b"\xff", b"\xff"),
        ("application/json", b"\xff", b"\xff"),
        ("application/json;charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("nonsense", b"a", "a"),
    ],
)
def test_a_body_is_decoded_by_its_type(content_type: str, body: bytes, value: object) -> None:
    """Charsets count, and what does not decode stays bytes; a malformed type is none."""
    assert value_from_body(body, content_type) == value
