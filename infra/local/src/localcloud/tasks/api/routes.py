"""The routes of Cloud Tasks v2: what a path and a verb mean, and the one id that REST, gRPC and faults share.

Does not know about: what the methods do.

Source: the discovery document of cloudtasks.googleapis.com v2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.core.google_errors import not_found, unimplemented
from localcloud.tasks.engine.dispatcher import DISPATCH

APP = "apps.get"

_PATH = re.compile(
    r"/v2(?:beta3)?/(?P<name>"
    r"(?P<project>projects/[^/]+)"
    r"(?:/(?P<locations>locations)(?:/(?P<location>[^/:]+)"
    r"(?:/operations/(?P<operation>[^/:]+)|/(?P<queues>queues)(?:/(?P<queue>[^/:]+)"
    r"(?:/(?P<tasks>tasks)(?:/(?P<task>[^/:]+))?)?)?)?)?)?)"
    r"(?::(?P<verb>[A-Za-z]+))?"
)
_KINDS = ("operation", "task", "tasks", "queue", "queues", "location", "locations")

_METHODS: Mapping[tuple[str, str, str], str] = {
    ("locations", "GET", ""): "locations.list",
    ("location", "GET", ""): "locations.get",
    ("queues", "GET", ""): "queues.list",
    ("queues", "POST", ""): "queues.create",
    ("queue", "GET", ""): "queues.get",
    ("queue", "PATCH", ""): "queues.patch",
    ("queue", "DELETE", ""): "queues.delete",
    ("queue", "POST", "pause"): "queues.pause",
    ("queue", "POST", "resume"): "queues.resume",
    ("queue", "POST", "purge"): "queues.purge",
    ("tasks", "GET", ""): "tasks.list",
    ("tasks", "POST", ""): "tasks.create",
    ("tasks", "POST", "batchCreate"): "tasks.batchCreate",
    ("tasks", "POST", "batchDelete"): "tasks.batchDelete",
    ("operation", "GET", ""): "operations.get",
    ("task", "GET", ""): "tasks.get",
    ("task", "DELETE", ""): "tasks.delete",
    ("task", "POST", "run"): "tasks.run",
}
"""Kind of the deepest resource, HTTP method and custom verb to the id of the API method."""

_REFUSED: Mapping[tuple[str, str], str] = {
    ("queue", "getIamPolicy"): "GetIamPolicy",
    ("queue", "setIamPolicy"): "SetIamPolicy",
    ("queue", "testIamPermissions"): "TestIamPermissions",
    ("task", "buffer"): "BufferTask",
}
"""Kind and custom verb to the name of a method that production has and localcloud has not."""

_REFUSED_PATHS = re.compile(
    r"/v2(?:beta[23])?/projects/[^/]+/locations/[^/]+/"
    # gcloud sends BufferTask without a task id when it was given none.
    r"(?:(?P<what>cmekConfig)|queues/[^/]+/tasks/:(?P<verb>buffer))"
)

REFUSED_RPCS = (
    "GetIamPolicy",
    "SetIamPolicy",
    "TestIamPermissions",
    "GetCmekConfig",
    "UpdateCmekConfig",
)
"""gRPC methods that production has and localcloud has not."""

RPC_ROUTES: Mapping[str, str] = {
    "ListQueues": "queues.list",
    "GetQueue": "queues.get",
    "CreateQueue": "queues.create",
    "UpdateQueue": "queues.patch",
    "DeleteQueue": "queues.delete",
    "PurgeQueue": "queues.purge",
    "PauseQueue": "queues.pause",
    "ResumeQueue": "queues.resume",
    "ListTasks": "tasks.list",
    "GetTask": "tasks.get",
    "CreateTask": "tasks.create",
    "DeleteTask": "tasks.delete",
    "RunTask": "tasks.run",
    "BatchCreateTasks": "tasks.batchCreate",
    "BatchDeleteTasks": "tasks.batchDelete",
    "GetOperation": "operations.get",
    "ListLocations": "locations.list",
    "GetLocation": "locations.get",
    **{name: name for name in REFUSED_RPCS},
}
"""gRPC method to route; a refused method is its own route."""

ROUTES = frozenset({*_METHODS.values(), *_REFUSED.values(), *REFUSED_RPCS, "cmekConfig", APP, DISPATCH})
"""Ids of all routes."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a path means: `route` is the id, `name` the resource; `refused` names a method that is not emulated."""

    route: str
    name: str
    refused: str = ""


def find_route(method: str, path: str) -> Found:
    """Return the route of a request.

    Raises:
        GoogleError: NOT_FOUND, there is none.
    """
    match = _PATH.fullmatch(path)
    if match is None and path.startswith("/v2beta2/"):
        raise unimplemented("localcloud does not emulate v2beta2 of Cloud Tasks (gcloud alpha): use v2 or v2beta3.")
    if match is None:
        refused = _REFUSED_PATHS.fullmatch(path)
        if refused is None:
            raise not_found(f"The requested URL {path} was not found on this server.")
        if refused["verb"]:
            return Found("BufferTask", path, "BufferTask")
        return Found(refused["what"].partition("/")[0], path, refused["what"])
    kind = next((kind for kind in _KINDS if match[kind] is not None), "project")
    verb = match["verb"] or ""
    refused_method = _REFUSED.get((kind, verb))
    if refused_method is not None:
        return Found(refused_method, match["name"], refused_method)
    route = _METHODS.get((kind, method, verb))
    if route is None:
        raise not_found(f"The method {method} of {path} was not found on this server.")
    return Found(route, match["name"])
