"""The real gcloud and Google's Python clients against the running stack."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator

import grpc
import pytest
import yaml
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage, tasks_v2, workflows_v1  # type: ignore[attr-defined]
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport
from samples.catalogue import SampleFile
from samples.demo import ROOT, STACK_FILE
from samples.origin import Origin
from samples.photos import encoded, photo

from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from support.shop_client import Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LOCATION = "projects/demo/locations/us-central1"

with_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")


@pytest.fixture(name="batch", scope="module")
def _batch(shop: Shop) -> Iterator[str]:
    with Origin({"/a.jpg": SampleFile("image/jpeg", encoded(photo(200, 200, seed=1), "JPEG"))}) as origin:
        request_id = shop.upload(sheet_of([[f"{origin.base_url}/a.jpg"]]))
        shop.finished(request_id)
        yield request_id


def gcloud(stack: Stack, *words: str) -> str:
    """Run gcloud with nothing but what `.local/env` exports and return its output."""
    command = ["bash", "-c", '. "$0"; exec gcloud "$@" --format=json', str(stack.state_dir / "env"), *words]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@with_gcloud
def test_gcloud_runs_a_batch(stack: Stack, batch: str) -> None:
    """`gcloud workflows run batch --data` waits for the execution and prints its result."""
    execution = json.loads(gcloud(stack, "workflows", "run", "batch", "--data", json.dumps({"request_id": batch})))

    assert execution["state"] == "SUCCEEDED"
    assert json.loads(execution["result"])["request_id"] == batch


@with_gcloud
def test_gcloud_executes_lists_describes_and_cancels(stack: Stack) -> None:
    """The executions commands work on an execution that sleeps until it is cancelled."""
    source = stack.state_dir / "nap.yaml"
    source.write_text("- nap:\n    call: sys.sleep\n    args: {seconds: 600}\n", encoding="utf-8")
    assert json.loads(gcloud(stack, "workflows", "deploy", "nap", f"--source={source}"))["state"] == "ACTIVE"

    name = json.loads(gcloud(stack, "workflows", "execute", "nap"))["name"]
    execution = name.rsplit("/", 1)[1]
    assert [item["name"] for item in json.loads(gcloud(stack, "workflows", "executions", "list", "nap"))] == [name]
    described = json.loads(gcloud(stack, "workflows", "executions", "describe", execution, "--workflow=nap"))
    assert described["state"] == "ACTIVE"
    cancelled = json.loads(gcloud(stack, "workflows", "executions", "cancel", execution, "--workflow=nap"))
    assert cancelled["state"] == "CANCELLED"


@with_gcloud
def test_gcloud_describes_the_queue(stack: Stack) -> None:
    """`gcloud tasks queues describe` shows what infra/queues.yaml says, at the rate of this machine."""
    queue = json.loads(gcloud(stack, "tasks", "queues", "describe", "images", "--location=us-central1"))

    declared = yaml.safe_load((ROOT / "infra/queues.yaml").read_text(encoding="utf-8"))
    images = next(item for item in declared["queues"] if item["name"] == "images")
    assert queue["name"] == f"{LOCATION}/queues/images"
    assert queue["rateLimits"]["maxConcurrentDispatches"] == images["rate_limits"]["max_concurrent_dispatches"]
    assert queue["rateLimits"]["maxDispatchesPerSecond"] == load_stack_config(STACK_FILE).queue_rates["images"]


def test_workflows_client_reads_the_deployed_source(stack: Stack) -> None:
    """Google's WorkflowsClient gets the very batch.yaml of this repository."""
    client = workflows_v1.WorkflowsClient(
        transport="rest", credentials=AnonymousCredentials(), client_options={"api_endpoint": stack.url("workflows")}
    )

    workflow = client.get_workflow(name=f"{LOCATION}/workflows/batch")

    assert workflow.source_contents == (ROOT / "workflows/batch.yaml").read_text(encoding="utf-8")


def test_executions_client_runs_a_batch(stack: Stack, batch: str) -> None:
    """Google's ExecutionsClient, which has only gRPC, creates an execution and sees it succeed."""
    with grpc.insecure_channel(stack.exports["WORKFLOWS_EMULATOR_HOST"]) as channel:
        client = executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))
        created = client.create_execution(
            parent=f"{LOCATION}/workflows/batch",
            execution=executions_v1.Execution(argument=json.dumps({"request_id": batch})),
        )

        def probe() -> executions_v1.Execution | None:
            execution = client.get_execution(name=created.name)
            return execution if execution.state != executions_v1.Execution.State.ACTIVE else None

        assert eventually(probe, within_s=60, what="the execution ends").state.name == "SUCCEEDED"


def test_tasks_client_lists_the_declared_queues(stack: Stack) -> None:
    """Google's CloudTasksClient sees the queues of infra/queues.yaml."""
    client = tasks_v2.CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://{stack.exports['CLOUD_TASKS_EMULATOR_HOST']}"},
    )

    names = {queue.name.rsplit("/", 1)[1] for queue in client.list_queues(parent=LOCATION)}

    assert names == {"batches", "images", "webhooks"}


def test_storage_client_reads_a_rendition(stack: Stack, shop: Shop, batch: str) -> None:
    """Google's storage client finds the rendition with its type and caching."""
    client = storage.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": stack.url("storage")}
    )
    link = shop.rows(batch)[1][3]

    blob = client.bucket("pressroom-images").get_blob(link.split("/pressroom-images/", 1)[1])

    assert blob is not None
    assert (blob.content_type, blob.cache_control) == ("image/jpeg", "public, max-age=31536000, immutable")
