"""Google's own clients against the Cloud Tasks emulator: Python over REST, Python over gRPC, and gcloud.

The emulator runs in a process of its own (`localcloud serve`), as it does for users.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2

LOCATION = "projects/demo/locations/us-central1"


class Receiver:
    """A task handler on loopback that remembers requests and answers from a script (200 when it is over)."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.script: list[Any] = []
        self._arrived = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with receiver._arrived:
                    receiver.requests.append((self.path, dict(self.headers), body))
                    code = receiver.script.pop(0) if receiver.script else 200
                    receiver._arrived.notify_all()
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def wait_for(self, path: str, count: int = 1, within_s: float = 10) -> Any:
        """Return the requests to `path` once there are `count`."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: len(self._to(path)) >= count, within_s)
            assert found, f"{len(self._to(path))} of {count} requests to {path}"
            return self._to(path)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _to(self, path: str) -> Any:
        return [(headers, body) for seen, headers, body in self.requests if seen == path]


def _free_port() -> Any:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(probe: Any, within_s: float = 10) -> Any:
    """Return the first true answer of `probe`."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s")


@pytest.fixture(scope="module")
def ports() -> Iterator[Any]:
    """Start `localcloud serve` on free ports."""
    names = ("workflows-port", "workflows-grpc-port", "tasks-port", "tasks-grpc-port", "metadata-port")
    numbers = {name: _free_port() for name in names}
    options = [word for name, port in numbers.items() for word in (f"--{name}", str(port))]
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "serve", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    drain = threading.Thread(target=process.stdout.read)
    drain.start()

    def is_up() -> Any:
        assert process.poll() is None
        try:
            return requests.get(f"http://127.0.0.1:{numbers['tasks-port']}/_local/health", timeout=1).ok
        except requests.ConnectionError:
            return False

    eventually(is_up, 30)
    yield numbers
    process.terminate()
    assert process.wait(timeout=10) == 0
    drain.join()
    process.stdout.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Any]:
    """Give the target of all tasks."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module", params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, ports: Any) -> Iterator[Any]:
    """Give Google's client over both transports."""
    if request.param == "rest":
        client = tasks_v2.CloudTasksClient(
            credentials=AnonymousCredentials(),
            transport="rest",
            client_options={"api_endpoint": f"http://127.0.0.1:{ports['tasks-port']}"},
        )
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{ports['tasks-grpc-port']}")
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    with client:
        yield client


@pytest.fixture
def queue(client: Any) -> Any:
    """Give a new queue that retries quickly."""
    name = f"{LOCATION}/queues/{uuid.uuid4().hex}"
    retry = tasks_v2.RetryConfig(max_attempts=3, min_backoff=duration_pb2.Duration(nanos=50_000_000))
    return client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=name, retry_config=retry))


def _task(receiver: Any, path: str, **fields: Any) -> Any:
    request = tasks_v2.HttpRequest(
        url=receiver.url + path, http_method=tasks_v2.HttpMethod.POST, body=b'{"a": 1}', headers={"X-Mine": "yes"}
    )
    return tasks_v2.Task(http_request=request, **fields)


def test_task_is_delivered(client: Any, queue: Any, receiver: Any) -> None:
    """What the client creates arrives with body, headers and the service's own headers."""
    path = f"/{uuid.uuid4().hex}"

    created = client.create_task(parent=queue.name, task=_task(receiver, path))

    [(headers, body)] = receiver.wait_for(path)
    assert body == b'{"a": 1}'
    assert headers["X-Mine"] == "yes"
    assert headers["X-CloudTasks-QueueName"] == queue.name.rpartition("/")[2]
    assert headers["X-CloudTasks-TaskName"] == created.name.rpartition("/")[2]


def test_batch_of_tasks_is_delivered(client: Any, queue: Any, receiver: Any) -> None:
    """The client waits for the operation; the failed request stands in its metadata."""
    path = f"/{uuid.uuid4().hex}"
    named = {"name": f"{queue.name}/tasks/once"}
    requests = [
        tasks_v2.CreateTaskRequest(parent=queue.name, task=_task(receiver, path, **fields))
        for fields in ({}, named, named)
    ]

    operation = client.batch_create_tasks(parent=queue.name, requests=requests)

    assert len(operation.result(timeout=10).tasks) == 2
    assert {index: status.code for index, status in operation.metadata.failed_requests.items()} == {2: 6}
    assert operation.metadata.state.name == "PARTIALLY_SUCCEEDED"
    assert len(receiver.wait_for(path, 2)) == 2


def test_batch_of_tasks_is_deleted(client: Any, queue: Any, receiver: Any) -> None:
    """Those that have not been dispatched."""
    client.pause_queue(name=queue.name)
    names = [client.create_task(parent=queue.name, task=_task(receiver, "/never")).name for _ in range(3)]

    request = tasks_v2.BatchDeleteTasksRequest(parent=queue.name, names=names[:2])
    client.batch_delete_tasks(request=request).result(timeout=10)

    assert [task.name for task in client.list_tasks(parent=queue.name)] == names[2:]


def test_failed_task_is_retried_with_its_history(client: Any, queue: Any, receiver: Any) -> None:
    """The second attempt says what the first one met."""
    path = f"/{uuid.uuid4().hex}"
    receiver.script.append(500)

    client.create_task(parent=queue.name, task=_task(receiver, path))

    (_, _), (headers, _) = receiver.wait_for(path, 2)
    assert headers["X-CloudTasks-TaskRetryCount"] == "1"
    assert headers["X-CloudTasks-TaskPreviousResponse"] == "500"


def test_token_names_the_account_and_the_audience(client: Any, queue: Any, receiver: Any) -> None:
    """An OIDC token is a JWT with Google's claims."""
    path = f"/{uuid.uuid4().hex}"
    task = _task(receiver, path)
    task.http_request.oidc_token = tasks_v2.OidcToken(service_account_email="tasks@demo", audience="https://root")

    client.create_task(parent=queue.name, task=task)

    [(headers, _)] = receiver.wait_for(path)
    claims = jwt.decode(headers["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
    assert (claims["email"], claims["aud"], claims["iss"]) == (
        "tasks@demo",
        "https://root",
        "https://accounts.google.com",
    )


def test_second_task_of_a_name_is_a_conflict(client: Any, queue: Any, receiver: Any) -> None:
    """Both transports raise Conflict, while the task lives and after it is done."""
    path = f"/{uuid.uuid4().hex}"
    name = f"{queue.name}/tasks/once"
    client.create_task(parent=queue.name, task=_task(receiver, path, name=name))
    receiver.wait_for(path)

    with pytest.raises(exceptions.Conflict):
        client.create_task(parent=queue.name, task=_task(receiver, path, name=name))


def test_scheduled_task_is_shown_run_and_gone(client: Any, queue: Any, receiver: Any) -> None:
    """Get, list and run a task that would wait for an hour."""
    path = f"/{uuid.uuid4().hex}"
    later = timestamp_pb2.Timestamp()
    later.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    name = f"{queue.name}/tasks/later"
    task = _task(receiver, path, name=name, schedule_time=later, dispatch_deadline=duration_pb2.Duration(seconds=30))

    client.create_task(parent=queue.name, task=task)
    basic = client.get_task(name=name)
    full = client.get_task(request={"name": name, "response_view": tasks_v2.Task.View.FULL})
    listed = [listed.name for listed in client.list_tasks(parent=queue.name)]
    client.run_task(name=name)
    receiver.wait_for(path)

    assert (basic.http_request.body, full.http_request.body) == (b"", b'{"a": 1}')
    assert (basic.dispatch_deadline, basic.view) == (timedelta(seconds=30), tasks_v2.Task.View.BASIC)
    assert basic.http_request.http_method == tasks_v2.HttpMethod.POST
    assert listed == [name]
    eventually(lambda: not list(client.list_tasks(parent=queue.name)))
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=name)


def test_queue_is_paused_resumed_updated_purged_and_deleted(client: Any, queue: Any, receiver: Any) -> None:
    """The whole life of a queue."""
    path = f"/{uuid.uuid4().hex}"
    paused = client.pause_queue(name=queue.name)
    client.create_task(parent=queue.name, task=_task(receiver, path))
    purged = client.purge_queue(name=queue.name)
    left = list(client.list_tasks(parent=queue.name))
    resumed = client.resume_queue(name=queue.name)
    update = tasks_v2.Queue(name=queue.name, rate_limits=tasks_v2.RateLimits(max_concurrent_dispatches=7))
    mask = field_mask_pb2.FieldMask(paths=["rate_limits.max_concurrent_dispatches"])
    updated = client.update_queue(queue=update, update_mask=mask)
    listed = [listed.name for listed in client.list_queues(parent=LOCATION)]
    client.delete_queue(name=queue.name)

    assert (paused.state, resumed.state) == (tasks_v2.Queue.State.PAUSED, tasks_v2.Queue.State.RUNNING)
    assert purged.purge_time is not None
    assert left == []
    assert (updated.rate_limits.max_concurrent_dispatches, updated.retry_config.max_attempts) == (7, 3)
    assert queue.name in listed
    with pytest.raises(exceptions.NotFound):
        client.get_queue(name=queue.name)


def test_errors_arrive_as_the_clients_exceptions(client: Any, queue: Any, receiver: Any) -> None:
    """REST raises the general class, gRPC a subclass of it: catch BadRequest, NotFound, Conflict."""
    with pytest.raises(exceptions.BadRequest, match="dispatchDeadline"):
        client.create_task(
            parent=queue.name, task=_task(receiver, "/x", dispatch_deadline=duration_pb2.Duration(seconds=1))
        )
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        client.create_task(parent=f"{LOCATION}/queues/none", task=_task(receiver, "/x"))
    with pytest.raises(exceptions.Conflict):
        client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=queue.name))
    with pytest.raises(exceptions.MethodNotImplemented, match="does not emulate"):
        client.get_cmek_config(name=f"{LOCATION}/cmekConfig")


def test_location_is_listed(client: Any) -> None:
    """The locations mixin answers too."""
    answer = client.list_locations(request={"name": "projects/demo"})

    assert [location.location_id for location in answer.locations] == ["us-central1"]


@pytest.fixture(scope="module")
def gcloud(ports: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a function that runs the real gcloud against the emulator and returns its JSON."""
    binary = shutil.which("gcloud")
    if binary is None:
        pytest.skip("gcloud is not installed")
    environment = os.environ | {
        "CLOUDSDK_CONFIG": str(tmp_path_factory.mktemp("gcloud")),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "demo",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://127.0.0.1:{ports['tasks-port']}/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_APPENGINE": f"http://127.0.0.1:{ports['tasks-port']}/",
    }

    # Without --location: gcloud learns the region from the emulator.
    def run(*arguments: Any, fails: Any = False, track: str = "") -> Any:
        done = subprocess.run(
            [binary, *([track] if track else []), "tasks", *arguments, "--format=json"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return run


def test_gcloud_creates_describes_and_updates_a_queue(gcloud: Any) -> None:
    """Flags of the real gcloud end up in the queue."""
    gcloud("queues", "create", "g1", "--max-dispatches-per-second=5", "--max-attempts=unlimited", "--min-backoff=2s")
    gcloud("queues", "update", "g1", "--max-concurrent-dispatches=7")

    queue = gcloud("queues", "describe", "g1")

    assert queue["rateLimits"] == {"maxDispatchesPerSecond": 5, "maxBurstSize": 5, "maxConcurrentDispatches": 7}
    assert (queue["retryConfig"]["maxAttempts"], queue["retryConfig"]["minBackoff"]) == (-1, "2s")


def test_gcloud_creates_a_task_in_a_paused_queue_and_runs_it(gcloud: Any, receiver: Any) -> None:
    """Create, list, run: the task arrives although its queue is paused."""
    gcloud("queues", "create", "g2")
    gcloud("queues", "pause", "g2")
    gcloud(
        "create-http-task",
        "t1",
        "--queue=g2",
        f"--url={receiver.url}/gcloud",
        "--body-content=hello",
        "--header=X-Mine:yes",
        "--oidc-service-account-email=tasks@demo.iam.gserviceaccount.com",
    )
    names = [task["name"] for task in gcloud("list", "--queue=g2")]
    gcloud("run", "t1", "--queue=g2")

    [(headers, body)] = receiver.wait_for("/gcloud")
    assert names == [f"{LOCATION}/queues/g2/tasks/t1"]
    assert (headers["X-Mine"], body) == ("yes", b"hello")


def test_gcloud_prints_the_emulators_error(gcloud: Any) -> None:
    """NOT_FOUND is understood."""
    assert "NOT_FOUND" in gcloud("queues", "describe", "none", fails=True)


def test_queue_sends_its_tasks_elsewhere(client: Any, receiver: Any) -> None:
    """Google's client sets the target of a queue, and reads it back."""
    host, _, port = receiver.url.removeprefix("http://").partition(":")
    name, path = f"{LOCATION}/queues/{uuid.uuid4().hex}", f"/{uuid.uuid4().hex}"
    uri = {"scheme": "HTTP", "host": host, "port": int(port), "path_override": {"path": path}}
    header = {"header": {"key": "X-From", "value": "queue"}}
    target = tasks_v2.HttpTarget(uri_override=uri, header_overrides=[header])

    queue = client.create_queue(parent=LOCATION, queue=tasks_v2.Queue(name=name, http_target=target))
    client.create_task(
        parent=name, task=tasks_v2.Task(http_request=tasks_v2.HttpRequest(url="https://nowhere.example/"))
    )

    [(headers, _)] = receiver.wait_for(path)
    assert queue.http_target == target
    assert headers["X-From"] == "queue"


def test_policy_of_a_queue_is_set_and_read(client: Any, queue: Any) -> None:
    """Through the methods that Google's client has for it."""
    binding = {"role": "roles/cloudtasks.enqueuer", "members": ["user:a@b.example"]}

    client.set_iam_policy(request={"resource": queue.name, "policy": {"bindings": [binding]}})
    policy = client.get_iam_policy(request={"resource": queue.name})
    granted = client.test_iam_permissions(
        request={"resource": queue.name, "permissions": ["cloudtasks.tasks.create"]}
    ).permissions

    assert ([b.role for b in policy.bindings], list(granted)) == ([binding["role"]], ["cloudtasks.tasks.create"])


def test_gcloud_beta_buffers_a_task(gcloud: Any, receiver: Any) -> None:
    """The queue gets an address by flags, the task its own."""
    host, _, port = receiver.url.removeprefix("http://").partition(":")
    path = f"/{uuid.uuid4().hex}"
    gcloud("queues", "create", "g3", f"--http-uri-override=scheme:http,host:{host},port:{port},path:{path}")

    gcloud("buffer", "--queue=g3", "--location=us-central1", track="beta")

    receiver.wait_for(path)
