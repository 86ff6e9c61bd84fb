"""Recording spans: bounded, in the background, and no trouble of the exporter is a request's."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from chassis.google.span_recorder import QUEUED_SPANS, SENT_SPANS, SpanRecorder
from chassis.settings import Settings, SettingsError
from chassis.tracing import TraceContext

CONTEXT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)


class Stuck(SpanExporter):
    """An exporter that waits until it is let go, then counts."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.sent = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait, then take the spans."""
        self.free.wait()
        self.sent += len(spans)
        return SpanExportResult.SUCCESS


class Broken(SpanExporter):
    """An exporter that raises."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Fail."""
        raise ConnectionError(f"nobody takes {len(spans)} spans")


def recorder_of(exporter: SpanExporter) -> SpanRecorder:
    return SpanRecorder(exporter, service="s", project="p", revision="", ratio=1.0)


def record(recorder: SpanRecorder, count: int) -> None:
    for _ in range(count):
        recorder.begin("x", CONTEXT, parent_id=None, began=None, link=None, facts={}).end()


def test_spans_beyond_the_queue_are_dropped_and_nobody_waits() -> None:
    """While nothing can be sent, all of these end at once; later some are sent, no more than were kept."""
    exporter = Stuck()
    recorder = recorder_of(exporter)

    record(recorder, 3 * QUEUED_SPANS)
    exporter.free.set()
    recorder.stop()

    assert 0 < exporter.sent <= QUEUED_SPANS + 2 * SENT_SPANS


def test_an_exporter_that_fails_is_no_trouble_of_whoever_records() -> None:
    """Neither while spans end nor at the end of the process."""
    recorder = recorder_of(Broken())

    record(recorder, 2 * SENT_SPANS)
    recorder.stop()


def test_a_process_that_records_nothing_loads_and_starts_nothing() -> None:
    """OpenTelemetry's SDK takes time and memory, and a thread."""
    program = """
import sys, threading
from chassis.google.span_export import record_spans
from chassis.settings import Settings
record_spans("s", Settings.from_environ({"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}))
assert threading.active_count() == 1
assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_spans_leave_cloud_run_for_google_only() -> None:
    """They carry an access token of the service."""
    given = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l", "K_SERVICE": "s"}

    Settings.from_environ(given)
    for endpoint in ("https://telemetry.googleapis.com.evil.example/v1/traces", "http://127.0.0.1:1/v1/traces"):
        with pytest.raises(SettingsError, match="TRACE_ENDPOINT"):
            Settings.from_environ(given | {"TRACE_ENDPOINT": endpoint})
