"""The Workflows and Executions APIs over REST: requests become `Call`s, answers proto3 JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from localcloud.core.faults import FaultPlan
from localcloud.core.google_errors import not_found
from localcloud.core.json_values import Json, camel_case
from localcloud.core.rest import json_from_body, json_response
from localcloud.workflows.api.resources import in_version, to_wire
from localcloud.workflows.api.routes import Call, Route
from localcloud.workflows.engine.callbacks import CallbackRequest
from localcloud.workflows.http_bodies import canonical_headers


class WorkflowsRest:
    """Answers the requests of a `RestServer`.

    Args:
        routes: the table of all methods.
        project_aliases: project number to project id; names may use either.
        faults: what is ordered for a route happens here.
    """

    def __init__(self, routes: Sequence[Route], project_aliases: Mapping[str, str], faults: FaultPlan) -> None:
        self._routes = routes
        self._project_aliases = project_aliases
        self._faults = faults

    async def answer(self, request: web.BaseRequest, content: bytes) -> web.Response:
        """Answer one request."""
        route, variables = self._find(request.method, request.path)
        if (project := variables.get("project")) in self._project_aliases:
            variables["project"] = self._project_aliases[str(project)]
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
        answer = await self._run(route, request, Call(variables, query, json_from_body(content), raw))
        version = request.path.split("/")[1]
        if version != "v1":
            answer = in_version(answer, version)
        enum_numbers = "enum-encoding=int" in query.get("$alt", "") + query.get("alt", "")
        return json_response(to_wire(answer, enum_numbers=enum_numbers))

    async def _run(self, route: Route, request: web.BaseRequest, call: Call) -> Json:
        return await self._faults.run(route.method, request.path, "rest", lambda: route.answer(call))

    def _find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            variables = route.match(verb, path)
            if variables is not None:
                return route, variables
        raise not_found(f"{verb} {path} is not a method of the Workflows or Executions API")
