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

from localcloud.core.control import PREFIX, Control
from localcloud.core.faults import ConnectionLostError
from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.core.hang_up import hang_up
from localcloud.tasks.api.methods import CloudTasksApi, Json
from localcloud.tasks.api.routes import APP, Found, find_route

log = logging.getLogger("localcloud.tasks")

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""More than base64 of the largest task; larger requests are refused."""

_INT32 = re.compile(r"-?[0-9]{1,10}")
_APP_PATH = re.compile(r"/v1/apps/(?P<project>[^/:]+)")


class RestApi:
    """An aiohttp request handler: `web.Server(RestApi(api, control).handle)`."""

    def __init__(self, api: CloudTasksApi, control: Control) -> None:
        self._api = api
        self._control = control

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is AIP-193 JSON."""
        try:
            body = await _body(request)
            if request.path.startswith(PREFIX):
                return _json_response(200, await self._control.answer(request.method, request.path, body))
            return _json_response(200, await self._answer(request, body))
        except ConnectionLostError:
            return hang_up(request)
        except GoogleError as error:
            return _json_response(error.http_code, error.to_json())
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            broken = GoogleError("INTERNAL", "The emulator failed; its log holds the cause.")
            return _json_response(broken.http_code, broken.to_json())

    async def _answer(self, request: web.BaseRequest, body: Any) -> Json:
        faults = self._control.faults
        if (app := _APP_PATH.fullmatch(request.path)) is not None and request.method == "GET":
            return await faults.run(APP, "", "rest", lambda: self._api.get_app(app["project"]))
        found = find_route(request.method, unquote(request.path))
        return await faults.run(found.route, found.name, "rest", lambda: self._act(found, request.query, body))

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
        raise AssertionError(f"route {found.route} has no method")


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
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from error
    if not isinstance(body, dict):
        raise invalid_argument("Invalid JSON payload received. Expected an object.")
    return body


def _integer(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if _INT32.fullmatch(text) is None:
        raise invalid_argument(f"Invalid value at '{name}' (TYPE_INT32): {text!r}")
    return int(text)


def _json_response(status: int, body: Json) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )
