"""What a dry run of an upload answers: what is in a sheet, and what it would make."""

from __future__ import annotations

from pydantic import Field

from ingest.http.public_schemas import Answer, DialectAnswer, EstimateAnswer, FindingsAnswer, MayBeLarger, SheetWarning
from ingest.options import ImageOptions


class HostAnswer(Answer):
    """How many images of a sheet come from one host."""

    host: str
    images: int


class PreviewLink(Answer):
    """One link of a row, as it was split and repaired."""

    slot: int
    url: str
    column: str | None = Field(description="Title of the column that it stands in")
    code: str | None = Field(description="Why it cannot be used; null when it can")


class PreviewRow(Answer):
    """One row as it was understood."""

    row: int = Field(description="Number of the row in the sheet, as a spreadsheet counts")
    serial_number: str
    product_name: str
    cells: list[str] = Field(description="As they came; long ones are cut")
    links: list[PreviewLink] = Field(description="None when the row, or the sheet, cannot be worked on")
    problems: list[SheetWarning]
    warnings: list[SheetWarning]


class PreviewAnswer(Answer):
    """The first rows of a sheet: 20 at most."""

    titles: list[str] = Field(description="Empty when no table was found")
    rows: list[PreviewRow]


class ValidationAnswer(Answer):
    """What an upload of this sheet would make; nothing was stored.

    Counts are of what `on_invalid=skip` would work on. They are null when the sheet cannot be worked on at all.
    """

    valid: bool = Field(description="Whether there are no problems; with problems an upload needs `on_invalid=skip`")
    total_rows: int | None
    invalid_rows: int | None
    total_images: int | None
    invalid_images: int | None = Field(description="Slots whose link cannot be used; each would fail from the start")
    unique_images: int | None
    unique_urls: int | None
    hosts: list[HostAnswer]
    host_count: int | None
    estimate: EstimateAnswer | None
    dialect: DialectAnswer | None
    columns: dict[str, list[str]] = Field(description="Titles by role or option, as the field `columns` takes them")
    findings: FindingsAnswer | None
    may_be_larger: MayBeLarger | None = Field(description="Null when no link says so")
    options: ImageOptions
    problems: list[SheetWarning]
    problem_count: int
    problems_listed: int
    warnings: list[SheetWarning]
    warning_count: int
    preview: PreviewAnswer
