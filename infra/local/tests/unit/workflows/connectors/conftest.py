"""A host whose HTTP answers are scripted and whose clock notes every wait without waiting."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.runtime.host import Host, HttpRequest, HttpResponse

METHODS = connector_methods()


class InstantClock:
    """Time that jumps forward by every sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = 1_700_000_000.0

    def now(self) -> float:
        """Return the set time."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Note the wait and move time."""
        self.slept.append(seconds)
        self.time += seconds


class ScriptedHttp:
    """Answers in order; an exception in the script is raised."""

    def __init__(self) -> None:
        self.script: list[HttpResponse | Exception] = []
        self.requests: list[HttpRequest] = []

    def answers(self, *bodies: Any, code: int = 200) -> None:
        """Append JSON answers to the script."""
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        self.script += [HttpResponse(code, headers, json.dumps(body).encode()) for body in bodies]

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Give the next answer."""
        self.requests.append(request)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class PlainTokens:
    """Tokens that say what they are."""

    def oidc_token(self, audience: str) -> str:
        """Return an identity token."""
        return f"id:{audience}"

    def access_token(self, scopes: list[str]) -> str:
        """Return an access token."""
        return f"access:{','.join(scopes)}"


class Caller:
    """Calls connectors by name."""

    def __init__(self) -> None:
        self.clock = InstantClock()
        self.http = ScriptedHttp()
        unused: Any = None
        self.counted_steps = 0
        self.host = Host(
            clock=self.clock,
            http=self.http,
            tokens=PlainTokens(),
            callbacks=unused,
            log=unused,
            observer=unused,
            env={"GOOGLE_CLOUD_PROJECT_ID": "demo", "GOOGLE_CLOUD_LOCATION": "us-central1"},
            count_step=self._count_step,
        )

    def _count_step(self) -> None:
        self.counted_steps += 1

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call `googleapis.<name>`."""
        return await METHODS[f"googleapis.{name}"](self.host, arguments)

    @property
    def sent(self) -> tuple[str, str]:
        """Verb and URL of the last request."""
        return self.http.requests[-1].method, self.http.requests[-1].url

    @property
    def sent_json(self) -> Any:
        """Body of the last request."""
        return json.loads(self.http.requests[-1].body or b"null")


@pytest.fixture
def caller() -> Caller:
    return Caller()
