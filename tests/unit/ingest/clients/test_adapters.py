"""The adapters against the local platform: Google's own clients on one side, the emulators on the other."""

from __future__ import annotations

import gzip
import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from google.api_core import client_options
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]

from chassis.google.clients import new_executions_client, new_tasks_client
from chassis.google.tasks import CloudTasksQueue
from ingest.clients.callbacks import WorkflowCallbacks
from ingest.clients.executions import WorkflowExecutions
from ingest.clients.sheet_storage import CloudSheetStorage, StoredSheet
from ingest.errors import ApiError
from ingest.settings import IngestSettings
from ingest.state.batch import batch_from_row
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.storage import Storage
from support.google_platform import QUEUE, Platform
from support.ingest_service import Lab


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, issuer: TokenIssuer) -> Iterator[Platform]:
    running = Platform(tmp_path_factory.mktemp("workflows"), issuer)
    running.start()
    yield running
    running.stop()


def settings_with(**values: Any) -> IngestSettings:
    """Return settings of which only these are there."""
    return IngestSettings.model_construct(**values)


def settings_for(platform: Platform) -> IngestSettings:
    """Return settings that point at the emulators, enough for the clients."""
    return settings_with(
        project="demo",
        location="us-central1",
        workflow_id="batch",
        cloud_tasks_emulator_host=f"127.0.0.1:{platform.tasks.port}",
        workflows_emulator_host=f"127.0.0.1:{platform.workflows.grpc_port}",
    )


def create(queue: CloudTasksQueue, task_id: str) -> None:
    """Create a task with an id."""
    queue.create(
        QUEUE,
        task_id,
        url="https://compressor.test/compress",
        audience="https://compressor.test",
        body={"x": 1},
        dispatch_deadline_s=120,
    )


@pytest.mark.fault("A9")
def test_a_task_is_created_once_however_often_it_is_asked_for(platform: Platform) -> None:
    """ALREADY_EXISTS is success."""
    client = new_tasks_client(settings_for(platform))
    queue = CloudTasksQueue(client, {QUEUE: "tasks@demo.iam.gserviceaccount.com"})
    ids = {f"a{uuid.uuid4().hex}" for _ in range(3)}

    for task_id in [*ids, *ids]:
        create(queue, task_id)

    listed = {task.name.rpartition("/")[2] for task in client.list_tasks(parent=QUEUE)}
    # The first task of the queue may have been dispatched already.
    assert len(ids & listed) >= 2


def test_a_task_carries_url_body_and_identity(platform: Platform) -> None:
    """What the compressor needs to trust and understand it."""
    client = new_tasks_client(settings_for(platform))
    queue = CloudTasksQueue(client, {QUEUE: "tasks@demo.iam.gserviceaccount.com"})
    create(queue, "b1")
    create(queue, "b2")

    task = client.get_task(request={"name": f"{QUEUE}/tasks/b2", "response_view": "FULL"})

    sent = task.http_request
    assert (sent.url, sent.body, sent.headers["Content-Type"]) == (
        "https://compressor.test/compress",
        b'{"x": 1}',
        "application/json",
    )
    assert sent.oidc_token.service_account_email == "tasks@demo.iam.gserviceaccount.com"
    assert (sent.oidc_token.audience, task.dispatch_deadline.seconds) == ("https://compressor.test", 120)


def test_a_queue_that_is_away_is_unavailable() -> None:
    """503, so that the outbox keeps the hint."""
    settings = settings_with(cloud_tasks_emulator_host="127.0.0.1:9")
    with pytest.raises(ApiError) as caught:
        create(CloudTasksQueue(new_tasks_client(settings), {QUEUE: "tasks@x"}), "c1")
    assert (caught.value.http_code, caught.value.reason) == (503, "TASKS_UNAVAILABLE")


def test_an_execution_lives_from_its_creation(platform: Platform) -> None:
    """And its name is a full one."""
    executions = WorkflowExecutions(new_executions_client(settings := settings_for(platform)), settings.workflow_name)
    name = executions.create(uuid.uuid4())
    assert name.startswith(f"{settings.workflow_name}/executions/")
    assert executions.is_live(name) is True


def test_an_execution_that_ended_or_is_unknown_does_not_live(platform: Platform) -> None:
    """Both free the batch for another one."""
    executions = WorkflowExecutions(new_executions_client(settings := settings_for(platform)), settings.workflow_name)
    ended = executions.create(uuid.UUID("00000000-0000-4000-8000-000000000000"))
    deadline = threading.Event()
    for _ in range(200):
        if not executions.is_live(ended):
            break
        deadline.wait(0.02)
    assert executions.is_live(ended) is False
    assert executions.is_live(f"{settings.workflow_name}/executions/{uuid.uuid4()}") is False


def test_workflows_that_are_away_are_unavailable() -> None:
    """503 for both questions."""
    settings = settings_with(workflows_emulator_host="127.0.0.1:9")
    executions = WorkflowExecutions(new_executions_client(settings), "projects/p/locations/l/workflows/batch")
    with pytest.raises(ApiError) as caught:
        executions.create(uuid.uuid4())
    assert (caught.value.http_code, caught.value.reason) == (503, "EXECUTIONS_UNAVAILABLE")


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory, unused_port: int) -> Iterator[storage.Client]:
    server = Storage(tmp_path_factory.mktemp("gcs"), unused_port)
    server.start()
    client = storage.Client(
        project="demo",
        credentials=AnonymousCredentials(),
        client_options=client_options.ClientOptions(api_endpoint=server.base_url),
    )
    client.create_bucket("sheets")
    yield client
    client.close()
    server.stop()


def find_sheet_at(sheets: CloudSheetStorage, uri: str, *, max_bytes: int = 2**30) -> StoredSheet:
    """Return an object without reading it."""
    return sheets.find(uri, max_bytes=max_bytes, limit="max_sheet_bytes")


def read_sheet_at(client: storage.Client, uri: str, *, max_bytes: int) -> bytes:
    """Return the content of an object."""
    sheets = CloudSheetStorage(client)
    return sheets.read(find_sheet_at(sheets, uri, max_bytes=max_bytes))


def test_a_sheet_is_read_from_cloud_storage(gcs: storage.Client) -> None:
    """Names with folders and blanks included."""
    gcs.bucket("sheets").blob("in/my sheet.csv").upload_from_string(b"a,b\n")
    assert read_sheet_at(gcs, "gs://sheets/in/my sheet.csv", max_bytes=10) == b"a,b\n"


def test_a_large_sheet_is_read_by_ranges(gcs: storage.Client) -> None:
    """From any byte on, across the end of what is kept of its begin, and again from the start."""
    content = bytes(range(256)) * 40_000
    gcs.bucket("sheets").blob("ranges.bin").upload_from_string(content)
    sheets = CloudSheetStorage(gcs)
    body = sheets.body(find_sheet_at(sheets, "gs://sheets/ranges.bin"))
    with body.open(0) as whole, body.open(1_048_500) as later:
        found = whole.read(), later.read(200), later.read()

    assert (body.size_bytes, body.head) == (len(content), content[:1_048_576])
    assert found == (content, content[1_048_500:1_048_700], content[1_048_700:])


def test_an_upload_is_begun_for_whoever_has_its_address(gcs: storage.Client) -> None:
    """In ranges, without an account; the object is there after the last one."""
    sheets = CloudSheetStorage(gcs)
    content = b"a,b\n" * 100_000
    url = sheets.begin_upload("gs://sheets/up/large.csv", size_bytes=len(content))
    half = 262_144
    ranges = [f"bytes 0-{half - 1}/{len(content)}", f"bytes {half}-{len(content) - 1}/{len(content)}"]
    with requests.Session() as session:
        for piece, told in zip((content[:half], content[half:]), ranges, strict=True):
            answer = session.put(url, data=piece, headers={"Content-Range": told}, timeout=10)
    assert answer.status_code in {200, 201}
    assert read_sheet_at(gcs, "gs://sheets/up/large.csv", max_bytes=10**6) == content


def test_a_large_sheet_that_is_overwritten_is_not_read_on(gcs: storage.Client) -> None:
    """Its rows would be those of two sheets."""
    blob = gcs.bucket("sheets").blob("changing.csv")
    blob.upload_from_string(b"a" * 3_000_000)
    sheets = CloudSheetStorage(gcs)
    body = sheets.body(find_sheet_at(sheets, "gs://sheets/changing.csv"))
    assert body.head.startswith(b"aaa")
    blob.upload_from_string(b"b" * 3_000_000)
    with body.open(2_000_000) as stream, pytest.raises(ApiError) as caught:
        stream.read()
    assert caught.value.reason == "SHEET_NOT_FOUND"


def test_a_sheet_over_the_limit_is_not_read(gcs: storage.Client) -> None:
    """413 with the sizes."""
    gcs.bucket("sheets").blob("large.csv").upload_from_string(b"x" * 11)
    with pytest.raises(ApiError) as caught:
        read_sheet_at(gcs, "gs://sheets/large.csv", max_bytes=10)
    assert (caught.value.http_code, caught.value.reason) == (413, "SHEET_TOO_LARGE")


def test_a_sheet_that_is_not_there_is_not_found(gcs: storage.Client) -> None:
    """Bucket or object alike."""
    for uri in ("gs://sheets/none.csv", "gs://nowhere/none.csv"):
        with pytest.raises(ApiError) as caught:
            read_sheet_at(gcs, uri, max_bytes=10)
        assert (caught.value.http_code, caught.value.reason) == (404, "SHEET_NOT_FOUND")


@pytest.mark.fault("A17")
@pytest.mark.parametrize("status", [200, 404, 429], ids=["taken", "execution ended", "one waits already"])
def test_a_callback_wakes_its_execution_and_a_lost_one_is_no_error(lab: Lab, status: int) -> None:
    """Best effort: whatever the answer, and a refused connection, is as good as success."""
    seen: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    request_id = lab.submit("https://a.example/1.jpg")
    lab.change("UPDATE batches SET callback_url = :url", url=f"http://127.0.0.1:{server.server_port}/cb")
    batch = batch_from_row(lab.batch_row(request_id))  # type: ignore[arg-type]  # any mapping of the columns does
    session = requests.Session()
    callbacks = WorkflowCallbacks(lambda: session)

    callbacks.batch_sealed(batch)
    server.shutdown()
    thread.join()
    server.server_close()
    callbacks.batch_sealed(batch)
    session.close()

    assert seen == [("/cb", b'{"request_id": "%s"}' % request_id.encode())]


@pytest.fixture
def overwritten() -> Iterator[storage.Client]:
    """Give a Cloud Storage whose only object was generation 7 when it was looked at and is 8 when it is read.

    Source: https://cloud.google.com/storage/docs/request-preconditions (a mismatch is 412; the emulator has none).
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if query.get("alt") != ["media"]:
                self._answer(200, json.dumps({"name": "x", "generation": "7", "size": "4"}).encode())
            elif query.get("ifGenerationMatch", ["8"]) == ["8"]:
                self._answer(200, b"x" * 1000)
            else:
                self._answer(412, b"{}")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    client = storage.Client(
        project="demo",
        credentials=AnonymousCredentials(),
        client_options=client_options.ClientOptions(api_endpoint=f"http://127.0.0.1:{server.server_port}"),
    )
    yield client
    client.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_sheet_that_is_overwritten_while_it_is_read_is_not_taken(overwritten: storage.Client) -> None:
    """What was measured is what is read: another generation may be larger than the limit."""
    with pytest.raises(ApiError) as caught:
        read_sheet_at(overwritten, "gs://sheets/moving.csv", max_bytes=10)
    assert caught.value.reason == "SHEET_NOT_FOUND"


def test_a_compressed_sheet_does_not_grow_behind_its_size(gcs: storage.Client) -> None:
    """An object stored with `Content-Encoding: gzip` is read as it lies there."""
    packed = gzip.compress(b"a,b\n" * 100_000, mtime=0)
    blob = gcs.bucket("sheets").blob("packed.csv")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    assert read_sheet_at(gcs, "gs://sheets/packed.csv", max_bytes=10_000) == packed
