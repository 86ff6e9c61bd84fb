"""The Workflows API: workflows, revisions, operations and locations, as JSON in and JSON out.

REST and gRPC call these methods. A deploy parses and checks the whole
source, so that a bad one is a failed operation and the old revision stays.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, already_exists, invalid_argument, not_found
from localcloud.core.json_values import Json, camel_case
from localcloud.core.list_fields import Choice, Field, Flag, Labels, Time
from localcloud.workflows.api import lists, request_fields
from localcloud.workflows.api.lists import ListQuery, list_page
from localcloud.workflows.api.resources import operation_json, present, workflow_json
from localcloud.workflows.connectors.registry import Connectors
from localcloud.workflows.engine.executor import Executor
from localcloud.workflows.enums import CallLogLevel, HistoryLevel, WorkflowState
from localcloud.workflows.model import Operation, Revision, Workflow
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.source.steps import Program
from localcloud.workflows.store import Store

_LOG = logging.getLogger("localcloud.workflows")

_WORKFLOW_ID = re.compile(r"[A-Za-z](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")

_WRITABLE: Mapping[str, request_fields.Reader] = {
    "description": request_fields.description,
    "labels": request_fields.labels,
    "serviceAccount": request_fields.account_email,
    "sourceContents": request_fields.source,
    "callLogLevel": request_fields.call_log_level,
    "userEnvVars": request_fields.user_env,
    "executionHistoryLevel": request_fields.history_level,
    "cryptoKeyName": request_fields.crypto_key,
    "tags": request_fields.tags,
}
_OUTPUT_ONLY = frozenset(
    [
        "name",
        "state",
        "revisionId",
        "createTime",
        "updateTime",
        "revisionCreateTime",
        "stateError",
        "allKmsKeys",
        "allKmsKeysVersions",
        "cryptoKeyVersion",
    ]
)
_EMPTY: Mapping[str, Any] = {
    "description": "",
    "labels": {},
    "serviceAccount": "",
    "sourceContents": "",
    "callLogLevel": CallLogLevel.CALL_LOG_LEVEL_UNSPECIFIED,
    "userEnvVars": {},
    "executionHistoryLevel": HistoryLevel.EXECUTION_HISTORY_LEVEL_UNSPECIFIED,
    "cryptoKeyName": "",
}
_REVISIONED = frozenset({"serviceAccount", "sourceContents", "userEnvVars"})

_WORKFLOWS = lists.Collection(
    default_size=500,
    maximum_size=1000,
    fields={
        "name": Field(lambda w: w.name),
        "description": Field(lambda w: w.description),
        "state": Field(lambda _: WorkflowState.ACTIVE, Choice(WorkflowState)),
        "labels": Field(lambda w: w.labels, Labels()),
        "createTime": Field(lambda w: w.create_time, Time()),
        "updateTime": Field(lambda w: w.update_time, Time()),
        "revisionCreateTime": Field(lambda w: w.current.create_time, Time()),
        "revisionId": Field(lambda w: w.current.revision_id),
        "serviceAccount": Field(lambda w: w.current.service_account),
    },
    sortable=frozenset({"name", "createTime", "updateTime", "revisionCreateTime", "revisionId"}),
)
_REVISIONS = lists.Collection(default_size=20, maximum_size=100, fields={})
_OPERATIONS = lists.Collection(default_size=100, maximum_size=1000, fields={"done": Field(lambda _: True, Flag())})

REGIONS = frozenset(
    {
        "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
        "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "asia-southeast3", "australia-southeast1",
        "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1",
        "europe-west1", "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8",
        "europe-west9", "europe-west10", "europe-west12", "me-central1", "me-central2", "me-west1",
        "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1",
        "southamerica-west1", "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west2",
        "us-west3", "us-west4",
    }
)  # fmt: skip
"""Regions of Workflows. Source: https://cloud.google.com/workflows/docs/locations"""

MAX_OPERATIONS = 10_000
"""Operations kept; the oldest goes first."""


class WorkflowsApi:
    """The methods of google.cloud.workflows.v1.Workflows and its mixins."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        executor: Executor,
        load: Callable[..., Program],
        connectors: Connectors,
        default_account: str,
        home: tuple[str, str],
    ) -> None:
        """Wire the API.

        Args:
            store: the state.
            clock: source of timestamps.
            executor: cancels the executions of a deleted workflow.
            load: parses and checks a source.
            connectors: the connector methods there are.
            default_account: email that workflows run as unless they name one.
            home: project and location that `locations` lists besides those in use.
        """
        self._store = store
        self._clock = clock
        self._executor = executor
        self._load = load
        self._connectors = connectors
        self._default_account = default_account
        self._home = home

    def create(self, parent: str, workflow_id: str, body: Any) -> Json:
        """Deploy the first revision of a workflow and return the operation.

        Raises:
            GoogleError: INVALID_ARGUMENT for a bad id or field, ALREADY_EXISTS, PERMISSION_DENIED for a location that
                neither Google nor this server has.
        """
        if not _WORKFLOW_ID.fullmatch(workflow_id):
            raise invalid_argument(f"Invalid workflow ID {workflow_id!r}")
        self._check_location(parent.rpartition("/")[2])
        fields = request_fields.read_body(body, _WRITABLE, _OUTPUT_ONLY, "Workflow")
        name = f"{parent}/workflows/{workflow_id}"
        if name in self._store.workflows:
            raise already_exists(f"Resource '{name}' already exists")
        return self._deploy(name, None, fields, "create")

    def get(self, name: str, revision_id: str = "") -> Json:
        """Return a workflow as of a revision, the latest by default.

        Raises:
            GoogleError: NOT_FOUND.
        """
        workflow = self._store.workflow(name)
        if not revision_id:
            return workflow_json(workflow)
        for revision in workflow.revisions:
            if revision.revision_id == revision_id:
                return workflow_json(workflow, revision)
        raise not_found(f"Revision '{revision_id}' of '{name}' was not found")

    def list(self, parent: str, query: ListQuery) -> Json:
        """Return a page of the workflows of a location."""
        self._check_location(parent.rpartition("/")[2])
        mine = [w for name, w in sorted(self._store.workflows.items()) if name.startswith(f"{parent}/workflows/")]
        page, token = list_page(mine, query, _WORKFLOWS, key=lambda w: w.name)
        return present({"workflows": [workflow_json(workflow) for workflow in page], "nextPageToken": token})

    def patch(self, name: str, mask: str, body: Any) -> Json:
        """Change the masked fields (comma-joined, camelCase or snake_case; empty means all) and return the operation.

        Raises:
            GoogleError: NOT_FOUND, or INVALID_ARGUMENT for a bad mask or field.
        """
        workflow = self._store.workflow(name)
        given = request_fields.read_body(body, _WRITABLE, _OUTPUT_ONLY, "Workflow")
        masked = [camel_case(field.strip()) for field in mask.split(",") if field.strip()]
        if unknown := [field for field in masked if field not in _EMPTY]:
            # Tags, too: they are immutable.
            raise invalid_argument(f"Invalid update mask: {', '.join(unknown)}")
        # A masked field that the body leaves out is cleared (AIP-134).
        wanted = masked or list(_EMPTY)
        fields = {field: given.get(field, _EMPTY.get(field)) for field in wanted}
        return self._deploy(name, workflow, fields, "update")

    def delete(self, name: str) -> Json:
        """Cancel and forget the workflow's executions, then the workflow; return the operation."""
        self._store.workflow(name)
        self._executor.cancel_all(name)
        self._store.remove_workflow(name)
        return self._finished(name, "delete")

    def list_revisions(self, name: str, query: ListQuery) -> Json:
        """Return a page of a workflow's revisions, newest first."""
        workflow = self._store.workflow(name)
        newest_first = list(reversed(workflow.revisions))
        page, token = list_page(newest_first, query, _REVISIONS, key=lambda r: r.revision_id)
        return present({"workflows": [workflow_json(workflow, r) for r in page], "nextPageToken": token})

    def get_operation(self, name: str) -> Json:
        """Return an operation; all are done."""
        return operation_json(self._store.operation(name))

    def list_operations(self, parent: str, query: ListQuery) -> Json:
        """Return a page of a location's operations, newest first."""
        self._check_location(parent.rpartition("/")[2])
        mine = [op for name, op in self._store.operations.items() if name.startswith(f"{parent}/operations/")]
        page, token = list_page(mine[::-1], query, _OPERATIONS, key=lambda op: op.name)
        return present({"operations": [operation_json(op) for op in page], "nextPageToken": token})

    def delete_operation(self, name: str) -> Json:
        """Forget an operation."""
        self._store.operation(name)
        del self._store.operations[name]
        return {}

    def list_locations(self, project: str) -> Json:
        """Return the home location and those that have workflows."""
        used = {tuple(name.split("/")[1:4:2]) for name in self._store.workflows} | {self._home}
        return {"locations": [_location(project, location) for owner, location in sorted(used) if owner == project]}

    def get_location(self, project: str, location: str) -> Json:
        """Return one location.

        Raises:
            GoogleError: PERMISSION_DENIED, there is none of this name.
        """
        self._check_location(location)
        return _location(project, location)

    def _check_location(self, location: str) -> None:
        if location not in REGIONS and location != self._home[1]:
            # The text of the API, as users report it.
            raise GoogleError("PERMISSION_DENIED", f"Location {location} is not found or access is unauthorized.")

    def _deploy(self, name: str, old: Workflow | None, fields: Mapping[str, Any], verb: str) -> Json:
        now_s = self._clock.now()
        try:
            revision = self._revision(old, fields, now_s)
        except SourceError as error:
            return self._finished(name, verb, error=invalid_argument(error.rendered))
        if old is None:
            base = Workflow(name, now_s, now_s, ())
        else:
            base = replace(old, update_time=now_s)
        workflow = replace(
            base,
            revisions=(*base.revisions, revision) if revision is not None else base.revisions,
            description=fields.get("description", base.description),
            labels=fields.get("labels", base.labels),
            call_log_level=fields.get("callLogLevel", base.call_log_level),
            history_level=fields.get("executionHistoryLevel", base.history_level),
            crypto_key=fields.get("cryptoKeyName", base.crypto_key),
        )
        if revision is not None:
            for note in self._connectors.notes(revision.program.connectors):
                _LOG.warning("workflow.note %s: %s", name, note)
        if fields.get("cryptoKeyName") or fields.get("tags"):
            _LOG.warning("workflow.note %s: localcloud encrypts nothing and binds no tags", name)
        self._store.workflows[name] = workflow
        return self._finished(name, verb, response=workflow_json(workflow))

    def _revision(self, old: Workflow | None, fields: Mapping[str, Any], now_s: float) -> Revision | None:
        """Return the new revision, or None when nothing that belongs to one is given.

        Raises:
            SourceError: the source is refused.
        """
        before = old.current if old is not None else None
        if before is not None and not _REVISIONED & set(fields):
            return None
        source = fields.get("sourceContents", before.source if before else "")
        if before is not None and source == before.source:
            program = before.program
        elif not source.strip():
            raise SourceError("source_contents must not be empty")
        else:
            program = self._load(source, connectors=self._connectors)
        if "serviceAccount" in fields or before is None:
            account = fields.get("serviceAccount") or self._default_account
        else:
            account = before.service_account
        user_env = fields.get("userEnvVars", before.user_env if before else {})
        if before and (source, account, user_env) == (before.source, before.service_account, before.user_env):
            return None
        revision_id = old.next_revision_id() if old else Workflow("", 0, 0, ()).next_revision_id()
        return Revision(revision_id, now_s, source, program, account, user_env)

    def _finished(
        self, target: str, verb: str, *, response: Json | None = None, error: GoogleError | None = None
    ) -> Json:
        location = target.split("/workflows/", maxsplit=1)[0]
        name = f"{location}/operations/operation-{uuid.uuid4()}"
        operation = Operation(name, self._clock.now(), target, verb, response, error)
        self._store.operations[name] = operation
        if len(self._store.operations) > MAX_OPERATIONS:
            del self._store.operations[next(iter(self._store.operations))]
        return operation_json(operation)


def _location(project: str, location: str) -> Json:
    return {"name": f"projects/{project}/locations/{location}", "locationId": location}
