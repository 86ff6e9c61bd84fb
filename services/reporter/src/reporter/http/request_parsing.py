"""From a Flask request to checked values: JSON bodies, query strings and ids, each refused with one reason.

The reasons are the same in every service: JSON_INVALID for a body that is no JSON object, FIELD_INVALID for a field or
parameter that is missing, malformed, unknown or given twice, REQUEST_ID_INVALID for an id that is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from chassis.errors import ApiError, FieldViolation, Status
from chassis.limits import told_with_value
from reporter.errors import FORMER_REASONS

_MAX_VIOLATIONS = 50
"""Most bad fields that one answer names."""

_MAX_FIELD_CHARS = 100
_MAX_DESCRIPTION_CHARS = 300
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])


class PublicRequest(BaseModel):
    """Base of what clients send in a body or a query string: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PeerRequest(BaseModel):
    """Base of what our own services send each other: a later release may say more than this one knows."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _NamedTwiceError(Exception):
    """A JSON object has a key twice; the message is the key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; Python would silently keep the last of two values."""
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for name, _value in pairs:
            if name in seen:
                raise _NamedTwiceError(repr(shown(name)))
            seen.add(name)
    return made


def parse_json(model: type[M], *, may_be_empty: bool = False) -> M:
    """Return the request's JSON body as a model.

    Args:
        model: what the body must be.
        may_be_empty: no body at all stands for `{}`.

    Raises:
        ApiError: 415 for another content type, 400 JSON_INVALID or FIELD_INVALID.
    """
    body = request.get_data()
    if not body and may_be_empty:
        return validate(model, {})
    if request.mimetype != "application/json":
        raise ApiError(
            Status.INVALID_ARGUMENT,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be application/json.",
            metadata={"content_type": request.mimetype[:100]},
            http_code=415,
        )
    return validate(model, json_object(body))


def json_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object in UTF-8.

    Raises:
        ApiError: 400 JSON_INVALID, also for an object that has a key twice.
    """
    try:
        decoded = json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except _NamedTwiceError as error:
        message = f"The body has an object with the key {error} twice."
        raise _refused("JSON_INVALID", message) from error
    except (ValueError, RecursionError) as error:
        raise _refused("JSON_INVALID", "The body is not valid JSON in UTF-8.") from error
    if not isinstance(decoded, dict):
        raise _refused("JSON_INVALID", "The body is not a JSON object.")
    return decoded


def parse_query(model: type[M]) -> M:
    """Return the query string as a model; the view must be marked by `takes_query`.

    Raises:
        ApiError: 400 FIELD_INVALID, also for a parameter that is given twice.
    """
    return validate(model, query_values())


def query_values() -> dict[str, str]:
    """Return the parameters of the query string.

    Raises:
        ApiError: 400 FIELD_INVALID for one that is given twice.
    """
    for name, values in request.args.lists():
        if len(values) > 1:
            raise _field_invalid([FieldViolation(shown(name), "is given more than once")])
    return request.args.to_dict()


def takes_query(view: F) -> F:
    """Mark a view that deals with its query string itself; on any other a parameter is refused as unknown."""
    view.takes_query = True  # type: ignore[attr-defined]
    return view


def validate(model: type[M], values: Mapping[str, Any]) -> M:
    """Return the values as a model.

    Raises:
        ApiError: 400 FIELD_INVALID naming every bad field, of many the first.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _field_invalid(
            [
                FieldViolation(
                    shown(".".join(str(part) for part in fault["loc"])) or "body",
                    told_with_value(fault).removeprefix("Value error, ")[:_MAX_DESCRIPTION_CHARS],
                )
                for fault in error.errors(include_url=False)[:_MAX_VIOLATIONS]
            ]
        ) from error


def parse_id(value: str, *, name: str = "request_id") -> UUID:
    """Return an id in its one spelling: hyphens, no braces; `name` is what the error calls it.

    Raises:
        ApiError: 400 REQUEST_ID_INVALID.
    """
    if not _UUID.fullmatch(value):
        raise _refused("REQUEST_ID_INVALID", f"The {name} is not a UUID.", [FieldViolation(name, "is not a UUID")])
    return UUID(value)


def shown(name: str) -> str:
    """Return a name that a client chose as an error may repeat it: short, without NUL and lone surrogates."""
    return name[:_MAX_FIELD_CHARS].encode("utf-8", "replace").decode().replace("\x00", "")


def _field_invalid(violations: Sequence[FieldViolation]) -> ApiError:
    return _refused("FIELD_INVALID", f"Field {violations[0].field!r}: {violations[0].description}.", violations)


def _refused(reason: str, message: str, violations: Sequence[FieldViolation] = ()) -> ApiError:
    metadata = {"former_reason": FORMER_REASONS[reason]}
    return ApiError(Status.INVALID_ARGUMENT, reason, message, metadata=metadata, violations=violations)
