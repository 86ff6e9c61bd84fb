"""Hosts that ingest has closed: for how long, and which URLs it means."""

from __future__ import annotations

import pytest

from chassis.clock import SystemClock
from compressor.origin.closed_hosts import ClosedHosts


class LaterClock(SystemClock):
    """The time, and some seconds more."""

    later_s = 0.0

    def monotonic(self) -> float:
        """Return the seconds of a moment that comes later."""
        return super().monotonic() + self.later_s


A = "https://a.example/1.jpg"


def test_a_closed_host_opens_by_itself() -> None:
    """When the time that ingest named is over."""
    clock = LaterClock()
    hosts = ClosedHosts(clock)
    hosts.close(A, 2.0)

    before = hosts.is_closed(A)
    clock.later_s = 2.0

    assert (before, hosts.is_closed(A)) == (True, False)


@pytest.mark.parametrize(
    ("url", "closed"),
    [
        ("https://A.example/2.jpg", True),
        ("https://user:x@a.example/2.jpg", True),
        ("https://a.example:8443/2.jpg", False),
        ("https://b.example/1.jpg", False),
    ],
)
def test_a_host_is_a_name_with_its_port(url: str, closed: bool) -> None:
    """The path, the user and the letters' case do not matter."""
    hosts = ClosedHosts(SystemClock())
    hosts.close(A, 2.0)

    assert hosts.is_closed(url) is closed


def test_nothing_is_closed_for_no_time() -> None:
    """The answer to most outcomes."""
    hosts = ClosedHosts(SystemClock())
    hosts.close(A, 0.0)

    assert hosts.is_closed(A) is False
