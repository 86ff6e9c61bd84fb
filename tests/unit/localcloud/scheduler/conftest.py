"""Lets the tests of this folder be coroutines."""

from __future__ import annotations

from async_tests import pytest_pyfunc_call  # noqa: F401
