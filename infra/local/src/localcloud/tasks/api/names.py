"""Resource names of Cloud Tasks, parsed with anchored patterns.

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks#Task (field `name`)
"""

from __future__ import annotations

import re

from localcloud.core.google_errors import GoogleError, invalid_argument

_REFERENCE = "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues"
_LOCATION = r"projects/(?P<project>[A-Za-z0-9-][A-Za-z0-9:.-]*)/locations/(?P<location>[A-Za-z0-9-]+)"
_QUEUE = _LOCATION + r"/queues/(?P<queue>[A-Za-z0-9-]{1,100})"
_LOCATION_NAME = re.compile(_LOCATION)
_QUEUE_NAME = re.compile(_QUEUE)
_TASK_NAME = re.compile(_QUEUE + r"/tasks/(?P<task>[A-Za-z0-9_-]{1,500})")


def check_location_name(name: str) -> str:
    """Return the location id of `projects/P/locations/L`.

    Raises:
        GoogleError: INVALID_ARGUMENT or PERMISSION_DENIED, the name has another form.
    """
    match = _LOCATION_NAME.fullmatch(name)
    if match is None and "/" not in name:
        # Recorded: what is no path is taken for a project of somebody else.
        raise GoogleError("PERMISSION_DENIED", f"Permission denied on resource project {name}.")
    if match is None:
        raise invalid_argument("Invalid resource field value in the request.")
    return match["location"]


def check_queue_name(name: str) -> str:
    """Return the location id of `projects/P/locations/L/queues/Q`.

    Raises:
        GoogleError: INVALID_ARGUMENT, the name has another form.
    """
    match = _QUEUE_NAME.fullmatch(name)
    if match is None:
        raise GoogleError(
            "INVALID_ARGUMENT",
            'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".',
            help_link=("Definition of queue name", f"{_REFERENCE}#Queue.FIELDS.name"),
        )
    return match["location"]


def check_task_name(name: str) -> None:
    """Accept `projects/P/locations/L/queues/Q/tasks/T`.

    Raises:
        GoogleError: INVALID_ARGUMENT, the name has another form.
    """
    if _TASK_NAME.fullmatch(name) is not None:
        return
    queue_name, separator, task_id = name.partition("/tasks/")
    if separator and _QUEUE_NAME.fullmatch(queue_name) is not None:
        raise GoogleError(
            "INVALID_ARGUMENT",
            f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or '
            "underscores (_). Task ID must between 1 and 500 characters.",
            help_link=("Definition of task ID", f"{_REFERENCE}.tasks#Task.FIELDS.name"),
        )
    raise invalid_argument(
        'Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"'
    )
