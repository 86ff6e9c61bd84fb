"""Runs the conformance cases of the workflow language: cases/workflows/*.yaml.

A file is a list of groups. A group says once how its cases are known (`known_from`, `source` and, for assumed cases,
`fidelity`: the id of a line in localcloud/fidelity.yaml) and may share a `given` or a `program`; a case may override
each. A case evaluates an `expression` (with `given` variables) or runs a `program` (with `argument`, scripted `http`,
`callbacks` and `env`), and expects `result`, `error` (the whole raised value), `error_tags`, `context`, `stack_trace`
or `deploy_error` (a part of its message, with `line` and `column`); also `requests`, `delays`, `log`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.host import (
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpRequest,
    HttpResponse,
    HttpTimedOut,
)
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program
from localcloud.workflows.runtime.scripted_host import (
    LeapingClock,
    RememberedLog,
    ScriptedCallbacks,
    ScriptedHttp,
    make_host,
)
from localcloud.workflows.source.errors import SourceError

CASES = Path(__file__).parent / "cases" / "workflows"
KNOWN_FROM = {"documented", "recorded", "assumed"}
KEYS = {
    "name", "known_from", "source", "fidelity",
    "given", "expression", "program", "argument", "http", "callbacks", "env",
    "result", "error", "error_tags", "context", "stack_trace", "deploy_error", "line", "column", "requests", "delays",
    "log",
}  # fmt: skip
CONNECTION_FAULTS = {"refuse": HttpConnectionFailed, "break": HttpConnectionBroken, "time out": HttpTimedOut}


def _cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.yaml")):
        for group in yaml.load(path.read_text(), Loader=yaml.CSafeLoader):
            shared = {key: value for key, value in group.items() if key != "cases"}
            for case in group["cases"]:
                merged = {**shared, **case}
                title = merged.get("name") or merged["expression"]
                yield pytest.param(merged, id=f"{path.stem}: {title}")


ALL_CASES = list(_cases())


class _ConnectionScript(ScriptedHttp):
    """A script written in YAML: maps of code, headers, body, or the name of a connection fault."""

    def __init__(self, script: list[Any]) -> None:
        super().__init__(_answer(each) for each in script)


def _answer(entry: Any) -> HttpResponse | Exception:
    if isinstance(entry, str):
        return CONNECTION_FAULTS[entry]()
    body = entry.get("body", "")
    headers = entry.get("headers", {"Content-Type": "application/json"})
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return HttpResponse(entry.get("code", 200), headers, content)


def _source(case: dict[str, Any]) -> str:
    if "program" in case:
        return str(case["program"])
    steps: list[Any] = [{"evaluate": {"return": f"${{{case['expression']}}}"}}]
    if case.get("given"):
        steps.insert(0, {"given": {"assign": [{name: value} for name, value in case["given"].items()]}})
    return json.dumps({"main": {"steps": steps}})


def _request(request: HttpRequest) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": None if request.body is None else request.body.decode(),
        "timeout_s": request.timeout_s,
    }


class Outcome:
    """What one case came to, keyed like the expectations."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.seen: dict[str, Any] = {}
        clock, log = LeapingClock(), RememberedLog()
        http, callbacks = _ConnectionScript(case.get("http", [])), ScriptedCallbacks(case.get("callbacks", []))
        host = make_host(clock=clock, log=log, http=http, callbacks=callbacks, env=case.get("env"))
        try:
            program = load_program(_source(case))
            self.seen["result"] = asyncio.run(run_program(program, case.get("argument"), host))
        except SourceError as error:
            self.seen |= {"deploy_error": error.message, "line": error.line, "column": error.column}
        except ExecutionFailedError as error:
            self.seen |= _failure(error)
        self.seen["requests"] = [_request(request) for request in http.requests]
        self.seen["delays"] = clock.requested
        self.seen["log"] = [list(entry) for entry in log.entries]


def _failure(error: ExecutionFailedError) -> dict[str, Any]:
    value = json.loads(error.payload)
    return {
        "error": value,
        "error_tags": value.get("tags") if isinstance(value, dict) else None,
        "context": error.context,
        "stack_trace": [[f.step, f.routine, f.line, f.column, f.length] for f in error.stack_trace],
    }


def _same(actual: Any, expected: Any) -> bool:
    """Return whether two values are equal without mixing booleans, integers and doubles."""
    if type(actual) is not type(expected):
        return False
    if isinstance(actual, list):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(actual, dict):
        return actual.keys() == expected.keys() and all(_same(actual[key], expected[key]) for key in actual)
    return bool(actual == expected)


def _holds(key: str, seen: dict[str, Any], expected: Any) -> bool:
    if key not in seen:
        return False
    if key == "deploy_error":
        return expected in seen[key]
    if key == "requests":
        return len(seen[key]) == len(expected) and all(
            all(_same(request[part], content) for part, content in wanted.items())
            for request, wanted in zip(seen[key], expected, strict=True)
        )
    return _same(seen[key], expected)


EXPECTATIONS = (
    "result", "error", "error_tags", "context", "stack_trace", "deploy_error", "line", "column", "requests", "delays",
    "log",
)  # fmt: skip


@pytest.mark.parametrize("case", ALL_CASES)
def test_case_behaves_as_its_source_says(case: dict[str, Any]) -> None:
    """A program or expression gives what the documentation, a recording or our stated assumption says."""
    expected = {key: case[key] for key in EXPECTATIONS if key in case}

    outcome = Outcome(case)

    wrong = {key: value for key, value in expected.items() if not _holds(key, outcome.seen, value)}
    assert not wrong, f"expected {wrong}\nseen {outcome.seen}\nsource: {case['source']}"
    assert expected.keys() & {"result", "error", "error_tags", "context", "stack_trace", "deploy_error"}


def test_every_case_says_how_it_is_known() -> None:
    """Every case names its evidence and has no key that the runner would ignore."""
    cases = [each.values[0] for each in ALL_CASES]

    unfounded = [each for each in cases if each.get("known_from") not in KNOWN_FROM or not each.get("source")]
    misspelt = [each.keys() - KEYS for each in cases if not each.keys() <= KEYS]

    assert (unfounded, misspelt) == ([], [])
