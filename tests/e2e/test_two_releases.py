"""Two releases at once, as during every deployment: one side is that of tests/data/last_release, the other today's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo

from localcloud.stack.blocking import Stack
from support import last_release
from support.deployment_files import workflow_text
from support.last_release import OldServices
from support.shop_client import Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Workflows:
    """The workflows of a stack, changed and run as gcloud does."""

    def __init__(self, stack: Stack) -> None:
        where = f"projects/{stack.exports['GOOGLE_CLOUD_PROJECT']}/locations/{stack.exports['GOOGLE_CLOUD_LOCATION']}"
        self._root = f"{stack.url('workflows')}/v1/{where}/workflows"

    def _call(self, method: str, path: str, **given: Any) -> dict[str, Any]:
        answer = requests.request(method, self._root + path, timeout=20, **given)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def get(self, name: str) -> dict[str, Any]:
        """Return a workflow."""
        return self._call("GET", f"/{name}")

    @contextmanager
    def with_source(self, name: str, source: str) -> Iterator[str]:
        """Deploy another source for a while, then the former again; give its revision."""
        before = self.get(name)["sourceContents"]
        mask = {"updateMask": "sourceContents"}
        self._call("PATCH", f"/{name}", params=mask, json={"sourceContents": source})
        try:
            yield str(self.get(name)["revisionId"])
        finally:
            self._call("PATCH", f"/{name}", params=mask, json={"sourceContents": before})

    @contextmanager
    def other(self, name: str, source: str, environment: dict[str, str]) -> Iterator[None]:
        """Have one workflow more for a while."""
        body = {"sourceContents": source, "userEnvVars": environment}
        account = self.get("batch").get("serviceAccount")
        self._call("POST", "", params={"workflowId": name}, json={**body, "serviceAccount": account})
        try:
            yield
        finally:
            self._call("DELETE", f"/{name}")

    def executions(self, name: str) -> list[dict[str, Any]]:
        """Return the executions of a workflow, whole."""
        found: list[dict[str, Any]] = self._call("GET", f"/{name}/executions", params={"view": "FULL"}).get(
            "executions", []
        )
        return found

    def run(self, name: str, argument: Any) -> dict[str, Any]:
        """Run a workflow to its end; return the execution."""
        begun = self._call("POST", f"/{name}/executions", json={"argument": json.dumps(argument)})
        path = "/" + begun["name"].partition("/workflows/")[2]

        def ended() -> dict[str, Any] | None:
            execution = self._call("GET", path)
            return None if execution["state"] == "ACTIVE" else execution

        return eventually(ended, within_s=60, what=f"{name} ends")


@pytest.fixture(name="workflows", scope="module")
def _workflows(stack: Stack) -> Workflows:
    return Workflows(stack)


@pytest.mark.fault("J5")
def test_new_services_with_the_old_workflow(stack: Stack, shop: Shop, workflows: Workflows) -> None:
    """From upload to report by the last release's workflow: services take traffic before today's is deployed."""
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(64, 48, seed=n), "JPEG")) for n in range(3)}
    old = last_release.WORKFLOW.read_text(encoding="utf-8")
    with Origin(files) as origin, workflows.with_source("batch", old) as revision:
        request_id = shop.upload(sheet_of([[f"{origin.base_url}/{n}.jpg"] for n in range(3)]))
        status = shop.finished(request_id)
        (execution,) = [one for one in workflows.executions("batch") if request_id in one["argument"]]

    assert status["status"] == "COMPLETED"
    assert [bool(row[3]) for row in shop.rows(request_id)[1:]] == [True] * 3
    assert execution["workflowRevisionId"] == revision


def environment(stack: Stack, services: OldServices) -> dict[str, str]:
    """Return what a workflow is told, with the old services in the place of today's."""
    exports = stack.exports
    queue = f"projects/{exports['GOOGLE_CLOUD_PROJECT']}/locations/{exports['GOOGLE_CLOUD_LOCATION']}/queues/images"
    doors = dict.fromkeys(("INGEST_INTERNAL_URL", "REPORTER_INTERNAL_URL", "REPORTER_URL"), services.url)
    return {**doors, "IMAGES_QUEUE": queue, "CREATE_TASKS_BY": "batchCreate"}


@pytest.mark.fault("J5")
def test_new_workflow_with_the_old_services(stack: Stack, workflows: Workflows) -> None:
    """Today's workflow by what the last release's services answered, and with nothing that they would refuse."""
    with OldServices() as services, workflows.other("beside", workflow_text(), environment(stack, services)):
        execution = workflows.run("beside", {"request_id": last_release.request_id()})

    assert execution["state"] == "SUCCEEDED", execution
    assert json.loads(execution["result"])["status"] == "COMPLETED"
    assert services.tasks == 2
    assert services.faults == []
    assert set(services.asked) == {answer["route"] for answer in last_release.document()["answers"]}


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("status: ${finished.status}", "status: ${finished.outcome}"),
        ("max_rows: 100}", "max_rows: 100, region: eu}"),
    ],
    ids=["a field that they do not answer", "a field that they do not take"],
)
def test_workflow_that_the_old_services_cannot_serve_is_found(
    stack: Stack, workflows: Workflows, now: str, then: str
) -> None:
    """The journey itself: it fails where a workflow needs services that are not there yet."""
    source = workflow_text().replace(now, then)
    assert source != workflow_text()
    with OldServices() as services, workflows.other("beside", source, environment(stack, services)):
        execution = workflows.run("beside", {"request_id": last_release.request_id()})

    assert execution["state"] == "FAILED" or services.faults != []
