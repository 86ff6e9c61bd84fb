"""Lets a folder's tests be coroutines: its conftest imports the hook below.

One fresh event loop per test, closed at its end, so that a task left behind is a failure and not a surprise later.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

import pytest

DEADLINE_S = 20.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test to its end."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), DEADLINE_S))
    return True


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Return once `condition()` holds; fail after `within_s` seconds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition can be polled, few have an event
            await asyncio.sleep(0.001)
