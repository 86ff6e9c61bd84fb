"""Clients of ingest that call nobody: they remember what they were asked, and answer as a test wants."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, cast
from uuid import UUID

from chassis.auth.callers import Caller
from chassis.errors import ApiError
from chassis.tracing import trace_headers
from ingest.clients.previews import Preview, Trial
from ingest.clients.reporter import Report
from ingest.clients.sheet_storage import StoredSheet, too_large
from ingest.errors import Reason, not_found, unavailable
from ingest.sheets.body import PIECE_BYTES, SheetBody
from ingest.state.batch import Batch

WORKFLOW = "projects/demo/locations/us-central1/workflows/batch"


class FakeExecutions:
    """An Executions API with a memory; `down` makes every call fail."""

    def __init__(self) -> None:
        self.created: list[tuple[UUID, str]] = []
        self.live: set[str] = set()
        self.asked: list[str] = []
        self.calls = 0
        self.down = False
        self.before_answer: Callable[[], None] = lambda: None

    def create(self, request_id: UUID) -> str:
        """Start an execution that lives until it is removed from `live`."""
        self._check()
        name = f"{WORKFLOW}/executions/{uuid.uuid4()}"
        self.created.append((request_id, name))
        self.live.add(name)
        return name

    def is_live(self, execution: str) -> bool:
        """Answer from memory."""
        self._check()
        self.asked.append(execution)
        answer = execution in self.live
        self.before_answer()
        return answer

    def _check(self) -> None:
        self.calls += 1
        if self.down:
            raise unavailable(Reason.EXECUTIONS_UNAVAILABLE, "down")


class FakeTasks:
    """A Cloud Tasks that remembers tasks by name."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.down = False

    def create(
        self,
        queue: str,
        task_id: str,
        *,
        url: str,
        audience: str,
        body: Mapping[str, Any],
        dispatch_deadline_s: int,
        start_at: datetime | None = None,
    ) -> None:
        """Keep the task unless its name is known."""
        self.calls += 1
        if self.down:
            raise unavailable(Reason.TASKS_UNAVAILABLE, "down")
        task = {
            "url": url,
            "audience": audience,
            "body": dict(body),
            "deadline_s": dispatch_deadline_s,
            "start_at": start_at,
            "headers": trace_headers(),
        }
        self.tasks.setdefault(f"{queue}/tasks/{task_id}", task)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies of the tasks for a path."""
        return [task["body"] for task in list(self.tasks.values()) if task["url"].endswith(path)]


class FakeCallbacks:
    """Remembers which batches were announced as sealed."""

    def __init__(self) -> None:
        self.sealed: list[UUID] = []

    def batch_sealed(self, batch: Batch) -> None:
        """Remember the batch."""
        self.sealed.append(batch.request_id)


@dataclass(frozen=True)
class PiecewiseBody:
    """A sheet that is not held in memory, as far as its reader can tell."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        return len(self.content)

    @property
    def head(self) -> bytes:
        """Return the first megabyte."""
        return self.content[:PIECE_BYTES]

    def open(self, start: int) -> BinaryIO:
        """Return a stream from a byte on, which goes forward only."""
        return cast(BinaryIO, io.BufferedReader(_Forward(self.content[start:])))


class _Forward(io.RawIOBase):
    """Bytes that are read once."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._left = memoryview(content)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes."""
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class FakeStorage:
    """Objects by URI; all have generation 1."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads = 0
        self.down = False

    def find(self, uri: str, *, max_bytes: int, limit: str) -> StoredSheet:
        """Return an object without reading it."""
        self._check(uri)
        found = StoredSheet(uri, len(self.objects[uri]), 1)
        if found.size_bytes > max_bytes:
            raise too_large(found, max_bytes, limit)
        return found

    def read(self, sheet: StoredSheet) -> bytes:
        """Return the object."""
        self.reads += 1
        self._check(sheet.uri)
        return self.objects[sheet.uri]

    def body(self, sheet: StoredSheet) -> SheetBody:
        """Return the object, to be read piece by piece."""
        return PiecewiseBody(self.read(sheet))

    def begin_upload(self, uri: str, *, size_bytes: int | None) -> str:
        """Return a URL that names the object."""
        if self.down:
            raise unavailable(Reason.STORAGE_UNAVAILABLE, "down")
        return f"https://storage.test/upload?object={uri}&size={size_bytes}"

    def _check(self, uri: str) -> None:
        if self.down:
            raise unavailable(Reason.STORAGE_UNAVAILABLE, "down")
        if uri not in self.objects:
            raise not_found(Reason.SHEET_NOT_FOUND, f"There is no object {uri}.")


class FakeReporter:
    """Remembers what it was asked; `down` makes every call fail."""

    def __init__(self) -> None:
        self.published: list[UUID] = []
        self.notified: list[dict[str, Any]] = []
        self.down = False

    def publish(self, request_id: UUID) -> Report:
        """Say where the report is."""
        if self.down:
            raise unavailable("PEER_UNAVAILABLE", "down")
        self.published.append(request_id)
        return Report(f"gs://results/{request_id}/output.csv", f"https://reporter.test/reports/{request_id}/output.csv")

    def notify(self, ending: Mapping[str, Any], download_url: str | None) -> None:
        """Remember the notification."""
        if self.down:
            raise unavailable("PEER_UNAVAILABLE", "down")
        self.notified.append({**ending, "download_url": download_url})


WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
"""A white picture of one pixel."""


class FakePreviews:
    """Remembers what was to be drawn; every picture is a white pixel."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error: ApiError | None = None
        self.changed = False

    def stored(self, output_url: str, side: int) -> Preview:  # noqa: ARG002
        """Draw a stored output."""
        return self._draw("stored", output_url)

    def source(self, url: str, side: int, output_url: str | None) -> Preview:  # noqa: ARG002
        """Draw a source."""
        return self._draw("source", url)

    def trial(self, url: str, side: int, options: Mapping[str, Any]) -> Trial:  # noqa: ARG002
        """Draw a source twice."""
        return Trial(self._draw("trial", url), Preview(WEBP, 1, 1, 400), str(options["format"]), "")

    def _draw(self, kind: str, url: str) -> Preview:
        if self.error is not None:
            raise self.error
        self.asked.append((kind, url))
        return Preview(WEBP, 1, 1, 1000, self.changed if kind == "source" else None)


class FakePeers:
    """Services that are fine unless `trouble` says what is wrong with them."""

    def __init__(self) -> None:
        self.trouble = {"compressor": "", "reporter": ""}

    def health(self) -> Mapping[str, str]:
        """Return what is wrong."""
        return self.trouble


class FakeWebhooks:
    """The reporter's routes of webhooks: answers what was put under `METHOD /path`, and remembers who asked what."""

    def __init__(self) -> None:
        self.answers: dict[str, dict[str, Any] | ApiError] = {}
        self.asked: list[tuple[str | None, str, Mapping[str, Any] | None]] = []

    def ask(self, caller: Caller, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Answer from memory; an empty list of all that is not there."""
        route = f"{method} {path}"
        self.asked.append((caller.owner, route, body))
        answer = self.answers.get(route.partition("?")[0], {"endpoints": [], "deliveries": [], "next_page_token": ""})
        if isinstance(answer, ApiError):
            raise answer
        return answer
