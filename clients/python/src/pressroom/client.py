"""The service as an object: each method is one call of the interface, or follows its pages."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from pressroom.answers import (
    Check,
    Delivery,
    Endpoint,
    EndpointWithSecret,
    Estimate,
    Host,
    Image,
    Limit,
    Links,
    MissingFieldError,
    ProblemCount,
    Summary,
    WhoAmI,
    parse,
    parse_list,
)
from pressroom.batch import Batch
from pressroom.errors import UnexpectedAnswerError
from pressroom.service import Service

T = TypeVar("T")
Sheet = str | Path | bytes
"""A sheet: the path of a file, or its content."""


class Pressroom:
    """A deployment of Pressroom. Not for several threads at once.

    Args:
        url: of ingest, e.g. `http://127.0.0.1:8080`.
        api_key: `prk_...`; None for a deployment without keys.
        reporter_url: of the reporter; asked of ingest unless given.
        transport: for tests.
        sleep: waits so many seconds; for tests.

    Every method raises `ApiError` (or one of its kinds) for a refusal, `UnreachableError` and `UnexpectedAnswerError`.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        reporter_url: str | None = None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:

        def make(where: str) -> Service:
            return Service(where, api_key=api_key, transport=transport, sleep=sleep)

        self._make = make
        self.pause = sleep
        self.ingest = self._make(url)
        self._reporter = None if reporter_url is None else self._make(reporter_url)

    def __enter__(self) -> Self:
        """Return the client; its connections are closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.ingest.close()
        if self._reporter is not None:
            self._reporter.close()

    @property
    def reporter(self) -> Service:
        """Return the service with reports and webhooks."""
        if self._reporter is None:
            self._reporter = self._make(self.whoami().reporter_url)
        return self._reporter

    def compress(self, sheet: Sheet, *, name: str | None = None, key: str | None = None, **options: Any) -> Batch:
        """Upload a sheet and return its batch, which runs from now on.

        Args:
            sheet: path or content.
            name: what the sheet is called; that of the file unless given.
            key: Idempotency-Key; a new one unless given. The upload is repeated with it when an answer is lost.
            options: fields of the upload: quality, format, max_width, max_height, target_bytes, metadata, background,
                animated, on_invalid, webhook_url, encoding, output_encoding, columns (as JSON text).

        Raises:
            SheetInvalidError: with every problem of the sheet.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        answer = self.ingest.json("POST", "/upload", repeatable=True, headers=headers, **_form(sheet, name, options))
        told = answer.get("estimate")
        return Batch(self, str(answer.get("request_id", "")), None if told is None else _parsed(Estimate, told))

    def check(self, sheet: Sheet, *, name: str | None = None, **options: Any) -> Check:
        """Return what an upload of a sheet would make, and what is wrong with it; nothing is stored."""
        form = _form(sheet, name, {**options, "validate_only": "true"})
        return _parsed(Check, self.ingest.json("POST", "/upload", repeatable=True, **form))

    def corrected(self, sheet: Sheet, *, name: str | None = None, **options: Any) -> bytes:
        """Return a sheet repaired, as CSV in UTF-8, with what is wrong in a column of its own; nothing is stored."""
        form = _form(sheet, name, options)
        return bytes(self.ingest.send("POST", "/corrected_sheet", repeatable=True, **form).content)

    def batch(self, request_id: str) -> Batch:
        """Return a batch by its id; nothing is asked yet."""
        return Batch(self, request_id)

    def batches(self, *, status: str | None = None) -> Iterator[Summary]:
        """Yield the batches, newest first."""
        for page in self._pages(self.ingest, "/requests", {"status": status}):
            yield from _parsed_list(Summary, page.get("requests"))

    def summary(self, request_id: str, *, etag: str | None = None) -> tuple[Summary | None, str | None]:
        """Return a batch and the ETag of the answer; None when it is the one with `etag` still."""
        found, tag = self.ingest.json_if_changed(f"/status/{request_id}?view=summary", etag)
        return (None if found is None else _parsed(Summary, found)), tag

    def images(
        self,
        request_id: str,
        *,
        status: str | None = None,
        code: str | None = None,
        host: str | None = None,
        q: str | None = None,
    ) -> Iterator[Image]:
        """Yield the images of a batch in the order of its sheet: those that fit all that is given."""
        wanted = {"status": status, "code": code, "host": host, "q": q, "page_size": 500}
        for page in self._pages(self.ingest, f"/status/{request_id}/images", wanted):
            yield from _parsed_list(Image, page.get("images"))

    def problems(self, request_id: str) -> list[ProblemCount]:
        """Return the images of a batch without an output, counted by code and host."""
        return _parsed_list(ProblemCount, self.ingest.json("GET", f"/status/{request_id}/problems").get("problems"))

    def hosts(self, request_id: str) -> list[Host]:
        """Return the hosts of a batch, those in trouble first."""
        return _parsed_list(Host, self.ingest.json("GET", f"/status/{request_id}/hosts").get("hosts"))

    def cancel(self, request_id: str) -> int:
        """End the open images of a batch; return how many. Results stay."""
        return int(self.ingest.json("POST", "/cancel", json={"request_id": request_id}).get("cancelled_images", 0))

    def retry(
        self, request_id: str, *, codes: Sequence[str] = (), hosts: Sequence[str] = (), image_ids: Sequence[str] = ()
    ) -> int:
        """Try failed images of a finished batch again, all or those that fit every list; return how many."""
        chosen = {"codes": list(codes), "hosts": list(hosts), "image_ids": list(image_ids)}
        body = {"request_id": request_id, **{name: values for name, values in chosen.items() if values}}
        return int(self.ingest.json("POST", "/retry", json=body).get("retried_images", 0))

    def links(self, request_id: str) -> Links:
        """Return links to the files of a report."""
        return _parsed(Links, self.reporter.json("GET", "/download_csv", params={"request_id": request_id}))

    def file(self, url: str) -> bytes:
        """Return what a link leads to."""
        return bytes(self.reporter.send("GET", url).content)

    def whoami(self) -> WhoAmI:
        """Return whom the service takes the caller for."""
        return _parsed(WhoAmI, self.ingest.json("GET", "/whoami"))

    def limits(self) -> list[Limit]:
        """Return every limit of ingest, quotas with their use."""
        return _parsed_list(Limit, self.ingest.json("GET", "/limits").get("limits"))

    def endpoints(self) -> Iterator[Endpoint]:
        """Yield the webhook endpoints."""
        for page in self._pages(self.reporter, "/webhooks", {}):
            yield from _parsed_list(Endpoint, page.get("endpoints"))

    def add_endpoint(
        self, url: str, *, event_types: Sequence[str] | None = None, description: str = ""
    ) -> EndpointWithSecret:
        """Subscribe a URL to events, to all unless some are named; the answer shows its secret, this once."""
        body = {"url": url, "event_types": None if event_types is None else list(event_types)}
        made = self.reporter.json("POST", "/webhooks", json=body | {"description": description})
        return _parsed(EndpointWithSecret, made)

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete a webhook endpoint; nothing more is sent to it."""
        self.reporter.json("DELETE", f"/webhooks/{endpoint_id}")

    def test_endpoint(self, endpoint_id: str) -> Delivery:
        """Send a signed test event."""
        return _parsed(Delivery, self.reporter.json("POST", f"/webhooks/{endpoint_id}/test"))

    def rotate_secret(self, endpoint_id: str) -> EndpointWithSecret:
        """Make a new secret and show it; the one before it signs too for a while."""
        return _parsed(EndpointWithSecret, self.reporter.json("POST", f"/webhooks/{endpoint_id}/rotate_secret"))

    def redeliver(self, endpoint_id: str, *, since: str, only_failed: bool = True) -> int:
        """Send an endpoint the events since a time (RFC 3339) again, those that failed or all; return how many."""
        body = {"since": since, "only_failed": only_failed}
        return int(self.reporter.json("POST", f"/webhooks/{endpoint_id}/redeliver", json=body).get("redelivered", 0))

    def _pages(self, service: Service, path: str, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = service.json("GET", path, params={**wanted, "page_token": token or None})
            yield page
            token = str(page.get("next_page_token", ""))
            if not token:
                return


def _form(sheet: Sheet, name: str | None, options: dict[str, Any]) -> dict[str, Any]:
    content = sheet if isinstance(sheet, bytes) else Path(sheet).read_bytes()
    called = name or ("sheet.csv" if isinstance(sheet, bytes) else Path(sheet).name)
    fields = {field: str(value) for field, value in options.items() if value is not None}
    return {"data": fields, "files": {"file": (called, content)}}


def _parsed(model: type[T], value: Any) -> T:
    try:
        return parse(model, value)
    except MissingFieldError as error:
        raise UnexpectedAnswerError(f"The answer is not as this version knows it: {error}") from error


def _parsed_list(model: type[T], values: Any) -> list[T]:
    try:
        return parse_list(model, values or ())
    except MissingFieldError as error:
        raise UnexpectedAnswerError(f"The answer is not as this version knows it: {error}") from error
