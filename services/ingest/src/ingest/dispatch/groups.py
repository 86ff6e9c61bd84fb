"""Groups of rows whose tasks are created by one call, and the way back for those that could not be created."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import Connection, Engine

from chassis.db.engine import transact
from chassis.limited import Limited
from chassis.logs import get_logger
from ingest.dispatch.tasks import ImageTask
from ingest.errors import not_owner
from ingest.settings import IngestSettings
from ingest.state.images import return_image
from ingest.state.locks import lock_batch

log = get_logger(__name__)

MAX_GROUP: Annotated[
    int,
    Limited(
        "tasks",
        "the next group has the rest",
        "Tasks that one call creates: what Cloud Tasks takes",
        name="max_group_tasks",
        internal=True,
    ),
] = 100
"""Source: `BatchCreateTasksRequest.requests` in google/cloud/tasks/v2/cloudtasks.proto."""

_NAMESPACE = UUID("0d6f1a0e-6f0d-4f7f-9d53-7d3f2f0c9a11")
"""Of the UUIDs that name groups."""

_ALREADY_EXISTS = 6
_MAY_PASS = {1, 4, 8, 10, 13, 14}
"""CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE (google.rpc.Code)."""

_RETURN_DELAY_S = 5.0


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks that are created together."""

    tasks: Sequence[ImageTask]

    @property
    def request_id(self) -> UUID:
        """Return the name of the call: the same for the same attempts, so that a repeat creates nothing twice."""
        return uuid.uuid5(_NAMESPACE, " ".join(task.task_id for task in self.tasks))

    def to_json(self, settings: IngestSettings) -> dict[str, Any]:
        """Return a group as workflows/contracts/claim_response.schema.json has it."""
        return {
            "request_id": str(self.request_id),
            "leases": [task.leases for task in self.tasks],
            "requests": [task.request(settings) for task in self.tasks],
        }


@dataclass(frozen=True, slots=True)
class GivenBack:
    """How many images wait again, and the first refusal that asking again will not change."""

    images: int
    refusal: str | None


def task_groups(tasks: Sequence[ImageTask]) -> list[TaskGroup]:
    """Return tasks in groups of whole rows; only a row with more than `MAX_GROUP` tasks is divided.

    A task of several images belongs to the row of its first one.
    """
    groups: list[list[ImageTask]] = []
    for _row, members in groupby(tasks, key=lambda task: task.row_number):
        row = list(members)
        if not groups or len(groups[-1]) + len(row) > MAX_GROUP:
            groups.append([])
        groups[-1] += row
    return [
        TaskGroup(group[start : start + MAX_GROUP]) for group in groups for start in range(0, len(group), MAX_GROUP)
    ]


def give_back(
    engine: Engine,
    request_id: UUID,
    *,
    execution: str,
    leases: Sequence[Sequence[tuple[UUID, int]]],
    failures: Mapping[int, tuple[int, str]] | None,
) -> GivenBack:
    """Let images wait again whose tasks could not be created; their attempts are not counted.

    Args:
        engine: the database.
        request_id: the batch.
        execution: the caller, who must own the batch.
        leases: of each task of a group, image and attempt of what it carries.
        failures: by index in `leases`, code (google.rpc.Code) and text; None when no task was created. A task that
            exists is no failure.

    Raises:
        ApiError: 404 BATCH_NOT_FOUND, 409 NOT_OWNER.
    """
    every = dict.fromkeys(range(len(leases)), (14, "nothing was created"))
    failed = {
        index: failure
        for index, failure in (every if failures is None else failures).items()
        if index < len(leases) and failure[0] != _ALREADY_EXISTS
    }

    lost = sorted(lease for index in failed for lease in leases[index])

    def own(connection: Connection) -> None:
        if lock_batch(connection, request_id).execution != execution:
            raise not_owner(request_id, execution)

    def work(connection: Connection) -> None:
        # In the order of ids and without the batch, which is locked after its images.
        for image_id, attempt in lost:
            return_image(connection, image_id, attempt=attempt, delay_s=_RETURN_DELAY_S, spent=False)

    transact(engine, own)
    transact(engine, work)
    refusals = [text for code, text in failed.values() if code not in _MAY_PASS]
    log.warning(
        "tasks.refused", request_id=str(request_id), images=len(lost), refusal=refusals[0] if refusals else None
    )
    return GivenBack(len(lost), refusals[0] if refusals else None)
