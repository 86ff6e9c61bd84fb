"""Pressroom as HTTP answers alone: for tests of its client, which must not need the services."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

INGEST, REPORTER = "http://ingest.test", "http://reporter.test"
ID = "6b1f2d3e-0000-4000-8000-000000000001"

Reply = httpx2.Response | BaseException | Callable[[httpx2.Request], httpx2.Response]


def ok(body: Any, code: int = 200, **headers: str) -> httpx2.Response:
    """Return an answer with JSON."""
    return httpx2.Response(code, json=body, headers=headers)


def refused(code: int, reason: str, message: str = "No.", **detail: Any) -> httpx2.Response:
    """Return an error in the one form."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "ingest", "metadata": {}},
        {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "r1"},
    ]
    if detail:
        details.append({"@type": "x.SheetProblems", **detail})
    return httpx2.Response(code, json={"error": {"code": code, "status": "S", "message": message, "details": details}})


def summary(status: str = "COMPLETED", *, succeeded: int = 2, failed: int = 0, total: int = 2) -> dict[str, Any]:
    """Return a batch as the summary view tells it."""
    return {
        "request_id": ID,
        "status": status,
        "source_name": "sheet.csv",
        "counts": {
            "total": total,
            "pending": total - succeeded - failed,
            "succeeded": succeeded,
            "failed": failed,
        },
        "total_rows": 1,
        "invalid_rows": 0,
        "progress_percent": 100.0 * (succeeded + failed) / total,
        "generation": 1,
        "savings": {
            "images": succeeded,
            "bytes_in": 1000 * succeeded,
            "bytes_out": 400 * succeeded,
            "saved_bytes": 600 * succeeded,
            "saved_percent": 60.0 if succeeded else None,
        },
        "created_at": "2026-11-29T10:00:00.000000Z",
        "finished_at": None,
        "images_per_s": None,
        "eta_seconds": None,
        "what_a_newer_service_says": 1,
    }


WHO = {
    "owner": "shop",
    "sees_all": False,
    "scopes": ["read", "write"],
    "keys_required": True,
    "keys": [],
    "reporter_url": REPORTER,
    "version": "0.9.0",
}
LINKS = {
    "download_url": f"{REPORTER}/reports/{ID}/output.csv?token=t",
    "failed_url": f"{REPORTER}/reports/{ID}/failed.csv?token=t",
    "results_url": f"{REPORTER}/reports/{ID}/results.jsonl?token=t",
    "xlsx_url": None,
    "report_url": f"{REPORTER}/reports/{ID}/report.html?token=t",
    "request_id": ID,
    "generation": 1,
    "expires_at": "2026-11-29T11:00:00.000000Z",
}
SHEET_OUT = b"S. No.,Product Name,Input Image Urls,Output Image Urls\r\n"


@dataclass(slots=True)
class FakePressroom:
    """Answers by method and path, each list from the front; the last answer stays. Keeps what it was asked."""

    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.on("GET", "/whoami", ok(WHO))
        self.on("POST", "/upload", ok({"request_id": ID, "status": "PENDING"}, 202))
        self.on("GET", f"/status/{ID}", ok(summary()))
        self.on("GET", "/download_csv", ok(LINKS))
        self.on("GET", f"/reports/{ID}/output.csv", httpx2.Response(200, content=SHEET_OUT))

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Say what a path is answered with, one request after the other."""
        self.replies[f"{method} {path}"] = list(replies)

    @property
    def transport(self) -> httpx2.MockTransport:
        """Return what the client sends its requests to."""
        return httpx2.MockTransport(self._answer)

    def sleep(self, seconds: float) -> None:
        """Note a wait instead of waiting."""
        self.waits.append(seconds)

    def requests(self, method: str, path: str) -> list[httpx2.Request]:
        """Return what was asked of a path."""
        return [one for one in self.asked if (one.method, one.url.path) == (method, path)]

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        replies = self.replies.get(f"{request.method} {request.url.path}")
        if not replies:
            return refused(404, "ROUTE_NOT_FOUND")
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, BaseException):
            raise reply
        return reply(request) if callable(reply) else reply


def body_of(request: httpx2.Request) -> Any:
    """Return the JSON of a request."""
    return json.loads(request.content)
