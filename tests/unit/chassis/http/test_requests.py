"""What a client sends is read as a model, or refused with one of three reasons; never a crash."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from chassis.clock import SystemClock
from chassis.http.app import new_app
from chassis.http.fields import PeerRequest, PublicRequest, Text
from chassis.http.requests import parse_id, parse_json, parse_query, takes_query

JSON = "application/json"


class Order(PublicRequest):
    """What clients send."""

    name: Text = ""
    count: int = Field(1, ge=1, le=10)


class PeerOrder(PeerRequest):
    """What another of our services sends."""

    name: Text = ""


@pytest.fixture(scope="module")
def app() -> Flask:
    app = new_app("service", SystemClock(), max_body_bytes=2000, former_reasons={"FIELD_INVALID": "BAD_FIELD"})

    @app.post("/orders")
    def create() -> dict[str, Any]:
        return parse_json(Order, max_bytes=1000).model_dump()

    @app.post("/large")
    def large() -> dict[str, Any]:
        return parse_json(Order, max_bytes=3000).model_dump()

    @app.post("/peer")
    def peer() -> dict[str, Any]:
        return parse_json(PeerOrder, may_be_empty=True).model_dump()

    @app.get("/orders")
    @takes_query
    def listed() -> dict[str, Any]:
        return parse_query(Order).model_dump()

    @app.get("/orders/<order_id>")
    def one(order_id: str) -> dict[str, Any]:
        return {"id": str(parse_id(order_id, name="order id"))}

    return app


def send(app: Flask, body: Any, *, path: str = "/orders", content_type: str = JSON) -> tuple[int, str, Any]:
    """Return code, reason and answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = app.test_client().post(path, data=data, content_type=content_type)
    error = (answer.json or {}).get("error")
    return answer.status_code, error["details"][0]["reason"] if error else "", answer.json


def violations(answer: Any) -> dict[str, str]:
    """Return the bad fields of an answer with what is wrong."""
    found = [d for d in answer["error"]["details"] if d["@type"].endswith("BadRequest")]
    return {v["field"]: v["description"] for detail in found for v in detail["fieldViolations"]}


def test_a_body_is_read(app: Flask) -> None:
    """With defaults filled in."""
    assert send(app, {"name": "lamp"}) == (200, "", {"name": "lamp", "count": 1})


def test_every_bad_field_is_named(app: Flask) -> None:
    """Unknown ones as well."""
    code, reason, answer = send(app, {"name": 5, "count": 11, "colour": "red"})

    assert (code, reason) == (400, "FIELD_INVALID")
    assert set(violations(answer)) == {"name", "count", "colour"}
    assert violations(answer)["count"] == "Input should be less than or equal to 10; it is 11"


def test_a_peer_may_say_more_than_is_known(app: Flask) -> None:
    """Two releases run beside each other during a deployment."""
    assert send(app, {"name": "x", "later": 1}, path="/peer") == (200, "", {"name": "x"})


def test_the_former_reason_is_told_beside_the_reason(app: Flask) -> None:
    """For one release, where clients could switch on it."""
    _code, _reason, answer = send(app, {"count": 0})

    assert answer["error"]["details"][0]["metadata"] == {"former_reason": "BAD_FIELD"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"5",
        b"null",
        b"{",
        b'{"name": NaN',
        b"\xff",
        b"\xef\xbb\xbf{}",
        '{"name": "x"}'.encode("utf-16"),
        b"[" * 900,
        b'{"name": ' + b"[" * 400 + b"]" * 400 + b"",
        b'{"count": ' + b"1" * 2900 + b",",
        b'{"name": "a", "name": "b"}',
        b'{"name": {"a": 1, "a": 2}}',
        b'{"\\u0000": 1, "\\u0000": 2}',
        b'{"\\ud800": 1, "\\ud800": 2}',
    ],
)
def test_what_is_no_json_object_is_json_invalid(app: Flask, body: bytes) -> None:
    """Whatever is wrong with it."""
    assert send(app, body, path="/large")[:2] in {(400, "JSON_INVALID"), (413, "BODY_TOO_LARGE")}


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_another_content_type_is_refused(app: Flask, content_type: str) -> None:
    """A page of another site can send those without being asked."""
    assert send(app, {"name": "x"}, content_type=content_type)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_no_body_may_stand_for_an_empty_object(app: Flask) -> None:
    """Where the route says so, whatever its content type."""
    assert send(app, b"", path="/peer", content_type="") == (200, "", {"name": ""})


def test_a_route_may_have_its_own_limit(app: Flask) -> None:
    """The service's limit is 2000 bytes, the routes' 1000, 3000 and the service's."""
    body = b'{"name": "%s"}'

    assert send(app, body % (b"x" * 900))[0] == 200
    assert send(app, body % (b"x" * 1000))[:2] == (413, "BODY_TOO_LARGE")
    assert send(app, body % (b"x" * 2900), path="/large")[0] == 200
    assert send(app, body % (b"x" * 3000), path="/large")[:2] == (413, "BODY_TOO_LARGE")
    assert send(app, body % (b"x" * 1900), path="/peer")[0] == 200
    assert send(app, body % (b"x" * 2000), path="/peer")[:2] == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "\ud800"])
def test_a_text_that_postgresql_cannot_hold_is_refused(app: Flask, name: str) -> None:
    """It would be a 500 when it is stored."""
    code, reason, answer = send(app, {"name": name})

    assert (code, reason, list(violations(answer))) == (400, "FIELD_INVALID", ["name"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("name=a&name=b", "name"),
        ("nmae=a", "nmae"),
        ("count=x", "count"),
        ("count=", "count"),
        ("name=%00", "name"),
        ("%00=1", ""),
        ("%ED%A0%80=1", "%ED%A0%80"),
        ("x" * 500 + "=1", "x" * 100),
    ],
)
def test_a_bad_parameter_is_named(app: Flask, query: str, field: str) -> None:
    """Also one that is given twice, and one that is unknown; the name is cut and cleaned."""
    answer: Any = app.test_client().get(f"/orders?{query}").json

    assert answer["error"]["details"][0]["reason"] == "FIELD_INVALID"
    assert list(violations(answer)) in ([field], [field or "body"])


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/orders?name=x"), ("POST", "/peer?x"), ("GET", "/orders/6b1f2d3e-0000-4000-8000-000000000001?x=1")],
)
def test_a_parameter_of_a_route_that_takes_none_is_refused(app: Flask, method: str, path: str) -> None:
    """It would be ignored in silence; nothing is done."""
    answer = app.test_client().open(path, method=method, json={"name": "x"})

    assert answer.status_code == 400
    assert set(violations(answer.json).values()) == {"is no parameter of this route"}


def test_health_may_be_asked_with_anything(app: Flask) -> None:
    """Watchers add parameters against caches."""
    assert app.test_client().get("/health?now=5").status_code == 200


@pytest.mark.parametrize("value", ["6b1f2d3e-0000-4000-8000-000000000001", "6B1F2D3E-0000-4000-8000-00000000000A"])
def test_an_id_is_read(app: Flask, value: str) -> None:
    """In either case."""
    assert app.test_client().get(f"/orders/{value}").json == {"id": str(UUID(value))}


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "6b1f2d3e-0000-4000-8000-000000000001%0A",
        "6b1f2d3e-0000-4000-8000-000000000001%00",
        "%0A6b1f2d3e-0000-4000-8000-000000000001",
        "6b1f2d3e000040008000000000000001",
        "{6b1f2d3e-0000-4000-8000-000000000001}",
        "urn:uuid:6b1f2d3e-0000-4000-8000-000000000001",
        "6b1f2d3e-0000-4000-8000-00000000000%D9%A1",
        "6b1f2d3e-0000-4000-8000-0000000000011",
    ],
)
def test_what_is_no_id_is_refused(app: Flask, value: str) -> None:
    """A newline at its end included, which `$` in a pattern would let pass."""
    answer: Any = app.test_client().get(f"/orders/{value}").json

    assert answer["error"]["details"][0]["reason"] == "REQUEST_ID_INVALID"
    assert list(violations(answer)) == ["order id"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(app: Flask, body: bytes) -> None:
    """200 or 400, whatever is sent."""
    code, reason, _answer = send(app, body)

    assert (code, reason) in {
        (200, ""),
        (400, "JSON_INVALID"),
        (400, "FIELD_INVALID"),
        (413, "BODY_TOO_LARGE"),
    }
