"""Limits as a table: what `/limits` shows, and the one form in which a refusal names limit, value and use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from chassis.errors import ApiError, Status
from chassis.limited import Limited


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
    beyond: str = ""
    internal: bool = False

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


def limits_of_settings(settings: BaseModel, uses: Mapping[str, int] | None = None) -> list[Limit]:
    """Return the limits among the settings, in the order of the fields.

    Args:
        settings: their values.
        uses: what the caller uses of its quotas at present, by the names of their fields.
    """
    uses = uses or {}
    return [
        Limit(
            name,
            getattr(settings, name),
            declared.unit,
            field.description or "",
            field.alias or "",
            uses.get(name),
            declared.beyond,
        )
        for name, field in type(settings).model_fields.items()
        for declared in field.metadata
        if isinstance(declared, Limited)
    ]


def limits_of_modules(modules: Iterable[ModuleType]) -> list[Limit]:
    """Return the limits that modules declare as constants, internal ones included."""
    return [
        Limit(
            declared.name or constant.lower(),
            getattr(module, constant),
            declared.unit,
            declared.meaning,
            beyond=declared.beyond,
            internal=declared.internal,
        )
        for module in modules
        for constant, hint in get_type_hints(module, include_extras=True).items()
        for declared in getattr(hint, "__metadata__", ())
        if isinstance(declared, Limited)
    ]


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
