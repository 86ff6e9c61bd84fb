"""Coroutine tests."""

from async_tests import pytest_pyfunc_call  # noqa: F401
