"""Runs the conformance cases of Cloud Tasks: cases/tasks/*.yaml but dispatch.yaml and errors.yaml.

Groups and evidence are as in `test_workflow_cases`. A case gives `retry` (a retryConfig) and expects `delays`, or
`gives_up` after `attempts` and `elapsed_s`; or `throttled` and expects `delay_s`; or an `http_code` and expects
`is_success` or `rpc_code`; or the body of a `queue` or `task` and expects what is `shown` of it, or an `error` status.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.core.google_errors import GoogleError
from localcloud.core.http_status import is_success, retry_after_s, rpc_code_from_http
from localcloud.tasks.api.queue_resource import queue_from_json, queue_to_json, retry_config_from_json
from localcloud.tasks.api.task_resource import View, task_from_json, task_to_json
from localcloud.tasks.engine.backoff import is_exhausted, retry_delay_s, throttled_delay_s

CASES = Path(__file__).parent / "cases" / "tasks"
QUEUE = "projects/demo/locations/us-central1/queues/cases"
NOW = 1_700_000_000.0


ALL_CASES: list[dict[str, Any]] = [
    case
    for path in sorted(CASES.glob("*.yaml"))
    if path.stem not in ("dispatch", "errors")
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))
    for case in group["cases"]
]
EXPECTATIONS = ("delays", "gives_up", "delay_s", "is_success", "rpc_code", "shown", "error")


def cases_with(key: str) -> list[Any]:
    """Return the cases that expect `key`, as parameters called after their names."""
    return [pytest.param(case, id=case["name"]) for case in ALL_CASES if key in case]


def resource(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return the queue or task of a case as the API shows it.

    Raises:
        GoogleError: it is refused.
    """
    if "queue" in case:
        return queue_to_json(queue_from_json(case["queue"], name=QUEUE))
    return task_to_json(task_from_json(case["task"], queue_name=QUEUE, serial=1, now=NOW), View.FULL)


def part_of(shown: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `shown` that `wanted` names, at every depth."""
    return {
        key: part_of(shown[key], value) if isinstance(value, dict) else shown.get(key) for key, value in wanted.items()
    }


@pytest.mark.parametrize("case", cases_with("delays"))
def test_waits_are_those_of_the_case(case: dict[str, Any]) -> None:
    """The waits between attempts double, then grow by the last step, and stay below the longest."""
    config = retry_config_from_json(case["retry"], at="retry")

    waits = [retry_delay_s(failures, config) for failures in range(1, len(case["delays"]) + 1)]

    assert waits == pytest.approx(case["delays"])


@pytest.mark.parametrize("case", cases_with("gives_up"))
def test_task_is_given_up_as_the_case_says(case: dict[str, Any]) -> None:
    """A task is given up when its attempts are used and its time is over."""
    config = retry_config_from_json(case["retry"], at="retry")

    assert is_exhausted(case["attempts"], elapsed_s=case["elapsed_s"], config=config) is case["gives_up"]


@pytest.mark.parametrize("case", cases_with("delay_s"))
def test_overloaded_target_is_waited_for(case: dict[str, Any]) -> None:
    """After 429 and 503 the wait is longer than the backoff."""
    asked = retry_after_s(case["throttled"].get("retry_after"), now=0.0)

    assert throttled_delay_s(case["throttled"]["backoff_s"], asked) == case["delay_s"]


@pytest.mark.parametrize("case", cases_with("is_success"))
def test_answer_is_a_success_or_a_failure(case: dict[str, Any]) -> None:
    """2xx and nothing else accepts a task."""
    assert is_success(case["http_code"]) is case["is_success"]


@pytest.mark.parametrize("case", cases_with("rpc_code"))
def test_answer_shows_as_a_status_code(case: dict[str, Any]) -> None:
    """The last attempt of a task holds the google.rpc code of the answer."""
    assert rpc_code_from_http(case["http_code"]) == case["rpc_code"]


@pytest.mark.parametrize("case", cases_with("shown"))
def test_resource_is_shown_as_the_case_says(case: dict[str, Any]) -> None:
    """Defaults are filled in, numbers and times are normalised, and output-only fields are not taken."""
    assert part_of(resource(case), case["shown"]) == case["shown"]


@pytest.mark.parametrize("case", cases_with("error"))
def test_resource_is_refused_as_the_case_says(case: dict[str, Any]) -> None:
    """What the API does not allow is refused with its status."""
    with pytest.raises(GoogleError) as refusal:
        resource(case)

    assert refusal.value.status == case["error"]


def test_every_case_expects_one_thing() -> None:
    """No case is left out because its expectation is misspelt."""
    assert [case for case in ALL_CASES if len(case.keys() & set(EXPECTATIONS)) != 1] == []
