"""Starts the identity servers: one listening port per service account, all with one issuer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from localcloud.core.callers import Callers
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.rest import RestServer
from localcloud.identity.api.rest import ROUTES, MetadataProject, MetadataRest
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer

log = logging.getLogger("localcloud.identity")


METADATA_NAMES = ("metadata.google.internal", "metadata.goog", "metadata")
"""Names of the metadata server in production."""


class IdentityServer:
    """The running metadata ports; made by `start_identity_server`."""

    def __init__(
        self, issuer: TokenIssuer, host: str, clock: Clock | None = None, host_names: Collection[str] = ()
    ) -> None:
        self.issuer = issuer
        self._host = host
        self._clock = clock or issuer.clock
        self._callers = Callers((*METADATA_NAMES, *host_names))
        self._servers: list[RestServer] = []
        self.ports: dict[str, int] = {}
        """Service account email to the port that speaks for it; `GCE_METADATA_HOST` is `host:port`."""

    @property
    def certs_url(self) -> str:
        """URL of the X.509 certificates of the issuer (`{kid: PEM}`)."""
        return f"http://{self._host}:{next(iter(self.ports.values()))}/oauth2/v1/certs"

    @property
    def jwks_url(self) -> str:
        """URL of the issuer's keys as a JSON Web Key Set."""
        return f"http://{self._host}:{next(iter(self.ports.values()))}/oauth2/v3/certs"

    def metadata_host(self, email: str) -> str:
        """Return `host:port`, the value of GCE_METADATA_HOST and GCE_METADATA_IP for whoever runs as `email`."""
        return f"{self._host}:{self.ports[email]}"

    def tokens(self, email: str) -> AccountTokens:
        """Return the token source of a service account: the `token_source` of `start_workflows_server`."""
        return AccountTokens(self.issuer, email)

    async def add_account(self, project: MetadataProject, email: str, port: int) -> None:
        """Listen on `port` (0 picks a free one) as `email`.

        Raises:
            OSError: the port is taken.
        """
        faults = FaultPlan(self._clock, ROUTES)
        rest = MetadataRest(self.issuer, project, email, faults)
        server = RestServer(rest.answer, Control(faults, self._clock, _nothing_to_reset), log, self._callers)
        await server.start(self._host, port)
        self._servers.append(server)
        self.ports[email] = server.port

    async def stop(self) -> None:
        """Close all ports."""
        while self._servers:
            await self._servers.pop().stop()


async def _nothing_to_reset() -> None:
    """A port keeps nothing but its faults."""


async def start_identity_server(
    *,
    host: str = "127.0.0.1",
    accounts: Mapping[str, int],
    issuer: TokenIssuer,
    project: str,
    project_number: str,
    location: str,
    clock: Clock | None = None,
    host_names: Collection[str] = (),
) -> IdentityServer:
    """Start one metadata port per service account, each also serving the issuer's certificates.

    Args:
        host: address to listen on.
        accounts: service account email to port; 0 picks a free port. The first one gives `certs_url`.
        issuer: `TokenIssuer(clock)`; its `mint_id_token` is what Cloud Tasks is given.
        project: project id.
        project_number: project number, digits.
        location: region, e.g. `us-central1`.
        clock: that of ordered faults and of `/_local/time`; the issuer's unless given.
        host_names: names that the ports are reached by, beside localhost, addresses and the metadata server's own.

    Raises:
        ValueError: no accounts.
        OSError: a port is taken; those already opened are closed again.
    """
    if not accounts:
        raise ValueError("the identity server needs at least one service account")
    told = MetadataProject(project, project_number, location)
    server = IdentityServer(issuer, host, clock, host_names)
    try:
        for email, port in accounts.items():
            await server.add_account(told, email, port)
    except OSError:
        await server.stop()
        raise
    return server
