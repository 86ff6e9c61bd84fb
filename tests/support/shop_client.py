"""A client of Pressroom over HTTP, as a shop has one: the verbs of the end-to-end tests."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from localcloud.stack.blocking import Stack

T = TypeVar("T")

FINAL = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"})


def eventually(probe: Callable[[], T | None], *, within_s: float, what: str) -> T:
    """Return the first result of `probe` that is not None; fail when there is none in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = probe()
        if found is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {within_s:g} s")


@dataclass(frozen=True, slots=True)
class Shop:
    """A caller of the public routes, and of the internal ones with the accounts of the local platform.

    `key` is an API key, where the stack has some.
    """

    stack: Stack
    key: str = ""

    def call(self, service: str, method: str, path: str, **arguments: Any) -> requests.Response:
        """Call a public route."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return requests.request(method, self.stack.url(service) + path, headers=headers, timeout=60, **arguments)

    def upload(self, sheet: bytes, **form: str) -> str:
        """Upload a sheet and return the request id."""
        files = {"file": ("sheet.csv", sheet, "text/csv")}
        answer = self.call("ingest", "POST", "/upload", files=files, data=form)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["request_id"])

    def status(self, request_id: str, **query: Any) -> dict[str, Any]:
        """Return the body of GET /status."""
        answer = self.call("ingest", "GET", "/status", params={"request_id": request_id, **query})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def finished(self, request_id: str, *, within_s: float = 120) -> dict[str, Any]:
        """Wait for a final status and return it."""

        def probe() -> dict[str, Any] | None:
            status = self.status(request_id, page_size=1)
            return status if status["status"] in FINAL else None

        return eventually(probe, within_s=within_s, what=f"batch {request_id} finishes")

    def until_succeeded(self, request_id: str, count: int, *, within_s: float = 60) -> None:
        """Wait until at least so many images succeeded."""

        def probe() -> bool | None:
            return True if self.status(request_id, page_size=1)["counts"]["succeeded"] >= count else None

        eventually(probe, within_s=within_s, what=f"{count} images succeed")

    def sheet(self, request_id: str, name: str = "output.csv") -> bytes:
        """Download a report of a finished batch through its expiring link."""
        answer = self.call("reporter", "GET", "/download_csv", params={"request_id": request_id})
        assert answer.status_code == 200, answer.text
        download = requests.get(answer.json()["download_url"].replace("output.csv", name), timeout=30)
        assert download.status_code == 200, download.text
        return download.content

    def rows(self, request_id: str, *, delimiter: str = ",") -> list[list[str]]:
        """Return the downloaded sheet as rows; it has the delimiter of the sheet that was uploaded."""
        text = self.sheet(request_id).decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))

    def token(self, account: str, audience: str) -> str:
        """Return an identity token of a service account, from its metadata server."""
        host = self.stack.metadata_address(account)
        answer = requests.get(
            f"http://{host}/computeMetadata/v1/instance/service-accounts/default/identity",
            params={"audience": audience, "format": "full"},
            headers={"Metadata-Flavor": "Google"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text
        return answer.text

    def internal(self, account: str, service: str, method: str, path: str, body: Any = None) -> requests.Response:
        """Call an internal route as a service account."""
        return self.internal_at(self.stack.url(service), account, method, path, body)

    def internal_at(self, root: str, account: str, method: str, path: str, body: Any = None) -> requests.Response:
        """Call an internal route below a root URL, which is also the token's audience."""
        headers = {"Authorization": f"Bearer {self.token(account, root)}"}
        return requests.request(method, root + path, json=body, headers=headers, timeout=60)

    def sweep(self) -> None:
        """Do what Cloud Scheduler does once a minute."""
        for service in ("ingest-internal", "reporter-internal"):
            answer = self.internal("scheduler", service, "POST", "/internal/sweep")
            assert answer.status_code == 200, answer.text

    def stored_objects(self) -> set[str]:
        """Return the names of all stored renditions."""
        names: set[str] = set()
        token = ""
        while True:
            page = requests.get(
                f"{self.stack.url('storage')}/storage/v1/b/pressroom-images/o",
                params={"maxResults": "1000", "pageToken": token},
                timeout=30,
            ).json()
            names |= {item["name"] for item in page.get("items", [])}
            token = page.get("nextPageToken", "")
            if not token:
                return names


def sheet_of(urls: list[list[str]]) -> bytes:
    """Return a sheet whose rows hold these URLs."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number, cell in enumerate(urls, start=1):
        writer.writerow([number, f"Product {number}", ", ".join(cell)])
    return table.getvalue().encode()
