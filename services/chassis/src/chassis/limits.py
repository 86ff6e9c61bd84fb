"""Limits as a table: what `/limits` shows, and the one form in which a refusal names limit, value and use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from chassis.errors import ApiError, Status


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit with its value here.

    `setting` is the environment variable that sets it, empty when the code does; `use` is what the caller uses of a
    quota at present, None for limits that hold for each request by itself.
    """

    name: str
    value: float
    unit: str
    meaning: str
    setting: str = ""
    use: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the row of `/limits`."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "meaning": self.meaning,
            "setting": self.setting or None,
            "use": self.use,
        }


def over_limit_facts(name: str, *, limit: float, value: float, use: int | None = None) -> dict[str, str]:
    """Return the metadata of an error about a limit: its name and value, what was asked, and what is used already."""
    facts = {"limit_name": name, "limit": str(limit), "value": str(value)}
    return facts if use is None else facts | {"use": str(use)}


def quota_exceeded(reason: str, message: str, facts: dict[str, str], *, retry_after_s: int) -> ApiError:
    """Return a 429: the caller uses as much as it may; later there is room again."""
    return ApiError(Status.RESOURCE_EXHAUSTED, reason, message, metadata=facts, retry_after_s=retry_after_s)


def told_with_value(fault: ErrorDetails) -> str:
    """Return what pydantic says of a bad field; of a limit, which it names, also the value that is over it."""
    match fault["type"], fault["input"]:
        case "string_too_long" | "too_long", str() | list() | tuple() as given:
            return f"{fault['msg']}; it has {len(given)}"
        case "less_than_equal" | "greater_than_equal" | "less_than" | "greater_than", given:
            return f"{fault['msg']}; it is {str(given)[:50]}"
    return fault["msg"]
