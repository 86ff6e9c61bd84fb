"""The HTTP side of the pages: paths, forms, and who may send them. What they do goes through the APIs.

Who may send them is checked before (`core.callers`): forms come from these pages only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from urllib.parse import parse_qsl

from aiohttp import web

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, failed_precondition, invalid_argument, not_found
from localcloud.traces.store import TraceStore
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.engine.callbacks import CallbackRequest
from localcloud.workflows.folder import WorkflowFolder
from localcloud.workflows.model import Execution
from localcloud.workflows.pages.execution_page import execution_page
from localcloud.workflows.pages.layout import CONTENT_SECURITY_POLICY, ROOT, page, page_url
from localcloud.workflows.pages.markup import h
from localcloud.workflows.pages.steps_table import MAX_FOLDED, StepsView
from localcloud.workflows.pages.traces_pages import TRACES, trace_page, traces_page
from localcloud.workflows.pages.workflow_page import workflow_page
from localcloud.workflows.pages.workflows_page import workflows_page
from localcloud.workflows.store import Store

_WORKFLOW = "(projects/[^/]+/locations/[^/]+/workflows/[^/:]+)"
_EXECUTION = "(projects/[^/]+/locations/[^/]+/workflows/[^/]+/executions/[^/:]+)"

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_FIRST_LIMIT = 10_000_000
_MAX_FORM_FIELDS = 10
_ALL = ListQuery(0, "", "", "")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a page: `name` is the resource in its path, `form` the fields of the form that was sent."""

    request: web.BaseRequest
    name: str
    form: Mapping[str, str]


Show = Callable[[Asked], web.Response]


class Pages:
    """The executions page of one server.

    Args:
        store: read, never written.
        executions: runs and cancels.
        traces: read, never written.
        clock: the time that running things are drawn up to.
        folder: the watched folder as it is now, or None.
    """

    def __init__(
        self,
        *,
        store: Store,
        executions: ExecutionsApi,
        traces: TraceStore,
        clock: Clock,
        folder: Callable[[], WorkflowFolder | None],
    ) -> None:
        self._store = store
        self._traces = traces
        self._executions = executions
        self._clock = clock
        self._folder = folder
        self._table: list[tuple[str, re.Pattern[str], Show]] = [
            ("GET", re.compile(f"/|{ROOT}"), _root),
            ("GET", re.compile(f"{ROOT}/"), self._workflows),
            ("GET", re.compile(f"{ROOT}/pages.css"), _style),
            ("GET", re.compile(TRACES), self._all_traces),
            ("GET", re.compile(f"{TRACES}/([0-9a-f]{{32}})"), self._trace),
            ("POST", re.compile(f"{ROOT}/folder:deploy"), self._deploy),
            ("GET", re.compile(f"{ROOT}/{_EXECUTION}"), self._execution),
            ("POST", re.compile(f"{ROOT}/{_EXECUTION}:cancel"), self._cancel),
            ("POST", re.compile(f"{ROOT}/{_EXECUTION}:runAgain"), self._run_again),
            ("POST", re.compile(f"{ROOT}/{_EXECUTION}:sendCallback"), self._send_callback),
            ("GET", re.compile(f"{ROOT}/{_WORKFLOW}"), self._workflow),
            ("POST", re.compile(f"{ROOT}/{_WORKFLOW}:run"), self._run),
        ]

    @staticmethod
    def have(path: str) -> bool:
        """Return whether a path belongs to the pages."""
        return path in ("/", ROOT) or path.startswith(f"{ROOT}/")

    async def answer(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Answer a request for a page; errors are pages, too."""
        try:
            show, name = self._find(request)
            return show(Asked(request, name, _form(body)))
        except GoogleError as error:
            shown = page(error.status, (), h("p", error.message, class_="message"))
            return _html(shown, error.http_code)

    def _find(self, request: web.BaseRequest) -> tuple[Show, str]:
        method = "GET" if request.method == "HEAD" else request.method
        for verb, path, show in self._table:
            if verb == method and (found := path.fullmatch(request.path)) is not None:
                return show, found[1] if path.groups else ""
        raise not_found(f"There is no page {request.path}")

    def _workflows(self, _asked: Asked) -> web.Response:
        return _html(workflows_page(self._store, self._folder()))

    def _all_traces(self, _asked: Asked) -> web.Response:
        return _html(traces_page(self._traces))

    def _trace(self, asked: Asked) -> web.Response:
        trace = self._traces.trace(asked.name)
        if trace is None:
            raise not_found(f"No span of trace {asked.name} is kept")
        return _html(trace_page(trace))

    def _workflow(self, asked: Asked) -> web.Response:
        workflow = self._store.workflow(asked.name)
        return _html(workflow_page(self._store, workflow, now_s=self._clock.now(), first=_first(asked)))

    def _execution(self, asked: Asked) -> web.Response:
        execution = self._store.execution(asked.name)
        shown = execution_page(
            execution,
            now_s=self._clock.now(),
            view=StepsView(_first(asked), _folded(asked), asked.request.query.get("failed") == "1"),
            callbacks=self._open_callbacks(asked, execution),
        )
        return _html(shown)

    def _open_callbacks(self, asked: Asked, execution: Execution) -> list[tuple[str, str, int]]:
        found = self._executions.list_callbacks(execution.name, _ALL).get("callbacks", [])
        base_url = asked.request.url.origin()
        return [(each["method"], f"{base_url}/v1/{each['name']}", int(each.get("waiters", 0))) for each in found]

    def _run(self, asked: Asked) -> web.Response:
        workflow = self._store.workflow(asked.name)
        argument = asked.form.get("argument", "")
        try:
            wanted = {"argument": argument} if argument.strip() else {}
            level = {"executionHistoryLevel": "EXECUTION_HISTORY_DETAILED"} if "detailed" in asked.form else {}
            created = self._executions.create(asked.name, wanted | level)
        except GoogleError as error:
            refused = (argument, error.message)
            return _html(
                workflow_page(self._store, workflow, now_s=self._clock.now(), refused=refused), error.http_code
            )
        return _see(page_url(created["name"]))

    def _cancel(self, asked: Asked) -> web.Response:
        self._executions.cancel(asked.name)
        return _see(page_url(asked.name))

    def _run_again(self, asked: Asked) -> web.Response:
        before = self._store.execution(asked.name)
        wanted = {"argument": before.argument, "executionHistoryLevel": int(before.history_level)}
        created = self._executions.create(before.workflow_name, wanted)
        return _see(page_url(created["name"]))

    def _send_callback(self, asked: Asked) -> web.Response:
        name = f"{asked.name}/callbacks/{asked.form.get('callback', '')}"
        body = asked.form.get("body", "").encode()
        headers = {"Content-Type": "application/json"} if body else {}
        request = CallbackRequest(asked.form.get("method", ""), f"/v1/{name}", {}, headers, body)
        self._executions.send_http_callback(name, request)
        return _see(page_url(asked.name))

    def _deploy(self, _asked: Asked) -> web.Response:
        folder = self._folder()
        if folder is None:
            raise failed_precondition("localcloud watches no folder: start it with --workflows-dir")
        folder.forget()
        folder.deploy_changed()
        return _see(f"{ROOT}/")


def _root(_asked: Asked) -> web.Response:
    return _see(f"{ROOT}/")


def _see(path: str) -> web.Response:
    """Send the browser to another page."""
    return web.Response(status=303, headers={"Location": path})


def _form(body: bytes) -> dict[str, str]:
    """Return the fields of a form, as browsers encode them.

    Raises:
        GoogleError: INVALID_ARGUMENT, it is none of ours.
    """
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS, errors="strict")
    except ValueError as error:
        raise invalid_argument(f"The form cannot be read: {error}") from None
    return dict(fields)


def _style(_asked: Asked) -> web.Response:
    text = resources.files("localcloud.workflows.pages").joinpath("pages.css").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="text/css", headers={"Cache-Control": "no-cache"})


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _first(asked: Asked) -> int:
    text = asked.request.query.get("first", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < _FIRST_LIMIT):
        raise invalid_argument(f"first must be a number of rows, not {text!r}")
    return int(text)


def _folded(asked: Asked) -> frozenset[int]:
    ids = [text for text in asked.request.query.get("fold", "").split(",") if text]
    if len(ids) > MAX_FOLDED or not all(text.isascii() and text.isdigit() and len(text) < 10 for text in ids):
        raise invalid_argument(f"fold must be at most {MAX_FOLDED} numbers of step entries, joined by commas")
    return frozenset(map(int, ids))
