"""A batch as an object: it waits, downloads, cancels and retries by the client that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pressroom.answers import Estimate, Host, Image, Links, ProblemCount, Summary
from pressroom.errors import PressroomError

FileKind = Literal["output", "failed", "jsonl", "xlsx", "html"]
"""The files of a report: the whole sheet, what failed, every number, the sheet as a workbook, one page for people."""

_SOON_S, _OFTEN_S, _SELDOM_S = 0.5, 2.0, 10.0
_SOON_UNTIL_S, _OFTEN_UNTIL_S = 10.0, 300.0


class Calls(Protocol):
    """What a batch asks of the client that it came from."""

    def pause(self, seconds: float) -> None:
        """Wait."""

    def summary(self, request_id: str, *, etag: str | None = None) -> tuple[Summary | None, str | None]:
        """Return a batch and its ETag."""

    def links(self, request_id: str) -> Links:
        """Return links to the files of a report."""

    def file(self, url: str) -> bytes:
        """Return what a link leads to."""

    def images(
        self,
        request_id: str,
        *,
        status: str | None = None,
        code: str | None = None,
        host: str | None = None,
        q: str | None = None,
    ) -> Iterator[Image]:
        """Yield images."""

    def problems(self, request_id: str) -> list[ProblemCount]:
        """Return problems."""

    def hosts(self, request_id: str) -> list[Host]:
        """Return hosts."""

    def cancel(self, request_id: str) -> int:
        """Cancel open images."""

    def retry(
        self, request_id: str, *, codes: Sequence[str] = (), hosts: Sequence[str] = (), image_ids: Sequence[str] = ()
    ) -> int:
        """Try images again."""


class Batch:
    """A batch of a deployment; `estimate` is what its upload was told, None of one that was not uploaded here."""

    def __init__(self, client: Calls, request_id: str, estimate: Estimate | None = None) -> None:
        self._client = client
        self.request_id = request_id
        self.estimate = estimate

    def summary(self) -> Summary:
        """Return the batch as it is now."""
        found, _etag = self._client.summary(self.request_id)
        if found is None:
            raise PressroomError("The service says that nothing has changed, but was not told since when.")
        return found

    def wait(self, *, on_progress: Callable[[Summary], object] | None = None) -> Summary:
        """Wait for the end of the batch and return it; asked for twice a second at first, every 10 s in the end.

        Args:
            on_progress: called with the batch at first and whenever something has changed.
        """
        etag: str | None = None
        waited_s = 0.0
        while True:
            found, etag = self._client.summary(self.request_id, etag=etag)
            if found is not None:
                if on_progress is not None:
                    on_progress(found)
                if found.is_final:
                    return found
            pause_s = _SOON_S if waited_s < _SOON_UNTIL_S else _OFTEN_S if waited_s < _OFTEN_UNTIL_S else _SELDOM_S
            self._client.pause(pause_s)
            waited_s += pause_s

    def download(self, path: str | Path, *, kind: FileKind = "output") -> Path:
        """Write a file of the report and return its path.

        Raises:
            PressroomError: this batch has no such file.
        """
        target = Path(path)
        target.write_bytes(self.read(kind))
        return target

    def read(self, kind: FileKind = "output") -> bytes:
        """Return a file of the report.

        Raises:
            PressroomError: this batch has no such file.
        """
        links = self._client.links(self.request_id)
        url = {
            "output": links.download_url,
            "failed": links.failed_url,
            "jsonl": links.results_url,
            "xlsx": links.xlsx_url,
            "html": links.report_url,
        }[kind]
        if url is None:
            raise PressroomError(f"Batch {self.request_id} has no {kind} file.")
        return self._client.file(url)

    def images(
        self, *, status: str | None = None, code: str | None = None, host: str | None = None, q: str | None = None
    ) -> Iterator[Image]:
        """Yield the images in the order of the sheet: those that fit all that is given."""
        return self._client.images(self.request_id, status=status, code=code, host=host, q=q)

    def problems(self) -> list[ProblemCount]:
        """Return the images without an output, counted by code and host."""
        return self._client.problems(self.request_id)

    def hosts(self) -> list[Host]:
        """Return the hosts, those in trouble first."""
        return self._client.hosts(self.request_id)

    def cancel(self) -> int:
        """End the open images; return how many. Results stay."""
        return self._client.cancel(self.request_id)

    def retry(self, *, codes: Sequence[str] = (), hosts: Sequence[str] = (), image_ids: Sequence[str] = ()) -> int:
        """Try failed images again, all or those that fit every list; return how many."""
        return self._client.retry(self.request_id, codes=codes, hosts=hosts, image_ids=image_ids)
