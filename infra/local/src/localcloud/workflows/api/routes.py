"""The REST surface as a table: verb, path template, allowed query parameters, and the method that answers.

`/v1beta` and `/v1alpha1` are the same as `/v1`, since gcloud's tracks differ in the prefix only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import Json
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.api.secrets import SecretsApi
from localcloud.workflows.api.workflows import WorkflowsApi
from localcloud.workflows.engine.callbacks import CallbackRequest

_VERSIONS = r"/(?:v1|v1beta|v1alpha1)"
_PROJECT = "/projects/{project}"
_LOCATION = f"{_PROJECT}/locations/{{location}}"
_WORKFLOW = f"{_LOCATION}/workflows/{{workflow}}"
_EXECUTION = f"{_WORKFLOW}/executions/{{execution}}"

_SYSTEM_PARAMETERS = frozenset(
    {"alt", "$alt", "fields", "$fields", "prettyPrint", "$prettyPrint", "key", "quotaUser", "access_token"}
)
_PAGING = frozenset({"pageSize", "pageToken"})
_INT32 = re.compile(r"[0-9]{1,10}")
_LISTING = _PAGING | {"filter", "orderBy"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request, matched: path variables, query parameters by camelCase name, decoded body, and the raw request."""

    variables: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    raw: CallbackRequest

    @property
    def location(self) -> str:
        """`projects/P/locations/L`."""
        return f"projects/{self.variables['project']}/locations/{self.variables['location']}"

    @property
    def workflow(self) -> str:
        """`projects/P/locations/L/workflows/W`."""
        return f"{self.location}/workflows/{self.variables['workflow']}"

    @property
    def execution(self) -> str:
        """`projects/P/locations/L/workflows/W/executions/E`."""
        return f"{self.workflow}/executions/{self.variables['execution']}"

    @property
    def operation(self) -> str:
        """`projects/P/locations/L/operations/O`."""
        return f"{self.location}/operations/{self.variables['operation']}"

    def text(self, name: str) -> str:
        """Return a query parameter or ``."""
        return self.query.get(name, "")

    def number(self, name: str) -> int:
        """Return a numeric query parameter or 0.

        Raises:
            GoogleError: INVALID_ARGUMENT, it is not a number.
        """
        text = self.text(name) or "0"
        if _INT32.fullmatch(text) is None:
            raise invalid_argument(f"Invalid value at '{name}' (TYPE_INT32), \"{text}\"")
        return int(text)

    @property
    def page(self) -> ListQuery:
        """The list parameters."""
        return ListQuery(self.number("pageSize"), self.text("pageToken"), self.text("filter"), self.text("orderBy"))


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table; `verb` `*` is any method, `template` is what follows the version.

    `method` is the id that REST, gRPC and faults share.
    """

    method: str
    verb: str
    template: str
    answer: Callable[[Call], Json]
    parameters: frozenset[str] = frozenset()
    takes_raw_body: bool = False
    pattern: re.Pattern[str] = re.compile("")

    def match(self, verb: str, path: str) -> dict[str, str] | None:
        """Return the path variables when the request is for this route."""
        if self.verb not in (verb, "*"):
            return None
        found = self.pattern.fullmatch(path)
        return found.groupdict() if found else None

    def check_parameters(self, query: Mapping[str, str]) -> None:
        """Refuse parameters the method does not have, as Google does.

        Raises:
            GoogleError: INVALID_ARGUMENT.
        """
        if unknown := set(query) - self.parameters - _SYSTEM_PARAMETERS:
            name = min(unknown)
            raise invalid_argument(f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter')


def routes(workflows: WorkflowsApi, executions: ExecutionsApi, secrets: SecretsApi) -> list[Route]:
    """Return the table around the three APIs."""
    w, e = workflows, executions
    rows = [
        Route(
            "locations.list",
            "GET",
            f"{_PROJECT}/locations",
            lambda c: w.list_locations(c.variables["project"]),
            _LISTING,
        ),
        Route(
            "locations.get", "GET", _LOCATION, lambda c: w.get_location(c.variables["project"], c.variables["location"])
        ),
        Route(
            "operations.list",
            "GET",
            f"{_LOCATION}/operations",
            lambda c: w.list_operations(c.location, c.page),
            _LISTING,
        ),
        Route("operations.get", "GET", f"{_LOCATION}/operations/{{operation}}", lambda c: w.get_operation(c.operation)),
        Route(
            "operations.delete",
            "DELETE",
            f"{_LOCATION}/operations/{{operation}}",
            lambda c: w.delete_operation(c.operation),
        ),
        Route("workflows.list", "GET", f"{_LOCATION}/workflows", lambda c: w.list(c.location, c.page), _LISTING),
        Route(
            "workflows.create",
            "POST",
            f"{_LOCATION}/workflows",
            lambda c: w.create(c.location, c.text("workflowId"), c.body),
            frozenset({"workflowId"}),
        ),
        Route(
            "workflows.get",
            "GET",
            _WORKFLOW,
            lambda c: w.get(c.workflow, c.text("revisionId")),
            frozenset({"revisionId"}),
        ),
        Route(
            "workflows.patch",
            "PATCH",
            _WORKFLOW,
            lambda c: w.patch(c.workflow, c.text("updateMask"), c.body),
            frozenset({"updateMask"}),
        ),
        Route("workflows.delete", "DELETE", _WORKFLOW, lambda c: w.delete(c.workflow)),
        Route(
            "workflows.listRevisions",
            "GET",
            f"{_WORKFLOW}:listRevisions",
            lambda c: w.list_revisions(c.workflow, c.page),
            _PAGING,
        ),
        Route(
            "workflows.triggerPubsubExecution",
            "POST",
            f"{_WORKFLOW}:triggerPubsubExecution",
            lambda c: e.trigger_pubsub(c.workflow, c.body, c.text("GCPCloudEventsMode")),
            # `__GCP_CloudEventsMode` in camelCase.
            frozenset({"GCPCloudEventsMode"}),
        ),
        Route(
            "executions.list",
            "GET",
            f"{_WORKFLOW}/executions",
            lambda c: e.list(c.workflow, c.page, c.text("view")),
            _LISTING | {"view"},
        ),
        Route("executions.create", "POST", f"{_WORKFLOW}/executions", lambda c: e.create(c.workflow, c.body)),
        Route("executions.get", "GET", _EXECUTION, lambda c: e.get(c.execution, c.text("view")), frozenset({"view"})),
        Route("executions.cancel", "POST", f"{_EXECUTION}:cancel", lambda c: e.cancel(c.execution)),
        Route("executions.exportData", "GET", f"{_EXECUTION}:exportData", lambda c: e.export_data(c.execution)),
        Route(
            "executions.deleteExecutionHistory",
            "POST",
            f"{_EXECUTION}:deleteExecutionHistory",
            lambda c: e.delete_history(c.execution),
        ),
        Route(
            "callbacks.list", "GET", f"{_EXECUTION}/callbacks", lambda c: e.list_callbacks(c.execution, c.page), _PAGING
        ),
        Route(
            "callbacks.send",
            "*",
            f"{_EXECUTION}/callbacks/{{callback}}",
            lambda c: e.send_http_callback(f"{c.execution}/callbacks/{c.variables['callback']}", c.raw),
            takes_raw_body=True,
        ),
        Route(
            "stepEntries.list",
            "GET",
            f"{_EXECUTION}/stepEntries",
            lambda c: e.list_step_entries(c.execution, c.page, skip=c.number("skip"), view=c.text("view")),
            _LISTING | {"skip", "view"},
        ),
        Route(
            "stepEntries.get",
            "GET",
            f"{_EXECUTION}/stepEntries/{{entry}}",
            lambda c: e.get_step_entry(c.execution, c.variables["entry"], c.text("view")),
            frozenset({"view"}),
        ),
        Route(
            "secrets.versions.access",
            "GET",
            f"{_PROJECT}/secrets/{{secret}}/versions/{{version}}:access",
            lambda c: secrets.access(c.variables["project"], c.variables["secret"], c.variables["version"]),
        ),
    ]
    return [_compiled(row) for row in rows]


def _compiled(route: Route) -> Route:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", route.template)
    return Route(
        route.method,
        route.verb,
        route.template,
        route.answer,
        route.parameters,
        route.takes_raw_body,
        re.compile(_VERSIONS + pattern),
    )


_CALLBACK_PATH = re.compile(
    _VERSIONS + r"/projects/[^/]+/locations/[^/]+/workflows/[^/]+/executions/[^/]+/callbacks/[^/]+"
)


def is_callback_path(path: str) -> bool:
    """Return whether requests to a path are callbacks, whose bodies are the workflow's business."""
    return _CALLBACK_PATH.fullmatch(path) is not None


RPC_METHODS: Mapping[str, str] = {
    "CreateExecution": "executions.create",
    "GetExecution": "executions.get",
    "CancelExecution": "executions.cancel",
    "ListExecutions": "executions.list",
    "CreateWorkflow": "workflows.create",
    "GetWorkflow": "workflows.get",
    "ListWorkflows": "workflows.list",
    "UpdateWorkflow": "workflows.patch",
    "DeleteWorkflow": "workflows.delete",
    "ListWorkflowRevisions": "workflows.listRevisions",
    "GetOperation": "operations.get",
    "ListOperations": "operations.list",
    "DeleteOperation": "operations.delete",
    "ListLocations": "locations.list",
    "GetLocation": "locations.get",
}
"""gRPC method to `Route.method`."""
