"""Download links: a signed token that opens the files of one report until it expires, and the files' names.

The token holds request id and generation; its age is read from its own signed timestamp.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from itsdangerous import BadData, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from chassis.clock import Clock
from reporter.errors import link_expired, link_invalid
from reporter.settings import ReporterSettings
from reporter.state.reports import Report

OUTPUT_CSV = "output.csv"
OUTPUT_XLSX = "output.xlsx"
FAILED_CSV = "failed.csv"
RESULTS_JSONL = "results.jsonl"
REPORT_HTML = "report.html"

CONTENT_TYPES: Mapping[str, str] = {
    OUTPUT_CSV: "text/csv; charset=utf-8",
    OUTPUT_XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    FAILED_CSV: "text/csv; charset=utf-8",
    RESULTS_JSONL: "application/x-ndjson",
    REPORT_HTML: "text/html; charset=utf-8",
}
"""The files of a report and their media types; output.xlsx is only there for a sheet that came as a workbook."""

CSV_FILES = frozenset({OUTPUT_CSV, FAILED_CSV})

_SALT = "reporter.download"
_MAX_STEM_CHARS = 100
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]+')


@dataclass(frozen=True, slots=True)
class Link:
    """A URL and the time at which it stops working."""

    url: str
    expires_at: datetime


class _ClockedSigner(TimestampSigner):
    """A signer whose time comes from the service's clock."""

    def __init__(self, *args: Any, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.now().timestamp())


def make_link(settings: ReporterSettings, clock: Clock, report: Report, file_name: str) -> Link:
    """Return a link to a file of a report, which works for DOWNLOAD_TTL_S."""
    token = _serializer(settings, clock).dumps([str(report.request_id), report.generation])
    query = urlencode({"token": token, "generation": report.generation})
    return Link(
        f"{settings.reporter_url}/reports/{report.request_id}/{file_name}?{query}",
        clock.now() + timedelta(seconds=settings.download_ttl_s),
    )


def check_link(settings: ReporterSettings, clock: Clock, token: str, request_id: UUID, generation: int | None) -> int:
    """Return the generation of the report that the token opens.

    Raises:
        ApiError: 403 DOWNLOAD_LINK_EXPIRED, or DOWNLOAD_LINK_INVALID for a changed or foreign token.
    """
    try:
        opened = _serializer(settings, clock).loads(token, max_age=settings.download_ttl_s)
    except SignatureExpired as error:
        raise link_expired() from error
    except BadData as error:
        raise link_invalid() from error
    match opened:
        case [str(named), int(signed)] if named == str(request_id) and generation in (None, signed):
            return signed
        case _:
            raise link_invalid()


def _serializer(settings: ReporterSettings, clock: Clock) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(
        settings.download_signing_secret.get_secret_value(),
        salt=_SALT,
        signer=_ClockedSigner,
        signer_kwargs={"clock": clock},
    )


def saved_name(source_name: str, file_name: str) -> str:
    """Return what a file is saved as, e.g. `spring-output.csv` for `spring.csv` and `output.csv`."""
    base = re.split(r"[/\\]", source_name)[-1]
    stem = _UNSAFE_IN_NAMES.sub("_", base.rpartition(".")[0] or base).strip(" .")[:_MAX_STEM_CHARS]
    return f"{stem}-{file_name}" if stem else file_name


def content_disposition(name: str, *, shown: bool = False) -> str:
    """Return the header that saves a file under `name`, in any script; `shown` lets a browser show it instead.

    Source: https://www.rfc-editor.org/rfc/rfc6266 with the `filename*` form of RFC 5987.
    """
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"\\%' else "_" for char in name)
    kind = "inline" if shown else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
