"""The answers of the service as values: the fields that this package uses, of those that there are.

Fields that an answer has more are left out, so that a newer service can be asked. A test holds every field against the
OpenAPI documents.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

FINAL = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"})
"""The statuses of a batch that nothing but a retry changes."""

T = TypeVar("T")


class MissingFieldError(ValueError):
    """An answer lacks a field."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Images by state; pending + succeeded + failed = total."""

    total: int
    pending: int
    succeeded: int
    failed: int

    @property
    def ended(self) -> int:
        """Return how many images are done with."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class Savings:
    """What was saved on images that succeeded, bytes; the percentage is None when nothing is known."""

    images: int
    bytes_in: int
    bytes_out: int
    saved_bytes: int
    saved_percent: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a batch will probably take; `learned` from earlier batches, or assumed as `assumes` says in words."""

    bytes_in: int
    bytes_out: int
    seconds: int
    learned: bool
    assumes: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """A batch without its rows. `images_per_s` and `eta_seconds` are None where unknown, and in a list."""

    request_id: str
    status: str
    source_name: str
    counts: Counts
    total_rows: int
    invalid_rows: int
    progress_percent: float
    generation: int
    savings: Savings
    created_at: str
    finished_at: str | None
    images_per_s: float | None = None
    eta_seconds: int | None = None
    estimate: Estimate | None = None

    @property
    def is_final(self) -> bool:
        """Return whether nothing but a retry changes the batch any more."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a batch with the row that it stands in; `row` counts as a spreadsheet does."""

    id: str
    row: int
    slot: int
    serial_number: str
    product_name: str
    input_url: str
    host: str
    status: str
    code: str | None
    detail: str | None
    output_url: str | None
    bytes_in: int | None
    bytes_out: int | None
    width: int | None
    height: int | None
    format: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class ProblemCount:
    """How many images have no output for one reason at one host."""

    status: str
    code: str
    host: str
    images: int
    example: str | None
    can_be_retried: bool


@dataclass(frozen=True, slots=True)
class Host:
    """A host of a batch; `state` is CLOSED when images are fetched, else WAITING, OPEN or HALF_OPEN."""

    host: str
    state: str
    images: int
    requests: int
    failures: int
    savings: Savings
    until: str | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a sheet; `row` counts as a spreadsheet does, None is the whole sheet."""

    row: int | None
    column: str | None
    code: str
    message: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """What an upload of a sheet would make; counts are None when the sheet cannot be worked on at all."""

    valid: bool
    total_rows: int | None
    invalid_rows: int | None
    total_images: int | None
    unique_images: int | None
    host_count: int | None
    columns: dict[str, list[str]]
    estimate: Estimate | None
    problems: list[Problem]
    problem_count: int
    warnings: list[Problem]
    warning_count: int


@dataclass(frozen=True, slots=True)
class Links:
    """Links to the files of a report, which expire."""

    download_url: str
    failed_url: str
    results_url: str
    xlsx_url: str | None
    report_url: str | None
    request_id: str
    generation: int
    expires_at: str


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Whom the service takes the caller for; `owner` is None without API keys."""

    owner: str | None
    sees_all: bool
    scopes: list[str]
    keys_required: bool
    reporter_url: str
    version: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit; `use` is the caller's present use of a quota."""

    name: str
    value: int | float
    unit: str
    meaning: str
    use: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint; `event_types` None: all."""

    id: str
    url: str
    event_types: list[str] | None
    description: str
    enabled: bool
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class EndpointWithSecret(Endpoint):
    """A webhook endpoint with its secret, which is shown this once."""

    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint: PENDING, DELIVERED or FAILED."""

    id: str
    request_id: str
    type: str
    state: str
    url_host: str
    created_at: str


def parse(model: type[T], value: Any) -> T:
    """Return a value of an answer as a dataclass of this module.

    Raises:
        MissingFieldError: it is no object, or lacks a field that the class has no default for.
    """
    if not isinstance(value, dict):
        raise MissingFieldError(f"{model.__name__}: no object")
    hints = _hints(model)  # type: ignore[arg-type]
    given = {}
    for field in fields(model):  # type: ignore[arg-type]
        if field.name in value:
            given[field.name] = _converted(hints[field.name], value[field.name])
    try:
        return model(**given)
    except TypeError as error:
        raise MissingFieldError(f"{model.__name__}: {error}") from error


def parse_list(model: type[T], values: Iterable[Any]) -> list[T]:
    """Return each of some values as a dataclass of this module.

    Raises:
        MissingFieldError: as `parse`.
    """
    return [parse(model, value) for value in values]


@cache
def _hints(model: type[Any]) -> dict[str, Any]:
    return get_type_hints(model)


def _converted(hint: Any, value: Any) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        if value is None:
            return None
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is list and is_dataclass(kind := get_args(hint)[0]) and isinstance(value, list):
        return parse_list(kind, value)  # type: ignore[arg-type]
    return parse(hint, value) if isinstance(hint, type) and is_dataclass(hint) else value
