"""Whatever a stranger sends to the chassis' parsers is read in time linear in its bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from pydantic import ConfigDict

from chassis.auth.api_keys import ApiKey, find_key, new_key, parse_api_keys
from chassis.auth.oidc import TokenVerifier
from chassis.clock import SystemClock
from chassis.egress.client import Egress, EgressError, EgressPolicy
from chassis.egress.cookies import CallCookies
from chassis.errors import ApiError
from chassis.http.app import new_app
from chassis.http.fields import PublicRequest, storable
from chassis.http.page_tokens import position_of, row_number_of
from chassis.http.requests import json_object, parse_id, parse_query, shown, takes_query, validate
from chassis.times import parse_rfc3339
from chassis.tracing import begin_trace
from support.growth import MAX_GROWTH, growth

pytestmark = pytest.mark.timing

KEYS = parse_api_keys("\n".join(new_key(owner=f"shop{n}", scopes=["read"]).line for n in range(50)))
VERIFIER = TokenVerifier(
    audience="https://a.test", certs_url="http://127.0.0.1:9", mode="platform", clock=SystemClock()
)
EGRESS = Egress(EgressPolicy(), user_agent="test", clock=SystemClock())


class Order(PublicRequest):
    """A model with few fields."""

    model_config = ConfigDict(strict=True)

    name: str = ""


def refused(work: Callable[..., object]) -> Callable[..., None]:
    """Return the work, whose refusal of its input is as good as its success."""

    def quiet(given: Any) -> None:
        with suppress(ApiError, EgressError, ValueError):
            work(given)

    return quiet


def encoded(text: str) -> str:
    """Return text as a part of a token has it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


JSON_BODIES: dict[str, Callable[[int], bytes]] = {
    "keys": lambda n: b"{" + b",".join(b'"%06d":1' % key for key in range(n)) + b"}",
    "keys, the last of them twice": lambda n: (
        b"{" + b",".join(b'"%06d":1' % key for key in range(n)) + b',"%06d":2}' % (n - 1)
    ),
    "the same key": lambda n: b"{" + b",".join([b'"a":1'] * n) + b"}",
    "objects in lists": lambda n: b'{"a":[' + b",".join([b'{"b":1,"c":2}'] * n) + b"]}",
    "brackets": lambda n: b"[" * n,
    "closed brackets": lambda n: b"[" * n + b"]" * n,
    "digits": lambda n: b'{"a":' + b"1" * n + b"}",
    "escapes": lambda n: b'{"a":"' + b"\\u00e9" * n + b'"}',
    "surrogates": lambda n: b'{"a":"' + b"\\ud800" * n + b'"}',
    "blanks": lambda n: b" " * n + b"{}",
    "a string without an end": lambda n: b'{"a":"' + b"x" * n,
    "backslashes": lambda n: b'{"a":"' + b"\\" * n,
}


@pytest.mark.parametrize("kind", JSON_BODIES)
def test_a_json_body_is_read_in_linear_time(kind: str) -> None:
    """Keys that stand twice included: looked for in a list, 30,000 of them took nine seconds."""
    # Tables of more keys outgrow the processor's caches, which others use as well.
    size = 1000 if kind.startswith("keys") else 5000
    assert growth(JSON_BODIES[kind], refused(json_object), size=size, most=2 * size) < MAX_GROWTH


def test_unknown_fields_are_refused_in_linear_time() -> None:
    """Fifty of them are told."""

    def check(body: str) -> None:
        validate(Order, json.loads(body))

    assert (
        growth(lambda n: json.dumps({f"k{key}": key for key in range(n)}), refused(check), size=1000, most=2000)
        < MAX_GROWTH
    )


TEXTS: dict[str, tuple[Callable[[int], str], Callable[[str], object]]] = {
    "a page token of brackets": (lambda n: encoded("[" * n), lambda text: position_of("list", text)),
    "a page token of digits": (lambda n: encoded('["list",' + "9" * n + "]"), lambda text: row_number_of("list", text)),
    "a page token of padding": (lambda n: "=" * n, lambda text: position_of("list", text)),
    "an id": (lambda n: "0" * n, parse_id),
    "an id of hyphens": (lambda n: "0-" * n, parse_id),
    "a time": (lambda n: "2026-11-22T10:42:04." + "0" * n, parse_rfc3339),
    "an API key": (lambda n: "prk_" + "a" * n, lambda text: find_key(KEYS, text)),
    "an API key of surrogates": (lambda n: "\ud800" * n, lambda text: find_key(KEYS, text)),
    "a secret of lines": (lambda n: "x\n" * n, parse_api_keys),
    "a secret of blank lines": (lambda n: "\n" * n, parse_api_keys),
    "a token of dots": (lambda n: "Bearer " + "." * n, VERIFIER.account_of),
    "a token of brackets": (lambda n: "Bearer " + encoded("[" * n) + ".e30.e30", VERIFIER.account_of),
    "blanks before a token": (lambda n: "Bearer" + " " * n + "x", VERIFIER.account_of),
    "a name in an error": (lambda n: "\ud800" * n, shown),
    "a text to store": (lambda n: "a" * n + "\x00", storable),
    "a traceparent": (lambda n: "00-" + "a" * n, lambda text: begin_trace({"traceparent": text})),
    "a cloud trace": (lambda n: "a" * 32 + ";" * n, lambda text: begin_trace({"X-Cloud-Trace-Context": text})),
    "a cloud trace of digits": (
        lambda n: "a" * 32 + "/" + "1" * n + "\n",
        lambda text: begin_trace({"X-Cloud-Trace-Context": text}),
    ),
    "a URL to call": (lambda n: "http://a.test/" + "%" * n, EGRESS.check_url),
    "a host to call": (lambda n: "http://" + "a." * n, EGRESS.check_url),
    "a user to call": (lambda n: "http://" + "@" * n + "a.test", EGRESS.check_url),
    "cookies of an answer": (
        lambda n: "a=" + "b; c=" * n,
        lambda text: CallCookies().take("http://a.test/", [text]),
    ),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_is_read_in_linear_time(kind: str) -> None:
    """Most are refused by their length before anything else looks at them."""
    make, work = TEXTS[kind]

    assert growth(make, refused(work), size=20_000) < MAX_GROWTH


@pytest.fixture(scope="module")
def app() -> Flask:
    app = new_app("service", SystemClock(), max_body_bytes=1000)

    @app.get("/orders")
    @takes_query
    def orders() -> dict[str, Any]:
        return parse_query(Order).model_dump()

    return app


QUERIES: dict[str, Callable[[int], str]] = {
    "parameters": lambda n: "&".join(f"k{key}=1" for key in range(n)),
    "the same parameter": lambda n: "&".join(["name=1"] * n),
    "percent signs": lambda n: "name=" + "%" * n,
    "ampersands": lambda n: "&" * n,
}


@pytest.mark.parametrize("path", ["/orders", "/health", "/nowhere"])
@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_string_is_read_in_linear_time(app: Flask, kind: str, path: str) -> None:
    """On routes that read it and on those that refuse it."""
    client = app.test_client()

    assert growth(QUERIES[kind], lambda query: client.get(path, query_string=query), size=2000) < MAX_GROWTH


HEADERS: dict[str, Callable[[int], str]] = {
    "blanks": lambda n: "a" + " " * n + "b",
    "commas": lambda n: "," * n,
    "semicolons": lambda n: ";" * n,
    "quotes": lambda n: '"' * n,
    "equals signs": lambda n: "a=" * n,
}


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key", "X-Request-Id", "Content-Type", "Accept", "Cookie"])
@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_is_read_in_linear_time(app: Flask, kind: str, name: str) -> None:
    """Gunicorn reads 8 KiB of one; what is linear needs no such help."""
    client = app.test_client()

    def ask(value: str) -> object:
        return client.get("/orders", headers={name: value})

    assert growth(HEADERS[kind], ask, size=8000) < MAX_GROWTH


def test_keys_are_read_from_the_secret_in_linear_time() -> None:
    """Also the operator's own mistake must not hold the start."""
    lines = [ApiKey(owner="a", scopes=frozenset({"read"}), sha256=f"{n:064x}").model_dump_json() for n in range(4000)]

    assert growth(lambda n: "\n".join(lines[:n]), refused(parse_api_keys), size=250) < MAX_GROWTH
