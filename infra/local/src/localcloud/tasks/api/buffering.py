"""BufferTask: any HTTP request becomes a task for the address that its queue gives.

The task has the method, body and content type of the request, as Google's samples of this method show it; which other
headers reach the target is not published (assumed: none).

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/buffer
"""

from __future__ import annotations

import base64
import re
from typing import Any

from localcloud.core.google_errors import failed_precondition
from localcloud.core.json_values import Json
from localcloud.tasks.api.methods import CloudTasksApi
from localcloud.tasks.model import METHODS_WITH_BODY, HttpMethod
from localcloud.tasks.store import TaskStore

_PATH = re.compile(r"/v2(?:beta3)?/projects/[^/]+/locations/[^/]+/queues/[^/]+/tasks(?:/[^/:]*)?:buffer")


def is_buffer_path(path: str) -> bool:
    """Tell whether requests of a path may have any method and a body of any type."""
    return _PATH.fullmatch(path) is not None


def buffer_task(
    api: CloudTasksApi, store: TaskStore, name: str, *, method: str, content_type: str, content: bytes
) -> Json:
    """Create a task from a request and return `{"task": {...}}`.

    Args:
        api: creates the task.
        store: has the queue.
        name: `QUEUE/tasks/ID`, or `QUEUE/tasks` or `QUEUE/tasks/` for a generated id.
        method: HTTP method of the request.
        content_type: its `Content-Type` or "".
        content: its body.

    Raises:
        GoogleError: NOT_FOUND; FAILED_PRECONDITION, the queue has no target with a host; what creating a task raises.
    """
    queue_name, _, task_id = name.partition("/tasks")
    target = store.queue(queue_name).target
    if target is None or target.uri is None or not target.uri.host:
        raise failed_precondition("The queue must have an HTTP target with a host to buffer tasks.")
    uri = target.uri
    authority = f"{uri.host}:{uri.port}" if uri.port else uri.host
    query = f"?{uri.query.removeprefix('?')}" if uri.query else ""
    url = f"{uri.scheme or 'https'}://{authority}/{(uri.path or '').removeprefix('/')}{query}"
    verb = target.method or HttpMethod[method]
    request: dict[str, Any] = {"url": url, "httpMethod": verb.name}
    if content and verb in METHODS_WITH_BODY:
        request["body"] = base64.b64encode(content).decode()
        if content_type:
            request["headers"] = {"Content-Type": content_type}
    task: dict[str, Any] = {"httpRequest": request}
    if task_id.strip("/"):
        task["name"] = f"{queue_name}/tasks/{task_id.strip('/')}"
    return {"task": api.create_task(queue_name, {"task": task})}
