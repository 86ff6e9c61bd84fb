"""Known images of one host share a task: which ones, how many, and what becomes of them when it cannot be created."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ingest.dispatch.claim import MAX_PAGE_BYTES
from ingest.dispatch.host_starts import Started
from ingest.dispatch.pace import MAX_TASK_IMAGES, SHARED_TASK_S, task_images
from ingest.dispatch.tasks import ImageTask, TaskList, claimed_image, page_bytes
from support.ingest_service import Lab, claimed_of, payloads_of, sheet_of

FOUND = {"source_sha256": "cd" * 32, "etag": '"v1"', "last_modified": None, "first_byte_ms": 20}
BATCH = UUID("6b1f3c2e-58a4-4d0b-9a55-0f5ad2e7c318")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
KNOWN = {"etag": '"v1"', "last_modified": None, "source_sha256": "cd" * 32, "bytes_in": 1000, "format": "jpeg"}
RESTED = "UPDATE hosts SET next_start_at = now() - interval '1 hour', judged_from = now() - interval '1 hour'"


def links(count: int, host: str = "a.example") -> list[str]:
    return [f"https://{host}/{number}.jpg" for number in range(count)]


def second_run(lab: Lab, cells: list[str], **form: Any) -> tuple[str, str, dict[str, Any]]:
    """Run a batch to its end; return a second one of the same cells with its execution and its first page."""
    request_id = lab.submit(*cells)
    execution = lab.start(request_id)
    while lab.status(request_id)["counts"]["pending"]:
        lab.change(RESTED)
        for payload in lab.claim(request_id, execution):
            lab.report(payload, **FOUND)
    lab.change(f"{RESTED}, floor_log_s = ln(0.02)")
    again = str(lab.upload(sheet_of(*cells), **form).json["request_id"])
    execution = lab.start(again)
    return again, execution, lab.next_claim(again, execution)


def bodies(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the tasks of a page carry."""
    requests = [request for group in page["groups"] for request in group["requests"]]
    return [json.loads(base64.b64decode(request["task"]["httpRequest"]["body"])) for request in requests]


def task_list(*images: dict[str, Any], several: int = MAX_TASK_IMAGES) -> list[ImageTask]:
    """Return the tasks of images, of which only what differs is given."""
    tasks = TaskList({"a.example": several})
    for number, given in enumerate(images):
        image: dict[str, Any] = {
            "id": UUID(int=number),
            "host": "a.example",
            "attempt": 0,
            "row_number": number,
            "input_url": f"https://a.example/{number}.jpg",
            "options": None,
            "known": KNOWN,
            "start_s": number / 100,
        } | given
        started = Started(image, NOON + timedelta(seconds=image["start_s"]))  # type: ignore[arg-type]
        tasks.add(claimed_image(started, BATCH, {"quality": 50}, image["known"]))
    return tasks.tasks()


def sizes(tasks: list[ImageTask]) -> list[int]:
    return [len(task.images) for task in tasks]


@pytest.mark.feature("22")
def test_a_second_run_has_few_tasks(lab: Lab) -> None:
    """Each image is in one of them, with what is known of it."""
    request_id, _, page = second_run(lab, links(50))

    tasks = bodies(page)
    carried = [payload for task in tasks for payload in payloads_of(task)]
    assert [1 + len(task.get("more", ())) for task in tasks] == [20, 20, 10]
    assert [payload["url"] for payload in carried] == links(50)
    assert {payload["request_id"] for payload in carried} == {request_id}
    assert all(payload["known"]["etag"] == '"v1"' for payload in carried)
    assert page["image_count"] == 50


@pytest.mark.parametrize("images", [1, 2, 3, MAX_TASK_IMAGES])
def test_the_bytes_of_a_page_are_foretold_and_none_too_few(lab: Lab, images: int) -> None:
    """With what says that a task carries several, and what is between two entries."""
    several = [image for task in task_list(*[{}] * images) for image in task.images]

    foretold = sum(page_bytes(lab.settings, image, before) for before, image in enumerate(several))

    [task] = task_list(*[{}] * images)
    taken = len(json.dumps(task.request(lab.settings))) + len(json.dumps(task.leases)) + 4
    assert taken <= foretold <= taken + 64 + 4 * images


def test_known_images_are_taken_for_reused_ones_until_one_has_told_what_it_costs(lab: Lab) -> None:
    """More of them begin at once than of images that cost as usual, of which it is a hundred."""
    request_id, execution, page = second_run(lab, links(120))

    more = lab.next_claim(request_id, execution)

    assert (page["image_count"], more["image_count"]) == (100, 20)


def test_a_page_with_shared_tasks_takes_no_more_json_than_its_limit(lab: Lab) -> None:
    """Though an image takes less of it in a shared task, so that more of them fit."""
    cells = [f"{url}?{'ü' * 250}" for url in links(149)]
    request_id, execution, page = second_run(lab, cells)
    lab.change("UPDATE images SET status = 'PENDING', attempt = 0, lease_until = NULL WHERE batch = :b", b=request_id)
    lab.change(RESTED)

    body = {"execution": execution, "max_rows": 100}
    headers = {"Authorization": lab.token("workflow")}
    answer = lab.client().post(f"/internal/batches/{request_id}/claim", json=body, headers=headers)

    assert 0.9 * MAX_PAGE_BYTES < len(answer.data) <= MAX_PAGE_BYTES
    assert page["image_count"] == json.loads(answer.data)["image_count"]


@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        ({}, [5]),
        ({"known": None}, [4, 1]),
        ({"attempt": 1}, [4, 1]),
        ({"options": {"quality": 20}}, [4, 1]),
        ({"host": "b.example"}, [4, 1]),
        ({"options": {"quality": 50}}, [5]),
    ],
    ids=str,
)
def test_only_first_attempts_at_known_images_of_one_host_and_one_kind_share_a_task(
    odd: dict[str, Any], expected: list[int]
) -> None:
    """What has been tried before may be what the others would suffer from."""
    tasks = task_list({}, odd, {}, {}, {})

    assert sorted(sizes(tasks), reverse=True) == expected


def test_a_task_carries_no_more_than_its_hosts_pace_allows() -> None:
    assert sizes(task_list(*[{}] * 8, several=3)) == [3, 3, 2]


def test_images_of_one_task_begin_within_its_time() -> None:
    """Unknown images between them may set them far apart."""
    starts = [{"start_s": seconds} for seconds in (0.0, SHARED_TASK_S, SHARED_TASK_S + 0.01)]

    assert sizes(task_list(*starts)) == [2, 1]


def test_a_shared_task_is_named_and_begins_as_its_first_image_and_says_how_far_apart_the_others_are(lab: Lab) -> None:
    [alone] = task_list({})
    [shared] = task_list(*[{"start_s": 0.1 * number} for number in range(5)])

    assert (shared.task_id, shared.row_number) == (alone.task_id, 0)
    assert shared.request(lab.settings)["task"]["scheduleTime"] == "2026-11-30T12:00:00.000000Z"
    assert {name: shared.payload[name] for name in alone.payload} == alone.payload
    assert shared.payload["interval_s"] == 0.1
    assert shared.payload["more"][0] == {
        "image_id": str(UUID(int=1)),
        "attempt": 1,
        "url": "https://a.example/1.jpg",
        "known": KNOWN,
    }


@pytest.mark.parametrize(
    ("rate", "first_byte_s", "images"),
    [(500.0, 0.02, 20), (500.0, 0.05, 10), (500.0, 0.25, 2), (500.0, 3.0, 1), (5.0, 0.02, 2), (0.2, 0.02, 1)],
)
def test_images_of_a_task_take_half_a_second_together(rate: float, first_byte_s: float, images: int) -> None:
    """As many as the host answers, and may be asked for, in that time."""
    assert task_images(rate=rate, first_byte_s=first_byte_s) == images


def test_images_of_a_host_of_which_nothing_is_learned_have_tasks_of_their_own(lab: Lab) -> None:
    """It may be slow."""
    cells = links(6)
    second_run(lab, cells)
    lab.change("UPDATE hosts SET floor_log_s = NULL, sampled = 0, next_start_at = now() - interval '1 hour'")
    request_id = str(lab.upload(sheet_of(*cells)).json["request_id"])

    page = lab.next_claim(request_id, lab.start(request_id))

    assert [len(payloads_of(task)) for task in bodies(page)] == [1] * 6


@pytest.mark.fault("A23")
def test_a_shared_task_that_was_not_created_gives_all_its_images_back(lab: Lab) -> None:
    """And no image of another task."""
    request_id, execution, page = second_run(lab, links(30))
    leases = page["groups"][0]["leases"]

    failures = {"1": {"code": 14, "message": "unavailable", "details": []}}
    answer = lab.batch_call(request_id, "give_back", execution=execution, leases=leases, failures=failures).json

    assert answer == {"images": 10, "refusal": None}
    waiting = lab.rows("SELECT input_url FROM images WHERE status = 'PENDING' ORDER BY row_number")
    assert [row["input_url"] for row in waiting] == links(30)[20:]


def test_what_is_claimed_again_has_tasks_of_its_own(lab: Lab) -> None:
    """After a lease that ran out: an image that ends its compressor takes no other one with it twice."""
    request_id, execution, page = second_run(lab, links(30))
    assert len(bodies(page)) == 2
    lab.change("UPDATE images SET lease_until = now() WHERE batch = :b", b=request_id)
    lab.change(RESTED)

    again = lab.next_claim(request_id, execution)

    assert (len(bodies(again)), len(claimed_of(again))) == (30, 30)
