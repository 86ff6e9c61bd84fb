"""Logs as Cloud Logging wants them: one JSON object per line on stdout, an event name and key-values.

Source: https://cloud.google.com/logging/docs/structured-logging (severity, message, time, trace fields).
An event is a `noun.past_participle`; facts are keys. Bodies, tokens, secrets and query strings are never logged:
user URLs appear as host and hash (`safe_url`).
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SEVERITIES = {"critical": "CRITICAL", "error": "ERROR", "warning": "WARNING", "info": "INFO", "debug": "DEBUG"}


def _to_cloud_logging(project: str, service: str, revision: str) -> Processor:
    def convert(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["severity"] = _SEVERITIES.get(str(event.pop("level", "info")), "DEFAULT")
        event["message"] = event.pop("event")
        event["time"] = event.pop("timestamp")
        event["service"] = service
        if revision:
            event["revision"] = revision
        trace = event.pop("trace", None)
        if trace:
            event["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace}"
        span_id = event.pop("span_id", None)
        if span_id:
            event["logging.googleapis.com/spanId"] = span_id
            event["logging.googleapis.com/trace_sampled"] = True
        if "exception" in event and event["severity"] in {"ERROR", "CRITICAL"}:
            event["serviceContext"] = {"service": service, "version": revision or "local"}
        return event

    return convert


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def _renderers(*, service: str, project: str, revision: str) -> list[Processor]:
    """Return what makes a line of an event: JSON normally, a readable form when stdout is a terminal."""
    if sys.stdout.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [_to_cloud_logging(project, service, revision), structlog.processors.JSONRenderer()]


def log_formatter(*, service: str, project: str, revision: str) -> logging.Formatter:
    """Return the formatter of the libraries' records, whose lines are like ours."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(service=service, project=project, revision=revision),
        ],
    )


class _Stdout:
    """Writes each of our lines to stdout whole, whatever stdout is by then."""

    _lock = threading.Lock()

    def msg(self, line: str) -> None:
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    debug = info = warning = error = critical = msg


def configure_logs(*, service: str, project: str, revision: str, level: str) -> None:
    """Send our events and the libraries' records to stdout in one form; ours take no way through `logging`."""
    structlog.configure(
        processors=[*_SHARED, *_renderers(service=service, project=project, revision=revision)],
        logger_factory=lambda *_name: _Stdout(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(log_formatter(service=service, project=project, revision=revision))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # One line per outgoing connection or retry is noise; their failures reach us as exceptions.
    for noisy in ("urllib3", "google", "PIL", "alembic", "werkzeug"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def bind_ids(values: Mapping[str, object]) -> None:
    """Name the batch and the image that the present work is about in every line from now on, where they are known.

    Args:
        values: `request_id` and `image_id` among others, e.g. a request's fields; what is no UUID is left out, because
            anybody may send anything.
    """
    known = {name: str(values.get(name) or "") for name in ("request_id", "image_id")}
    structlog.contextvars.bind_contextvars(**{name: value for name, value in known.items() if _UUID.fullmatch(value)})


def safe_url(url: str) -> dict[str, Any]:
    """Return what may be logged of a user's URL: `{"host": "cdn.example", "url_hash": "1f3a..."}`."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return {"host": host, "url_hash": hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:16]}
