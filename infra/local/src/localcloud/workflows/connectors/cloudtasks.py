"""Cloud Tasks v2. Source: https://cloud.google.com/tasks/docs/reference/rest."""

from __future__ import annotations

from localcloud.workflows.connectors.methods import ApiMethod, BodyKind

_QUEUES = "googleapis.cloudtasks.v2.projects.locations.queues"
_V2 = "https://cloudtasks.googleapis.com/v2"

METHODS = (
    ApiMethod(f"{_QUEUES}.create", "POST", f"{_V2}/{{+parent}}/queues", body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.delete", "DELETE", f"{_V2}/{{+name}}"),
    ApiMethod(f"{_QUEUES}.get", "GET", f"{_V2}/{{+name}}"),
    ApiMethod(f"{_QUEUES}.list", "GET", f"{_V2}/{{+parent}}/queues", query=("filter", "pageSize", "pageToken")),
    ApiMethod(f"{_QUEUES}.patch", "PATCH", f"{_V2}/{{+name}}", query=("updateMask",), body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.pause", "POST", f"{_V2}/{{+name}}:pause", body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.purge", "POST", f"{_V2}/{{+name}}:purge", body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.resume", "POST", f"{_V2}/{{+name}}:resume", body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.tasks.create", "POST", f"{_V2}/{{+parent}}/tasks", body=BodyKind.JSON),
    ApiMethod(f"{_QUEUES}.tasks.delete", "DELETE", f"{_V2}/{{+name}}"),
    ApiMethod(f"{_QUEUES}.tasks.get", "GET", f"{_V2}/{{+name}}", query=("responseView",)),
    ApiMethod(
        f"{_QUEUES}.tasks.list",
        "GET",
        f"{_V2}/{{+parent}}/tasks",
        query=("pageSize", "pageToken", "responseView"),
    ),
    ApiMethod(f"{_QUEUES}.tasks.run", "POST", f"{_V2}/{{+name}}:run", body=BodyKind.JSON),
)
