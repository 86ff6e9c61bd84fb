"""Connectors of other services: what the tables say, what is sent, and which calls wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.workflows.connectors import cloudtasks, executions, storage
from localcloud.workflows.connectors.discovered import discovered_method, known_services, table_of
from localcloud.workflows.connectors.methods import ApiMethod, Waiting, request_for
from localcloud.workflows.connectors.mocks import Mocks
from localcloud.workflows.connectors.registry import Connectors, connector_methods
from localcloud.workflows.connectors.waiting import JOBS
from localcloud.workflows.errors import WorkflowError

REFUSED = Path(__file__).parents[3] / "contract/cases/samples/connectors_refused.yaml"
NOT_IN_DISCOVERY = (
    "googleapis.secretmanager.v1.projects.secrets.addVersionString",
    "googleapis.translate.v3beta1.projects.locations.batchTranslateText",
)


def method(name: str) -> ApiMethod:
    found = discovered_method(f"googleapis.{name}")
    assert found is not None
    return found


@pytest.mark.parametrize("service", known_services())
def test_table_holds_methods_of_its_service(service: str) -> None:
    """Every line is read, and each method belongs to the service and version of the file."""
    table = table_of(f"googleapis.{service}.x")

    assert table is not None
    assert table.methods
    assert all(name.startswith(f"googleapis.{service}.") for name in table.methods)
    assert all(each.url.startswith(f"https://{service.partition('.')[0]}.") for each in table.methods.values())


def test_tables_written_by_hand_agree_with_those_of_discovery() -> None:
    """Verb and path of the same method are the same."""
    own = [*cloudtasks.METHODS, *executions.METHODS, *storage.METHODS, *storage.OBJECT_METHODS]
    pairs = [(each, discovered_method(each.name)) for each in own]

    assert [
        each.name
        for each, found in pairs
        if found is None or (each.verb, each.url.replace("+", "")) != (found.verb, found.url.replace("+", ""))
    ] == []


def test_connectors_of_googles_samples_are_known_with_their_arguments() -> None:
    """Each makes a request; what is no `googleapis.*` method of an API stays refused."""
    unknown = []
    for group in yaml.safe_load(REFUSED.read_text(encoding="utf-8")):
        for case in group["cases"]:
            found = discovered_method(case["connector"])
            if found is None:
                unknown.append(case["connector"])
                continue
            # What a sample leaves out of the path is its own fault.
            needed = dict.fromkeys(found.variables, "x")
            request_for(found, {**needed, **case["args"]})

    assert [name for name in unknown if name.startswith("googleapis.") and name not in NOT_IN_DISCOVERY] == []


@pytest.mark.parametrize(
    ("name", "arguments", "sent"),
    [
        (
            "pubsub.v1.projects.topics.publish",
            {"topic": "projects/p/topics/t", "body": {"messages": []}},
            ("POST", "https://pubsub.googleapis.com/v1/projects/p/topics/t:publish"),
        ),
        (
            "firestore.v1.projects.databases.documents.patch",
            {"name": "projects/p/databases/d/documents/c/d", "updateMask": {"fieldPaths": ["a"]}, "body": {}},
            (
                "PATCH",
                "https://firestore.googleapis.com/v1/projects/p/databases/d/documents/c/d?updateMask.fieldPaths=a",
            ),
        ),
        (
            "bigquery.v2.jobs.query",
            {"projectId": "p", "body": {"query": "SELECT 1"}},
            ("POST", "https://bigquery.googleapis.com/bigquery/v2/projects/p/queries"),
        ),
        (
            "compute.v1.instances.stop",
            {"project": "p", "zone": "z", "instance": "i"},
            ("POST", "https://compute.googleapis.com/compute/v1/projects/p/zones/z/instances/i/stop"),
        ),
        (
            "run.v1.namespaces.jobs.get",
            {"name": "namespaces/p/jobs/j", "location": "us-central1"},
            ("GET", "https://run.googleapis.com/apis/run.googleapis.com/v1/namespaces/p/jobs/j"),
        ),
        (
            "drive.v3.files.list",
            {"q": "a"},
            ("GET", "https://drive.googleapis.com/drive/v3/files?q=a"),
        ),
    ],
)
def test_call_makes_the_request_of_its_api(name: str, arguments: dict[str, Any], sent: tuple[str, str]) -> None:
    """By path, query and body; the place of an endpoint is not sent."""
    request = request_for(method(name), arguments)

    assert (request.verb, request.url) == sent


def test_argument_that_the_method_does_not_have_is_refused() -> None:
    """As production refuses it."""
    with pytest.raises(WorkflowError, match="unknown argument 'topik'"):
        request_for(method("pubsub.v1.projects.topics.publish"), {"topik": "t"})


@pytest.mark.parametrize(
    ("name", "waiting"),
    [
        ("bigquery.v2.jobs.query", Waiting.NOT),
        ("bigquery.v2.jobs.insert", Waiting.JOB),
        ("cloudbuild.v1.projects.builds.create", Waiting.OPERATION),
        ("compute.v1.instances.insert", Waiting.STATUS),
        ("compute.v1.zoneOperations.get", Waiting.NOT),
        ("run.v2.projects.locations.jobs.run", Waiting.OPERATION),
        ("sqladmin.v1.instances.export", Waiting.STATUS),
        ("translate.v3.projects.locations.batchTranslateText", Waiting.OPERATION),
        ("dataform.v1beta1.projects.locations.repositories.compilationResults.create", Waiting.NOT),
    ],
)
def test_method_waits_for_what_its_answer_is(name: str, waiting: Waiting) -> None:
    """Operations by their schema, jobs by Google's list."""
    assert method(name).waiting is waiting


def test_every_job_is_a_method() -> None:
    """A misspelt name would not wait."""
    assert [name for name in JOBS if discovered_method(name) is None] == []


async def perform(caller: Any, name: str, /, **arguments: Any) -> Any:
    connectors = Connectors({"bigquery", "batch", "compute", "cloudbuild", "run", "dataflow"})
    return await connectors[f"googleapis.{name}"](caller.host, arguments)


async def test_bigquery_job_is_polled_until_it_is_done(caller: Any) -> None:
    """Each poll is a step; the result is the job."""
    job = {"jobReference": {"projectId": "p", "jobId": "j", "location": "EU"}, "status": {"state": "RUNNING"}}
    caller.http.answers(job, job, {**job, "status": {"state": "DONE"}})

    result = await perform(caller, "bigquery.v2.jobs.insert", projectId="p", body={})

    assert result["status"] == {"state": "DONE"}
    assert caller.sent == ("GET", "https://bigquery.googleapis.com/bigquery/v2/projects/p/jobs/j?location=EU")
    assert caller.counted_steps == 2


async def test_job_that_ends_badly_is_an_operation_error(caller: Any) -> None:
    """With the job and its error."""
    failed = {
        "jobReference": {"projectId": "p", "jobId": "j"},
        "status": {"state": "DONE", "errorResult": {"reason": "invalidQuery", "message": "bad SQL"}},
    }
    caller.http.answers(failed)

    with pytest.raises(WorkflowError, match="bad SQL") as error:
        await perform(caller, "bigquery.v2.jobs.insert", projectId="p", body={})

    assert error.value.tags == ["OperationError"]
    assert error.value.value["operation"] == failed


async def test_operation_of_compute_engine_is_polled_at_its_own_address(caller: Any) -> None:
    """Below the address of the service, whatever host it names."""
    link = "https://www.googleapis.com/compute/v1/projects/p/zones/z/operations/o"
    caller.http.answers({"status": "RUNNING", "selfLink": link}, {"status": "DONE", "selfLink": link, "targetId": "7"})

    result = await perform(caller, "compute.v1.instances.stop", project="p", zone="z", instance="i")

    assert result["targetId"] == "7"
    assert caller.sent == ("GET", "https://compute.googleapis.com/compute/v1/projects/p/zones/z/operations/o")


async def test_execution_of_a_cloud_run_job_ends_with_its_condition(caller: Any) -> None:
    """`Completed` is False when it failed."""
    started = {"metadata": {"namespace": "p", "name": "j-x"}, "status": {"conditions": [{"type": "Completed"}]}}
    ended = {**started, "status": {"conditions": [{"type": "Started"}, {"type": "Completed", "status": "False"}]}}
    caller.http.answers(started, ended)

    with pytest.raises(WorkflowError, match="Operation failed"):
        await perform(caller, "run.v1.namespaces.jobs.run", name="namespaces/p/jobs/j", location="l")

    assert caller.sent[1].endswith("/apis/run.googleapis.com/v1/namespaces/p/executions/j-x")


async def test_job_inside_of_an_answer_is_found(caller: Any) -> None:
    """A launch of Dataflow answers `{"job": {...}}`."""
    caller.http.answers({"job": {"id": "1", "projectId": "p", "location": "l"}}, {"currentState": "JOB_STATE_DONE"})

    await perform(caller, "dataflow.v1b3.projects.locations.flexTemplates.launch", projectId="p", location="l", body={})

    assert caller.sent[1].endswith("/v1b3/projects/p/locations/l/jobs/1")


async def test_cloud_build_gives_the_whole_operation(caller: Any) -> None:
    """A sample of Google's reads `metadata.build` of it."""
    caller.http.answers({"name": "operations/o", "done": True, "metadata": {"build": {"id": "b"}}, "response": {}})

    result = await perform(caller, "cloudbuild.v1.projects.builds.create", projectId="p", body={})

    assert result["metadata"]["build"]["id"] == "b"


async def test_polling_may_be_skipped(caller: Any) -> None:
    """The first answer is the result."""
    caller.http.answers({"jobReference": {}, "status": {"state": "RUNNING"}})

    params = {"skip_polling": True}
    result = await perform(caller, "bigquery.v2.jobs.insert", projectId="p", body={}, connector_params=params)

    assert result["status"]["state"] == "RUNNING"


PUBLISH = "googleapis.pubsub.v1.projects.topics.publish"


def test_connector_is_there_when_its_service_has_an_address() -> None:
    """Or a mock, or when all may be deployed."""
    mocks = Mocks()
    mocks.add(PUBLISH, {"returns": 1})

    assert PUBLISH in Connectors({"pubsub"})
    assert PUBLISH in Connectors((), mocks)
    assert PUBLISH in Connectors((), allows_unemulated=True)
    assert PUBLISH not in Connectors({"storage"})
    assert "googleapis.pubsub.v1.projects.topics.publisch" not in Connectors({"pubsub"})
    assert "googleapis.storage.v1.objects.get" not in Connectors(())


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (PUBLISH, None),
        ("googleapis.bigquery.v2.jobs.query", "is not emulated"),
        ("googleapis.dataform.v1beta1.projects.locations.repositories.get", "is not on Google's list"),
    ],
)
def test_note_is_made_of_what_may_fail(name: str, note: str | None) -> None:
    """At a call that nothing answers, and of services that production may not have."""
    [*notes] = Connectors({"pubsub", "dataform"}, allows_unemulated=True).notes([name])

    assert notes == [] if note is None else note in notes[0]


async def test_mock_waits_and_counts_as_an_operation_does(caller: Any) -> None:
    """`polls` with the policy of the call."""
    mocks = Mocks()
    mocks.add(PUBLISH, {"returns": "r", "polls": 3})
    policy = {"initial_delay": 2, "multiplier": 2, "max_delay": 5}

    connector = mocks.connector(PUBLISH)
    assert connector is not None
    result = await connector(caller.host, {"connector_params": {"polling_policy": policy}})

    assert (result, caller.clock.slept, caller.counted_steps) == ("r", [2, 4, 5], 3)


def test_connectors_written_by_hand_are_listed() -> None:
    """Of the services that have an address."""
    listed = list(Connectors({"cloudtasks"}))

    assert listed
    assert set(listed) < set(connector_methods())
