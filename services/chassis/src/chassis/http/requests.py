"""From a Flask request to checked values: JSON bodies, query strings and ids, each refused with one reason.

The reasons are the same in every service: JSON_INVALID for a body that is no JSON object, FIELD_INVALID for a field or
parameter that is missing, malformed, unknown or given twice, REQUEST_ID_INVALID for an id that is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar
from uuid import UUID

from flask import request
from pydantic import BaseModel, ValidationError

from chassis.errors import (
    ApiError,
    FieldViolation,
    RequestReason,
    SharedReason,
    Status,
    field_invalid,
    invalid_argument,
)
from chassis.limited import Limited
from chassis.limits import told_with_value
from chassis.logs import bind_ids

MAX_JSON_BYTES: Annotated[
    int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Largest JSON body of most routes; never above `max_body_bytes`")
] = 256 * 1024

MAX_VIOLATIONS: Annotated[int, Limited("fields", "the first ones", "Bad fields that an error lists")] = 50
"""Most bad fields that one answer names."""

_MAX_FIELD_CHARS = 100
_MAX_DESCRIPTION_CHARS = 300
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])


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


def parse_json(model: type[M], *, max_bytes: int | None = None, may_be_empty: bool = False) -> M:
    """Return the request's JSON body as a model.

    Args:
        model: what the body must be.
        max_bytes: the most that is read; without it MAX_JSON_BYTES, or the service's own limit if that is less.
        may_be_empty: no body at all stands for `{}`.

    Raises:
        ApiError: 415 for another content type, 413 for too many bytes, 400 JSON_INVALID or FIELD_INVALID.
    """
    request.max_content_length = max_bytes or min(MAX_JSON_BYTES, request.max_content_length or MAX_JSON_BYTES)
    body = request.get_data()
    if not body and may_be_empty:
        return validate(model, {})
    if request.mimetype != "application/json":
        raise ApiError(
            Status.INVALID_ARGUMENT,
            SharedReason.UNSUPPORTED_MEDIA_TYPE,
            "The body must be application/json.",
            metadata={"content_type": request.mimetype[:100]},
            http_code=415,
        )
    fields = json_object(body)
    bind_ids(fields)
    return validate(model, fields)


def json_object(body: bytes) -> dict[str, Any]:
    """Return a JSON object in UTF-8.

    Raises:
        ApiError: 400 JSON_INVALID, also for an object that has a key twice.
    """
    try:
        decoded = json.loads(body.decode("utf-8"), object_pairs_hook=_object)
    except _NamedTwiceError as error:
        message = f"The body has an object with the key {error} twice."
        raise invalid_argument(RequestReason.JSON_INVALID, message) from error
    except (ValueError, RecursionError) as error:
        raise invalid_argument(RequestReason.JSON_INVALID, "The body is not valid JSON in UTF-8.") from error
    if not isinstance(decoded, dict):
        raise invalid_argument(RequestReason.JSON_INVALID, "The body is not a JSON object.")
    return decoded


def parse_query(model: type[M]) -> M:
    """Return the query string as a model; the view must be marked by `takes_query`.

    Raises:
        ApiError: 400 FIELD_INVALID, also for a parameter that is given twice.
    """
    values = query_values()
    bind_ids(values)
    return validate(model, values)


def query_values() -> dict[str, str]:
    """Return the parameters of the query string.

    Raises:
        ApiError: 400 FIELD_INVALID for one that is given twice.
    """
    for name, values in request.args.lists():
        if len(values) > 1:
            raise field_invalid([FieldViolation(shown(name), "is given more than once")])
    return request.args.to_dict()


def takes_query(view: F) -> F:
    """Mark a view that deals with its query string itself; on any other a parameter is refused as unknown."""
    view.takes_query = True  # type: ignore[attr-defined]
    return view


def refuse_unread_query(view: Callable[..., Any] | None) -> None:
    """Refuse the present request if it has parameters that its view would not look at.

    Raises:
        ApiError: 400 FIELD_INVALID naming each of them.
    """
    if view is None or getattr(view, "takes_query", False) or not request.query_string:
        return
    names = list(request.args)[:MAX_VIOLATIONS]
    if names:
        raise field_invalid([FieldViolation(shown(name), "is no parameter of this route") for name in names])


def validate(model: type[M], values: Mapping[str, Any]) -> M:
    """Return the values as a model.

    Raises:
        ApiError: 400 FIELD_INVALID naming every bad field, of many the first.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise field_invalid(
            [
                FieldViolation(
                    shown(".".join(str(part) for part in fault["loc"])) or "body",
                    told_with_value(fault).removeprefix("Value error, ")[:_MAX_DESCRIPTION_CHARS],
                )
                for fault in error.errors(include_url=False)[:MAX_VIOLATIONS]
            ]
        ) from error


def parse_id(value: str, *, name: str = "request_id") -> UUID:
    """Return an id in its one spelling: hyphens, no braces; `name` is what the error calls it.

    Raises:
        ApiError: 400 REQUEST_ID_INVALID.
    """
    if not _UUID.fullmatch(value):
        raise ApiError(
            Status.INVALID_ARGUMENT,
            RequestReason.REQUEST_ID_INVALID,
            f"The {name} is not a UUID.",
            violations=[FieldViolation(name, "is not a UUID")],
        )
    return UUID(value)


def shown(name: str) -> str:
    """Return a name that a client chose as an error may repeat it: short, without NUL and lone surrogates."""
    return name[:_MAX_FIELD_CHARS].encode("utf-8", "replace").decode().replace("\x00", "")
