"""A caller makes so many requests in a minute, whoever else calls; what is refused says when to come again."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from chassis.auth.api_keys import Scope, new_key, parse_api_keys
from chassis.http.app import new_app
from chassis.http.key_guard import KeyGuard
from chassis.http.request_rate import MAX_CALLERS, RequestRate, limit_requests

ONE, OTHER = new_key(owner="shop", scopes=["read"]), new_key(owner="shop", scopes=["read"])
KEYS = f"{ONE.line}\n{OTHER.line}"


def make_app(clock: Any, *, keys: str = KEYS, proxies: int = 1) -> Flask:
    """Return an application with a guarded and an open route, and three requests a minute."""
    app = new_app("service", clock, max_body_bytes=1000)
    entries = parse_api_keys(keys)
    app.get("/things")(KeyGuard(entries, clock).needs(Scope.READ)(dict))
    limit_requests(app, entries, clock, per_minute=3, proxies=proxies)
    return app


def codes(app: Flask, count: int, key: str = "", **headers: str) -> list[int]:
    """Return the codes of so many requests."""
    given = {name.replace("_", "-"): value for name, value in headers.items()} | ({"X-API-Key": key} if key else {})
    return [app.test_client().get("/things", headers=given).status_code for _ in range(count)]


@pytest.mark.threat("T6")
def test_a_key_beyond_its_rate_is_told_when_to_come_again(clock: Any) -> None:
    """429 with the reason, the limit by its name and Retry-After; and then it is as it says."""
    app = make_app(clock)
    assert codes(app, 3, ONE.key) == [200] * 3

    refused = app.test_client().get("/things", headers={"X-API-Key": ONE.key})

    error = refused.json["error"]  # type: ignore[index]
    assert (refused.status_code, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][0]["reason"] == "TOO_MANY_REQUESTS"
    assert error["details"][0]["metadata"]["limit_name"] == "max_requests_per_minute"
    assert refused.headers["Retry-After"] == "20"
    clock.sleep(19.5)
    assert codes(app, 1, ONE.key) == [429]
    clock.sleep(0.5)
    assert codes(app, 2, ONE.key) == [200, 429]


def test_a_keys_rate_is_its_own(clock: Any) -> None:
    """Another key of the same owner, from the same address, goes on."""
    app = make_app(clock)
    codes(app, 4, ONE.key)

    assert codes(app, 3, OTHER.key) == [200] * 3


def test_without_keys_an_address_has_a_rate(clock: Any) -> None:
    """It is what our own proxy has written; what a client wrote before it counts for nothing."""
    app = make_app(clock, keys="off")

    assert codes(app, 3, X_Forwarded_For="198.51.100.7") == [200] * 3
    assert codes(app, 1, X_Forwarded_For="203.0.113.9, 198.51.100.7") == [429]
    assert codes(app, 1, X_Forwarded_For="198.51.100.7, 203.0.113.9") == [200]


@pytest.mark.parametrize(
    ("proxies", "forwarded"),
    [(0, "198.51.100.{}"), (2, "198.51.100.7, 203.0.113.{}"), (1, "2001:db8:0:1::{}"), (3, "198.51.100.{}")],
    ids=["no proxy", "two proxies", "one network of IPv6", "fewer entries than proxies"],
)
def test_callers_cannot_invent_addresses(clock: Any, proxies: int, forwarded: str) -> None:
    """Neither in front of the proxies' entries, nor where there is no proxy, nor within their own network."""
    app = make_app(clock, keys="off", proxies=proxies)

    found = [codes(app, 1, X_Forwarded_For=forwarded.format(number))[0] for number in range(4)]

    assert found == [200, 200, 200, 429]


def test_guesses_at_keys_have_the_rate_of_their_address(clock: Any) -> None:
    """Each wrong key is refused, and after some the address is."""
    app = make_app(clock, proxies=0)

    found = [codes(app, 1, f"prk_{number}" + "a" * 40)[0] for number in range(4)]

    assert found == [401, 401, 401, 429]


def test_routes_that_are_open_to_all_are_not_counted(clock: Any) -> None:
    """The probe, above all."""
    app = make_app(clock, proxies=0)
    codes(app, 4)

    assert app.test_client().get("/health").status_code == 200


def test_memory_is_bounded(clock: Any) -> None:
    """Whoever calls from many addresses pushes out who was quiet longest."""
    rate = RequestRate(1, clock)
    for number in range(MAX_CALLERS + 1):
        assert rate.wait_s(f"address {number}") == 0

    assert rate.wait_s(f"address {MAX_CALLERS}") == 60
    assert rate.wait_s("address 0") == 0
