"""The methods of the Cloud Tasks API on JSON values; REST and gRPC both call this class."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, invalid_argument, unimplemented
from localcloud.core.json_values import Json
from localcloud.core.list_filter import parse_filter
from localcloud.tasks.api.names import check_location_name, check_queue_name, check_task_name
from localcloud.tasks.api.queue_resource import FILTER_FIELDS, merge_queue, queue_from_json, queue_to_json
from localcloud.tasks.api.task_resource import task_from_json, task_to_json, view_from_json
from localcloud.tasks.engine.dispatcher import Dispatcher
from localcloud.tasks.model import QueueState
from localcloud.tasks.store import TaskStore

log = logging.getLogger("localcloud.tasks")

_MAX_QUEUES_PAGE = 9800
_MAX_TASKS_PAGE = 1000


class CloudTasksApi:
    """Every method takes and returns the JSON of its REST form and raises `GoogleError`.

    Args:
        store: the state.
        dispatcher: told of every change.
        clock: gives creation and purge times.
        location: the only region served, e.g. `us-central1`; any project is.
    """

    def __init__(self, *, store: TaskStore, dispatcher: Dispatcher, clock: Clock, location: str) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._location = location

    def list_locations(self, name: str) -> Json:
        """List the one location of `projects/P`."""
        return {"locations": [self.get_location(f"{name}/locations/{self._location}")]}

    def get_location(self, name: str) -> Json:
        """Describe `projects/P/locations/L`."""
        self._check_location(check_location_name(name))
        return {"name": name, "locationId": self._location, "labels": {"cloud.googleapis.com/region": self._location}}

    def get_app(self, project: str) -> Json:
        """Answer App Engine's `apps.get`: `gcloud tasks` without --location asks for the app to learn its region.

        A departure: here every project looks as if it had an App Engine app in the one location. Without an answer
        gcloud waits for the internet and then demands --location.
        """
        return {
            "name": f"apps/{project}",
            "id": project,
            "locationId": self._location,
            "servingStatus": "SERVING",
        }

    def list_queues(self, parent: str, *, filter_text: str, page_size: int, page_token: str) -> Json:
        """List the queues of a location that a filter wants, ordered by name."""
        self._check_location(check_location_name(parent))
        is_wanted = parse_filter(filter_text, FILTER_FIELDS)
        queues = [queue for queue in self._store.queues(parent) if is_wanted(queue)]
        page, token = _page(
            [queue.name for queue in queues], page_size or _MAX_QUEUES_PAGE, _MAX_QUEUES_PAGE, page_token
        )
        chosen = set(page)
        answer: Json = {"queues": [queue_to_json(queue) for queue in queues if queue.name in chosen]}
        return answer | ({"nextPageToken": token} if token else {})

    def get_queue(self, name: str) -> Json:
        """Describe a queue."""
        self._check_queue(name)
        return queue_to_json(self._store.queue(name))

    def create_queue(self, parent: str, body: Any) -> Json:
        """Create a queue; its name comes from the body."""
        self._check_location(check_location_name(parent))
        name = body.get("name") if isinstance(body, dict) else None
        if not isinstance(name, str):
            raise invalid_argument("Queue.name must be set.")
        self._check_queue(name)
        if not name.startswith(f"{parent}/queues/"):
            raise invalid_argument(f"{name} must begin with {parent}.")
        queue = queue_from_json(body, name=name)
        self._store.add_queue(queue)
        self._dispatcher.queue_changed(queue)
        return queue_to_json(queue)

    def update_queue(self, name: str, body: Any, *, mask: str) -> Json:
        """Change a queue, or create it when it does not exist."""
        self._check_queue(name)
        if not self._store.has_queue(name):
            queue = queue_from_json(body, name=name)
            self._store.add_queue(queue)
        else:
            queue = merge_queue(self._store.queue(name), body, mask)
            self._store.replace_queue(queue)
        self._dispatcher.queue_changed(queue)
        return queue_to_json(queue)

    def delete_queue(self, name: str) -> Json:
        """Delete a queue and its tasks."""
        self._check_queue(name)
        self._store.delete_queue(name)
        self._dispatcher.queue_deleted(name)
        return {}

    def pause_queue(self, name: str) -> Json:
        """Stop dispatching; tasks may still be created."""
        return self._set_state(name, QueueState.PAUSED)

    def resume_queue(self, name: str) -> Json:
        """Dispatch again."""
        return self._set_state(name, QueueState.RUNNING)

    def purge_queue(self, name: str) -> Json:
        """Delete all tasks of a queue; at once, where production takes up to a minute."""
        self._check_queue(name)
        queue = replace(self._store.queue(name), purge_time=self._clock.now())
        self._store.purge(name)
        self._store.replace_queue(queue)
        return queue_to_json(queue)

    def create_task(self, parent: str, body: Any) -> Json:
        """Create a task from `{"task": {...}, "responseView": "BASIC"}` and dispatch it when it is due."""
        self._check_queue(parent)
        if not isinstance(body, dict) or not body.keys() <= {"task", "responseView", "parent"} or "task" not in body:
            raise invalid_argument('The request must be {"task": {...}, "responseView": ...}.')
        view = view_from_json(body.get("responseView"))
        task = task_from_json(
            body["task"],
            queue_name=parent,
            serial=self._store.next_serial(),
            now=self._clock.now(),
            queue_target=self._store.queue(parent).target,
        )
        self._store.add_task(task)
        self._dispatcher.move(parent)
        return task_to_json(task, view)

    def list_tasks(self, parent: str, *, view: Any, page_size: int, page_token: str) -> Json:
        """List the tasks of a queue, ordered by name."""
        self._check_queue(parent)
        chosen_view = view_from_json(view)
        tasks = self._store.tasks(parent)
        names, token = _page(sorted(tasks), page_size or _MAX_TASKS_PAGE, _MAX_TASKS_PAGE, page_token)
        answer: Json = {"tasks": [task_to_json(tasks[name], chosen_view) for name in names]}
        return answer | ({"nextPageToken": token} if token else {})

    def get_task(self, name: str, *, view: Any) -> Json:
        """Describe a task that is not done."""
        check_task_name(name)
        return task_to_json(self._store.task(name), view_from_json(view))

    def delete_task(self, name: str) -> Json:
        """Delete a task; an attempt on its way runs to its end."""
        check_task_name(name)
        self._store.delete_task(name)
        return {}

    def run_task(self, name: str, *, view: Any) -> Json:
        """Dispatch a task now, whatever its schedule and its queue say; shows the attempt, without its outcome."""
        check_task_name(name)
        task = self._store.task(name)
        chosen_view = view_from_json(view)
        self._dispatcher.run_now(task)
        return task_to_json(self._store.task(name), chosen_view)

    def refuse(self, method: str) -> GoogleError:
        """Return the error of a method that is part of the API and not of this emulator."""
        return unimplemented(f"localcloud does not emulate CloudTasks.{method}.")

    def _set_state(self, name: str, state: QueueState) -> Json:
        self._check_queue(name)
        queue = replace(self._store.queue(name), state=state)
        self._store.replace_queue(queue)
        self._dispatcher.queue_changed(queue)
        return queue_to_json(queue)

    def _check_queue(self, name: str) -> None:
        if not self._store.has_queue(name):
            self._check_location(check_queue_name(name))

    def _check_location(self, location: str) -> None:
        if location != self._location:
            raise invalid_argument(
                f"Location '{location}' is not a valid location. Use ListLocations to list valid locations."
            )


def _page(names: Sequence[str], page_size: int, largest: int, token: str) -> tuple[list[str], str]:
    """Return one page of sorted names and the token of the next ("" at the end)."""
    if page_size < 0:
        raise invalid_argument("page_size must not be negative.")
    after = ""
    if token:
        try:
            after = base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, ValueError) as error:
            raise invalid_argument("page_token is not a token of an earlier answer.") from error
    rest = [name for name in names if name > after]
    page = rest[: min(page_size, largest)]
    has_more = len(rest) > len(page)
    return page, base64.urlsafe_b64encode(page[-1].encode()).decode() if has_more else ""
