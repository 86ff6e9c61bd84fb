"""Hosts that ingest has closed: images of them go back unfetched, although their tasks were planned before."""

from __future__ import annotations

from urllib.parse import urlsplit

from chassis.clock import Clock

_MOST = 10_000
"""Hosts remembered; beyond, those that are open again are forgotten."""


class ClosedHosts:
    """Remembers until when hosts are closed. Shared by threads: every step is one operation on a dict."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def close(self, url: str, seconds: float) -> None:
        """Close the host of a URL for some seconds; it opens by itself."""
        if seconds <= 0:
            return
        host, now = _host_of(url), self._clock.monotonic()
        if len(self._until) >= _MOST:
            self._until = {name: until for name, until in self._until.copy().items() if until > now}
        self._until[host] = now + seconds

    def is_closed(self, url: str) -> bool:
        """Return whether no image of a URL's host may be fetched now."""
        return self._until.get(_host_of(url), 0.0) > self._clock.monotonic()


def _host_of(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2].lower()
