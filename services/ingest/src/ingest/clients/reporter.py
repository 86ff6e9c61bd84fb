"""What ingest asks of the reporter when no workflow does: publish a report, notify the subscribers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from chassis.peer_service import InternalService

_REPORT_TIMEOUT_S = 600.0
_NOTIFY_TIMEOUT_S = 10.0  # some rows and tasks; whoever calls has something else to do


@dataclass(frozen=True, slots=True)
class Report:
    """Where the output CSV is, and a link to it that expires."""

    report_uri: str
    download_url: str


class Reporter(Protocol):
    """The part of the reporter's interface that ingest needs; both calls may be repeated."""

    def publish(self, request_id: UUID) -> Report:
        """Write the reports of a sealed batch, or find them written."""
        ...

    def notify(self, notice: Mapping[str, Any], download_url: str | None) -> None:
        """Tell the subscribers of the batch what has become of it."""
        ...


class ReporterService:
    """The reporter over HTTP.

    Raises:
        ApiError: what the reporter answered, or 503 when it cannot be reached (both methods).
    """

    def __init__(self, service: InternalService) -> None:
        self._service = service

    def publish(self, request_id: UUID) -> Report:
        """Write the reports of a sealed batch, or find them written."""
        answer = self._service.call(
            "POST", "/internal/reports", body={"request_id": str(request_id)}, timeout_s=_REPORT_TIMEOUT_S
        )
        return Report(str(answer["reports"]["output_csv"]), str(answer["download_url"]))

    def notify(self, notice: Mapping[str, Any], download_url: str | None) -> None:
        """Tell the subscribers of the batch what has become of it."""
        self._service.call(
            "POST",
            "/internal/notifications",
            body={**notice, "download_url": download_url},
            timeout_s=_NOTIFY_TIMEOUT_S,
        )
