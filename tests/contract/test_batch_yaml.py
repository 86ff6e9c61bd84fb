"""`workflows/batch.yaml` on the local runtime, with scripted services: order, failure path, ownership and limits."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import uuid
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.errors import WorkflowError, http_error
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.failure import ExecutionFailedError
from localcloud.workflows.runtime.host import Host, HttpRequest, HttpResponse
from localcloud.workflows.runtime.interpreter import run_program
from localcloud.workflows.runtime.scripted_host import LeapingClock, ScriptedCallbacks, make_host
from support.payload_schemas import assert_matches

SOURCE = Path(__file__).resolve().parents[2] / "workflows/batch.yaml"
REQUEST_ID = "0b0f2a52-5e0e-4a53-9d1f-6a4a9f6f2f10"
WORKFLOW = "projects/demo/locations/us-central1/workflows/batch"
EXECUTION = f"{WORKFLOW}/executions/e1"
QUEUE = "projects/demo/locations/us-central1/queues/images"
TASK_CREATE = "googleapis.cloudtasks.v2.projects.locations.queues.tasks.create"
EXECUTION_CREATE = "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.create"

TASKS_API = "https://cloudtasks.googleapis.com/v2/"

Page = list[dict[str, Any]]
"""The groups of a claim."""

PROGRAM = load_program(SOURCE.read_text(encoding="utf-8"), connectors=connector_methods())


def counts(total: int, pending: int) -> dict[str, int]:
    """Return the counters of a batch in which nothing failed."""
    return {"total": total, "pending": pending, "succeeded": total - pending, "failed": 0}


def task_request(number: int, url: str = "https://cdn.example/a.jpg") -> dict[str, Any]:
    """Return the request of one task of a claimed page."""
    image_id = f"00000000-0000-4000-8000-{number:012}"
    payload: dict[str, Any] = {"request_id": REQUEST_ID, "image_id": image_id, "attempt": 1, "url": url}
    payload["options"] = {"quality": 50, "format": "jpeg"}
    http_request = {
        "url": "https://compressor.example/compress",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "body": base64.b64encode(json.dumps(payload).encode()).decode(),
        "oidcToken": {"serviceAccountEmail": "tasks@demo.example", "audience": "https://compressor.example"},
    }
    task = {"name": f"{QUEUE}/tasks/t{number}", "scheduleTime": "2026-11-22T10:42:00Z", "dispatchDeadline": "120s"}
    return {"parent": QUEUE, "task": {**task, "httpRequest": http_request}}


def group(*numbers: int, url: str = "https://cdn.example/a.jpg") -> dict[str, Any]:
    """Return a group of a claimed page."""
    return {
        "request_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(numbers))),
        "leases": [f"00000000-0000-4000-8000-{number:012}/1" for number in numbers],
        "requests": [task_request(number, url) for number in numbers],
    }


def pages_of(images: int, per_page: int = 90, per_group: int = 100) -> list[Page]:
    """Return full pages as ingest makes them of so many images."""
    numbers = [range(start, min(start + per_page, images)) for start in range(0, images, per_page)]
    return [[group(*page[i : i + per_group]) for i in range(0, len(page), per_group)] for page in numbers]


class Services:
    """Ingest, reporter and Cloud Tasks' batch methods as scripts: pages are claimed one after the other, then all ends.

    `answers` overrides a route, named by the end of its path, with responses that are used up in order.
    """

    def __init__(self, pages: list[Page], answers: Mapping[str, list[HttpResponse]] | None = None) -> None:
        self.pages = list(pages)
        self.total = sum(len(group["requests"]) for page in pages for group in page)
        self.answers = {key: list(value) for key, value in (answers or {}).items()}
        self.calls: list[tuple[str, Any]] = []
        self.batches: list[dict[str, Any]] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer one request of the workflow."""
        await asyncio.sleep(0)
        route = request.url.split("?", 1)[0].rsplit("/", 1)[1]
        if request.url.startswith(TASKS_API):
            assert request.headers["Authorization"].startswith("Bearer access:")
            route = "look" if "/operations/" in request.url else "create"
        else:
            assert request.headers["Authorization"].startswith("Bearer oidc:https://")
        self.calls.append((route, json.loads(request.body) if request.body else None))
        if self.answers.get(route):
            return self.answers[route].pop(0)
        return ok(getattr(self, f"_{route}")())

    def routes(self) -> list[str]:
        """Return the routes of our services that were called, in order."""
        return [route for route, _ in self.calls if route not in {"create", "look"}]

    def _create(self) -> dict[str, Any]:
        self.batches.append(self.calls[-1][1])
        return {"name": f"projects/demo/locations/us-central1/operations/{len(self.batches)}"}

    def _look(self) -> dict[str, Any]:
        return operation()

    def _give_back(self) -> dict[str, Any]:
        return {"images": 1, "refusal": None}

    def _imports(self) -> dict[str, Any]:
        return {"request_id": REQUEST_ID, "status": "PENDING", "counts": counts(self.total, self.total)}

    def _start(self) -> dict[str, Any]:
        return {
            "request_id": REQUEST_ID,
            "owner": True,
            "status": "PROCESSING",
            "counts": counts(self.total, self.total),
        }

    def _claim(self) -> dict[str, Any]:
        groups = self.pages.pop(0) if self.pages else []
        return {
            "request_id": REQUEST_ID,
            "groups": groups,
            "image_count": sum(len(group["requests"]) for group in groups),
            "open": self.total if groups else 0,
            "next_claim_s": 1.0 if self.pages else 60.0,
        }

    def _reports(self) -> dict[str, Any]:
        reports = {key: f"gs://reports/{key}" for key in ("output_csv", "failed_csv", "results_jsonl")}
        url = "https://reporter.example/reports/x"
        return {"request_id": REQUEST_ID, "reports": reports, "download_url": url, "rows": 1, "images": self.total}

    def _finish(self) -> dict[str, Any]:
        return ending("COMPLETED", self.total)

    def _fail(self) -> dict[str, Any]:
        return {**ending("FAILED", self.total), "terminal": True}

    def _release(self) -> dict[str, Any]:
        return {"request_id": REQUEST_ID, "status": "PROCESSING"}

    def _notifications(self) -> dict[str, Any]:
        return {"request_id": REQUEST_ID, "deliveries": 1}


def ending(status: str, total: int) -> dict[str, Any]:
    """Return what ingest answers at the end of a batch."""
    return {
        "request_id": REQUEST_ID,
        "status": status,
        "counts": counts(total, 0),
        "message": "Compression done",
        "finished_at": "2026-01-01T00:00:00Z",
        "generation": 1,
        "webhook_url": None,
    }


def operation(failed: Mapping[str, int] | None = None, *, done: bool = True) -> dict[str, Any]:
    """Return an operation of `tasks:batchCreate`; `failed` are the codes of tasks that were not created, by index."""
    metadata: dict[str, Any] = {"state": "PARTIALLY_SUCCEEDED" if failed else "SUCCEEDED"}
    if failed:
        metadata["failedRequests"] = {index: {"code": code, "message": "no"} for index, code in failed.items()}
    name = "projects/demo/locations/us-central1/operations/1"
    return {"name": name, "done": done, "metadata": metadata} | ({"response": {}} if done else {})


def ok(body: Any) -> HttpResponse:
    """Return a JSON answer."""
    return HttpResponse(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def refused(code: int, status: str) -> HttpResponse:
    """Return an AIP-193 error."""
    body = {"error": {"code": code, "status": status, "message": "no", "details": []}}
    return HttpResponse(code, {"Content-Type": "application/json"}, json.dumps(body).encode())


class Cloud:
    """Remembers what the connectors were asked to create."""

    def __init__(self, *, refusal: WorkflowError | None = None, exist: Collection[str] = ()) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.executions: list[dict[str, Any]] = []
        self.refusal = refusal
        self.exist = exist

    async def create_task(self, _host: Host, args: Mapping[str, Any]) -> Any:
        """Keep a task, unless it is refused or exists."""
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        if args["body"]["task"]["name"].rpartition("/")[2] in self.exist:
            raise http_error(409, {}, {})
        self.tasks.append(args["body"]["task"])
        return args["body"]["task"]

    async def create_execution(self, _host: Host, args: Mapping[str, Any]) -> Any:
        """Keep an execution."""
        self.executions.append(dict(args))
        return {"name": "successor"}


def run(
    services: Services,
    cloud: Cloud | None = None,
    argument: Any = None,
    create_tasks_by: str = "batchCreate",
    callbacks: ScriptedCallbacks | None = None,
) -> tuple[Any, LeapingClock]:
    """Run the workflow; return its result, its steps and the clock."""
    cloud = cloud or Cloud()
    clock = LeapingClock()
    host = make_host(
        clock=clock,
        http=services,
        callbacks=callbacks,
        env={
            "INGEST_INTERNAL_URL": "https://ingest.example",
            "REPORTER_INTERNAL_URL": "https://reporter-internal.example",
            "REPORTER_URL": "https://reporter.example",
            "IMAGES_QUEUE": QUEUE,
            "CREATE_TASKS_BY": create_tasks_by,
            "GOOGLE_CLOUD_PROJECT_ID": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "GOOGLE_CLOUD_WORKFLOW_ID": "batch",
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": "e1",
        },
        connectors={TASK_CREATE: cloud.create_task, EXECUTION_CREATE: cloud.create_execution},
    )
    result = asyncio.run(run_program(PROGRAM, {"request_id": REQUEST_ID} if argument is None else argument, host))
    return result, clock


@pytest.mark.fault("H16")
def test_batch_goes_from_start_to_notification() -> None:
    """The calls come in the order of the design, and the result matches its contract."""
    services = Services([[group(1, 2)]])

    result, _ = run(services)

    assert services.routes() == ["start", "claim", "claim", "reports", "finish", "notifications"]
    assert_matches("batch_result", result)
    # Not the link itself, which opens the report for whoever reads the logs.
    assert result["download_url"].endswith(f"/download_csv?request_id={REQUEST_ID}")


@pytest.mark.fault("J5")
@pytest.mark.parametrize(
    ("route", "contract"),
    [
        ("imports", "import_request"),
        ("start", "start_request"),
        ("claim", "claim_request"),
        ("reports", "report_request"),
        ("finish", "finish_request"),
        ("notifications", "notification_request"),
    ],
)
def test_workflow_sends_what_the_contract_says(route: str, contract: str) -> None:
    """Every body that the workflow sends has the form of its contract."""
    services = Services([[group(1)]])

    argument = {"csv_uri": "gs://sheets/a.csv"}
    assert_matches("batch_argument", argument)
    run(services, argument=argument)

    assert_matches(contract, dict(services.calls)[route])


def created(services: Services, cloud: Cloud) -> list[dict[str, Any]]:
    """Return the tasks that were created, in either way."""
    return [*cloud.tasks, *(request["task"] for batch in services.batches for request in batch["requests"])]


@pytest.mark.parametrize("way", ["batchCreate", "create"])
def test_tasks_are_created_as_ingest_made_them(way: str) -> None:
    """Each once, unchanged: the workflow knows neither their names nor what is in them."""
    services, cloud = Services([[group(1, 2), group(3)], [group(4)]]), Cloud()

    run(services, cloud, create_tasks_by=way)

    tasks = sorted(created(services, cloud), key=lambda task: str(task["name"]))
    assert tasks == [task_request(number)["task"] for number in (1, 2, 3, 4)]
    assert len(services.batches) == (3 if way == "batchCreate" else 0)


@pytest.mark.fault("A9")
def test_a_lost_answer_is_asked_for_by_the_same_name() -> None:
    """So that Cloud Tasks answers the operation that there is instead of creating tasks again."""
    services = Services([[group(1, 2)]], {"create": [refused(503, "UNAVAILABLE"), refused(500, "INTERNAL")]})

    run(services)

    names = {body["requestId"] for route, body in services.calls if route == "create"}
    assert names == {group(1, 2)["request_id"]}
    assert services.routes().count("give_back") == 0
    assert len(services.batches) == 1


@pytest.mark.fault("A23")
def test_tasks_that_were_not_created_are_given_back_at_once() -> None:
    """Those that the operation names, and the batch goes on."""
    looks = [ok(operation(done=False)), ok(operation({"1": 8}))]
    services = Services([[group(1, 2, 3)]], {"look": looks})

    result, clock = run(services)

    assert result["status"] == "COMPLETED"
    body = dict(services.calls)["give_back"]
    assert_matches("give_back_request", body)
    assert body["leases"] == group(1, 2, 3)["leases"]
    assert body["failures"] == {"1": {"code": 8, "message": "no"}}
    assert [wait for wait in clock.requested if wait > 0] == [1.0]


@pytest.mark.fault("A23")
def test_an_operation_that_is_never_done_is_not_waited_for_without_end() -> None:
    """After a minute it is asked for as after any failure that may pass; then the group goes back."""
    services = Services([[group(1, 2)]], {"look": [ok(operation(done=False))] * 1000})

    with pytest.raises(ExecutionFailedError):
        run(services)

    looks = [route for route, _ in services.calls if route == "look"]
    bodies = dict(services.calls)
    assert len(looks) == 7 + 4
    assert (bodies["give_back"]["leases"], bodies["give_back"]["failures"]) == (group(1, 2)["leases"], None)
    assert bodies["fail"]["error"]["code"] == 504


@pytest.mark.fault("A23")
@pytest.mark.parametrize("way", ["batchCreate", "create"])
def test_a_group_that_cannot_be_created_is_given_back_whole(way: str) -> None:
    """And the execution fails with the reason, for ingest to decide."""
    services = Services([[group(1, 2)]], {"create": [refused(403, "PERMISSION_DENIED")]})
    cloud = Cloud(refusal=http_error(403, {}, {}))

    with pytest.raises(ExecutionFailedError):
        run(services, cloud, create_tasks_by=way)

    bodies = dict(services.calls)
    assert_matches("give_back_request", bodies["give_back"])
    assert (bodies["give_back"]["leases"], bodies["give_back"]["failures"]) == (group(1, 2)["leases"], None)
    assert bodies["fail"]["step"] == "dispatch"
    assert bodies["fail"]["error"]["code"] == 403


def test_a_refusal_that_lasts_fails_the_execution() -> None:
    """Ingest says which of the failures asking again will not change."""
    looks = [ok(operation({"0": 3}))]
    answer = [ok({"images": 1, "refusal": "HttpRequest.url is required"})]
    services = Services([[group(1)]], {"look": looks, "give_back": answer})

    with pytest.raises(ExecutionFailedError, match=r"HttpRequest\.url is required"):
        run(services)

    assert dict(services.calls)["fail"]["step"] == "dispatch"


@pytest.mark.fault("A10")
def test_a_task_that_exists_is_no_failure() -> None:
    """409 for one of them, created one by one, and the others are created."""
    services, cloud = Services([[group(1, 2)]]), Cloud(exist={"t1"})

    result, _ = run(services, cloud, create_tasks_by="create")

    assert result["status"] == "COMPLETED"
    assert [task["name"].rpartition("/")[2] for task in cloud.tasks] == ["t2"]


@pytest.mark.fault("A12")
def test_execution_that_does_not_own_the_batch_does_nothing() -> None:
    """When ingest says that another execution owns the batch, the workflow returns at once."""
    body = {"request_id": REQUEST_ID, "owner": False, "status": "PROCESSING", "counts": counts(1, 1)}
    services = Services([], {"start": [ok(body)]})

    result, _ = run(services)

    assert services.routes() == ["start"]
    assert result["download_url"] is None


def test_execution_that_lost_the_batch_leaves_quietly() -> None:
    """A 409 ABORTED in the middle means that another execution took over: no failure is recorded."""
    services = Services([], {"claim": [refused(409, "ABORTED")]})

    result, _ = run(services)

    assert services.routes() == ["start", "claim"]
    assert result["request_id"] == REQUEST_ID


def test_start_that_is_refused_as_aborted_is_recorded() -> None:
    """Before the batch was this execution's own nobody can have taken it over: that is a failure of `start`."""
    services = Services([], {"start": [refused(409, "ABORTED")]})

    with pytest.raises(ExecutionFailedError):
        run(services)

    assert dict(services.calls)["fail"]["step"] == "start"


def test_outage_of_a_service_is_waited_for() -> None:
    """503 and 500 of our own services are retried with growing waits."""
    outage = [refused(503, "UNAVAILABLE"), refused(500, "INTERNAL"), refused(503, "UNAVAILABLE")]
    services = Services([], {"reports": outage})

    result, clock = run(services)

    assert result["status"] == "COMPLETED"
    assert [wait for wait in clock.requested if wait > 0] == [1.0, 2.0, 4.0]


def test_failure_is_recorded_with_the_steps_name_and_notified() -> None:
    """What cannot be done is put down on the batch, told to subscribers when final, and fails the execution."""
    services = Services([], {"reports": [refused(400, "FAILED_PRECONDITION")]})

    with pytest.raises(ExecutionFailedError):
        run(services)

    assert services.routes()[-2:] == ["fail", "notifications"]
    body = dict(services.calls)["fail"]
    assert_matches("fail_request", body)
    assert (body["step"], body["error"]["code"]) == ("report", 400)


def test_failed_import_leaves_nothing_to_record() -> None:
    """An import that is refused fails the execution with a sentence for people, and calls nothing else."""
    services = Services([], {"imports": [refused(400, "INVALID_ARGUMENT")]})

    with pytest.raises(ExecutionFailedError) as failure:
        run(services, argument={"csv_uri": "gs://sheets/a.csv"})

    assert services.routes() == ["imports"]
    assert json.loads(failure.value.payload) == "The sheet was not imported. no"


def test_the_next_claim_comes_when_ingest_says() -> None:
    """At once, after the time that ingest names, and after a growing one while nothing happens."""

    def claimed(image_count: int, open_images: int, next_claim_s: float) -> HttpResponse:
        groups = [group(*range(image_count))] if image_count else []
        answer = {"request_id": REQUEST_ID, "groups": groups, "image_count": image_count}
        return ok({**answer, "open": open_images, "next_claim_s": next_claim_s})

    claims = [claimed(2, 5, 0), claimed(2, 5, 1.2), claimed(1, 3, 60), claimed(0, 2, 60), claimed(0, 2, 3.5)]
    services = Services([], {"claim": claims})

    callbacks = ScriptedCallbacks()

    run(services, callbacks=callbacks)

    assert services.routes() == ["start", *["claim"] * 6, "reports", "finish", "notifications"]
    assert callbacks.waits == [1.2, 5, 7.5, 3.5]


@pytest.mark.parametrize(("way", "extra_per_page"), [("batchCreate", 0), ("create", 5 * 90)])
def test_steps_stay_below_the_estimate(monkeypatch: pytest.MonkeyPatch, way: str, extra_per_page: int) -> None:
    """A run needs no more steps than `steps_used` adds for its pages and polls, so the hand-over comes in time."""
    pages = pages_of(900)
    begin_and_end, per_page = 60, 24 + 16 + extra_per_page
    monkeypatch.setattr("localcloud.workflows.runtime.run.MAX_STEPS", begin_and_end + 10 * per_page)

    result, _ = run(Services(pages), create_tasks_by=way)

    assert result["status"] == "COMPLETED"


@pytest.mark.parametrize("way", ["batchCreate", "create"])
def test_full_pages_fit_the_memory_of_an_execution(way: str) -> None:
    """Pages of 96 KiB with the longest URLs, or many short ones, run under the 512 KB limit."""
    url = "https://cdn.example/" + "a" * 2000
    long, small = [group(*range(28), url=url)], pages_of(125, per_page=125)[0]
    assert [len(json.dumps(page)) // 1024 for page in (long, small)] == [94, 94]

    result, _ = run(Services([long, small, long]), create_tasks_by=way)

    assert result["status"] == "COMPLETED"


def test_execution_hands_over_before_its_steps_run_out() -> None:
    """At 80,000 counted steps the execution gives the batch up and starts its successor with the same argument."""
    cloud = Cloud()
    services = Services([[group(*range(100))]] * 160)

    result, _ = run(services, cloud, create_tasks_by="create")

    assert services.routes()[-1] == "release"
    assert result["status"] == "PROCESSING"
    assert cloud.executions[0]["parent"] == WORKFLOW
    assert json.loads(cloud.executions[0]["body"]["argument"]) == {"request_id": REQUEST_ID}
    assert_matches("release_request", dict(services.calls)["release"])
    assert len(cloud.tasks) < 16_000


def test_environment_is_documented_and_given_locally() -> None:
    """Every variable that the workflow reads is in its README and in the local stack."""
    own = set(re.findall(r'sys\.get_env\("([A-Z_]+)"\)', SOURCE.read_text(encoding="utf-8")))
    own = {name for name in own if not name.startswith("GOOGLE_")}
    readme = (SOURCE.parent / "README.md").read_text(encoding="utf-8")
    stack = yaml.safe_load((SOURCE.parents[1] / "infra/local/stack.yaml").read_text(encoding="utf-8"))

    assert own == set(stack["workflows"]["environment"])
    assert {name for name in own if f"`{name}`" in readme} == own
