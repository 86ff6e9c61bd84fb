"""What the chassis tests share: a scripted origin, an identity issuer with its certificates, a clock that is moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from support.scripted_origin import ScriptedOrigin, answer


@dataclass(slots=True)
class MovedClock:
    """A clock that stands still until it is moved."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        """Return a day in 2026."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Return where it stands."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Move it."""
        self.seconds += seconds


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as server:
        yield server


@pytest.fixture(scope="session")
def issuer() -> TokenIssuer:
    return TokenIssuer(IssuerClock())


@pytest.fixture
def certificates(issuer: TokenIssuer) -> Iterator[ScriptedOrigin]:
    """Serve the issuer's certificates at /certs."""
    with ScriptedOrigin() as server:
        body = json.dumps(issuer.certificates()).encode()
        server.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))
        yield server
