"""How many requests a minute a caller may make: a bucket for each key, or for each address where there is no key.

The buckets are in the memory of the process, so that a refusal costs no query; with several instances a caller may have
as many requests from each of them (docs/adr/0029-rates-in-memory.md).
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Annotated

from flask import Flask, request

from chassis.auth.api_keys import MAX_KEY_CHARS, ApiKey, find_key
from chassis.clock import Clock
from chassis.errors import SharedReason
from chassis.http.key_guard import given_key
from chassis.limited import Limited
from chassis.limits import over_limit_facts, quota_exceeded

MAX_CALLERS: Annotated[
    int,
    Limited(
        "callers",
        "the one that was quiet longest begins with a full minute",
        "Callers whose rate a process remembers",
        internal=True,
    ),
] = 10_000


class RequestRate:
    """A token bucket for each caller: a minute's requests at once, refilled evenly.

    Args:
        per_minute: requests a caller may make in a minute.
        clock: the time.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, caller: str) -> float:
        """Take a request off the caller's bucket and return 0, or the seconds until one can be taken."""
        with self._lock:
            now = self._clock.monotonic()
            left, at = self._buckets.pop(caller, (float(self._per_minute), now))
            left = min(self._per_minute, left + (now - at) * self._per_minute / 60)
            wait_s = 0.0 if left >= 1 else (1 - left) * 60 / self._per_minute
            self._buckets[caller] = (left if wait_s else left - 1, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
            return wait_s


def limit_requests(app: Flask, keys: Sequence[ApiKey], clock: Clock, *, per_minute: int, proxies: int) -> None:
    """Refuse requests to the routes that need a scope beyond so many a minute.

    Args:
        app: with the public routes; those that are open to all, the probe among them, are not counted.
        keys: the entries of API keys.
        clock: the time.
        per_minute: requests a caller may make in a minute.
        proxies: how many entries at the end of X-Forwarded-For are those of proxies in front of us; what stands
            before them a client may have invented.

    Raises (in the request):
        ApiError: 429 TOO_MANY_REQUESTS with Retry-After.
    """
    rate = RequestRate(per_minute, clock)

    @app.before_request
    def _count() -> None:
        view = app.view_functions.get(request.endpoint or "")
        if getattr(view, "needed_scope", None) is None:
            return
        wait_s = rate.wait_s(_caller(keys, proxies))
        if wait_s:
            raise quota_exceeded(
                SharedReason.TOO_MANY_REQUESTS,
                f"A caller may make {per_minute} requests in a minute; wait as long as Retry-After says.",
                over_limit_facts("max_requests_per_minute", limit=per_minute, value=per_minute + 1),
                retry_after_s=math.ceil(wait_s),
            )


def _caller(keys: Sequence[ApiKey], proxies: int) -> str:
    given = given_key()
    key = find_key(keys, given) if 0 < len(given) <= MAX_KEY_CHARS else None
    return f"key {key.sha256}" if key else f"address {_network(_address(proxies))}"


def _address(proxies: int) -> str:
    forwarded = [part.strip() for part in ",".join(request.headers.getlist("X-Forwarded-For")).split(",")]
    return forwarded[-proxies] if 0 < proxies <= len(forwarded) else request.remote_addr or ""


def _network(address: str) -> str:
    """Return an address, of IPv6 the network of 64 bits that a subscriber has whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    return str(found if found.version == 4 else ipaddress.ip_network((found, 64), strict=False))
