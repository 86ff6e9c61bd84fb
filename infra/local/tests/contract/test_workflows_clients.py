"""The Workflows emulator driven by Google's own clients and the real gcloud, as an unmodified program would."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import workflows_v1, workflows_v1beta
from google.cloud.workflows import executions_v1, executions_v1beta
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport
from google.cloud.workflows.executions_v1beta.services.executions.transports import (
    ExecutionsGrpcTransport as BetaExecutionsTransport,
)
from google.cloud.workflows_v1.services.workflows.transports import WorkflowsGrpcTransport
from google.cloud.workflows_v1beta.services.workflows.transports import (
    WorkflowsGrpcTransport as BetaWorkflowsTransport,
)

from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.tasks.model import Queue
from localcloud.tasks.server import TasksServer, start_tasks_server
from localcloud.workflows.server import WorkflowsServer, start_workflows_server

T = TypeVar("T")

PARENT = "projects/demo/locations/us-central1"
ACCOUNT = "workflows@demo.iam.gserviceaccount.com"

ECHO = """
main:
  params: [args]
  steps:
    - answer:
        return: ${args}
"""
WAIT_FOR_CALLBACK = """
- open:
    call: events.create_callback_endpoint
    args: {http_callback_method: POST}
    result: endpoint
- wait:
    call: events.await_callback
    args: {callback: "${endpoint}", timeout: 60}
    result: event
- answer:
    return: ${event.http_request.body}
"""
FAIL = """
- refuse:
    raise: {code: 55, message: no luck}
"""
PARENT_AND_CHILD = """
main:
  params: [args]
  steps:
    - run_child:
        call: googleapis.workflowexecutions.v1.projects.locations.workflows.executions.run
        args:
          workflow_id: ${args.child}
          argument: {number: 7}
          connector_params: {polling_policy: {initial_delay: 0.05}}
        result: answer
    - done:
        return: ${answer}
"""
MAP = """
main:
  params: [args]
  steps:
    - run_all:
        call: experimental.executions.map
        args: {workflow_id: echo, arguments: "${args}"}
        result: answers
    - done:
        return: ${answers}
"""
COUNT = """
- start: {assign: [{sum: 0}]}
- loop:
    for: {value: v, range: [1, 3], steps: [{add: {assign: [{sum: "${sum + v}"}]}}]}
"""
FAN_OUT = """
main:
  params: [args]
  steps:
    - fan_out:
        for:
          value: number
          range: [1, 100]
          steps:
            - body:
                assign:
                  - data: {number: "${number}"}
                  - exec: {argument: "${json.encode_to_string(data)}"}
            - create_task:
                call: googleapis.cloudtasks.v2.projects.locations.queues.tasks.create
                args:
                  parent: projects/demo/locations/us-central1/queues/fan-out
                  body:
                    task:
                      httpRequest:
                        body: ${base64.encode(json.encode(exec))}
                        url: >-
                          https://workflowexecutions.googleapis.com/v1/projects/demo/locations/us-central1/workflows/echo/executions
                        oauthToken:
                          serviceAccountEmail: ${sys.get_env("GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME")}
    - done:
        return: sent
"""


class Platform:
    """Workflows and Cloud Tasks on a loop in a thread of their own, as Google's blocking clients need it."""

    workflows: WorkflowsServer
    tasks: TasksServer

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="localcloud", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the platform's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    async def start(self) -> None:
        """Start both emulators on free ports."""
        clock = SystemClock()
        issuer = TokenIssuer(clock)
        # Each of the two must know the other's port before it starts.
        port = free_port()
        self.tasks = await start_tasks_server(
            port=0,
            grpc_port=0,
            clock=clock,
            location="us-central1",
            queues=[Queue(f"{PARENT}/queues/fan-out")],
            mint_id_token=issuer.mint_id_token,
            mint_access_token=issuer.mint_access_token,
            url_rewrites={"https://workflowexecutions.googleapis.com": f"http://127.0.0.1:{port}"},
        )
        self.workflows = await start_workflows_server(
            port=port,
            grpc_port=0,
            clock=clock,
            project="demo",
            project_number="123456789012",
            location="us-central1",
            service_account=ACCOUNT,
            token_source=lambda email: AccountTokens(issuer, email),
            endpoints={"cloudtasks": f"http://127.0.0.1:{self.tasks.port}"},
        )

    def stop(self) -> None:
        """Stop everything and join the thread."""
        self.call(self.tasks.stop())
        self.call(self.workflows.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def deploy(self, workflow_id: str, source: str) -> str:
        """Deploy a source without a client and return the workflow's name."""

        async def create() -> dict[str, Any]:
            return self.workflows.workflows.create(PARENT, workflow_id, {"sourceContents": source})

        operation = self.call(create())
        assert "error" not in operation, operation
        return f"{PARENT}/workflows/{workflow_id}"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    platform = Platform()
    platform.call(platform.start())
    for workflow_id, source in {
        "echo": ECHO,
        "wait": WAIT_FOR_CALLBACK,
        "fail": FAIL,
        "parent": PARENT_AND_CHILD,
        "fan-out": FAN_OUT,
        "map": MAP,
        "count": COUNT,
    }.items():
        platform.deploy(workflow_id, source)
    yield platform
    platform.stop()


@pytest.fixture(scope="module")
def channel(platform: Platform) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{platform.workflows.grpc_port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def executions(channel: grpc.Channel) -> executions_v1.ExecutionsClient:
    return executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))


@pytest.fixture(scope="module", params=["rest", "grpc"])
def workflows(
    request: pytest.FixtureRequest, platform: Platform, channel: grpc.Channel
) -> workflows_v1.WorkflowsClient:
    """The client over each of its two transports."""
    if request.param == "grpc":
        return workflows_v1.WorkflowsClient(transport=WorkflowsGrpcTransport(channel=channel))
    return workflows_v1.WorkflowsClient(
        transport="rest",
        client_options={"api_endpoint": platform.workflows.base_url},
        credentials=AnonymousCredentials(),
    )


@pytest.fixture
def fresh_id(request: pytest.FixtureRequest) -> str:
    """A workflow id that no other test uses."""
    return f"w{abs(hash(request.node.nodeid)) % 10**12}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(read: Callable[[], T], is_right: Callable[[T], bool], within_s: float = 10.0) -> T:
    """Return what `read` gives once it is right; the last value when time is up."""
    deadline = time.monotonic() + within_s
    while not is_right(value := read()) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return value


def run(client: executions_v1.ExecutionsClient, workflow: str, argument: Any = None) -> executions_v1.Execution:
    """Start an execution and return it when it has ended."""
    started = client.create_execution(
        parent=f"{PARENT}/workflows/{workflow}", execution=executions_v1.Execution(argument=json.dumps(argument))
    )
    return eventually(
        lambda: client.get_execution(name=started.name),
        lambda execution: execution.state != executions_v1.Execution.State.ACTIVE,
    )


def test_workflow_is_created_updated_and_deleted(workflows: workflows_v1.WorkflowsClient, fresh_id: str) -> None:
    """The whole life of a workflow through the client's operations."""
    created = workflows.create_workflow(
        parent=PARENT,
        workflow_id=fresh_id,
        workflow=workflows_v1.Workflow(source_contents=ECHO, call_log_level="LOG_ERRORS_ONLY"),
    ).result(timeout=10)
    updated = workflows.update_workflow(
        workflow=workflows_v1.Workflow(name=created.name, description="new", source_contents=FAIL),
        update_mask={"paths": ["description", "source_contents"]},
    ).result(timeout=10)
    workflows.delete_workflow(name=created.name).result(timeout=10)

    assert created.call_log_level == workflows_v1.Workflow.CallLogLevel.LOG_ERRORS_ONLY
    assert (updated.description, updated.revision_id[:7]) == ("new", "000002-")
    with pytest.raises(exceptions.NotFound):
        workflows.get_workflow(name=created.name)


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_beta_clients_see_the_same_workflows(
    platform: Platform, channel: grpc.Channel, fresh_id: str, transport: str
) -> None:
    """v1beta: deploy, run, read and delete, with operations of that version."""
    if transport == "grpc":
        workflows = workflows_v1beta.WorkflowsClient(transport=BetaWorkflowsTransport(channel=channel))
    else:
        workflows = workflows_v1beta.WorkflowsClient(
            transport="rest",
            client_options={"api_endpoint": platform.workflows.base_url},
            credentials=AnonymousCredentials(),
        )
    executions = executions_v1beta.ExecutionsClient(transport=BetaExecutionsTransport(channel=channel))
    created = workflows.create_workflow(
        parent=PARENT, workflow_id=fresh_id, workflow=workflows_v1beta.Workflow(source_contents=ECHO)
    ).result(timeout=10)
    started = executions.create_execution(
        parent=created.name, execution=executions_v1beta.Execution(argument='{"a": 1}')
    )
    ended = eventually(
        lambda: executions.get_execution(name=started.name),
        lambda execution: execution.state != executions_v1beta.Execution.State.ACTIVE,
    )
    listed = [execution.name for execution in executions.list_executions(parent=created.name)]
    workflows.delete_workflow(name=created.name).result(timeout=10)

    assert (type(created), ended.result, listed) == (workflows_v1beta.Workflow, '{"a":1}', [started.name])


def test_every_method_of_the_clients_is_registered(channel: grpc.Channel) -> None:
    """Whatever a method of Google's gRPC stubs is asked, the answer is not that nobody knows it."""
    stubs: tuple[Any, ...] = (
        WorkflowsGrpcTransport(channel=channel),
        BetaWorkflowsTransport(channel=channel),
        ExecutionsGrpcTransport(channel=channel),
        BetaExecutionsTransport(channel=channel),
    )
    paths = {method._method for transport in stubs for method in transport._wrapped_methods}
    unknown = []
    for path in sorted(paths):
        try:
            channel.unary_unary(path)(b"", timeout=5)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                unknown.append(path)

    assert len(paths) > 15
    assert unknown == []


def test_beta_has_no_revisions(channel: grpc.Channel) -> None:
    """As in production, the method is unknown there."""
    call = channel.unary_unary("/google.cloud.workflows.v1beta.Workflows/ListWorkflowRevisions")

    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=5)

    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_refused_source_raises_with_the_line(workflows: workflows_v1.WorkflowsClient, fresh_id: str) -> None:
    """A deploy that fails is the operation's error, with the place in the source."""
    operation = workflows.create_workflow(
        parent=PARENT, workflow_id=fresh_id, workflow=workflows_v1.Workflow(source_contents="- a:\n    return: ${b}\n")
    )

    with pytest.raises(exceptions.InvalidArgument, match=r"2 \|     return: \$\{b\}"):
        operation.result(timeout=10)


def test_creating_twice_is_a_conflict(workflows: workflows_v1.WorkflowsClient, platform: Platform) -> None:
    """REST and gRPC clients both raise a Conflict."""
    with pytest.raises(exceptions.Conflict):
        workflows.create_workflow(
            parent=PARENT, workflow_id="echo", workflow=workflows_v1.Workflow(source_contents=ECHO)
        )


def test_workflows_are_paged_through(workflows: workflows_v1.WorkflowsClient) -> None:
    """The client's pager finds every workflow, one page at a time."""
    request = workflows_v1.ListWorkflowsRequest(parent=PARENT, page_size=1)

    names = {workflow.name.rsplit("/", 1)[1] for workflow in workflows.list_workflows(request)}

    assert {"echo", "wait", "fail", "parent", "fan-out"} <= names


def test_location_mixin_answers(workflows: workflows_v1.WorkflowsClient) -> None:
    """The client's list_locations works."""
    listed = workflows.list_locations({"name": "projects/demo"})

    assert [location.location_id for location in listed.locations] == ["us-central1"]


def test_operation_mixin_answers(workflows: workflows_v1.WorkflowsClient, fresh_id: str) -> None:
    """An operation can be read again, listed, and deleted."""
    name = workflows.create_workflow(
        parent=PARENT, workflow_id=fresh_id, workflow=workflows_v1.Workflow(source_contents=ECHO)
    ).operation.name

    read = workflows.get_operation({"name": name})
    listed = workflows.list_operations({"name": PARENT})
    workflows.delete_operation({"name": name})

    assert read.done
    assert name in [operation.name for operation in listed.operations]
    with pytest.raises(exceptions.NotFound):
        workflows.get_operation({"name": name})


def test_name_that_is_missing_is_an_invalid_argument(executions: executions_v1.ExecutionsClient) -> None:
    """A gRPC request without its name is the caller's fault."""
    with pytest.raises(exceptions.InvalidArgument, match="'name' is missing"):
        executions.get_execution(name="")


def test_project_number_in_a_name_is_the_project(executions: executions_v1.ExecutionsClient) -> None:
    """Names may use the number; answers use the id."""
    listed = executions.list_executions(parent=f"{PARENT}/workflows/echo".replace("demo", "123456789012"))

    assert all(execution.name.startswith(PARENT) for execution in listed)


def test_execution_gives_its_result(executions: executions_v1.ExecutionsClient) -> None:
    """Argument in, result out, through the gRPC client."""
    ended = run(executions, "echo", {"b": [1, 2.5, None], "a": "ü"})

    assert (ended.state, ended.result) == (
        executions_v1.Execution.State.SUCCEEDED,
        '{"a":"ü","b":[1,2.5,null]}',
    )


def test_failed_execution_gives_payload_and_stack(executions: executions_v1.ExecutionsClient) -> None:
    """The error arrives as Google's message type."""
    ended = run(executions, "fail")

    frame = ended.error.stack_trace.elements[0]
    assert json.loads(ended.error.payload) == {"code": 55, "message": "no luck"}
    assert (frame.step, frame.routine, frame.position.line) == ("refuse", "main", 3)


def test_execution_of_a_missing_workflow_is_not_found(executions: executions_v1.ExecutionsClient) -> None:
    """The gRPC status is the one of REST."""
    with pytest.raises(exceptions.NotFound):
        executions.create_execution(parent=f"{PARENT}/workflows/none", execution=executions_v1.Execution())


def test_execution_is_cancelled(executions: executions_v1.ExecutionsClient) -> None:
    """A waiting execution ends as CANCELLED, and cannot be cancelled again."""
    started = executions.create_execution(parent=f"{PARENT}/workflows/wait", execution=executions_v1.Execution())

    cancelled = executions.cancel_execution(name=started.name)

    assert cancelled.state == executions_v1.Execution.State.CANCELLED
    with pytest.raises(exceptions.FailedPrecondition):
        executions.cancel_execution(name=started.name)


def test_executions_are_listed_with_view(executions: executions_v1.ExecutionsClient) -> None:
    """BASIC hides the result that FULL shows."""
    name = run(executions, "echo", "listed").name
    parent = f"{PARENT}/workflows/echo"

    basic = next(e for e in executions.list_executions(parent=parent) if e.name == name)
    full = next(e for e in executions.list_executions({"parent": parent, "view": 2}) if e.name == name)

    assert (basic.result, full.result) == ("", '"listed"')


def test_callback_resumes_the_execution(platform: Platform, executions: executions_v1.ExecutionsClient) -> None:
    """The URL that the workflow made is answered by the server, and the body becomes the result."""
    started = executions.create_execution(parent=f"{PARENT}/workflows/wait", execution=executions_v1.Execution())
    listing = f"{platform.workflows.base_url}/v1/{started.name}/callbacks"
    with requests.Session() as session:
        callbacks = eventually(lambda: session.get(listing, timeout=5).json(), lambda body: "callbacks" in body)
        url = f"{platform.workflows.base_url}/v1/{callbacks['callbacks'][0]['name']}"
        answer = session.post(url, json={"done": True}, timeout=5)

    ended = eventually(
        lambda: executions.get_execution(name=started.name),
        lambda execution: execution.state != executions_v1.Execution.State.ACTIVE,
    )
    assert (answer.status_code, ended.result) == (200, '{"done":true}')


def test_connector_runs_a_child_and_gets_its_result(executions: executions_v1.ExecutionsClient) -> None:
    """`executions.run` returns the child's decoded result."""
    assert run(executions, "parent", {"child": "echo"}).result == '{"number":7}'


def test_connector_raises_when_the_child_fails(executions: executions_v1.ExecutionsClient) -> None:
    """A failed child is an OperationError with the child's execution."""
    payload = json.loads(run(executions, "parent", {"child": "fail"}).error.payload)

    assert (payload["message"], payload["tags"]) == ("Execution failed or cancelled.", ["OperationError"])
    assert payload["operation"]["state"] == "FAILED"


def test_map_runs_a_child_per_argument(executions: executions_v1.ExecutionsClient) -> None:
    """`experimental.executions.map` keeps the order of its arguments."""
    assert run(executions, "map", [3, "b", None]).result == '[3,"b",null]'


def test_detailed_history_is_filtered_and_ordered_over_rest(platform: Platform) -> None:
    """The step entries of a loop, newest first, with their variables and what is expected."""
    root = f"{platform.workflows.base_url}/v1"
    wanted = {"executionHistoryLevel": "EXECUTION_HISTORY_DETAILED"}
    name = requests.post(f"{root}/{PARENT}/workflows/count/executions", json=wanted, timeout=5).json()["name"]
    eventually(lambda: requests.get(f"{root}/{name}", timeout=5).json()["state"], lambda state: state == "SUCCEEDED")

    query = {"filter": "stepType=FOR_ITERATION AND NOT entryId<5", "orderBy": "entryId desc"}
    answer = requests.get(f"{root}/{name}/stepEntries", params=query, timeout=5).json()

    shown = []
    for entry in answer["stepEntries"]:
        metadata = entry["stepEntryMetadata"]
        total = entry["variableData"]["variables"]["sum"]
        shown.append((metadata["progressNumber"], metadata["expectedIteration"], total))
    assert shown == [("3", "3", 6), ("2", "3", 3)]


def test_tutorial_fan_out_starts_a_hundred_children(executions: executions_v1.ExecutionsClient) -> None:
    """Google's tutorial: tasks whose target is the Executions API itself, at its production URL."""
    parent = run(executions, "fan-out")

    def arguments() -> set[str]:
        listed = executions.list_executions({"parent": f"{PARENT}/workflows/echo", "view": 2})
        return {execution.argument for execution in listed}

    wanted = {json.dumps({"number": number}, separators=(",", ":")) for number in range(1, 101)}
    assert parent.result == '"sent"'
    assert wanted <= eventually(arguments, lambda found: wanted <= found, within_s=20)


GCLOUD = shutil.which("gcloud")


@pytest.fixture(scope="module")
def gcloud(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, Any, str]]:
    """Run a gcloud command against the platform: exit code, its JSON output, its messages."""
    if GCLOUD is None:
        pytest.skip("gcloud is not installed")
    url = f"{platform.workflows.base_url}/"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "CLOUDSDK_CONFIG": str(tmp_path_factory.mktemp("gcloud")),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "demo",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        "CLOUDSDK_WORKFLOWS_LOCATION": "us-central1",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_WORKFLOWS": url,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_WORKFLOWEXECUTIONS": url,
    }

    def command(*arguments: str) -> tuple[int, Any, str]:
        done = subprocess.run(
            [str(GCLOUD), *arguments, "--format=json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    return command


def test_gcloud_deploys_updates_and_deletes(
    gcloud: Callable[..., tuple[int, Any, str]], tmp_path: Path, fresh_id: str
) -> None:
    """`workflows deploy` twice is two revisions; `describe` reads the first, `delete` ends it."""
    source = tmp_path / "source.yaml"
    source.write_text(ECHO)
    _, created, _ = gcloud("workflows", "deploy", fresh_id, f"--source={source}", "--set-env-vars=A=1")
    source.write_text(FAIL)
    _, updated, _ = gcloud("workflows", "deploy", fresh_id, f"--source={source}", "--description=d")
    _, described, _ = gcloud("workflows", "describe", fresh_id, f"--revision-id={created['revisionId']}")
    deleted, _, _ = gcloud("workflows", "delete", fresh_id)

    assert (created["state"], created["userEnvVars"]) == ("ACTIVE", {"A": "1"})
    assert (updated["revisionId"][:7], updated["description"]) == ("000002-", "d")
    assert described["sourceContents"] == ECHO
    assert deleted == 0


def test_gcloud_shows_why_a_deploy_failed(
    gcloud: Callable[..., tuple[int, Any, str]], tmp_path: Path, fresh_id: str
) -> None:
    """The exit code is 1 and the message has the offending line."""
    source = tmp_path / "source.yaml"
    source.write_text("- a:\n    call: googleapis.bigquery.v2.jobs.query\n")

    code, _, messages = gcloud("workflows", "deploy", fresh_id, f"--source={source}")

    assert code == 1
    assert "[INVALID_ARGUMENT]" in messages
    assert "2 |     call: googleapis.bigquery.v2.jobs.query" in messages


def test_gcloud_runs_a_workflow(gcloud: Callable[..., tuple[int, Any, str]]) -> None:
    """`workflows run` waits for the end and prints the execution."""
    code, execution, _ = gcloud("workflows", "run", "echo", '--data={"a": 1}')

    assert (code, execution["state"], execution["result"]) == (0, "SUCCEEDED", '{"a":1}')


def test_gcloud_executes_describes_lists_and_cancels(gcloud: Callable[..., tuple[int, Any, str]]) -> None:
    """`workflows execute` returns at once; the execution can be described, listed and cancelled."""
    _, started, _ = gcloud("workflows", "execute", "wait")
    execution_id = started["name"].rsplit("/", 1)[1]
    _, described, _ = gcloud("workflows", "executions", "describe", execution_id, "--workflow=wait")
    _, listed, _ = gcloud("workflows", "executions", "list", "wait")
    _, cancelled, _ = gcloud("workflows", "executions", "cancel", execution_id, "--workflow=wait")

    assert described["state"] == "ACTIVE"
    assert started["name"] in [execution["name"] for execution in listed]
    assert cancelled["state"] == "CANCELLED"
