"""The HTTP side of the pages: paths, forms, and who may send them. What they do goes through the APIs.

Forms come from these pages only: a browser that sends one from another site, or to a name that is not this machine's,
is refused, since the port has no passwords.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from importlib import resources
from urllib.parse import urlsplit

from aiohttp import web

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, failed_precondition, invalid_argument, not_found
from localcloud.workflows.api.executions import ExecutionsApi
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.folder import WorkflowFolder
from localcloud.workflows.pages.execution_page import execution_page
from localcloud.workflows.pages.layout import CONTENT_SECURITY_POLICY, ROOT, page, page_url
from localcloud.workflows.pages.markup import h
from localcloud.workflows.pages.workflow_page import workflow_page
from localcloud.workflows.pages.workflows_page import workflows_page
from localcloud.workflows.store import Execution, Store

_WORKFLOW = f"{ROOT}/projects/{{project}}/locations/{{location}}/workflows/{{workflow}}"
_EXECUTION = f"{_WORKFLOW}/executions/{{execution}}"

_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_FIRST_LIMIT = 10_000_000
_ALL = ListQuery(0, "", "", "")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pages:
    """The executions page of one server.

    Args:
        store: read, never written.
        executions: runs and cancels.
        clock: the time that running things are drawn up to.
        folder: the watched folder as it is now, or None.
    """

    def __init__(
        self, *, store: Store, executions: ExecutionsApi, clock: Clock, folder: Callable[[], WorkflowFolder | None]
    ) -> None:
        self._store = store
        self._executions = executions
        self._clock = clock
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """Return what the server's application has to serve."""
        return [
            web.get("/", _answer(_root)),
            web.get(ROOT, _answer(_root)),
            web.get(f"{ROOT}/", _answer(self._workflows)),
            web.get(f"{ROOT}/pages.css", _style),
            web.post(f"{ROOT}/folder:deploy", _answer(self._deploy)),
            web.get(_EXECUTION, _answer(self._execution)),
            web.post(f"{_EXECUTION}:cancel", _answer(self._cancel)),
            web.get(_WORKFLOW, _answer(self._workflow)),
            web.post(f"{_WORKFLOW}:run", _answer(self._run)),
            web.get(f"{ROOT}/{{path:.*}}", _answer(_nowhere)),
        ]

    async def _workflows(self, _request: web.Request) -> web.Response:
        return _html(workflows_page(self._store, self._folder()))

    async def _workflow(self, request: web.Request) -> web.Response:
        workflow = self._store.workflow(_workflow_name(request))
        return _html(workflow_page(self._store, workflow, now_s=self._clock.now(), first=_first(request)))

    async def _execution(self, request: web.Request) -> web.Response:
        execution = self._store.execution(_execution_name(request))
        shown = execution_page(
            execution,
            now_s=self._clock.now(),
            first=_first(request),
            callbacks=self._open_callbacks(request, execution),
        )
        return _html(shown)

    def _open_callbacks(self, request: web.Request, execution: Execution) -> list[tuple[str, str, int]]:
        found = self._executions.list_callbacks(execution.name, _ALL).get("callbacks", [])
        base_url = request.url.origin()
        return [(each["method"], f"{base_url}/v1/{each['name']}", int(each.get("waiters", 0))) for each in found]

    async def _run(self, request: web.Request) -> web.Response:
        name = _workflow_name(request)
        workflow = self._store.workflow(name)
        form = await request.post()
        argument = form.get("argument", "")
        if not isinstance(argument, str):
            raise invalid_argument("argument must be a text")
        try:
            wanted = {"argument": argument} if argument.strip() else {}
            level = {"executionHistoryLevel": "EXECUTION_HISTORY_DETAILED"} if "detailed" in form else {}
            created = self._executions.create(name, wanted | level)
        except GoogleError as error:
            refused = (argument, error.message)
            return _html(
                workflow_page(self._store, workflow, now_s=self._clock.now(), refused=refused), error.http_code
            )
        raise web.HTTPSeeOther(page_url(created["name"]))

    async def _cancel(self, request: web.Request) -> web.Response:
        name = _execution_name(request)
        self._executions.cancel(name)
        raise web.HTTPSeeOther(page_url(name))

    async def _deploy(self, _request: web.Request) -> web.Response:
        folder = self._folder()
        if folder is None:
            raise failed_precondition("localcloud watches no folder: start it with --workflows-dir")
        folder.forget()
        folder.deploy_changed()
        raise web.HTTPSeeOther(f"{ROOT}/")


async def _root(_request: web.Request) -> web.Response:
    raise web.HTTPSeeOther(f"{ROOT}/")


async def _nowhere(request: web.Request) -> web.Response:
    raise not_found(f"There is no page {request.path}")


def _answer(act: Answer) -> Answer:
    """Return the handler around `act`: checks the sender, and shows errors as pages."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.method == "POST":
                _check_sender(request)
            return await act(request)
        except GoogleError as error:
            shown = page(error.status, (), h("p", error.message, class_="message"))
            return _html(shown, error.http_code)

    return handle


def _check_sender(request: web.Request) -> None:
    """Refuse a form of another site, and one sent to a name that someone pointed at this machine.

    Raises:
        GoogleError: PERMISSION_DENIED.
    """
    if not _is_local(request.url.host or ""):
        raise GoogleError("PERMISSION_DENIED", f"{request.host} is not a name of this machine.")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and urlsplit(origin).netloc != request.host
    if site not in ("same-origin", "none") or is_foreign:
        raise GoogleError("PERMISSION_DENIED", "This form was sent by another site.")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _style(_request: web.Request) -> web.Response:
    text = resources.files("localcloud.workflows.pages").joinpath("pages.css").read_text(encoding="utf-8")
    return web.Response(text=text, content_type="text/css", headers={"Cache-Control": "no-cache"})


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)


def _workflow_name(request: web.Request) -> str:
    part = request.match_info
    return f"projects/{part['project']}/locations/{part['location']}/workflows/{part['workflow']}"


def _execution_name(request: web.Request) -> str:
    return f"{_workflow_name(request)}/executions/{request.match_info['execution']}"


def _first(request: web.Request) -> int:
    text = request.query.get("first", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < _FIRST_LIMIT):
        raise invalid_argument(f"first must be a number of rows, not {text!r}")
    return int(text)
