"""Begins to record spans in a process, and to send them to Cloud Trace from a thread of its own.

The Telemetry API takes OTLP, which Google recommends over its own format and its exporter:
https://cloud.google.com/stackdriver/docs/reference/telemetry/v1.traces. Over HTTP: no process here forks beside gRPC.
What cannot be sent in time is dropped and logged; no request waits for any of it.
"""

from __future__ import annotations

import atexit

from chassis.settings import Settings
from chassis.tracing import record_by


def record_spans(service: str, settings: Settings) -> None:
    """Record the settings' share of all works in this process until it ends; nothing when it is 0.

    To be called in the process that serves, never before a fork: it starts a thread.
    """
    if settings.trace_sample_ratio == 0:
        return
    from chassis.google.span_recorder import SpanRecorder
    from chassis.google.telemetry_api import TelemetryApi

    recorder = SpanRecorder(
        TelemetryApi(settings.trace_endpoint),
        service=service,
        project=settings.project,
        revision=settings.revision,
        ratio=settings.trace_sample_ratio,
    )
    record_by(recorder)
    atexit.register(recorder.stop)
