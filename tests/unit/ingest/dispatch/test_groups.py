"""Groups of tasks: what one call creates, how it is named, and what becomes of tasks that were not created."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import pytest

from ingest.dispatch.groups import MAX_GROUP, TaskGroup, task_groups
from ingest.dispatch.tasks import ClaimedImage, ImageTask, task_id
from support.ingest_service import Lab, claimed_of

UNAVAILABLE, ALREADY_EXISTS, INVALID_ARGUMENT = 14, 6, 3


def urls(count: int, row: int = 0) -> str:
    """Return a cell with so many links of its own."""
    return " ".join(f"https://a.example/{row}-{number}.jpg" for number in range(count))


def claimed(lab: Lab, *cells: str) -> tuple[str, str, dict[str, Any]]:
    """Return a batch, the execution that owns it and its first page."""
    request_id = lab.submit(*cells)
    execution = lab.start(request_id)
    return request_id, execution, lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json


def test_groups_are_whole_rows() -> None:
    """A row that does not fit any more begins the next group; only a larger row is divided."""

    def sizes(*rows: int) -> list[int]:
        moment = datetime.now(UTC)
        tasks = [
            ImageTask([ClaimedImage(row, "a.example", moment, {})])
            for row, count in enumerate(rows)
            for _ in range(count)
        ]
        return [len(group.tasks) for group in task_groups(tasks)]

    assert sizes(30, 45, 26) == [75, 26]
    assert sizes(3, MAX_GROUP + 5, 2) == [3, MAX_GROUP, 5, 2]
    assert sizes() == []


def test_a_request_is_ready_to_be_sent(lab: Lab) -> None:
    """With queue, name, time, target and token, so that the workflow passes it on as it is."""
    request_id, _, page = claimed(lab, urls(1))

    [request] = page["groups"][0]["requests"]
    task = request["task"]
    # All that is done for a batch is found by its id: it is the id of its trace.
    assert task["httpRequest"]["headers"]["traceparent"].split("-")[1] == str(request_id).replace("-", "")
    assert request["parent"] == lab.settings.images_queue
    assert task["name"].startswith(f"{request['parent']}/tasks/")
    assert task["dispatchDeadline"] == "120s"
    assert task["httpRequest"]["url"] == "http://compressor.test/compress"
    assert task["httpRequest"]["oidcToken"] == {
        "serviceAccountEmail": lab.settings.compressor_tasks_service_account,
        "audience": "http://compressor.test",
    }


@pytest.mark.fault("A10")
def test_a_group_is_named_by_its_attempts(lab: Lab) -> None:
    """The same images with other attempts are another call, or Cloud Tasks would answer the old operation."""
    request_id, execution, page = claimed(lab, urls(3))
    lab.change("UPDATE images SET lease_until = now()")

    again = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json

    assert len(claimed_of(again)) == 3
    assert again["groups"][0]["request_id"] != page["groups"][0]["request_id"]


def test_the_name_of_a_group_is_the_same_in_every_release() -> None:
    """A repeat that another release makes during a deployment creates nothing twice."""
    moment = datetime.now(UTC)
    payloads = [{"request_id": str(UUID(int=1)), "image_id": str(UUID(int=n)), "attempt": 1} for n in (2, 3)]
    tasks = [ImageTask([ClaimedImage(1, "a.example", moment, payload)]) for payload in payloads]

    names = " ".join(task_id(UUID(int=1), UUID(int=n), 1) for n in (2, 3))
    assert TaskGroup(tasks).request_id == uuid5(UUID("0d6f1a0e-6f0d-4f7f-9d53-7d3f2f0c9a11"), names)


def failed(code: int) -> dict[str, Any]:
    """Return the status of a task that was not created."""
    return {"code": code, "message": f"code {code}", "details": []}


@pytest.mark.fault("A23")
def test_what_was_not_created_waits_again_at_once(lab: Lab) -> None:
    """Without an attempt lost; a task that exists is no failure."""
    request_id, execution, page = claimed(lab, urls(4))
    leases = page["groups"][0]["leases"]

    failures = {"1": failed(UNAVAILABLE), "3": failed(ALREADY_EXISTS)}
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=failures).json

    assert answer == {"images": 1, "refusal": None}
    found = lab.rows("SELECT status, attempt_limit - attempt AS left FROM images ORDER BY slot")
    budget = lab.settings.max_attempts
    assert [(row["status"], row["left"]) for row in found] == [
        ("DISPATCHED", budget - 1),
        ("PENDING", budget),
        ("DISPATCHED", budget - 1),
        ("DISPATCHED", budget - 1),
    ]


@pytest.mark.fault("A23")
def test_a_call_that_failed_gives_all_images_back(lab: Lab) -> None:
    """None of them waits for its lease."""
    request_id, execution, page = claimed(lab, urls(4))

    leases = page["groups"][0]["leases"]
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=None).json

    assert answer == {"images": 4, "refusal": None}
    assert lab.rows("SELECT DISTINCT status FROM images") == [{"status": "PENDING"}]


def test_a_refusal_that_lasts_is_told(lab: Lab) -> None:
    """The execution fails with it, so that a batch whose tasks can never be created ends."""
    request_id, execution, page = claimed(lab, urls(2))

    failures = {"0": failed(UNAVAILABLE), "1": failed(INVALID_ARGUMENT)}
    leases = page["groups"][0]["leases"]
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=failures).json

    assert answer == {"images": 2, "refusal": "code 3"}


@pytest.mark.parametrize("code", range(1, 17))
def test_what_may_pass_is_no_refusal(lab: Lab, code: int) -> None:
    """All other codes of google.rpc.Code are told; of several the first."""
    request_id, execution, page = claimed(lab, urls(2))
    leases = page["groups"][0]["leases"]
    may_pass = {1, 4, 6, 8, 10, 13, 14}

    failures = {"0": failed(code), "1": failed(INVALID_ARGUMENT)}
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=failures).json

    assert answer["refusal"] == ("code 3" if code in may_pass else f"code {code}")
    assert answer["images"] == (1 if code == ALREADY_EXISTS else 2)


def test_a_failure_of_a_task_that_is_not_there_says_nothing(lab: Lab) -> None:
    """Indexes count from 0: of two tasks 0 and 1 are known."""
    request_id, execution, page = claimed(lab, urls(2))
    leases = page["groups"][0]["leases"]

    failures = {"1": failed(UNAVAILABLE), "2": failed(INVALID_ARGUMENT), "9": failed(INVALID_ARGUMENT)}
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=failures).json

    assert answer == {"images": 1, "refusal": None}


def test_what_is_given_back_is_due_in_five_seconds_and_only_that(lab: Lab) -> None:
    """No other batch is touched."""
    _other = claimed(lab, urls(1, row=7))
    request_id, execution, page = claimed(lab, urls(1))

    lab.batch_call(request_id, "give_back", execution=execution, leases=page["groups"][0]["leases"], failures=None)

    waits = lab.rows(
        "SELECT batch, extract(epoch FROM next_at - now())\\:\\:float AS s FROM images WHERE status = 'PENDING'"
    )
    assert [str(row["batch"]) for row in waits] == [request_id]
    assert 0 < waits[0]["s"] <= 5


def test_only_the_present_lease_is_given_back(lab: Lab) -> None:
    """A late answer does not end the lease of a later attempt."""
    request_id, execution, page = claimed(lab, urls(1))
    lab.change("UPDATE images SET lease_until = now()")
    lab.claim(request_id, execution)

    leases = page["groups"][0]["leases"]
    lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=None)

    assert lab.rows("SELECT status, attempt FROM images") == [{"status": "DISPATCHED", "attempt": 2}]


def test_only_the_owner_gives_back(lab: Lab) -> None:
    """409 NOT_OWNER for any other execution."""
    request_id, _, page = claimed(lab, urls(1))

    leases = page["groups"][0]["leases"]
    answer = lab.batch_call(request_id, "give_back", execution=lab.new_execution(), leases=leases, failures=None)

    assert (answer.code, answer.reason) == (409, "NOT_OWNER")
