"""Refuses at the upload the webhook URLs that the reporter would refuse when it is to call them.

By the same guard with the same settings, so that a customer learns of it before the work and not after it. What cannot
be looked up now is accepted: the reporter looks again, and a name server in trouble is no fault of the sheet.
"""

from __future__ import annotations

import socket
from typing import Any

from chassis.clock import Clock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressPolicy
from chassis.errors import FieldViolation, field_invalid
from ingest.settings import IngestSettings

_LOOKUP_S = 2.0


class WebhookTargets:
    """The guard of webhook URLs; it looks names up and never calls.

    Args:
        settings: networks and ports that are allowed.
        clock: the lookup's deadline is kept on it.
        resolve: a `getaddrinfo`; injected by tests.
    """

    def __init__(self, settings: IngestSettings, clock: Clock, *, resolve: Any = socket.getaddrinfo) -> None:
        policy = EgressPolicy(
            allowed_networks=parse_networks(settings.egress_allowed_networks),
            ports=frozenset(settings.egress_allowed_ports),
            connect_timeout_s=_LOOKUP_S,
        )
        self._egress = Egress(policy, user_agent="", clock=clock, resolve=resolve)

    def check(self, url: str | None) -> None:
        """Pass a URL that may be called; None is no URL.

        Raises:
            ApiError: 400 FIELD_INVALID naming `webhook_url`.
        """
        if url is None:
            return
        try:
            self._egress.check_target(url)
        except EgressError as error:
            if error.transient:
                return
            raise field_invalid(
                [FieldViolation("webhook_url", f"{error.fault.value}: {error.detail}")],
                f"The webhook cannot be called: its URL {error.detail}.",
            ) from error
