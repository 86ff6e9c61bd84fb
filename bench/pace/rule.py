"""The rule by which outcomes change a host's pace, as the database has it (`pace_after` in ingest's schema).

A test compares the two on random outcomes. In words:

- A host starts at 5 images a second. While a short sample of answers is good the rate doubles.
- A refusal (429, 503 with Retry-After), trouble in more than 7 % of the answers, or answers that take 25 % longer than
  the floor, by more than chance and with more than two of them in a queue: the rate that failed is remembered as the
  ceiling, and the rate halves the first time and falls by a tenth later. Starts pause until the queue is gone, or as
  long as the host asks.
- Only images that started after a change are judged by it.
- Below a ceiling the rate goes half of the way back after a quiet time, then creeps above it by 3 % a sample.
- Trouble again before anything good came: the host is shut. One image tries it after 1, 1.5, 2.25 ... seconds. A host
  that refuses is left alone for a minute at most, a dead one for 10 s. After more than 30 s of refusals the pace starts
  anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

FIRST_RATE = 5.0


class Kind(StrEnum):
    """What an answer says of its host: an answer, a refusal of more, trouble that may pass, or no answer at all."""

    GOOD = "good"
    REFUSED = "refused"
    TROUBLE = "trouble"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Host:
    """What is learned of a host; moments in seconds.

    Args:
        rate: starts a second.
        next_at: when the next image may start.
        judged_from: images that started before are not judged.
        sampled: answers in the present sample.
        sample_log_s: mean of the logarithms of their seconds to the first byte.
        sample_square: sum of the squares by which they are off that mean.
        floor_log_s: the same of a host that is not busy.
        ceiling: the rate that failed last.
        trouble: share of the last fifty answers that were trouble.
        calm_until: no faster before.
        closed_until: no start before.
        failures: times in a row that the rate was cut without anything good between.
        opened_at: since when it is shut: nothing good came since the rate was cut, and one image has to try it first.
        refuses: shut, and it answers: by 429 and the like.
    """

    rate: float = FIRST_RATE
    next_at: float = 0.0
    judged_from: float = 0.0
    sampled: int = 0
    sample_log_s: float = 0.0
    sample_square: float = 0.0
    floor_log_s: float | None = None
    ceiling: float | None = None
    trouble: float = 0.0
    calm_until: float = 0.0
    closed_until: float = 0.0
    failures: int = 0
    opened_at: float | None = None
    refuses: bool = False

    @property
    def is_shut(self) -> bool:
        """Return whether one image must try the host before others may."""
        return self.opened_at is not None


def after(host: Host, now: float, start: float, kind: Kind, latency_s: float, retry_after_s: float | None) -> Host:
    """Return a host after an answer.

    Args:
        host: before it.
        now: seconds.
        start: when the image was to start.
        kind: of the answer.
        latency_s: to its first byte.
        retry_after_s: what the host asked for.
    """
    if kind is not Kind.GOOD:
        return _after_trouble(host, now, start, kind, retry_after_s)
    host = replace(host, trouble=host.trouble * 0.98)
    if start < host.judged_from:
        return host
    if host.is_shut:
        return _reopened(host, now)
    sampled = host.sampled + 1
    off = math.log(max(latency_s, 0.02)) - host.sample_log_s
    mean = host.sample_log_s + off / sampled
    square = host.sample_square + off * (off - off / sampled)
    host = replace(host, failures=0, sampled=sampled, sample_log_s=mean, sample_square=square)
    if sampled < sample_size(host):
        return host
    ramping, floor = host.ceiling is None, mean if host.floor_log_s is None else host.floor_log_s
    longer_s = math.exp(mean) - math.exp(floor)
    chance = 3 * math.sqrt(square) / sampled  # three standard errors of the mean
    is_slow = mean > floor + math.log(1.25) + chance and host.rate * longer_s > 2
    # Slowly upwards: a queue must not become the floor. While nothing is wrong yet faster: the first sample may have
    # been a lucky one.
    weight = 0.25 if mean < floor or (ramping and not is_slow) else 0.02
    host = replace(host, floor_log_s=floor + (mean - floor) * weight)
    if is_slow:
        return _slower(host, now, pause=3 * longer_s + 1, refused=False)
    if host.ceiling is None:
        return _changed(replace(host, next_at=min(host.next_at, now + 0.2)), now, host.rate * 2)
    if now < host.calm_until:
        return _changed(host, now, host.rate)
    ceiling = host.rate * 1.03 if host.rate > 0.95 * host.ceiling else host.ceiling
    return _changed(replace(host, ceiling=ceiling), now, min(host.rate * 2, (host.rate + ceiling) / 2))


def sample_size(host: Host) -> float:
    """Return how many answers make a sample."""
    if host.ceiling is None:
        return max(4.0, host.rate * 0.25)
    return max(4.0, host.rate * (0.75 if host.rate < 0.8 * host.ceiling else 1.5))


def _after_trouble(host: Host, now: float, start: float, kind: Kind, retry_after_s: float | None) -> Host:
    host = replace(host, trouble=host.trouble * 0.98 + (0.071 if kind is Kind.REFUSED else 0.02))
    if host.trouble < 0.07 or start < host.judged_from:
        return host
    floor_s = 0.5 if host.floor_log_s is None else math.exp(host.floor_log_s)
    early = now - host.judged_from < 2 * floor_s + 0.5
    if host.failures == 1 and host.sampled == 0 and kind is Kind.TROUBLE and early:
        return host  # fast failures come before slow successes
    failures = max(host.failures + 1, 2 if kind is Kind.DEAD else 0)
    host = replace(host, failures=failures)
    if failures < 2:
        pause = 1.0 if retry_after_s is None else retry_after_s
        return _slower(replace(host, closed_until=now + pause), now, pause=pause, refused=True)
    if host.opened_at is None:
        rate = max(host.rate * 0.5, min(host.rate, FIRST_RATE / 2))
        host = replace(host, rate=rate, opened_at=now)
        if kind is not Kind.DEAD:
            host = replace(host, refuses=True, ceiling=rate)
    longest = 60.0 if host.refuses else 10.0
    closed = now + max(retry_after_s or 0.0, min(longest, 1.5 ** min(failures - 2, 30)))
    host = replace(host, closed_until=closed, next_at=closed, judged_from=closed)
    return replace(host, sampled=0, sample_log_s=0.0, sample_square=0.0)


def _reopened(host: Host, now: float) -> Host:
    calm, rate, ceiling = host.calm_until, host.rate, host.ceiling
    if host.refuses and host.opened_at is not None:
        calm = now + 10 * (now - host.opened_at)
        if now - host.opened_at > 30:
            rate = min(rate, FIRST_RATE)
            ceiling = rate
    host = replace(
        host, failures=0, opened_at=None, refuses=False, closed_until=now, next_at=now, calm_until=calm, ceiling=ceiling
    )
    return _changed(host, now, rate)


def _slower(host: Host, now: float, *, pause: float, refused: bool) -> Host:
    ramping = host.ceiling is None
    calm = now + pause + (10.0 if refused and not ramping else 3.0)
    rate = host.rate * (0.5 if ramping else 0.9)
    host = replace(host, calm_until=calm, ceiling=host.rate, next_at=max(host.next_at, now + pause))
    return _changed(host, now, rate)


def _changed(host: Host, now: float, rate: float) -> Host:
    next_at = max(host.next_at, now)
    return replace(
        host,
        rate=max(0.2, min(500.0, rate)),
        next_at=next_at,
        judged_from=next_at,
        sampled=0,
        sample_log_s=0.0,
        sample_square=0.0,
        trouble=0.0,
    )
