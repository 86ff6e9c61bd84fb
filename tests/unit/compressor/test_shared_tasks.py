"""A task of several images: they are asked for one after the other and told about together."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from chassis.clock import SystemClock
from compressor.http.routes import MAX_MORE_IMAGES
from compressor.service import TASK_S
from support import pictures
from support.compressor_service import RecordingIngest, Service, contract, task
from support.scripted_origin import Exchange, ScriptedOrigin, answer

PICTURE = pictures.photo_jpeg(64, 48)
KNOWN = {"etag": '"v1"', "last_modified": None, "source_sha256": "cd" * 32, "bytes_in": 1000, "format": "jpeg"}
UNCHANGED = answer(b"", status=304, headers=[("ETag", '"v1"')])


class JumpingClock(SystemClock):
    """The machine's clock, on which sleep takes no time; `slept` has how long it was."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Return the time, with all that was slept."""
        return super().monotonic() + self.ahead_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.ahead_s += seconds


def shared(*urls: str, **overrides: Any) -> dict[str, Any]:
    """Return a task of several known images."""
    more = [{"image_id": str(uuid.uuid4()), "attempt": 1, "url": url, "known": KNOWN} for url in urls[1:]]
    body = task(urls[0], known=KNOWN) | {"more": more, "interval_s": 0.0} | overrides
    contract("compress_request").validate(body)
    return body


def ids_of(body: dict[str, Any]) -> list[str]:
    return [body["image_id"], *(image["image_id"] for image in body["more"])]


def links(origin: ScriptedOrigin, *scripts: Any) -> list[str]:
    return [origin.on(f"/{number}.jpg", script) for number, script in enumerate(scripts)]


@pytest.mark.feature("22")
def test_outcomes_of_a_shared_task_are_told_together_in_the_order_of_its_images(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """One call, with what each image came to; an image that has changed is made, one that is gone has failed."""
    first = links(origin, answer(PICTURE, headers=[("ETag", '"v1"')]))[0]
    service.post(task(first))
    found = ingest.outcomes[0]
    known = {name: found[name] for name in ("etag", "last_modified", "source_sha256", "bytes_in", "format")}
    urls = links(origin, UNCHANGED, answer(pictures.photo_jpeg(80, 60)), answer(b"", status=404))
    body = shared(*urls, known=known)

    response = service.post(body)

    [outcomes] = ingest.together
    assert [each["image_id"] for each in outcomes] == ids_of(body)
    assert [(each["outcome"], each["reused"], each["code"]) for each in outcomes] == [
        ("SUCCEEDED", True, "OK"),
        ("SUCCEEDED", False, "OK"),
        ("FAILED", False, "HTTP_4XX"),
    ]
    contract("compress_response").validate(response.json)
    assert response.json == {"image_id": body["image_id"], "outcome": "SUCCEEDED", "code": "OK", "applied": True}


def test_images_of_a_task_are_asked_for_no_faster_than_it_says(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Their starts are apart by the interval; what an answer took is not waited for again."""
    clock = JumpingClock()
    service = make_service(clock=clock)

    service.post(shared(*links(origin, *[answer(PICTURE)] * 4), interval_s=1.0))

    assert clock.ahead_s == pytest.approx(sum(clock.slept))
    assert 2.0 < clock.ahead_s < 3.0  # three intervals but what was spent at work
    assert len(clock.slept) == 3
    assert [each["outcome"] for each in ingest.outcomes] == ["SUCCEEDED"] * 4


@pytest.mark.parametrize("status", [429, 503, 500])
def test_after_a_refusal_no_other_image_of_the_task_is_asked_for(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, status: int
) -> None:
    """The others go back untried."""
    urls = links(origin, answer(PICTURE), answer(b"", status=status), answer(PICTURE), answer(PICTURE))

    service.post(shared(*urls))

    assert [each["outcome"] for each in ingest.outcomes] == ["SUCCEEDED", "FAILED", "DEFERRED", "DEFERRED"]
    assert [request.target for request in origin.received] == ["/0.jpg", "/1.jpg"]


def test_a_slow_host_is_not_asked_for_all_images_of_a_task(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """What has not begun after ten seconds goes back untried, so that the task does not outlive its deadline."""
    clock = JumpingClock()

    def slow(exchange: Exchange) -> None:
        clock.ahead_s += TASK_S + 1
        answer(PICTURE)(exchange)

    make_service(clock=clock).post(shared(*links(origin, answer(PICTURE), slow, answer(PICTURE))))

    assert [each["outcome"] for each in ingest.outcomes] == ["SUCCEEDED", "SUCCEEDED", "DEFERRED"]


def test_our_own_trouble_within_a_task_loses_no_outcome_before_it(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """503, so that the task comes again; what was done is told, and the image in trouble and all others are not."""
    with ScriptedOrigin() as refusing:
        refusing.on("/", answer(b"{}", status=403, headers=[("Content-Type", "application/json")]))
        service = make_service(api_endpoint=refusing.url("").rstrip("/"))
        urls = links(origin, answer(b"", status=404), answer(PICTURE), answer(PICTURE))
        response = service.post(shared(*urls))

    assert response.status_code == 503
    assert [each["code"] for each in ingest.outcomes] == ["HTTP_4XX"]


def test_outcomes_that_ingest_cannot_take_bring_the_task_again(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    ingest.refuse(503, "UNAVAILABLE", "DATABASE_BUSY")

    response = service.post(shared(*links(origin, answer(PICTURE), answer(PICTURE))))

    assert response.status_code == 503
    assert response.json["error"]["details"][0]["reason"] == "OUTCOME_NOT_RECORDED"


def test_a_shared_task_that_comes_again_does_everything_again(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Objects that are there are found, and the outcomes are the same."""
    body = shared(*links(origin, answer(PICTURE), answer(pictures.photo_jpeg(80, 60))))

    service.post(body)
    service.post(body, **{"X-CloudTasks-TaskRetryCount": "1"})

    first, again = [[each["output_url"] for each in outcomes] for outcomes in ingest.together]
    assert first == again
    assert len(service.objects()) == 2


def test_images_of_a_task_are_asked_for_one_after_the_other(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """A host has no more of them under way than it would have of a task of one image."""
    at_once, most = threading.Semaphore(1), []

    def script(exchange: Exchange) -> None:
        most.append(at_once.acquire(blocking=False))
        answer(PICTURE)(exchange)
        at_once.release()

    service.post(shared(*links(origin, *[script] * 5)))

    assert most == [True] * 5


def test_a_task_of_more_images_than_the_limit_is_400(service: Service, origin: ScriptedOrigin) -> None:
    urls = [origin.url(f"/{number}.jpg") for number in range(MAX_MORE_IMAGES + 1)]
    body = shared(*urls)
    body["more"].append(body["more"][0])

    response = service.post(body)

    assert response.status_code == 400
    assert response.json["error"]["details"][0]["reason"] == "FIELD_INVALID"
    assert origin.received == []
