"""The REST server: turns aiohttp requests into `Call`s, answers into proto3 JSON and errors into AIP-193 bodies."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from localcloud.core.control import PREFIX, Control
from localcloud.core.faults import ConnectionLostError
from localcloud.core.google_errors import GoogleError, invalid_argument, not_found
from localcloud.core.hang_up import hang_up
from localcloud.workflows.api.request_fields import camel_case
from localcloud.workflows.api.resources import Json, in_version, to_wire
from localcloud.workflows.api.routes import Call, Route
from localcloud.workflows.engine.callbacks import CallbackRequest
from localcloud.workflows.http_bodies import canonical_headers

_LOG = logging.getLogger("localcloud.workflows")

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Well over the largest lawful request: a 128 KB source or a 512 KB argument, escaped."""


def rest_app(
    routes: Sequence[Route],
    project_aliases: Mapping[str, str],
    *,
    control: Control | None = None,
    pages: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """Return the application.

    Args:
        routes: the table of `api_routes.routes`.
        project_aliases: project number to project id; names may use either.
        control: the server's instrument panel below `/_local/`; without one nothing is there.
        pages: what else the port serves, beside the APIs.
    """
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.router.add_routes(pages)
    app.router.add_route("*", "/{path:.*}", _Rest(routes, project_aliases, control).handle)
    return app


class _Rest:
    def __init__(self, routes: Sequence[Route], project_aliases: Mapping[str, str], control: Control | None) -> None:
        self._control = control
        self._routes = routes
        self._project_aliases = project_aliases

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        try:
            if self._control is not None and request.path.startswith(PREFIX):
                body = _decoded(await request.read())
                return web.json_response(await self._control.answer(request.method, request.path, body))
            return await self._answer(request)
        except ConnectionLostError:
            return hang_up(request)
        except GoogleError as error:
            return web.json_response(error.to_json(), status=error.http_code)
        except web.HTTPRequestEntityTooLarge:
            return web.json_response(invalid_argument("Request payload size exceeds the limit").to_json(), status=400)
        except Exception:  # noqa: BLE001 - the one place where a bug of the server ends, loudly
            request_id = uuid.uuid4().hex
            _LOG.exception("request.broke %s %s %s", request_id, request.method, request.path)
            internal = GoogleError("INTERNAL", f"Internal error; the log has it as request {request_id}")
            return web.json_response(internal.to_json(), status=internal.http_code)

    async def _answer(self, request: web.Request) -> web.Response:
        route, variables = self._find(request.method, request.path)
        if (project := variables.get("project")) in self._project_aliases:
            variables["project"] = self._project_aliases[str(project)]
        content = await request.read()
        raw = CallbackRequest(
            method=request.method,
            path=request.rel_url.raw_path,
            query=dict(request.query),
            headers=canonical_headers(request.headers.items()),
            body=content,
        )
        if route.takes_raw_body:
            await self._run(route, request, Call(variables, {}, None, raw))
            return web.Response()
        query = {name if name.startswith("$") else camel_case(name): value for name, value in request.query.items()}
        route.check_parameters(query)
        answer = await self._run(route, request, Call(variables, query, _decoded(content), raw))
        version = request.path.split("/")[1]
        if version != "v1":
            answer = in_version(answer, version)
        enum_numbers = "enum-encoding=int" in query.get("$alt", "") + query.get("alt", "")
        return web.json_response(to_wire(answer, enum_numbers=enum_numbers))

    async def _run(self, route: Route, request: web.Request, call: Call) -> Json:
        if self._control is None:
            return route.answer(call)
        return await self._control.faults.run(route.method, request.path, "rest", lambda: route.answer(call))

    def _find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            variables = route.match(verb, path)
            if variables is not None:
                return route, variables
        raise not_found(f"{verb} {path} is not a method of the Workflows or Executions API")


def _decoded(content: bytes) -> Any:
    if not content.strip():
        return {}
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"Invalid JSON payload received. {error}") from None
