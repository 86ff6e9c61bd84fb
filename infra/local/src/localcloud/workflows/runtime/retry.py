"""Decides whether a failed try is run again, and after how long.

Does not know about: running the try; waiting is the interpreter's.

Source: https://cloud.google.com/workflows/docs/reference/syntax/retrying
"""

from __future__ import annotations

import math

from localcloud.workflows.errors import WorkflowError, type_error, value_error
from localcloud.workflows.functions.signatures import Backoff
from localcloud.workflows.runtime.evaluation import evaluate
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.steps import BackoffTemplate, LibraryPredicate, Retry, RoutinePredicate
from localcloud.workflows.source.templates import Template
from localcloud.workflows.values import is_number, message_type_name


class RetryBudget:
    """The retries left to one run of a try step. Its fields are evaluated when the first error asks for them."""

    __slots__ = ("_backoff", "_delay_s", "_left", "_most", "_retry", "_scope")

    def __init__(self, retry: Retry, scope: Scope) -> None:
        self._retry = retry
        self._scope = scope
        self._left: int | None = None
        self._most: int | None = None
        self._backoff = Backoff(0, 0, 1)
        self._delay_s = 0.0

    @property
    def expected(self) -> int | None:
        """Return how many retries there may be; None before the first error asked."""
        return self._most

    async def next_delay_s(self, error: WorkflowError) -> float | None:
        """Return the seconds to wait before the next attempt, or None when `error` is not retried."""
        if self._left is None:
            self._left = self._most = await _max_retries(self._retry.max_retries, self._scope)
            self._backoff = await _backoff(self._retry.backoff, self._scope)
            self._delay_s = self._backoff.initial_delay
        if self._left == 0 or not await self._is_retried(error):
            return None
        self._left -= 1
        delay_s = min(self._delay_s, self._backoff.max_delay)
        self._delay_s = delay_s * self._backoff.multiplier
        return delay_s

    async def _is_retried(self, error: WorkflowError) -> bool:
        match self._retry.predicate:
            case LibraryPredicate(function=function):
                return function.body(error.value) is True
            case RoutinePredicate(name=name):
                try:
                    verdict = await self._scope.call_routine(name, [error.value])
                except WorkflowError as failure:
                    if not failure.catchable:
                        raise
                    # A predicate that fails, e.g. on `e.code` of an error without one, does not retry (assumed).
                    return False
                return verdict is True


async def _max_retries(template: Template, scope: Scope) -> int:
    value = await evaluate(template, scope)
    if type(value) is not int:
        raise type_error(f"max_retries must be an integer; got: {message_type_name(value)}")
    if value < 0:
        raise value_error("max_retries must not be negative")
    return value


async def _backoff(backoff: Backoff | BackoffTemplate, scope: Scope) -> Backoff:
    match backoff:
        case Backoff():
            return backoff
        case BackoffTemplate():
            return Backoff(
                await _number("initial_delay", backoff.initial_delay, scope),
                await _number("max_delay", backoff.max_delay, scope),
                await _number("multiplier", backoff.multiplier, scope),
            )


async def _number(name: str, template: Template, scope: Scope) -> float:
    value = await evaluate(template, scope)
    if not is_number(value):
        raise type_error(f"{name} must be a number; got: {message_type_name(value)}")
    if not (math.isfinite(value) and value >= 0):
        raise value_error(f"{name} must not be negative")
    return float(value)
