"""One thread looks after all deadlines: what is not ended in time is called back, what is ended never is."""

from __future__ import annotations

import threading

from chassis.clock import SystemClock
from chassis.deadlines import Deadlines

_LONG_S = 30.0


def test_what_is_not_ended_is_called_back_in_its_time() -> None:
    clock, passed = SystemClock(), threading.Event()
    begun = clock.monotonic()
    Deadlines(clock, name="t").begin(0.2, passed.set)

    assert passed.wait(_LONG_S)
    assert clock.monotonic() - begun >= 0.2


def test_a_shorter_deadline_does_not_wait_for_a_longer_one() -> None:
    deadlines, passed = Deadlines(SystemClock(), name="t"), threading.Event()
    deadlines.begin(_LONG_S, lambda: None)
    deadlines.begin(0.05, passed.set)

    assert passed.wait(_LONG_S / 2)


def test_what_is_ended_is_not_called_back() -> None:
    deadlines, called, later = Deadlines(SystemClock(), name="t"), threading.Event(), threading.Event()
    deadlines.end(deadlines.begin(0.1, called.set))
    deadlines.begin(0.3, later.set)

    assert later.wait(_LONG_S)
    assert not called.is_set()


def test_a_deadline_may_be_put_off() -> None:
    """As a body is, which earns more time with every piece."""
    looks: list[int] = []
    over = threading.Event()

    def look() -> float | None:
        looks.append(1)
        if len(looks) < 3:
            return 0.05
        over.set()
        return None

    Deadlines(SystemClock(), name="t").begin(0.05, look)

    assert over.wait(_LONG_S)


def test_a_thousand_deadlines_take_one_thread() -> None:
    deadlines = Deadlines(SystemClock(), name="counted-deadlines")
    numbers = [deadlines.begin(_LONG_S, lambda: None) for _ in range(1000)]
    threads = [thread for thread in threading.enumerate() if thread.name == "counted-deadlines"]
    for number in numbers:
        deadlines.end(number)

    assert len(threads) == 1
