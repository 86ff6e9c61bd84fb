"""Queues and tasks in memory, in due order, with the tombstones of used names.

In memory on purpose: after a restart of the emulator the services' rows bring back what is still to be done.
One owner (the event loop); knows nothing of HTTP or of dispatching.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import already_exists, failed_precondition, not_found
from localcloud.tasks.model import TOMBSTONE_S, Operation, Queue, QueueTarget, Task

MAX_OPERATIONS = 10_000
"""Batch operations that are kept; the oldest go first."""


class _Shelf:
    """The tasks of one queue: all by name, the waiting ones also by due time, the names being dispatched."""

    __slots__ = ("due", "in_flight", "queue", "tasks")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.tasks: dict[str, Task] = {}
        # Entries go stale when a task leaves or moves; they are dropped when they reach the top.
        self.due: list[tuple[float, int, str]] = []
        self.in_flight: set[str] = set()


class TaskStore:
    """All queues and tasks.

    Args:
        clock: gives the time for tombstones.
        tombstone_s: how long the name of a finished or deleted task stays taken.
        queue_tombstone_s: how long the name of a deleted queue stays taken; production says "up to 3 days", locally 0.
    """

    def __init__(self, clock: Clock, *, tombstone_s: float = TOMBSTONE_S, queue_tombstone_s: float = 0.0) -> None:
        self._clock = clock
        self._tombstone_s = tombstone_s
        self._queue_tombstone_s = queue_tombstone_s
        self._serials = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Forget all queues, tasks and tombstones; serials keep counting, so old tasks are not taken for new ones."""
        self._shelves: dict[str, _Shelf] = {}
        # Insertion order is expiry order, because every tombstone lasts equally long.
        self._tombstones: OrderedDict[str, float] = OrderedDict()
        self._queue_tombstones: dict[str, float] = {}
        self._operations: OrderedDict[str, Operation] = OrderedDict()
        self._policies: dict[str, Mapping[str, Any]] = {}

    def policy(self, queue_name: str) -> Mapping[str, Any] | None:
        """Return the access policy of a queue, None without one."""
        return self._policies.get(queue_name)

    def put_policy(self, queue_name: str, policy: Mapping[str, Any]) -> None:
        """Keep the access policy of a queue until the queue is deleted."""
        self._policies[queue_name] = policy

    def target_of(self, queue_name: str) -> QueueTarget | None:
        """Return what a queue sets for the requests of its tasks; None without that, or without the queue."""
        shelf = self._shelves.get(queue_name)
        return None if shelf is None else shelf.queue.target

    def operation(self, name: str) -> Operation | None:
        """Return a batch operation, or None when it is not known (any more)."""
        return self._operations.get(name)

    def put_operation(self, operation: Operation) -> None:
        """Keep an operation; the oldest go when there are too many."""
        self._operations[operation.name] = operation
        while len(self._operations) > MAX_OPERATIONS:
            self._operations.popitem(last=False)

    def next_serial(self) -> int:
        """Return a number larger than all before."""
        return next(self._serials)

    def queues(self, location: str) -> list[Queue]:
        """Return the queues of `projects/P/locations/L`, ordered by name."""
        prefix = f"{location}/queues/"
        return sorted(
            (shelf.queue for name, shelf in self._shelves.items() if name.startswith(prefix)), key=lambda q: q.name
        )

    def queue(self, name: str) -> Queue:
        """Return a queue.

        Raises:
            GoogleError: NOT_FOUND.
        """
        return self._shelf(name).queue

    def has_queue(self, name: str) -> bool:
        """Tell whether the queue exists."""
        return name in self._shelves

    def add_queue(self, queue: Queue) -> None:
        """Add a queue.

        Raises:
            GoogleError: ALREADY_EXISTS, or FAILED_PRECONDITION while its name is still blocked by a deleted queue.
        """
        if queue.name in self._shelves:
            raise already_exists("Queue already exists")
        if self._queue_tombstones.get(queue.name, 0.0) > self._clock.now():
            raise failed_precondition(
                "The queue cannot be created because a queue with this name existed too recently."
            )
        self._shelves[queue.name] = _Shelf(queue)

    def replace_queue(self, queue: Queue) -> None:
        """Replace the queue of the same name, keeping its tasks."""
        self._shelf(queue.name).queue = queue

    def delete_queue(self, name: str) -> None:
        """Remove a queue and its tasks.

        Raises:
            GoogleError: NOT_FOUND.
        """
        if name not in self._shelves:
            # Recorded: not the text of the other methods.
            raise not_found("Requested entity was not found.")
        self.purge(name)
        del self._shelves[name]
        self._policies.pop(name, None)
        self._queue_tombstones[name] = self._clock.now() + self._queue_tombstone_s

    def purge(self, name: str) -> None:
        """Delete every task of a queue.

        Raises:
            GoogleError: NOT_FOUND.
        """
        shelf = self._shelf(name)
        for task_name in shelf.tasks:
            self._bury(task_name)
        shelf.tasks.clear()
        shelf.due.clear()
        shelf.in_flight.clear()

    def tasks(self, queue_name: str) -> Mapping[str, Task]:
        """Return the tasks of a queue by name, oldest first.

        Raises:
            GoogleError: NOT_FOUND, no such queue.
        """
        return self._shelf(queue_name).tasks

    def task(self, name: str) -> Task:
        """Return a task.

        Raises:
            GoogleError: NOT_FOUND, with another text for one that is done or was deleted lately.
        """
        shelf = self._shelves.get(name.rpartition("/tasks/")[0])
        task = None if shelf is None else shelf.tasks.get(name)
        if task is None:
            self._drop_old_tombstones()
            if name in self._tombstones:
                raise not_found(
                    "The task no longer exists, though a task with this name existed recently. "
                    "The task either successfully completed or was deleted."
                )
            raise not_found("Requested entity was not found.")
        return task

    def add_task(self, task: Task) -> None:
        """Add a task that waits for its schedule time.

        Raises:
            GoogleError: NOT_FOUND, no such queue; ALREADY_EXISTS, the name is or was in use recently.
        """
        shelf = self._shelf(task.queue_name)
        self._drop_old_tombstones()
        if task.name in shelf.tasks:
            raise already_exists("Requested entity already exists")
        if task.name in self._tombstones:
            raise already_exists("The task cannot be created because a task with this name existed too recently.")
        shelf.tasks[task.name] = task
        heapq.heappush(shelf.due, (task.schedule_time, task.serial, task.name))

    def delete_task(self, name: str) -> None:
        """Remove a task and keep its name taken.

        Raises:
            GoogleError: NOT_FOUND.
        """
        task = self.task(name)
        shelf = self._shelves[task.queue_name]
        del shelf.tasks[name]
        shelf.in_flight.discard(name)
        self._bury(name)

    def next_due_time(self, queue_name: str) -> float | None:
        """Return the earliest schedule time among waiting tasks, None without any."""
        shelf = self._shelves.get(queue_name)
        if shelf is None:
            return None
        while shelf.due:
            time, serial, name = shelf.due[0]
            if self._is_waiting(shelf, time, serial, name):
                return time
            heapq.heappop(shelf.due)
        return None

    def next_due(self, queue_name: str) -> Task | None:
        """Return the waiting task with the earliest schedule time, None without any."""
        if self.next_due_time(queue_name) is None:
            return None
        shelf = self._shelves[queue_name]
        return shelf.tasks[shelf.due[0][2]]

    def take_due(self, queue_name: str) -> Task:
        """Mark the task with the earliest schedule time as being dispatched and return it.

        Raises:
            LookupError: nothing waits; ask `next_due_time` first.
        """
        task = self.next_due(queue_name)
        if task is None:
            raise LookupError(f"no task waits in {queue_name}")
        shelf = self._shelves[queue_name]
        heapq.heappop(shelf.due)
        shelf.in_flight.add(task.name)
        return task

    def take(self, task: Task) -> bool:
        """Mark one task as being dispatched whatever its schedule; return False when it already is."""
        shelf = self._shelf(task.queue_name)
        if task.name in shelf.in_flight:
            return False
        shelf.in_flight.add(task.name)
        return True

    def replace_task(self, task: Task) -> None:
        """Change the record of a task; does nothing when it was deleted meanwhile."""
        if self.is_current(task):
            self._shelves[task.queue_name].tasks[task.name] = task

    def put_back(self, task: Task) -> None:
        """Let a dispatched task wait for its new schedule time; does nothing when it was deleted meanwhile."""
        if not self.is_current(task):
            return
        shelf = self._shelf(task.queue_name)
        shelf.in_flight.discard(task.name)
        shelf.tasks[task.name] = task
        heapq.heappush(shelf.due, (task.schedule_time, task.serial, task.name))

    def is_current(self, task: Task) -> bool:
        """Tell whether this very task (not a later one of its name) still exists."""
        shelf = self._shelves.get(task.queue_name)
        found = None if shelf is None else shelf.tasks.get(task.name)
        return found is not None and found.serial == task.serial

    def _shelf(self, queue_name: str) -> _Shelf:
        shelf = self._shelves.get(queue_name)
        if shelf is None:
            # Production says the same for a queue that was deleted and for one that never was.
            raise not_found(
                "Queue does not exist. If you just created the queue, wait at least a minute for the queue to "
                "initialize."
            )
        return shelf

    def _is_waiting(self, shelf: _Shelf, time: float, serial: int, name: str) -> bool:
        task = shelf.tasks.get(name)
        return task is not None and task.serial == serial and task.schedule_time == time and name not in shelf.in_flight

    def _bury(self, task_name: str) -> None:
        self._tombstones[task_name] = self._clock.now() + self._tombstone_s

    def _drop_old_tombstones(self) -> None:
        now = self._clock.now()
        while self._tombstones:
            name = next(iter(self._tombstones))
            if self._tombstones[name] > now:
                return
            del self._tombstones[name]
