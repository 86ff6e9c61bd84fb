"""The harness of tests: what the fixture `localcloud` gives."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2

from localcloud.testing import DeployError, LocalCloud, WorkflowFailedError
from localcloud_process import eventually

RUN = "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.run"
INSERT = "googleapis.bigquery.v2.jobs.insert"
GREETING = """
main:
  params: [args]
  steps:
    - say: {call: sys.log, args: {text: '${"greeting " + args.name}', severity: WARNING}}
    - greet: {return: '${"Hello " + args.name}'}
"""
APPROVAL = """
main:
  steps:
    - open: {call: events.create_callback_endpoint, args: {http_callback_method: POST}, result: callback}
    - wait: {call: events.await_callback, args: {callback: '${callback}', timeout: 3600}, result: answer}
    - done: {return: '${answer.http_request.body.approved}'}
"""


CHILD = """
main:
  params: [n]
  steps:
    - rest: {call: sys.sleep, args: {seconds: 30}}
    - done: {return: '${n}'}
"""
PARENT = f"""
- start: {{assign: [{{sum: 0}}]}}
- each:
    parallel:
      shared: [sum]
      for:
        value: n
        in: [1, 2, 3]
        steps:
          - run: {{call: {RUN}, args: {{workflow_id: child, argument: '${{n}}'}}, result: r}}
          - add: {{assign: [{{sum: '${{sum + r}}'}}]}}
- done: {{return: '${{sum}}'}}
"""


def test_result_of_a_workflow_is_a_value(localcloud: LocalCloud, tmp_path: Path) -> None:
    """Of a file, under its stem."""
    (tmp_path / "greeting.yaml").write_text(GREETING)

    name = localcloud.deploy(tmp_path / "greeting.yaml")

    assert (name, localcloud.run(name, {"name": "you"})) == ("greeting", "Hello you")


def test_log_is_kept(localcloud: LocalCloud) -> None:
    """What `sys.log` wrote, without the entries of start and end."""
    localcloud.run(localcloud.deploy(GREETING), {"name": "you"})

    assert [(entry["severity"], entry["textPayload"]) for entry in localcloud.logs] == [("WARNING", "greeting you")]


def test_steps_are_told_in_order(localcloud: LocalCloud) -> None:
    """By routine and name."""
    execution = localcloud.start(localcloud.deploy(GREETING), {"name": "you"})
    execution.result()

    assert (execution.state, execution.steps) == ("SUCCEEDED", ["main.say", "main.greet"])


def test_failure_tells_error_and_place(localcloud: LocalCloud) -> None:
    """The error as the workflow would catch it."""
    with pytest.raises(WorkflowFailedError, match="key not found: name") as failure:
        localcloud.run(localcloud.deploy(GREETING), {})

    assert failure.value.error["tags"] == ["KeyError", "LookupError"]
    assert 'in step "say", routine "main", line: 5' in failure.value.context


def test_refused_source_is_told_with_its_line(localcloud: LocalCloud) -> None:
    """As a deploy tells it."""
    with pytest.raises(DeployError, match=r"(?m)^2 \|   stepz: \[\]\n +\^"):
        localcloud.deploy("main:\n  stepz: []\n")


def test_sleep_takes_no_real_time(localcloud: LocalCloud) -> None:
    """Time moves to the next sleeper while `run` waits."""
    before = localcloud.clock.now()

    localcloud.run(localcloud.deploy("- a: {call: sys.sleep, args: {seconds: 86400}}\n"))

    assert localcloud.clock.now() - before == pytest.approx(86_400)


def test_time_moves_only_when_told_to(localcloud: LocalCloud) -> None:
    """An execution that was started stays in its sleep."""
    execution = localcloud.start(localcloud.deploy("- a: {call: sys.sleep, args: {seconds: 60}}\n"))
    assert eventually(lambda: execution.current_steps, bool) == ["main.a"]

    localcloud.clock.advance(59)
    assert execution.state == "ACTIVE"
    localcloud.clock.advance(2)

    assert eventually(lambda: execution.state, lambda state: state != "ACTIVE") == "SUCCEEDED"


def test_parallel_sleeps_pass_together(localcloud: LocalCloud) -> None:
    """Three children that sleep 30 s each take 30 s, and what the parent's polls add."""
    localcloud.deploy(CHILD, "child")
    parent = localcloud.deploy(PARENT, "parent")
    before = localcloud.clock.now()

    assert localcloud.run(parent) == 6
    assert localcloud.clock.now() - before < 60


def test_callback_is_sent_by_the_test(localcloud: LocalCloud) -> None:
    """To the address that the execution has opened."""
    execution = localcloud.start(localcloud.deploy(APPROVAL))
    [address] = eventually(lambda: execution.callbacks, bool)

    body, headers = b'{"approved": true}', {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=10).close()

    assert execution.result() is True


def test_callback_that_nobody_sends_times_out(localcloud: LocalCloud) -> None:
    """Without real waiting."""
    with pytest.raises(WorkflowFailedError) as failure:
        localcloud.run(localcloud.deploy(APPROVAL))

    assert "TimeoutError" in failure.value.error["tags"]


def test_mock_answers_and_remembers(localcloud: LocalCloud) -> None:
    """One answer after the other, and what each call was made with."""
    mock = localcloud.mock(INSERT, answers=[{"returns": {"n": 1}}, {"returns": {"n": 2}, "polls": 2}])
    name = localcloud.deploy(
        f"- a: {{call: {INSERT}, args: {{projectId: p, body: {{q: 1}}}}, result: r}}\n"
        f"- b: {{call: {INSERT}, args: {{projectId: p, body: {{q: 2}}}}, result: s}}\n"
        "- c: {return: ['${r.n}', '${s.n}']}\n"
    )

    assert localcloud.run(name) == [1, 2]
    assert [call["body"] for call in mock.calls] == [{"q": 1}, {"q": 2}]


def test_http_request_is_mocked(localcloud: LocalCloud) -> None:
    """By verb and address; a fault of the server is an HttpError."""
    localcloud.mock("http.get https://api.example/users/*", returns={"name": "you"})
    gone = localcloud.mock("http.delete https://api.example/*", raises={"code": 404, "body": "gone"})
    name = localcloud.deploy(
        "- a: {call: http.get, args: {url: 'https://api.example/users/7'}, result: r}\n"
        "- b:\n    try: {call: http.delete, args: {url: 'https://api.example/users/7'}}\n"
        "    except: {as: e, steps: [{c: {return: ['${r.body.name}', '${e.code}']}}]}\n"
    )

    assert localcloud.run(name) == ["you", 404]
    assert gone.calls[0]["method"] == "DELETE"


def test_secret_and_variable_are_read(localcloud: LocalCloud) -> None:
    """`secret` and `env`."""
    localcloud.secret("db", "s3cret")
    name = localcloud.deploy(
        "- a: {call: googleapis.secretmanager.v1.projects.secrets.versions.accessString, args: {secret_id: db},"
        " result: s}\n- b: {return: '${sys.get_env(\"STAGE\") + s}'}\n",
        env={"STAGE": "test-"},
    )

    assert localcloud.run(name) == "test-s3cret"


@pytest.mark.parametrize("transport", ["rest", "grpc"])
def test_googles_clients_see_the_same(localcloud: LocalCloud, transport: str) -> None:
    """Of Workflows and of Cloud Tasks."""
    localcloud.deploy(GREETING, "greeting")
    tasks: Any = localcloud.tasks_client(transport)
    tasks.create_queue(parent=localcloud.parent, queue=tasks_v2.Queue(name=f"{localcloud.parent}/queues/q"))

    names = [each.name for each in localcloud.workflows_client(transport).list_workflows(parent=localcloud.parent)]

    assert names == [f"{localcloud.parent}/workflows/greeting"]
    assert [queue.name for queue in tasks.list_queues(parent=localcloud.parent)] == [f"{localcloud.parent}/queues/q"]


def test_execution_is_started_by_googles_client(localcloud: LocalCloud) -> None:
    """Over gRPC."""
    name = localcloud.deploy(GREETING)
    client = localcloud.executions_client()

    started = client.create_execution(
        parent=f"{localcloud.parent}/workflows/{name}", execution={"argument": '{"name": "gRPC"}'}
    )

    assert eventually(lambda: client.get_execution(name=started.name).result, bool) == '"Hello gRPC"'


def test_fault_is_ordered(localcloud: LocalCloud) -> None:
    """Of the server's own plan."""
    localcloud.fault("tasks", route="queues.list", fault="fail", code=404)

    with pytest.raises(exceptions.NotFound):
        list(localcloud.tasks_client().list_queues(parent=localcloud.parent))


def test_nothing_is_left_for_the_next_test(localcloud: LocalCloud) -> None:
    """Workflows, mocks, secrets and logs."""
    localcloud.mock(INSERT, returns=1)
    localcloud.run(localcloud.deploy(GREETING), {"name": "you"})

    localcloud.reset()

    assert localcloud.logs == []
    assert list(localcloud.workflows_client().list_workflows(parent=localcloud.parent)) == []
    with pytest.raises(DeployError, match="does not emulate"):
        localcloud.deploy(f"- a: {{call: {INSERT}}}\n")


def test_execution_that_waits_for_a_request_is_waited_for(localcloud: LocalCloud) -> None:
    """Time does not leap over an answer that takes real time."""
    released = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            released.wait(10)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        threading.Timer(0.2, released.set).start()
        name = localcloud.deploy(
            f"- a: {{call: http.get, args: {{url: 'http://127.0.0.1:{server.server_port}/'}}, result: r}}\n"
            "- b: {return: '${r.code}'}\n"
        )
        result = localcloud.run(name)
        server.shutdown()

    assert result == 204
