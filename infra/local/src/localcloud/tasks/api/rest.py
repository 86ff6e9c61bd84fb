"""Cloud Tasks v2, and v2beta3 as far as it is the same, over REST: paths and verbs to the methods of `CloudTasksApi`.

One function looks at the path, because a router would cost more than the rest of a create.

Source: the discovery document of cloudtasks.googleapis.com v2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from localcloud.core.faults import FaultPlan
from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import Json
from localcloud.core.rest import json_from_body, json_response
from localcloud.tasks.api.batches import TaskBatches
from localcloud.tasks.api.buffering import buffer_task, is_buffer_path
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.api.policies import QueuePolicies
from localcloud.tasks.api.routes import APP, Found, find_route
from localcloud.tasks.store import TaskStore

_INT32 = re.compile(r"-?[0-9]{1,10}")
_APP_PATH = re.compile(r"/v1/apps/(?P<project>[^/:]+)")


_BETA = "/v2beta3/"


class TasksRest:
    """Answers the requests of a `RestServer`."""

    def __init__(self, api: CloudTasksApi, batches: TaskBatches, store: TaskStore, faults: FaultPlan) -> None:
        self._api = api
        self._batches = batches
        self._store = store
        self._policies = QueuePolicies(store)
        self._faults = faults

    async def answer(self, request: web.BaseRequest, content: bytes) -> web.Response:
        """Answer one request."""
        if is_buffer_path(path := unquote(request.path)):
            found = find_route(request.method, path)
            return json_response(
                await self._faults.run(found.route, found.name, "rest", lambda: self._buffer(found, request, content))
            )
        body = json_from_body(content)
        if not isinstance(body, dict):
            raise invalid_argument("Invalid JSON payload received. Expected an object.")
        if request.path.startswith(_BETA):
            return json_response(_with_beta_fields(await self._answer(request, _without_beta_fields(body))))
        return json_response(await self._answer(request, body))

    async def _answer(self, request: web.BaseRequest, body: Any) -> Json:
        if (app := _APP_PATH.fullmatch(request.path)) is not None and request.method == "GET":
            return await self._faults.run(APP, "", "rest", lambda: self._api.get_app(app["project"]))
        found = find_route(request.method, unquote(request.path))
        return await self._faults.run(found.route, found.name, "rest", lambda: self._act(found, request.query, body))

    def _buffer(self, found: Found, request: web.BaseRequest, content: bytes) -> Json:
        content_type = request.headers.get("Content-Type", "")
        return buffer_task(
            self._api, self._store, found.name, method=request.method, content_type=content_type, content=content
        )

    def _act(self, found: Found, query: Mapping[str, str], body: Any) -> Json:
        if found.refused:
            raise self._api.refuse(found.refused)
        name = found.name
        match found.route:
            case "tasks.create":
                return self._api.create_task(_parent(name), body)
            case "tasks.list":
                return self._api.list_tasks(
                    _parent(name),
                    view=query.get("responseView"),
                    page_size=_integer(query, "pageSize"),
                    page_token=query.get("pageToken", ""),
                )
            case "tasks.get":
                return self._api.get_task(name, view=query.get("responseView"))
            case "tasks.delete":
                return self._api.delete_task(name)
            case "tasks.batchCreate":
                return self._batches.create(_parent(name), body)
            case "tasks.batchDelete":
                return self._batches.delete(_parent(name), body)
            case "operations.get":
                return self._batches.operation(name)
            case "tasks.run":
                return self._api.run_task(name, view=body.get("responseView"))
            case "locations.list":
                return self._api.list_locations(_parent(name))
            case "locations.get":
                return self._api.get_location(name)
            case _:
                return self._act_on_queue(found, query, body)

    def _act_on_queue(self, found: Found, query: Mapping[str, str], body: Any) -> Json:
        name = found.name
        match found.route:
            case "queues.create":
                return self._api.create_queue(_parent(name), body)
            case "queues.list":
                return self._api.list_queues(
                    _parent(name),
                    filter_text=query.get("filter", ""),
                    page_size=_integer(query, "pageSize"),
                    page_token=query.get("pageToken", ""),
                )
            case "queues.get":
                return self._api.get_queue(name)
            case "queues.patch":
                return self._api.update_queue(name, body, mask=query.get("updateMask", ""))
            case "queues.delete":
                return self._api.delete_queue(name)
            case "queues.pause":
                return self._api.pause_queue(name)
            case "queues.resume":
                return self._api.resume_queue(name)
            case "queues.purge":
                return self._api.purge_queue(name)
            case "queues.getIamPolicy":
                return self._policies.get(name)
            case "queues.setIamPolicy":
                return self._policies.set(name, body)
            case "queues.testIamPermissions":
                return self._policies.test(name, body)
        raise AssertionError(f"route {found.route} has no method")


def _without_beta_fields(body: Json) -> Json:
    """Return the body of a v2beta3 request without what gcloud sends for a queue that is like one of v2."""
    like_v2: tuple[tuple[str, Any], ...] = (("appEngineHttpQueue", {}), ("type", "PUSH"))
    return {name: value for name, value in body.items() if (name, value) not in like_v2}


def _with_beta_fields(answer: Json) -> Json:
    """Return an answer of v2 as v2beta3 gives it: with the type of a queue."""
    if "rateLimits" in answer:
        return {**answer, "type": "PUSH"}
    if "queues" in answer:
        return {**answer, "queues": [_with_beta_fields(queue) for queue in answer["queues"]]}
    return answer


def _parent(collection: str) -> str:
    return collection.rpartition("/")[0]


def _integer(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if _INT32.fullmatch(text) is None:
        raise invalid_argument(f"Invalid value at '{name}' (TYPE_INT32): {text!r}")
    return int(text)
