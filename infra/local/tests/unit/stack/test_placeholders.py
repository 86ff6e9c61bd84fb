"""Placeholders in configuration texts."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.stack.placeholders import fill

VALUES = {"port.web": "8080", "port.db": "5433", "project": "demo"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--port=${port.web}", "--port=8080"),
        ("${project}/${port.db}", "demo/5433"),
        ("${env.HERE}", "yes"),
        ("${env.EMPTY:-x}", ""),
        ("${env.GONE:-a:-b}", "a:-b"),
        ("$${port.web} $HOME", "${port.web} $HOME"),
    ],
    ids=["one", "two", "variable", "set-but-empty", "default", "escaped"],
)
def test_placeholders_are_replaced(text: str, expected: Any) -> None:
    """Known names, the caller's environment with defaults, and the escape."""
    assert fill(text, VALUES, environment={"HERE": "yes", "EMPTY": ""}, where="x") == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${port.wed}", r"a\.yaml: b: unknown placeholder \$\{port\.wed\}; known are port\.db, port\.web"),
        ("${env.GONE}", "the environment variable GONE is not set"),
    ],
    ids=["typo", "variable"],
)
def test_unknown_placeholder_is_an_error_that_names_the_known_ones(text: str, fault: str) -> None:
    """Nothing is left unreplaced."""
    with pytest.raises(ConfigError, match=fault):
        fill(text, VALUES, environment={}, where="a.yaml: b")
