"""What the routes that look into a batch are asked and answer: its images, its problems, its hosts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from chassis.http.fields import PublicRequest, Text
from chassis.http.page_tokens import PageToken
from chassis.limited import Limited
from ingest.http.public_schemas import MAX_PAGE_SIZE, Answer, HostProgress, ImageAnswer

MAX_SEARCH_CHARS: Annotated[
    int, Limited("characters", "400 `FIELD_INVALID`", "Longest q of a search", name="max_search_characters")
] = 200
_MAX_CODE_CHARS = 100
_MAX_HOST_CHARS = 255

ImageState = Literal["PENDING", "DISPATCHED", "SUCCEEDED", "FAILED", "CANCELLED"]


def _none_if_empty(value: object) -> object:
    # A form of a page sends its empty fields.
    return None if value == "" else value


class ImagesQuery(PublicRequest):
    """Which images of a batch."""

    status: Annotated[ImageState | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="Only images with this status"
    )
    code: Annotated[Text | None, BeforeValidator(_none_if_empty)] = Field(
        None, max_length=_MAX_CODE_CHARS, description="Only images with this outcome, e.g. HTTP_404"
    )
    host: Annotated[Text | None, BeforeValidator(_none_if_empty)] = Field(
        None, max_length=_MAX_HOST_CHARS, description="Only images from this host"
    )
    q: Annotated[Text | None, BeforeValidator(_none_if_empty)] = Field(
        None,
        max_length=MAX_SEARCH_CHARS,
        description="Only images with this text in their link, or in the name or serial of their product",
    )
    page_size: int = Field(100, ge=1, le=MAX_PAGE_SIZE, description="Most images of the page")
    page_token: PageToken = ""


class ListedImage(ImageAnswer):
    """An image with the row that it stands in."""

    row: int = Field(description="Number of the row in the sheet, as a spreadsheet counts")
    serial_number: str
    product_name: str
    host: str = Field(description="Where the image comes from; empty for a link that cannot be used")


class ImagesAnswer(Answer):
    """A page of the images of a batch, in the order of the sheet."""

    images: list[ListedImage] = Field(description="May be empty although there is a next page")
    next_page_token: str


class ProblemCount(Answer):
    """How many images of a batch have no output for the same reason at the same host."""

    status: Literal["FAILED", "CANCELLED"]
    code: str
    host: str = Field(description="Empty for links that cannot be used")
    images: int
    example: str | None = Field(description="What is said of one of them")
    can_be_retried: bool = Field(description="False for links that cannot be used: no retry makes them better")


class ProblemsAnswer(Answer):
    """What went wrong in a batch."""

    request_id: str
    problems: list[ProblemCount] = Field(description="Those with most images first")
    counted_images: int = Field(description="Images without an output that were counted")
    complete: bool = Field(description="Whether all problems and images are told: GET /limits has the limits")
    invalid_rows: int = Field(description="Rows that were skipped when the sheet was read")


class HostsQuery(PublicRequest):
    """How many hosts of a batch."""

    page_size: int = Field(
        MAX_PAGE_SIZE, ge=1, le=MAX_PAGE_SIZE, description="Most hosts of the answer, those in trouble first"
    )


class HostsAnswer(Answer):
    """The hosts of a batch, those in trouble first."""

    request_id: str
    hosts: list[HostProgress]
    host_count: int = Field(description="All hosts of the batch, listed or not")


class KeyAnswer(Answer):
    """An API key, without its secret."""

    name: str
    scopes: list[Literal["read", "write", "admin"]]
    expires_at: str | None
    current: bool = Field(description="Whether it is the key of this request")


class WhoAmIAnswer(Answer):
    """Whom the deployment takes the caller for."""

    owner: str | None = Field(description="Whose batches the caller makes and sees; null without API keys")
    sees_all: bool = Field(description="Whether it sees the batches of every owner")
    scopes: list[Literal["read", "write", "admin"]]
    keys_required: bool = Field(description="Whether this deployment has API keys")
    keys: list[KeyAnswer] = Field(description="The keys of this owner")
    reporter_url: str = Field(description="Where reports, webhooks and deliveries are")
    version: str = Field(description="Version of the service")
