"""What follows an attempt: delivered, given up, or tried again after a while. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (schedule, 2xx only,
410 ends it, Retry-After); the clamp of Retry-After to one or two times our own delay keeps a hostile receiver from
parking a delivery for a year.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

JITTER = 0.2
"""A delay is drawn evenly from 80 to 120 % of the schedule's."""

GONE = 410
_RETRY_AFTER_SECONDS = re.compile(r"^\d{1,9}$")


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver answered: status, its Retry-After header, and the beginning of its body as text."""

    status_code: int
    retry_after: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """There was no usable answer; `code` says why (an egress fault, or WORKER_LOST).

    `final` is True when the same call can never work.
    """

    code: str
    final: bool = False


Outcome = Answered | Unanswered


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took the event."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """No further attempt; `reason` is GONE, EXHAUSTED or the code of a failure that is final."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The next attempt is due at `at`."""

    at: datetime


Verdict = Delivered | GivenUp | TryAgain


def judge(outcome: Outcome, *, attempt: int, schedule_s: Sequence[int], jitter: float, now: datetime) -> Verdict:
    """Return what follows attempt number `attempt`.

    Args:
        outcome: how the attempt ended.
        attempt: its number, >= 1.
        schedule_s: seconds before attempts 2, 3, ...
        jitter: a random number from 0 to 1.
        now: when the attempt ended, aware.
    """
    match outcome:
        case Answered(status_code) if 200 <= status_code < 300:
            return Delivered()
        case Answered(status_code) if status_code == GONE:
            return GivenUp("GONE")
        case Unanswered(code, final=True):
            return GivenUp(code)
        case Answered(retry_after=wish):
            pass
        case Unanswered():
            wish = None
    if attempt > len(schedule_s):
        return GivenUp("EXHAUSTED")
    delay_s = schedule_s[attempt - 1] * (1 - JITTER + 2 * JITTER * jitter)
    wished_s = retry_after_s(wish, now=now)
    if wished_s is not None:
        delay_s = min(max(wished_s, delay_s), 2 * delay_s)
    return TryAgain(now + timedelta(seconds=delay_s))


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Return a Retry-After header in seconds from `now`; None when it is absent, malformed or in the past.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after (seconds or an HTTP date).
    """
    text = (value or "").strip()
    if _RETRY_AFTER_SECONDS.match(text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return seconds if seconds > 0 else None
