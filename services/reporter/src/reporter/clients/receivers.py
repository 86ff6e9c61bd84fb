"""Calls webhook receivers, and says what came of a call. Whatever a receiver answers is an `Outcome`."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from chassis.clock import Clock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from chassis.limited import Limited
from chassis.logs import get_logger
from reporter.errors import endpoint_url_refused
from reporter.settings import ReporterSettings

log = get_logger(__name__)

USER_AGENT = "Pressroom-Webhooks/1 (+https://www.standardwebhooks.com)"

MAX_READ_BYTES: Annotated[int, Limited("bytes", "the rest is not read", "How much of a receiver's answer is read")] = (
    20_000
)
"""How much of a receiver's answer is read at most."""

MAX_ANSWER_BYTES: Annotated[int, Limited("bytes", "the beginning of it", "How much of a receiver's answer is kept")] = (
    2048
)
"""How much of a receiver's answer is kept."""

MAX_RETRY_AFTER_CHARS: Annotated[
    int, Limited("characters", "the beginning of it", "How much of a receiver's Retry-After is read", internal=True)
] = 100
"""How much of a Retry-After header is looked at; an HTTP date has 29 characters."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered: status, its Retry-After header, and the beginning of its body as text."""

    status_code: int
    retry_after: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There was no usable answer; `code` says why: an egress fault, or a failure of our own.

    `final` is True when the same call can never work.
    """

    code: str
    final: bool = False


Outcome = Answered | Unanswered


def new_egress(settings: ReporterSettings, clock: Clock, *, resolve: Any = socket.getaddrinfo) -> Egress:
    """Return a caller of receivers with name lookups of its own."""
    policy = EgressPolicy(
        allowed_networks=parse_networks(settings.egress_allowed_networks),
        ports=frozenset(settings.egress_allowed_ports),
        read_timeout_s=settings.webhook_timeout_s,
        total_timeout_s=settings.webhook_timeout_s,
        max_body_bytes=MAX_READ_BYTES,
    )
    return Egress(policy, user_agent=USER_AGENT, clock=clock, resolve=resolve)


def check_receiver(egress: Egress, url: str) -> None:
    """Refuse a URL that would never be called; nothing is dialled.

    Raises:
        ApiError: 400 ENDPOINT_URL_REFUSED.
    """
    try:
        egress.check_target(url)
    except EgressError as error:
        raise endpoint_url_refused(error.fault, error.detail) from error


def call_receiver(egress: Egress, url: str, *, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Post an event once, follow no redirect, and return what came of it; raises nothing."""
    try:
        response = egress.request(
            "POST",
            url,
            headers={"Content-Type": "application/json", **headers},
            body=body,
            follow_redirects=False,
            truncate_at=MAX_READ_BYTES,
        )
        return _answered(response.status, response.headers, response.body)
    except EgressError as error:
        return Unanswered(str(error.fault), final=error.fault is EgressFault.URL_INVALID)
    except Exception as error:
        log.error("receiver.unreadable", error=type(error).__name__, exc_info=error)
        return Unanswered(EgressFault.INCOMPLETE.value)


def _answered(status_code: int, headers: Mapping[str, str], body: bytes) -> Answered:
    retry_after = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    return Answered(
        status_code,
        None if retry_after is None else retry_after[:MAX_RETRY_AFTER_CHARS],
        # PostgreSQL has no NUL in texts.
        body[:MAX_ANSWER_BYTES].decode(errors="replace").replace("\x00", "\ufffd"),
    )
