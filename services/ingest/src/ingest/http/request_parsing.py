"""From a Flask request to checked values: JSON bodies, query strings, ids and headers, each refused with its reason."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar
from uuid import UUID

from flask import request
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainValidator, ValidationError

from chassis.egress.link_repairs import RepairedLink, repair_link
from chassis.errors import FieldViolation
from chassis.limited import Limited
from chassis.limits import over_limit_facts, told_with_value
from ingest.errors import ApiError, Reason, Status, invalid_argument
from ingest.sheets.links import link_fault

MAX_JSON_BYTES: Annotated[int, Limited("bytes", "413 `BODY_TOO_LARGE`", "Largest JSON body of the other routes")] = (
    256 * 1024
)
MAX_IDEMPOTENCY_KEY_CHARS: Annotated[
    int,
    Limited(
        "characters", "400 `IDEMPOTENCY_KEY_INVALID`", "Longest Idempotency-Key", name="max_idempotency_key_characters"
    ),
] = 255
_UUID = re.compile(r"^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$")
_IDEMPOTENCY_KEY = re.compile(rf"^[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY_CHARS}}}$")

M = TypeVar("M", bound=BaseModel)


def storable(value: str) -> str:
    """Return the text if PostgreSQL can hold it: no NUL, no lone surrogates.

    Raises:
        ValueError: it cannot.
    """
    if "\x00" in value:
        raise ValueError("NUL characters are not allowed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("lone surrogates are not allowed") from error
    return value


def web_link(value: object) -> RepairedLink:
    """Return the link of a field, repaired as links of a cell are; whoever calls it checks addresses.

    Raises:
        ValueError: its form is not acceptable.
    """
    if not isinstance(value, str):
        raise ValueError("must be a link, as text")
    link = repair_link(storable(value))
    fault = link_fault(link.url, value)
    if fault is not None:
        raise ValueError(fault.message)
    return link


Text = Annotated[str, AfterValidator(storable)]
"""A string that can be stored."""

WebLink = Annotated[RepairedLink, PlainValidator(web_link)]
"""An http or https URL of at most 2083 characters, and what was repaired in it."""

WebUrl = Annotated[str, PlainValidator(lambda value: web_link(value).url)]
"""Such a URL alone."""


class Request(BaseModel):
    """Base of everything that is parsed: unknown fields are refused, because ignoring them would be silent."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class _NamedTwiceError(Exception):
    """A JSON object has a key twice; the message is the key."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; Python would silently keep the last of two values."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _NamedTwiceError(repr(twice[:100].encode("utf-8", "replace").decode()))
    return made


def parse_json(model: type[M], *, max_bytes: int = MAX_JSON_BYTES) -> M:
    """Return the body as a model.

    Raises:
        ApiError: 415 for another content type, 413 for more than `max_bytes`, 400 JSON_INVALID or FIELD_INVALID.
    """
    request.max_content_length = max_bytes
    if request.mimetype != "application/json":
        raise ApiError(
            Status.INVALID_ARGUMENT,
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be application/json.",
            metadata={"content_type": request.mimetype[:100]},
            http_code=415,
        )
    try:
        decoded = json.loads(request.get_data().decode("utf-8"), object_pairs_hook=_object)
    except _NamedTwiceError as error:
        raise invalid_argument(Reason.JSON_INVALID, f"The body has an object with the key {error} twice.") from error
    except (ValueError, RecursionError) as error:
        raise invalid_argument(Reason.JSON_INVALID, "The body is not valid JSON in UTF-8.") from error
    if not isinstance(decoded, dict):
        raise invalid_argument(Reason.JSON_INVALID, "The body is not a JSON object.")
    return validate(model, decoded)


def parse_query(model: type[M]) -> M:
    """Return the query string as a model.

    Raises:
        ApiError: 400 FIELD_INVALID, also for a parameter that is unknown or given twice.
    """
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise _field_invalid([FieldViolation(repeated[0][:100], "is given more than once")])
    return validate(model, request.args.to_dict())


def validate(model: type[M], values: dict[str, Any]) -> M:
    """Return the values as a model.

    Raises:
        ApiError: 400 FIELD_INVALID naming every bad field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _field_invalid(
            [
                FieldViolation(
                    ".".join(str(part) for part in fault["loc"])[:100] or "body",
                    told_with_value(fault).removeprefix("Value error, ")[:300],
                )
                for fault in error.errors(include_url=False)[:50]
            ]
        ) from error


def _field_invalid(violations: list[FieldViolation]) -> ApiError:
    first = violations[0]
    shown = first.field.encode("utf-8", "replace").decode()
    return ApiError(
        Status.INVALID_ARGUMENT,
        Reason.FIELD_INVALID,
        f"Field {shown!r}: {first.description}.",
        violations=[
            FieldViolation(violation.field.encode("utf-8", "replace").decode(), violation.description)
            for violation in violations
        ],
    )


def parse_request_id(value: str) -> UUID:
    """Return the id of a batch.

    Raises:
        ApiError: 400 REQUEST_ID_INVALID.
    """
    if not _UUID.match(value):
        raise invalid_argument(Reason.REQUEST_ID_INVALID, "The request_id is not a UUID.")
    return UUID(value)


def parse_image_id(value: str) -> UUID:
    """Return the id of an image.

    Raises:
        ApiError: 400 REQUEST_ID_INVALID.
    """
    if not _UUID.match(value):
        raise invalid_argument(Reason.REQUEST_ID_INVALID, "The image id is not a UUID.")
    return UUID(value)


def idempotency_key() -> str | None:
    """Return the Idempotency-Key header, or None.

    Raises:
        ApiError: 400 IDEMPOTENCY_KEY_INVALID when it is empty, longer than 255 or not printable ASCII.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.match(key):
        raise invalid_argument(
            Reason.IDEMPOTENCY_KEY_INVALID,
            f"The Idempotency-Key must be 1 to {MAX_IDEMPOTENCY_KEY_CHARS} printable ASCII characters; it has"
            f" {len(key)} characters.",
            **over_limit_facts("max_idempotency_key_characters", limit=MAX_IDEMPOTENCY_KEY_CHARS, value=len(key)),
        )
    return key
