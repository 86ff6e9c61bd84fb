"""What follows an attempt: delivered, given up, or tried again after a while. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (schedule, 2xx only,
410 ends it, Retry-After). A Retry-After is granted up to twice our own delay, so that no receiver can put a delivery
off for a year.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from reporter.clients.receivers import MAX_RETRY_AFTER_CHARS, Answered, Outcome, Unanswered
from reporter.state.deliveries import EndReason

JITTER = 0.2
"""A delay is drawn evenly from 80 to 120 % of the schedule's."""

GONE = 410
_SECONDS = re.compile(r"[0-9]{1,9}")
# The three forms of an HTTP date have a year, a time and nothing but these characters.
_DATE = re.compile(r"[A-Za-z]{3,9},? [A-Za-z0-9 -]{6,12} [0-9]{2}:[0-9]{2}:[0-9]{2} ?[A-Za-z0-9+-]{0,6}")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took the event."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """No further attempt follows."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The next attempt is due after `delay_s`."""

    delay_s: float


Verdict = Delivered | GivenUp | TryAgain


def judge(outcome: Outcome, *, attempt: int, schedule_s: Sequence[int], jitter: float, now: datetime) -> Verdict:
    """Return what follows attempt number `attempt`.

    Args:
        outcome: how the attempt ended.
        attempt: its number, >= 1.
        schedule_s: seconds before attempts 2, 3, ...
        jitter: a random number from 0 to 1.
        now: when the attempt ended, aware; a date in Retry-After is compared with it.
    """
    wish: str | None = None
    match outcome:
        case Answered(status_code) if 200 <= status_code < 300:
            return Delivered()
        case Answered(status_code) if status_code == GONE:
            return GivenUp(EndReason.GONE)
        case Unanswered(final=True):
            return GivenUp(EndReason.URL_INVALID)
        case Answered(retry_after=wish):
            pass
    if attempt > len(schedule_s):
        return GivenUp(EndReason.EXHAUSTED)
    delay_s = schedule_s[attempt - 1] * (1 - JITTER + 2 * JITTER * jitter)
    wished_s = retry_after_s(wish, now=now)
    if wished_s is not None:
        delay_s = min(max(wished_s, delay_s), 2 * delay_s)
    return TryAgain(delay_s)


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Return a Retry-After header in seconds from `now`; None when it is absent, malformed or in the past.

    Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after (seconds or an HTTP date).
    """
    text = (value or "")[:MAX_RETRY_AFTER_CHARS].strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _DATE.fullmatch(text):
        return None
    try:
        at = parsedate_to_datetime(text)
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return seconds if seconds > 0 else None
