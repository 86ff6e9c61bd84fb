"""The Telemetry API's `POST /v1/traces`, which takes spans, and `traces.get` of the Cloud Trace API, which tells them.

Source: https://cloud.google.com/trace/docs/reference/v1/rest/v1/projects.traces/get
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Final

from aiohttp import web

from localcloud.core.google_errors import not_found
from localcloud.core.rest import json_response
from localcloud.traces.otlp import CONTENT_TYPE, spans_in
from localcloud.traces.store import Span, TraceStore

_TAKE: Final = "/v1/traces"
_GET: Final = re.compile(r"/v1/projects/([^/]+)/traces/([0-9a-f]{32})")


class TracesRest:
    """Answers for the spans of one server."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    @staticmethod
    def have(method: str, path: str) -> bool:
        """Return whether a request is for this API."""
        return (method == "POST" and path == _TAKE) or (method == "GET" and _GET.fullmatch(path) is not None)

    async def answer(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Answer a request that `have` has accepted.

        Raises:
            GoogleError: INVALID_ARGUMENT, NOT_FOUND.
        """
        found = _GET.fullmatch(request.path)
        if found is None:
            self._store.add(spans_in(body))
            # An empty ExportTraceServiceResponse: all spans were taken.
            return web.Response(body=b"", content_type=CONTENT_TYPE)
        trace = self._store.trace(found[2])
        if trace is None:
            raise not_found(f"No span of trace {found[2]} is kept")
        spans = [_span_json(span) for span in trace.spans.values()]
        return json_response({"projectId": found[1], "traceId": trace.trace_id, "spans": spans})


def _span_json(span: Span) -> dict[str, Any]:
    shown: dict[str, Any] = {
        # Numbers of 64 bits, as text.
        "spanId": str(int(span.span_id, 16)),
        "name": span.name,
        "startTime": _time(span.start_s),
        "endTime": _time(span.end_s),
        "labels": {"service.name": span.service, **span.attributes},
    }
    return shown | {"parentSpanId": str(int(span.parent_id, 16))} if span.parent_id else shown


def _time(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
