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
    r"(?:/(?P<tasks>tasks)(?:/(?P<task>[^/:]+)|/(?=:buffer))?)?)?)?)?)?)"
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
    ("queue", "POST", "getIamPolicy"): "queues.getIamPolicy",
    ("queue", "POST", "setIamPolicy"): "queues.setIamPolicy",
    ("queue", "POST", "testIamPermissions"): "queues.testIamPermissions",
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

BUFFER = "tasks.buffer"
_BUFFER_VERB = "buffer"

_CMEK_CONFIG = re.compile(r"/v2(?:beta3)?/projects/[^/]+/locations/[^/]+/cmekConfig")

REFUSED_RPCS = ("GetCmekConfig", "UpdateCmekConfig")
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
    "GetIamPolicy": "queues.getIamPolicy",
    "SetIamPolicy": "queues.setIamPolicy",
    "TestIamPermissions": "queues.testIamPermissions",
    **{name: name for name in REFUSED_RPCS},
}
"""gRPC method to route; a refused method is its own route."""

ROUTES = frozenset({*_METHODS.values(), *REFUSED_RPCS, "cmekConfig", BUFFER, APP, DISPATCH})
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
        if _CMEK_CONFIG.fullmatch(path) is None:
            raise not_found(f"The requested URL {path} was not found on this server.")
        return Found("cmekConfig", path, "cmekConfig")
    kind = next((kind for kind in _KINDS if match[kind] is not None), "project")
    verb = match["verb"] or ""
    if verb == _BUFFER_VERB and kind in ("task", "tasks"):
        return Found(BUFFER, match["name"])
    route = _METHODS.get((kind, method, verb))
    if route is None:
        raise not_found(f"The method {method} of {path} was not found on this server.")
    return Found(route, match["name"])
