"""Sends due tasks at the pace of their queue and decides from the answer what becomes of them.

Every queue has a lane: its token bucket, its alarm for the next due task or token, its requests in flight. A lane
moves when something changed (task created, attempt finished, queue resumed, alarm) and otherwise costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

import aiohttp

from localcloud.core.clock import Clock
from localcloud.core.faults import ConnectionLostError, Fault, FaultPlan, OrderedFaultError
from localcloud.core.http_status import (
    DEADLINE_EXCEEDED,
    THROTTLING_CODES,
    UNAVAILABLE,
    UNKNOWN,
    is_success,
    retry_after_s,
    rpc_code_from_http,
    rpc_name,
    status_message,
)
from localcloud.tasks.engine.alarm import Alarm
from localcloud.tasks.engine.backoff import is_exhausted, retry_delay_s, throttled_delay_s
from localcloud.tasks.engine.overrides import overridden
from localcloud.tasks.engine.rate import TokenBucket
from localcloud.tasks.engine.target_request import RequestFactory
from localcloud.tasks.model import TASK_RETENTION_S, Attempt, Queue, QueueState, Task
from localcloud.tasks.store import TaskStore

log = logging.getLogger("localcloud.tasks")

DISPATCH = "tasks.dispatch"
"""Id of the request that the emulator sends to a task's target: what faults are ordered for."""

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@dataclass(frozen=True, slots=True)
class Answered:
    """The target answered."""

    http_code: int
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer: the connection failed, or the dispatch deadline passed."""

    rpc_code: int
    reason: str


class _Lane:
    """What a queue needs to dispatch; `in_flight` maps a running attempt to its deadline."""

    __slots__ = ("alarm", "bucket", "in_flight")

    def __init__(self, bucket: TokenBucket, alarm: Alarm) -> None:
        self.bucket = bucket
        self.alarm = alarm
        self.in_flight: dict[asyncio.Task[None], float] = {}


class Dispatcher:
    """Dispatches the tasks of a store over one shared HTTP session.

    Args:
        store: where the tasks are.
        clock: all waiting: schedules, backoff, tokens, dispatch deadlines.
        session: the HTTP client; its connections are kept alive.
        requests: makes URL and headers.
        faults: what is ordered for the route `tasks.dispatch` happens to the requests sent here.
    """

    def __init__(
        self,
        *,
        store: TaskStore,
        clock: Clock,
        session: aiohttp.ClientSession,
        requests: RequestFactory,
        faults: FaultPlan,
    ) -> None:
        self._faults = faults
        self._store = store
        self._clock = clock
        self._session = session
        self._requests = requests
        self._lanes: dict[str, _Lane] = {}
        self._expired: set[asyncio.Task[None]] = set()
        self._deadlines = Alarm(clock, self._cancel_expired)

    def queue_changed(self, queue: Queue) -> None:
        """Take over a new or updated queue and dispatch what it now allows."""
        limits = queue.rate_limits
        now = self._clock.now()
        lane = self._lanes.get(queue.name)
        if lane is None:
            bucket = TokenBucket(rate=limits.max_dispatches_per_second, burst=limits.max_burst_size, now=now)
            self._lanes[queue.name] = _Lane(bucket, Alarm(self._clock, lambda: self.move(queue.name)))
        else:
            lane.bucket.reconfigure(rate=limits.max_dispatches_per_second, burst=limits.max_burst_size, now=now)
        self.move(queue.name)

    def queue_deleted(self, queue_name: str) -> None:
        """Stop dispatching for a queue that is gone; requests in flight run to their end and change nothing."""
        lane = self._lanes.pop(queue_name, None)
        if lane is not None:
            lane.alarm.disarm()

    def move(self, queue_name: str) -> None:
        """Dispatch every task of the queue that is due and allowed, then set the alarm for the next."""
        lane = self._lanes.get(queue_name)
        if lane is None:
            return
        queue = self._store.queue(queue_name)
        while queue.state is QueueState.RUNNING and len(lane.in_flight) < queue.rate_limits.max_concurrent_dispatches:
            due_time = self._store.next_due_time(queue_name)
            if due_time is None:
                return
            now = self._clock.now()
            if due_time > now:
                lane.alarm.arm(due_time)
                return
            if self._drop_if_too_old(queue_name, now):
                continue
            if not lane.bucket.take(now):
                lane.alarm.arm(lane.bucket.next_token_time(now))
                return
            self._start(lane, self._store.take_due(queue_name))

    def _drop_if_too_old(self, queue_name: str, now: float) -> bool:
        """Delete the next task of a queue if nobody may dispatch it any more; say whether that was so."""
        task = self._store.next_due(queue_name)
        if task is None or now - task.create_time <= TASK_RETENTION_S:
            return False
        log.error("task %s dropped: it is older than the retention of 31 days", task.task_id)
        self._store.delete_task(task.name)
        return True

    def run_now(self, task: Task) -> None:
        """Dispatch a task at once, ignoring schedule, rate, concurrency, pause and an attempt that is under way."""
        self._store.take(task)
        self._start(self._lanes[task.queue_name], task, is_run=True)

    def in_flight(self, queue_name: str) -> int:
        """Return how many requests of the queue are on their way."""
        lane = self._lanes.get(queue_name)
        return 0 if lane is None else len(lane.in_flight)

    @property
    def under_way(self) -> int:
        """How many requests of all queues are on their way."""
        return sum(len(lane.in_flight) for lane in self._lanes.values())

    async def stop(self) -> None:
        """Cancel everything on its way and dispatch no more."""
        self._deadlines.disarm()
        running = [attempt for lane in self._lanes.values() for attempt in lane.in_flight]
        for lane in self._lanes.values():
            lane.alarm.disarm()
        self._lanes.clear()
        for attempt in running:
            attempt.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _start(self, lane: _Lane, task: Task, *, is_run: bool = False) -> None:
        now = self._clock.now()
        deadline = now + task.dispatch_deadline_s
        self._store.replace_task(_under_way(task, now))
        attempt = asyncio.get_running_loop().create_task(self._attempt(task, is_run=is_run))
        lane.in_flight[attempt] = deadline
        attempt.add_done_callback(lambda done: self._finished(lane, task.queue_name, done))
        self._deadlines.arm(deadline)

    def _finished(self, lane: _Lane, queue_name: str, attempt: asyncio.Task[None]) -> None:
        del lane.in_flight[attempt]
        self._expired.discard(attempt)
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            log.error("an attempt of %s broke the dispatcher", queue_name, exc_info=error)
        self.move(queue_name)

    def _cancel_expired(self) -> None:
        now = self._clock.now()
        pending: list[float] = []
        for lane in self._lanes.values():
            for attempt, deadline in lane.in_flight.items():
                if deadline > now:
                    pending.append(deadline)
                elif attempt not in self._expired:
                    self._expired.add(attempt)
                    attempt.cancel()
        if pending:
            self._deadlines.arm(min(pending))

    async def _attempt(self, task: Task, *, is_run: bool) -> None:
        dispatch_time = self._clock.now()
        try:
            outcome = await self._sent_with_faults(task)
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if this not in self._expired:
                raise
            this.uncancel()
            outcome = Unanswered(DEADLINE_EXCEEDED, "the dispatch deadline passed")
        self._settle(task, dispatch_time, outcome, is_run=is_run)

    async def _sent_with_faults(self, task: Task) -> Answered | Unanswered:
        try:
            await self._faults.before(DISPATCH, task.queue_name)
            outcome = await self._send(task)
            if isinstance(outcome, Answered):
                self._faults.after(DISPATCH, task.queue_name)
        except OrderedFaultError as fault:
            return Answered(fault.http_code, None)
        except ConnectionLostError as fault:
            return Unanswered(UNAVAILABLE, str(fault))
        return outcome

    async def _send(self, task: Task) -> Answered | Unanswered:
        target = overridden(task.target, self._store.target_of(task.queue_name))
        try:
            headers = self._requests.headers(task, target)
        except Exception as error:  # noqa: BLE001 - whatever the injected minter raises fails this attempt only
            return Unanswered(UNKNOWN, f"no token could be minted: {error}")
        try:
            async with self._session.request(
                target.method.name,
                self._requests.url(target),
                data=target.body or None,
                headers=headers,
                timeout=_NO_TIMEOUT,
                skip_auto_headers=("Content-Type", "Accept-Encoding"),
            ) as response:
                # Read to the end, or the connection could not be used again; what the handler says is not kept.
                async for _ in response.content.iter_any():
                    pass
                return Answered(response.status, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unanswered(UNAVAILABLE, f"{type(error).__name__}: {error}")

    def _settle(self, task: Task, dispatch_time: float, outcome: Answered | Unanswered, *, is_run: bool) -> None:
        now = self._clock.now()
        if isinstance(outcome, Answered) and is_success(outcome.http_code):
            is_current = self._store.is_current(task)
            if is_current and self._faults.fires(Fault.DELIVER_TWICE, DISPATCH, task.queue_name) is not None:
                self._store.put_back(replace(self._store.task(task.name), schedule_time=now))
            elif is_current:
                self._store.delete_task(task.name)
            return
        if not self._store.is_current(task):
            return
        failed = _with_failure(self._store.task(task.name), task.schedule_time, dispatch_time, now, outcome)
        config = task.retry_config or self._store.queue(task.queue_name).retry_config
        first = failed.first_dispatch_time if failed.first_dispatch_time is not None else dispatch_time
        reason = failed.last_attempt.message if failed.last_attempt is not None else ""
        delay_s = retry_delay_s(failed.dispatch_count, config)
        if isinstance(outcome, Answered) and outcome.http_code in THROTTLING_CODES:
            delay_s = throttled_delay_s(delay_s, retry_after_s(outcome.retry_after, now))
            self._lanes[task.queue_name].bucket.slow_down(now)
        too_old = now + delay_s - task.create_time > TASK_RETENTION_S
        if too_old or is_exhausted(failed.dispatch_count, elapsed_s=now - first, config=config):
            log.error("task %s given up after %d attempts: %s", task.task_id, failed.dispatch_count, reason)
            self._store.delete_task(task.name)
            return
        log.warning("task %s attempt %d: %s; again in %.1f s", task.task_id, failed.dispatch_count, reason, delay_s)
        # The documentation of RunTask: the time it was called plus the retry delay.
        retry_from = dispatch_time if is_run else now
        self._store.put_back(replace(failed, schedule_time=retry_from + delay_s))


def _under_way(task: Task, now: float) -> Task:
    """Return the task with one more attempt, which has no answer yet: the count of dispatches includes it."""
    return replace(
        task,
        dispatch_count=task.dispatch_count + 1,
        first_dispatch_time=task.first_dispatch_time if task.first_dispatch_time is not None else now,
        last_attempt=Attempt(schedule_time=task.schedule_time, dispatch_time=now),
    )


def _with_failure(
    task: Task, schedule_time: float, dispatch_time: float, now: float, outcome: Answered | Unanswered
) -> Task:
    """Return the task with the failure of its attempt in its record."""
    match outcome:
        case Answered(http_code):
            attempt = Attempt(
                schedule_time=schedule_time,
                dispatch_time=dispatch_time,
                response_time=now,
                rpc_code=rpc_code_from_http(http_code),
                message=status_message(http_code),
                http_code=http_code,
            )
        case Unanswered(rpc_code, reason):
            attempt = Attempt(
                schedule_time=schedule_time,
                dispatch_time=dispatch_time,
                response_time=now,
                rpc_code=rpc_code,
                message=f"{rpc_name(rpc_code)}({rpc_code}): {reason}",
                http_code=None,
            )
    answered = attempt.http_code is not None
    return replace(
        task,
        response_count=task.response_count + answered,
        execution_count=task.execution_count + (attempt.http_code is not None and attempt.http_code < 500),
        last_attempt=attempt,
    )
