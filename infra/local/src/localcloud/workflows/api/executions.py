"""The Executions API: executions, their callbacks and step entries, as JSON in and JSON out.

REST and gRPC call these methods.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import failed_precondition, not_found
from localcloud.core.json_values import Json
from localcloud.core.list_fields import Choice, Duration, Field, Flag, Labels, Number, Texts, Time
from localcloud.workflows.api import lists, request_fields
from localcloud.workflows.api.lists import ListQuery, list_page
from localcloud.workflows.api.pubsub import DeliveredMessages, read_notification
from localcloud.workflows.api.resources import execution_json, present, step_entry_json, to_wire
from localcloud.workflows.engine.callbacks import CallbackRequest, Callbacks
from localcloud.workflows.engine.executor import Executor, NewExecution
from localcloud.workflows.enums import ExecutionState, ExecutionView, StepEntryView, StepState, StepType, enum_from_json
from localcloud.workflows.store import Store

_ENTRY_ID = re.compile(r"[0-9]{1,19}")
_WRITABLE: Mapping[str, request_fields.Reader] = {
    "argument": request_fields.argument,
    "callLogLevel": request_fields.call_log_level,
    "labels": request_fields.labels,
    "disableConcurrencyQuotaOverflowBuffering": request_fields.flag,
    "executionHistoryLevel": request_fields.history_level,
}
_OUTPUT_ONLY = frozenset(
    [
        "name",
        "createTime",
        "startTime",
        "endTime",
        "duration",
        "state",
        "result",
        "error",
        "workflowRevisionId",
        "status",
        "stateError",
    ]
)
_FIELDS: Mapping[str, Field] = {
    "executionId": Field(lambda e: e.execution_id),
    "state": Field(lambda e: e.state, Choice(ExecutionState)),
    "createTime": Field(lambda e: e.create_time, Time()),
    "startTime": Field(lambda e: e.start_time, Time()),
    "endTime": Field(lambda e: e.end_time, Time()),
    "duration": Field(lambda e: e.duration_s, Duration()),
    "workflowRevisionId": Field(lambda e: e.revision.revision_id),
    # The step or steps that `status.currentSteps` shows (assumed).
    "stepName": Field(lambda e: [step for _, step in e.history.current_steps()], Texts()),
    "label": Field(lambda e: e.labels, Labels()),
    "labels": Field(lambda e: e.labels, Labels()),
    "disableConcurrencyQuotaOverflowBuffering": Field(lambda e: e.refuses_backlog, Flag()),
}
_SORTABLE = frozenset(["executionId", "state", "createTime", "startTime", "endTime", "duration", "workflowRevisionId"])
_BASIC_LIST = lists.Collection(default_size=100, maximum_size=1000, fields=_FIELDS, sortable=_SORTABLE)
_FULL_LIST = lists.Collection(default_size=100, maximum_size=100, fields=_FIELDS, sortable=_SORTABLE)
_CALLBACKS = lists.Collection(default_size=100, maximum_size=100, fields={})
_STEP_FIELDS: Mapping[str, Field] = {
    "entryId": Field(lambda s: s.entry_id, Number()),
    "createTime": Field(lambda s: s.create_time, Time()),
    "updateTime": Field(lambda s: s.update_time, Time()),
    "routine": Field(lambda s: s.routine),
    "step": Field(lambda s: s.step),
    "stepType": Field(lambda s: s.step_type, Choice(StepType, "STEP_")),
    "parent": Field(lambda s: s.parent, Number()),
    "state": Field(lambda s: s.state, Choice(StepState, "STATE_")),
}
_STEPS = lists.Collection(
    default_size=1000,
    maximum_size=1000,
    fields=_STEP_FIELDS,
    sortable=frozenset(_STEP_FIELDS) - {"parent"},
)


class ExecutionsApi:
    """The methods of google.cloud.workflows.executions.v1.Executions, and the REST-only ones beside it."""

    def __init__(self, *, store: Store, clock: Clock, executor: Executor, callbacks: Callbacks) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._callbacks = callbacks
        self._delivered = DeliveredMessages(clock)

    def create(self, workflow_name: str, body: Any) -> Json:
        """Start an execution and return it at once.

        Raises:
            GoogleError: NOT_FOUND, INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
        """
        workflow = self._store.workflow(workflow_name)
        fields = request_fields.read_body(body, _WRITABLE, _OUTPUT_ONLY, "Execution")
        wanted = NewExecution(
            argument=fields.get("argument", "null"),
            # Unspecified is falsy: the workflow's level applies then.
            call_log_level=fields.get("callLogLevel") or workflow.call_log_level,
            history_level=fields.get("executionHistoryLevel") or workflow.history_level,
            labels=fields.get("labels"),
            refuses_backlog=fields.get("disableConcurrencyQuotaOverflowBuffering", False),
        )
        return execution_json(self._executor.start(workflow, wanted), ExecutionView.FULL, self._clock.now())

    def trigger_pubsub(self, workflow_name: str, body: Any, mode: str = "") -> Json:
        """Start an execution whose argument is a Pub/Sub notification, or with `mode` the event around it.

        A message that has started an execution in the last 24 hours is answered with that one.

        Raises:
            GoogleError: NOT_FOUND, INVALID_ARGUMENT, UNIMPLEMENTED, RESOURCE_EXHAUSTED.
        """
        self._store.workflow(workflow_name)
        wanted = read_notification(body, mode)
        if wanted.delivery is None:
            return self.create(workflow_name, wanted.execution)
        known = self._delivered.execution_of(workflow_name, wanted.delivery)
        if known is not None and self._store.has_execution(known):
            return self.get(known)
        started = self.create(workflow_name, wanted.execution)
        self._delivered.remember(workflow_name, wanted.delivery, started["name"])
        return started

    def get(self, name: str, view: Any = "") -> Json:
        """Return an execution, FULL by default.

        Raises:
            GoogleError: NOT_FOUND.
        """
        return execution_json(self._store.execution(name), _view(view, ExecutionView.FULL), self._clock.now())

    def list(self, workflow_name: str, query: ListQuery, view: Any = "") -> Json:
        """Return a page of a workflow's executions, newest first, BASIC by default."""
        self._store.workflow(workflow_name)
        shown = _view(view, ExecutionView.BASIC)
        collection = _FULL_LIST if shown == ExecutionView.FULL else _BASIC_LIST
        page, token = list_page(self._store.executions(workflow_name), query, collection, key=lambda e: e.name)
        now_s = self._clock.now()
        return present({"executions": [execution_json(e, shown, now_s) for e in page], "nextPageToken": token})

    def cancel(self, name: str) -> Json:
        """Cancel a live execution and return it."""
        return execution_json(self._executor.cancel(name), ExecutionView.FULL, self._clock.now())

    def export_data(self, name: str) -> Json:
        """Return `{"data": JSON text}` of a finished execution and its step entries.

        The shape of Google's text is not documented; here it is `{"execution": {...}, "stepEntries": [...]}`.
        """
        execution = self._store.execution(name)
        data = {
            "execution": execution_json(execution, ExecutionView.FULL, self._clock.now()),
            "stepEntries": [step_entry_json(name, entry) for entry in execution.history.entries],
        }
        return {"data": json.dumps(to_wire(data), separators=(",", ":"))}

    def delete_history(self, name: str) -> Json:
        """Delete the step entries of a finished execution."""
        execution = self._store.execution(name)
        if execution.is_live:
            raise failed_precondition(f"Execution '{name}' has not ended yet")
        execution.history.forget()
        return {}

    def list_callbacks(self, name: str, query: ListQuery) -> Json:
        """Return a page of the open callback endpoints of an execution, ordered by id."""
        self._store.execution(name)
        page, token = list_page(self._callbacks.endpoints(name), query, _CALLBACKS, key=lambda c: c.name)
        shown = [
            present(
                {
                    "name": endpoint.name,
                    "method": endpoint.method,
                    "availablePayloads": [json.dumps(kept, default=_bytes_text) for kept in endpoint.kept],
                    "waiters": str(len(endpoint.waiters)) if endpoint.waiters else None,
                }
            )
            for endpoint in page
        ]
        return present({"callbacks": shown, "nextPageToken": token})

    def send_http_callback(self, name: str, request: CallbackRequest) -> Json:
        """Deliver a request to a callback endpoint."""
        self._callbacks.deliver(name, request)
        return {}

    def list_step_entries(self, name: str, query: ListQuery, *, skip: int = 0, view: str = "") -> Json:
        """Return a page of an execution's step entries in the order they began, after the first `skip`."""
        shown_view = _entry_view(view)
        entries = self._store.execution(name).history.entries
        page, token = list_page(entries[skip:], query, _STEPS, key=lambda s: str(s.entry_id))
        shown = [step_entry_json(name, entry, shown_view) for entry in page]
        return present({"stepEntries": shown, "nextPageToken": token, "totalSize": len(entries)})

    def get_step_entry(self, execution_name: str, entry_id: str, view: str = "") -> Json:
        """Return one step entry."""
        shown_view = _entry_view(view)
        execution = self._store.execution(execution_name)
        entry = execution.history.entry(int(entry_id)) if _ENTRY_ID.fullmatch(entry_id) else None
        if entry is None:
            raise not_found(f"Resource '{execution_name}/stepEntries/{entry_id}' was not found")
        return step_entry_json(execution_name, entry, shown_view)


def _view(value: Any, default: ExecutionView) -> ExecutionView:
    view = enum_from_json(ExecutionView, value, "view") if value else default
    return default if view == ExecutionView.EXECUTION_VIEW_UNSPECIFIED else view


def _entry_view(value: str) -> StepEntryView:
    return enum_from_json(StepEntryView, value or 0, "view")


def _bytes_text(value: Any) -> str:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)
