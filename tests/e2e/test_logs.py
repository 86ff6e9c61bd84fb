"""What the services log and record of a full run: JSON lines of one form, one trace, and no secret in either."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo
from samples.receiver import Receiver

from e2e.conftest import running_stack
from localcloud.stack.blocking import Stack
from support.shop_client import Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SERVICES = ("ingest", "ingest-internal", "compressor", "reporter", "reporter-internal")


@pytest.fixture(name="logs", scope="module")
def _logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run a batch with sentinels in every place that must not be logged; return each program's log."""
    picture = SampleFile("image/jpeg", encoded(photo(100, 80, seed=1), "JPEG"))
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, TRACE_SAMPLE_RATIO="1") as stack, Origin({"/a.jpg": picture}) as origin:
        shop = Shop(stack)
        with Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]) as receiver:
            urls = [f"{origin.base_url}/a.jpg?sig=sentinel-query", f"{origin.base_url}/b.jpg?sig=sentinel-query"]
            request_id = shop.upload(sheet_of([urls]), webhook_url=f"{receiver.url}?key=sentinel-hook")
            shop.finished(request_id)
            assert receiver.wait_for(request_id, within_s=30) is not None
            shop.sheet(request_id)
            # The workflow's own record of the run has ended too.
            platform = stack.state_dir / "logs/localcloud.log"
            eventually(
                lambda: '"state":"SUCCEEDED"' in platform.read_text("utf-8") or None,
                within_s=10,
                what="the execution ends",
            )
            requests.get(f"{stack.url('ingest')}/status?request_id=sentinel-nonsense%0aline", timeout=10)
            shop.sweep()
        trace = eventually(lambda: _whole_trace(stack, request_id), within_s=20, what="all spans arrive")
        secrets = json.loads((stack.state_dir / "secrets.json").read_text(encoding="utf-8"))
        token = shop.token("tasks-images", stack.url("compressor"))
    logs = stack.state_dir / "logs"
    texts = {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in logs.glob("*.log")}
    texts["trace"] = trace
    texts["secrets"] = json.dumps([*secrets.values(), token])
    texts["request_id"] = request_id
    return texts


def _whole_trace(stack: Stack, request_id: str) -> str | None:
    """Return the batch's trace as the Cloud Trace API tells it, once the last spans of every process are there."""
    trace_id = request_id.replace("-", "")
    answer = requests.get(f"{stack.url('workflows')}/v1/projects/demo/traces/{trace_id}", timeout=10)
    spans = answer.json().get("spans", [])
    names = [span["name"] for span in spans]
    parents = {span["parentSpanId"] for span in spans if span.get("parentSpanId")}
    is_whole = (
        names.count("task") == 2
        and names.count("outcome") == 2
        and {way[-1] for way in WAYS} <= set(names)
        and parents <= {span["spanId"] for span in spans}
    )
    return answer.text if is_whole else None


@pytest.mark.fault("J2")
@pytest.mark.parametrize("service", SERVICES)
def test_every_line_is_json_for_cloud_logging(logs: dict[str, str], service: str) -> None:
    """Each line of a service parses and has severity, message, time and service."""
    lines = [json.loads(line) for line in logs[service].splitlines()]

    assert lines
    for line in lines:
        assert {"severity", "message", "time", "service"} <= line.keys()
        assert line["service"] == service.removesuffix("-internal")


@pytest.mark.fault("J1")
@pytest.mark.threat("T14")
def test_no_secret_is_logged_by_any_program(logs: dict[str, str]) -> None:
    """Neither signing secrets nor tokens nor query strings of users' and of our own signed URLs appear anywhere."""
    secrets = json.loads(logs["secrets"])
    needles = [*secrets, *(secret.rstrip("=") for secret in secrets)]
    needles += ["sentinel-query", "sentinel-hook", "Bearer ", ".csv?token="]

    found = [
        (name, needle[:12]) for name, text in logs.items() if name != "secrets" for needle in needles if needle in text
    ]

    assert found == []


def test_one_trace_leads_through_the_compressor_and_ingest(logs: dict[str, str]) -> None:
    """The request that reports an outcome carries on the trace of the compression that caused it."""
    traces = {
        service: {
            entry["logging.googleapis.com/trace"]
            for entry in map(json.loads, logs[service].splitlines())
            if entry.get("route") in {"/compress", "/internal/images/<image_id>/outcome"}
            or str(entry.get("route", "")).endswith("/outcome")
        }
        for service in ("compressor", "ingest-internal")
    }

    batch = logs["request_id"].replace("-", "")
    assert {trace.rpartition("/")[2] for trace in traces["compressor"]} == {batch}  # a batch's trace is its request_id
    assert traces["compressor"] == traces["ingest-internal"]


WAYS = [
    ("upload",),
    ("upload", "process"),
    ("upload", "workflow"),
    ("upload", "workflow", "start"),
    ("upload", "workflow", "claim"),
    ("upload", "workflow", "claim", "task"),
    ("upload", "workflow", "claim", "task", "fetch"),
    ("upload", "workflow", "claim", "task", "codec"),
    ("upload", "workflow", "claim", "task", "storage"),
    ("upload", "workflow", "claim", "task", "outcome"),
    ("upload", "workflow", "report"),
    ("upload", "workflow", "finish"),
    ("upload", "workflow", "notify"),
    ("upload", "workflow", "notify", "delivery"),
]
SERVICE_OF = {"task": "compressor", "fetch": "compressor", "codec": "compressor", "storage": "compressor"} | {
    "report": "reporter",
    "notify": "reporter",
    "delivery": "reporter",
}


def test_one_image_is_followed_from_the_upload_to_the_webhook(logs: dict[str, str]) -> None:
    """Each span hangs below what caused it, in whichever process that was; the trace's id is the batch's."""
    trace = json.loads(logs["trace"])
    spans = {span["spanId"]: span for span in trace["spans"]}

    def way(span: dict[str, Any]) -> tuple[str, ...]:
        parent = span.get("parentSpanId")
        return (*(way(spans[parent]) if parent else ()), span["name"])

    assert trace["traceId"] == logs["request_id"].replace("-", "")
    early = {("upload", "process", "notify"), ("upload", "workflow", "start", "notify")}
    assert {way(span) for span in spans.values()} - early == set(WAYS)  # early events go with whoever comes by
    for span in spans.values():
        assert span["labels"]["service.name"] == SERVICE_OF.get(span["name"], "ingest")
    stored = next(span for span in spans.values() if span["name"] == "storage")
    reported = [span for span in spans.values() if span["name"] == "outcome"]
    image_id = spans[stored["parentSpanId"]]["labels"]["image_id"]
    assert image_id in {span["labels"]["image_id"] for span in reported}


ABOUT_THE_BATCH = {
    "ingest-internal": {"execution.created", "batch.finished", "image.postponed"},
    "compressor": {"image.compressed", "image.failed"},
    "reporter-internal": {"delivery.attempted", "subscribers.noted"},
}


@pytest.mark.parametrize("service", ABOUT_THE_BATCH)
def test_lines_about_a_batch_name_it_alike(logs: dict[str, str], service: str) -> None:
    """`request_id` in what is said of the batch and in access lines; `image_id` in those about an image."""
    lines = [json.loads(line) for line in logs[service].splitlines()]
    about = [line for line in lines if line["message"] in ABOUT_THE_BATCH[service]]
    served = [line for line in lines if str(line.get("route", "")).startswith(("/internal/batches/", "/compress"))]
    images = [line for line in lines if line.get("route") in {"/compress", "/internal/images/<image_id>/outcome"}]

    assert about
    assert {line.get("request_id") for line in (*about, *served)} == {logs["request_id"]}
    assert all(line.get("image_id") for line in images)
