"""Typed access to configuration read from YAML, with errors that name file and key.

Every reader collects nothing and stops at the first fault: `infra/queues.yaml: queues[1].rate_limits: ...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class ConfigError(Exception):
    """A configuration file is wrong; the message names file, key and fault."""


class Fields:
    """One mapping of a configuration file; every key must be read before `finish`."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {_kind(value)}")
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(f"{where}: the key {key!r} must be text; quote it")
        self._values: dict[str, Any] = value
        self._read: set[str] = set()
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str, fault: str) -> ConfigError:
        """Return the error that says `fault` about `key`."""
        return ConfigError(f"{self.where}.{key}: {fault}")

    def raw(self, key: str, default: Any = None) -> Any:
        """Return a value of any kind."""
        self._read.add(key)
        return self._values.get(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """Return text; required without a default."""
        value = self.raw(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, str):
            raise self.error(key, f"expected text, found {_kind(value)} {value!r}")
        return value

    def integer(self, key: str, default: int | None = None, *, least: int = 0, most: int = 2**31 - 1) -> int:
        """Return a whole number within the bounds; required without a default."""
        value = self.raw(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"expected a whole number from {least} to {most}, found {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number >= 0; required without a default."""
        value = self.raw(key, default)
        if value is None:
            raise self.error(key, "is missing")
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise self.error(key, f"expected a number, 0 or more, found {value!r}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"expected true or false, found {value!r}")
        return value

    def section(self, key: str) -> Fields:
        """Return a mapping inside this one; a missing one is empty."""
        value = self.raw(key)
        return Fields({} if value is None else value, f"{self.where}.{key}")

    def text_list(self, key: str) -> list[str]:
        """Return a list of text; a missing one is empty."""
        value = self.raw(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"expected a list of text, found {value!r}")
        return list(value)

    def text_mapping(self, key: str) -> dict[str, str]:
        """Return a mapping of text to text; numbers and booleans must be quoted, a missing mapping is empty."""
        inner = self.section(key)
        return {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118 - not a dict

    def sections(self, key: str) -> Iterator[Fields]:
        """Yield the mappings of a list; a missing list is empty."""
        value = self.raw(key) or []
        if not isinstance(value, list):
            raise self.error(key, f"expected a list, found {_kind(value)}")
        for index, item in enumerate(value):
            yield Fields(item, f"{self.where}.{key}[{index}]")

    def keys(self) -> list[str]:
        """Return the keys in file order."""
        return list(self._values)

    def finish(self) -> None:
        """Refuse keys that nobody read.

        Raises:
            ConfigError: names the unknown keys and the known ones.
        """
        unknown = [key for key in self._values if key not in self._read]
        if unknown:
            known = ", ".join(sorted(self._read))
            raise ConfigError(f"{self.where}: unknown {', '.join(map(repr, unknown))}; known are {known}")


def read_yaml(path: Path) -> Fields:
    """Read a YAML file whose top is a mapping.

    Raises:
        ConfigError: the file is missing or no such YAML.
    """
    try:
        return Fields(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from error


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "a boolean"
        case str():
            return "text"
        case _:
            return "a number"
