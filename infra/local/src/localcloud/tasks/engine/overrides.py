"""What the target of a queue changes in the requests of its tasks.

URL, method and token are changed when a task is sent, so that a change of the queue reaches the tasks that wait;
headers are set when a task is created.

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#HttpTarget
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from localcloud.tasks.model import METHODS_WITH_BODY, HttpTarget, QueueTarget, UriOverride


def overridden(target: HttpTarget, queue_target: QueueTarget | None) -> HttpTarget:
    """Return the request of a task as its queue has it sent; a method without a body drops the body."""
    if queue_target is None:
        return target
    method = queue_target.method or target.method
    return replace(
        target,
        url=target.url if queue_target.uri is None else _url(target.url, queue_target.uri),
        method=method,
        body=target.body if method in METHODS_WITH_BODY else b"",
        token=queue_target.token or target.token,
    )


def with_queue_headers(target: HttpTarget, queue_target: QueueTarget | None) -> HttpTarget:
    """Return the request of a new task with the headers that its queue sets; case does not tell names apart."""
    if queue_target is None or not queue_target.headers:
        return target
    replaced = {name.lower() for name in queue_target.headers}
    kept = {name: text for name, text in target.headers.items() if name.lower() not in replaced}
    return replace(target, headers=kept | dict(queue_target.headers))


def _url(url: str, override: UriOverride) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if override.only_absent:
        # A task's URL always has a scheme and a host.
        scheme = parts.scheme
        port = override.port if port is None else port
        path = parts.path if parts.path not in ("", "/") else override.path or parts.path
        query = parts.query or override.query or ""
    else:
        scheme = override.scheme or parts.scheme
        host = override.host or host
        port = port if override.port is None else override.port
        path = parts.path if override.path is None else override.path
        query = parts.query if override.query is None else override.query
    if path and not path.startswith("/"):
        path = f"/{path}"
    name = f"[{host}]" if ":" in host else host
    return urlunsplit((scheme, f"{name}:{port}" if port else name, path, query.removeprefix("?"), ""))
