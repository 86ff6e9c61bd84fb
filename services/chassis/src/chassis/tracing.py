"""Traces: the context that `traceparent` carries between services, and the spans that are recorded of some work.

Work that outlives a request has an id, and its trace has the same one: whoever knows the work knows its trace, with
nothing stored and nothing handed through. Whether it is recorded follows from its id as well, so all services agree.
A caller's `traceparent` counts only where it names the work that the request is about: it decides nothing for anybody
who made one up. Elsewhere it is kept for the logs, as callers and Cloud Run know the request by it.

Without a recorder (`chassis.google.span_export`) nothing here does more than look for one.

Sources: https://www.w3.org/TR/trace-context/ (traceparent; tracestate is neither read nor sent) and
https://cloud.google.com/trace/docs/trace-context (X-Cloud-Trace-Context, which Cloud Run still adds).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol
from uuid import UUID

import structlog

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_CLOUD_TRACE = re.compile(r"(?!0{32})([0-9a-fA-F]{32})(?:/[0-9]+)?(?:;.*)?")
_SAMPLED = 1
_RANDOM_BITS = 56
"""Of a UUID the last 56 bits are random, whatever its version; samplers of OpenTelemetry use the same ones."""

Fact = str | bool | int | float
"""The value of an attribute of a span."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace id of 32 hex digits, a span id of 16, and whether spans below it are recorded."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def headers(self) -> dict[str, str]:
        """Return the header that carries the trace on."""
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"}


class Headers(Protocol):
    """Headers of a request, which are found in any case of letters."""

    def get(self, key: str, default: str, /) -> str:
        """Return the value of a header, or `default`."""
        ...


class OpenSpan(Protocol):
    """A span that has begun."""

    def set(self, facts: Mapping[str, Fact]) -> None:
        """Add attributes."""
        ...

    def end(self, *, failed: str | None = None, ended: datetime | None = None) -> None:
        """End it now or at a given time; `failed` says as what."""
        ...


class Recorder(Protocol):
    """Whatever takes spans: it must be quick and never raise."""

    ratio: float
    """Part of all works that are recorded, 0 to 1."""

    def begin(
        self,
        name: str,
        context: TraceContext,
        *,
        parent_id: str | None,
        began: datetime | None,
        link: TraceContext | None,
        facts: Mapping[str, Fact],
    ) -> OpenSpan:
        """Begin a span with the ids of `context`, now or at a given time; `link` is a span of another trace."""
        ...


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Who called, as far as they said, and when."""

    caller: TraceContext | None
    at: datetime | None


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)
_arrival: ContextVar[_Arrival | None] = ContextVar("trace_arrival", default=None)
_recorder: Recorder | None = None


def record_by(recorder: Recorder | None) -> None:
    """Give spans to a recorder from now on; None records nothing."""
    global _recorder  # noqa: PLW0603 - spans are made everywhere; a process has one recorder, made at its start
    _recorder = recorder


def begin_trace(headers: Headers, *, at: datetime | None = None) -> TraceContext:
    """Continue the caller's trace, or begin one, and make it the current one of this context; nothing is recorded.

    Args:
        headers: of the request.
        at: when it came; a span of the whole request begins then.
    """
    caller = None
    trace_id = ""
    if match := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        trace_id = match[1]
        caller = TraceContext(match[1], match[2], bool(int(match[3], 16) & _SAMPLED))
    elif match := _CLOUD_TRACE.fullmatch(headers.get("X-Cloud-Trace-Context", "")):
        trace_id = match[1].lower()
    context = TraceContext(trace_id or secrets.token_hex(16), secrets.token_hex(8))
    _current.set(context)
    _arrival.set(_Arrival(caller, at))
    return context


def trace_headers() -> dict[str, str]:
    """Return the headers for an outgoing call: empty outside of a request."""
    context = _current.get()
    return context.headers() if context else {}


def is_sampled(work: UUID) -> bool:
    """Return whether a work is recorded, which follows from its id; never where there is no recorder."""
    return _recorder is not None and is_drawn(work, _recorder.ratio)


def is_drawn(random_id: UUID, share: float) -> bool:
    """Return whether an id belongs to a share (0 to 1) of all ids: always the same for the same id."""
    return random_id.int & ((1 << _RANDOM_BITS) - 1) < share * (1 << _RANDOM_BITS)


def span_id_of(work: UUID, name: str) -> str:
    """Return the id of a span that a work has once: others name it as their parent before it is recorded."""
    return hashlib.blake2b(work.bytes + name.encode(), digest_size=8).hexdigest()


def work_context(work: UUID, *, under: str, sampled: bool) -> TraceContext:
    """Return the context of what is done for a work: below the present span if it is the work's, else `under`."""
    current = _current.get()
    if current is not None and current.sampled and current.trace_id == work.hex:
        return TraceContext(work.hex, current.span_id, sampled)
    return TraceContext(work.hex, span_id_of(work, under), sampled)


@contextmanager
def carrying(work: UUID, *, under: str, sampled: bool) -> Iterator[None]:
    """Let calls and tasks within belong to a work, below its span `under`, without a span of their own."""
    before = _current.set(work_context(work, under=under, sampled=sampled))
    try:
        yield
    finally:
        _current.reset(before)


class Span:
    """Something that takes time, for `with`; an exception that passes through it is its failure.

    This class is the span that is not recorded: it does nothing.
    """

    __slots__ = ()

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    def set(self, **facts: Fact) -> None:
        """Add attributes: never URLs, names or contents of users."""

    def leave_out(self) -> None:
        """Do not record it after all."""


_UNRECORDED = Span()


class _RecordedSpan(Span):
    """A span that goes to the recorder, and the parent of what is begun within it."""

    __slots__ = ("_before", "_context", "_open")

    def __init__(self, open_span: OpenSpan, context: TraceContext) -> None:
        self._open: OpenSpan | None = open_span
        self._context = context
        self._before: Token[TraceContext | None] | None = None

    def __enter__(self) -> Span:
        self._before = _current.set(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._before is not None:
            _current.reset(self._before)
        if self._open is not None:
            self._open.end(failed=None if error is None else _reason(error))

    def set(self, **facts: Fact) -> None:
        if self._open is not None:
            self._open.set(facts)

    def leave_out(self) -> None:
        self._open = None


def span(name: str, **facts: Fact) -> Span:
    """Return a span below the present one, which is recorded if that one is."""
    current = _current.get()
    if _recorder is None or current is None or not current.sampled:
        return _UNRECORDED
    context = TraceContext(current.trace_id, secrets.token_hex(8), sampled=True)
    return _begin(_recorder, name, context, parent_id=current.span_id, facts=facts)


def first_span(name: str, work: UUID, **facts: Fact) -> Span:
    """Return the first span of a work, which a request of anybody begins: the caller is linked and decides nothing."""
    if _recorder is None or not is_sampled(work):
        return _UNRECORDED
    arrival = _arrival.get()
    context = TraceContext(work.hex, span_id_of(work, name), sampled=True)
    _bind(context)
    return _begin(
        _recorder,
        name,
        context,
        parent_id=None,
        facts=facts,
        began=arrival.at if arrival else None,
        link=arrival.caller if arrival else None,
    )


def work_span(name: str, work: UUID, *, under: str | None, began: datetime | None = None, **facts: Fact) -> Span:
    """Return the span of a request of our own parts for a work; the caller must have been checked.

    Args:
        name: what is done.
        work: for what.
        under: the work's span that is the parent where the caller names none of this work; None: then nothing is
            recorded, because there is one of its kind for each of very many parts of the work.
        began: earlier than the request, where it waited for us.
        facts: attributes.
    """
    if _recorder is None:
        return _UNRECORDED
    arrival = _arrival.get()
    caller = arrival.caller if arrival else None
    if caller is not None and caller.trace_id == work.hex:
        parent_id, sampled = caller.span_id, caller.sampled
    elif under is not None:
        parent_id, sampled = span_id_of(work, under), is_sampled(work)
    else:
        return _UNRECORDED
    if not sampled:
        return _UNRECORDED
    context = TraceContext(work.hex, secrets.token_hex(8), sampled=True)
    _bind(context)
    began = began or (arrival.at if arrival else None)
    return _begin(_recorder, name, context, parent_id=parent_id, facts=facts, began=began)


def record_past_span(name: str, work: UUID, *, under: str, began: datetime, ended: datetime, **facts: Fact) -> None:
    """Record a span that a work has once, after its end: it has lasted longer than any request."""
    if _recorder is None or not is_sampled(work):
        return
    context = TraceContext(work.hex, span_id_of(work, name), sampled=True)
    parent_id = span_id_of(work, under)
    _recorder.begin(name, context, parent_id=parent_id, began=began, link=None, facts=facts).end(ended=ended)


def _begin(
    recorder: Recorder,
    name: str,
    context: TraceContext,
    *,
    parent_id: str | None,
    facts: Mapping[str, Fact],
    began: datetime | None = None,
    link: TraceContext | None = None,
) -> Span:
    opened = recorder.begin(name, context, parent_id=parent_id, began=began, link=link, facts=facts)
    return _RecordedSpan(opened, context)


def _bind(context: TraceContext) -> None:
    """Let the lines of this request be found by the trace that shows its span."""
    structlog.contextvars.bind_contextvars(trace=context.trace_id, span_id=context.span_id)


def _reason(error: BaseException) -> str:
    """Return a word for an error: messages may hold what users sent."""
    return str(getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__)
