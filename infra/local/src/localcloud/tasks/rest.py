"""Cloud Tasks v2 over REST: paths and verbs to the methods of `CloudTasksApi`.

Works on aiohttp's low-level server: one function looks at the path, because a router would cost more than the rest
of a create.

Source: the discovery document of cloudtasks.googleapis.com v2.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from localcloud.google_errors import GoogleError, invalid_argument, not_found
from localcloud.tasks.core import CloudTasksApi, Json
from localcloud.tasks.faults import FaultPlan

log = logging.getLogger("localcloud.tasks")

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""More than base64 of the largest task; larger requests are refused."""

_PATH = re.compile(
    r"/v2/(?P<name>"
    r"(?P<project>projects/[^/]+)"
    r"(?:/(?P<locations>locations)(?:/(?P<location>[^/:]+)"
    r"(?:/(?P<queues>queues)(?:/(?P<queue>[^/:]+)"
    r"(?:/(?P<tasks>tasks)(?:/(?P<task>[^/:]+))?)?)?)?)?)?)"
    r"(?::(?P<verb>[A-Za-z]+))?"
)
_REFUSED = {
    ("queue", "getIamPolicy"): "GetIamPolicy",
    ("queue", "setIamPolicy"): "SetIamPolicy",
    ("queue", "testIamPermissions"): "TestIamPermissions",
    ("tasks", "batchCreate"): "BatchCreateTasks",
    ("tasks", "batchDelete"): "BatchDeleteTasks",
    ("task", "buffer"): "BufferTask",
}
_APP_PATH = re.compile(r"/v1/apps/(?P<project>[^/:]+)")
_REFUSED_PATHS = re.compile(r"/v2(?:beta[23])?/projects/[^/]+/locations/[^/]+/(?P<what>cmekConfig|operations(?:/.*)?)")


class RestApi:
    """An aiohttp request handler: `web.Server(RestApi(api, faults).handle)`."""

    def __init__(self, api: CloudTasksApi, faults: FaultPlan) -> None:
        self._api = api
        self._faults = faults

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is AIP-193 JSON."""
        try:
            body = await _body(request)
            if (app := _APP_PATH.fullmatch(request.path)) is not None and request.method == "GET":
                return _json_response(200, self._api.get_app(app["project"]))
            if request.path.startswith("/_local/"):
                return _json_response(200, self._local_answer(request.method, request.path, body))
            return _json_response(200, self._answer(request.method, unquote(request.path), request.query, body))
        except GoogleError as error:
            return _json_response(error.http_code, error.to_json())
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            broken = GoogleError("INTERNAL", "The emulator failed; its log holds the cause.")
            return _json_response(broken.http_code, broken.to_json())

    def _local_answer(self, method: str, path: str, body: Any) -> Json:
        match (method, path):
            case ("GET", "/_local/health"):
                return {"status": "ok"}
            case ("POST", "/_local/faults"):
                self._faults.order(body)
            case ("DELETE", "/_local/faults"):
                self._faults.clear()
            case ("GET", "/_local/faults"):
                pass
            case _:
                raise not_found(f"The requested URL {path} was not found on this server.")
        return self._faults.to_json()

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Json:
        match = _PATH.fullmatch(path)
        if match is None:
            refused = _REFUSED_PATHS.fullmatch(path)
            if refused is not None:
                raise self._api.refuse(refused["what"])
            raise not_found(f"The requested URL {path} was not found on this server.")
        kind = _kind(match)
        name, verb = match["name"], match["verb"] or ""
        refused_method = _REFUSED.get((kind, verb))
        if refused_method is not None:
            raise self._api.refuse(refused_method)
        match (kind, method, verb):
            case ("tasks", "POST", ""):
                return self._api.create_task(_parent(name), body)
            case ("tasks", "GET", ""):
                return self._api.list_tasks(
                    _parent(name),
                    view=query.get("responseView"),
                    page_size=_integer(query, "pageSize"),
                    page_token=query.get("pageToken", ""),
                )
            case ("task", "GET", ""):
                return self._api.get_task(name, view=query.get("responseView"))
            case ("task", "DELETE", ""):
                return self._api.delete_task(name)
            case ("task", "POST", "run"):
                return self._api.run_task(name, view=body.get("responseView"))
            case ("queue", _, _):
                return self._queue_answer(method, verb, name, query, body)
            case ("queues", "POST", ""):
                return self._api.create_queue(_parent(name), body)
            case ("queues", "GET", ""):
                return self._api.list_queues(
                    _parent(name),
                    filter_text=query.get("filter", ""),
                    page_size=_integer(query, "pageSize"),
                    page_token=query.get("pageToken", ""),
                )
            case ("locations", "GET", ""):
                return self._api.list_locations(_parent(name))
            case ("location", "GET", ""):
                return self._api.get_location(name)
        raise not_found(f"The method {method} of {path} was not found on this server.")

    def _queue_answer(self, method: str, verb: str, name: str, query: Mapping[str, str], body: Any) -> Json:
        match (method, verb):
            case ("GET", ""):
                return self._api.get_queue(name)
            case ("PATCH", ""):
                return self._api.update_queue(name, body, mask=query.get("updateMask", ""))
            case ("DELETE", ""):
                return self._api.delete_queue(name)
            case ("POST", "pause"):
                return self._api.pause_queue(name)
            case ("POST", "resume"):
                return self._api.resume_queue(name)
            case ("POST", "purge"):
                return self._api.purge_queue(name)
        raise not_found(f"The method {method} of {name}:{verb} was not found on this server.")


def _kind(match: re.Match[str]) -> str:
    """Return the deepest resource of a path."""
    for kind in ("task", "tasks", "queue", "queues", "location", "locations"):
        if match[kind] is not None:
            return kind
    return "project"


def _parent(collection: str) -> str:
    return collection.rpartition("/")[0]


async def _body(request: web.BaseRequest) -> Any:
    if not request.body_exists:
        return {}
    # Not request.read(): its limit of 1 MiB is below base64 of the largest task.
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > MAX_REQUEST_BYTES:
            raise invalid_argument(f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from error
    if not isinstance(body, dict):
        raise invalid_argument("Invalid JSON payload received. Expected an object.")
    return body


def _integer(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not text.lstrip("-").isdecimal():
        raise invalid_argument(f"Invalid value at '{name}' (TYPE_INT32): {text!r}")
    return int(text)


def _json_response(status: int, body: Json) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )
