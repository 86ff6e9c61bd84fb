"""Callback endpoints: slots, answers to the caller, and what the workflow gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from coroutine_tests import until

WORKFLOW = "projects/demo/locations/us-central1/workflows/w"


def awaiting(method: str = "POST", timeout_s: float = 60.0, first_sleep_s: float = 0.0) -> Any:
    """A program that opens an endpoint and returns the request that arrives."""

    async def program(argument: object, host: Any) -> object:
        url = host.callbacks.create(method)
        if first_sleep_s:
            await host.clock.sleep(first_sleep_s)
        return await host.callbacks.wait(url, timeout_s)

    return program


async def start(emulator: Any, program: Any) -> tuple[str, str]:
    """Start the program; return the execution's name and the path of its endpoint."""
    emulator.programs["await"] = program
    emulator.deploy("await")
    name = emulator.start()
    await until(lambda: bool(emulator.callbacks.endpoints(name)))
    return name, f"/v1/{emulator.callbacks.endpoints(name)[0].name}"


async def test_request_is_given_to_the_waiting_execution(emulator: Any) -> None:
    """The result has the documented shape: canonical headers, a query map, the parsed body."""
    async with emulator.rest() as client:
        name, path = await start(emulator, awaiting())
        response = await client.post(f"{path}?a=1&b=x%20y", json={"n": 1}, headers={"x-MY-header": "v"})
        text = await response.text()
        shown = await emulator.finish(name)

    result = json.loads(shown["result"])
    headers = result["http_request"].pop("headers")
    assert (response.status, text) == (200, "")
    assert (headers["X-My-Header"], headers["Content-Type"]) == ("v", "application/json")
    assert result == {
        "http_request": {
            "body": {"n": 1},
            "method": "POST",
            "query": {"a": "1", "b": "x y"},
            "url": path,
        },
        "received_time": "2023-11-14 22:13:20.000000 +0000 UTC",
        "type": "HTTP",
    }


async def test_request_before_the_wait_is_kept_and_the_next_is_429(emulator: Any) -> None:
    """One request is kept for a later wait; a second one before that is told to come back."""
    async with emulator.rest() as client:
        name, path = await start(emulator, awaiting(first_sleep_s=10))
        answers = [(await client.post(path, json=number)).status for number in (1, 2)]
        await emulator.clock.advance(10)
        shown = await emulator.finish(name)

    assert answers == [200, 429]
    assert json.loads(shown["result"])["http_request"]["body"] == 1


async def test_endpoint_can_be_awaited_again_and_again(emulator: Any) -> None:
    """Each wait takes one request."""

    async def twice(argument: object, host: Any) -> object:
        url = host.callbacks.create("GET")
        return [(await host.callbacks.wait(url, 60))["http_request"]["query"] for _ in range(2)]

    async with emulator.rest() as client:
        name, path = await start(emulator, twice)
        for number in (1, 2):
            assert (await client.get(f"{path}?n={number}")).status == 200
            await asyncio.sleep(0)
        shown = await emulator.finish(name)

    assert json.loads(shown["result"]) == [{"n": "1"}, {"n": "2"}]


async def test_parallel_waits_each_take_one_request(emulator: Any) -> None:
    """Several waits on one endpoint open several slots."""

    async def both(argument: object, host: Any) -> object:
        url = host.callbacks.create("GET")
        events = await asyncio.gather(*(host.callbacks.wait(url, 60) for _ in range(2)))
        return sorted(event["http_request"]["query"]["n"] for event in events)

    async with emulator.rest() as client:
        name, path = await start(emulator, both)
        answers = [(await client.get(f"{path}?n={number}")).status for number in (1, 2)]
        shown = await emulator.finish(name)

    assert (answers, shown["result"]) == ([200, 200], '["1","2"]')


async def test_wait_times_out_on_the_emulators_clock(emulator: Any) -> None:
    """Without a request the wait ends after its timeout, and frees its slot."""

    async def timed(argument: object, host: Any) -> object:
        url = host.callbacks.create("POST")
        try:
            return await host.callbacks.wait(url, 30)
        except TimeoutError as error:
            await host.clock.sleep(1)
            return str(error)

    name, _ = await start(emulator, timed)

    await emulator.clock.advance(30)
    endpoint = emulator.callbacks.endpoints(name)[0]
    assert not endpoint.waiters
    await emulator.clock.advance(1)
    shown = await emulator.finish(name)

    assert shown["result"] == '"no callback arrived within 30 s"'


async def test_wait_on_another_executions_endpoint_is_a_key_error(emulator: Any) -> None:
    """Only the execution that created an endpoint can wait on it."""
    name, path = await start(emulator, awaiting())

    with pytest.raises(KeyError):
        await emulator.callbacks.wait(f"{WORKFLOW}/executions/other", f"http://emulator{path}", 1)
    emulator.executions.cancel(name)


async def test_endpoint_ends_with_its_execution(emulator: Any) -> None:
    """A request to an ended execution is 404."""
    async with emulator.rest() as client:
        name, path = await start(emulator, awaiting())
        emulator.executions.cancel(name)
        response = await client.post(path)

    assert response.status == 404


async def test_request_with_another_method_is_refused(emulator: Any) -> None:
    """The endpoint takes its own method only."""
    async with emulator.rest() as client:
        _, path = await start(emulator, awaiting("PUT"))
        answers = [(await client.post(path)).status, (await client.put(path)).status]

    assert answers == [404, 200]


async def test_endpoints_are_listed_with_waiters_and_payloads(emulator: Any) -> None:
    """The list shows who waits and what is kept."""

    async def two(argument: object, host: Any) -> object:
        host.callbacks.create("POST")
        waited = host.callbacks.create("GET")
        return await host.callbacks.wait(waited, 60)

    async with emulator.rest() as client:
        name, _ = await start(emulator, two)
        kept = next(e for e in emulator.callbacks.endpoints(name) if e.method == "POST")
        await client.post(f"/v1/{kept.name}", data=b"\xff\x00")
        listed = (await (await client.get(f"/v1/{name}/callbacks")).json())["callbacks"]

    by_method = {endpoint["method"]: endpoint for endpoint in listed}
    assert by_method["GET"]["waiters"] == "1"
    assert json.loads(by_method["POST"]["availablePayloads"][0])["http_request"]["body"] == "/wA="


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json; charset=utf-8", b'{"a": 1}', {"a": 1}),
        ("application/json", b"{broken", "{broken"),
        ("text/plain", b"text", "text"),
        ("text/html", "é".encode(), "é"),
        ("application/json", b"", None),
        ("", b"plain", "plain"),
    ],
)
async def test_body_is_decoded_by_its_type(emulator: Any, content_type: str, body: bytes, expected: Any) -> None:
    """Only JSON is parsed; text stays text, and nothing is null."""
    async with emulator.rest() as client:
        name, path = await start(emulator, awaiting())
        await client.post(path, data=body, headers={"Content-Type": content_type})
        shown = await emulator.finish(name)

    assert json.loads(shown["result"])["http_request"]["body"] == expected
