"""What the routes of webhook endpoints accept and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from chassis.egress.link_repairs import repair_link
from chassis.http.page_tokens import PageToken
from chassis.limited import Limited
from chassis.times import Rfc3339Time, rfc3339
from reporter.http.schemas import DeliveryBody
from reporter.settings import MAX_SECRET_OVERLAP_S
from reporter.state.endpoints import Endpoint
from reporter.webhooks.events import EVENT_TYPES

MAX_DESCRIPTION_CHARS: Annotated[
    int,
    Limited(
        "characters", "400 `REQUEST_INVALID`", "Longest description of an endpoint", name="max_description_characters"
    ),
] = 500
MAX_URL_CHARS: Annotated[
    int, Limited("characters", "400 `REQUEST_INVALID`", "Longest URL of an endpoint", name="max_url_characters")
] = 2083
MAX_PAGE_SIZE: Annotated[int, Limited("entries", "400 `REQUEST_INVALID`", "Largest page_size")] = 100

EventType = Literal[
    "batch.accepted",
    "batch.started",
    "batch.completed",
    "batch.completed_with_errors",
    "batch.failed",
    "batch.cancelled",
]
"""Spelled out for the type checker and the OpenAPI document; a test compares it with `EVENT_TYPES`."""


def _without_repetition(types: list[EventType]) -> list[EventType]:
    return list(dict.fromkeys(types))


_SomeTypes = Annotated[
    list[EventType], Field(min_length=1, max_length=len(EVENT_TYPES)), AfterValidator(_without_repetition)
]
_EventTypes = Annotated[_SomeTypes | None, Field(description="The events wanted; null or absent: all")]
_Url = Annotated[
    str,
    Field(min_length=1, max_length=MAX_URL_CHARS, description="http or https, leading to a public address"),
    AfterValidator(lambda url: repair_link(url).url),
]
_Description = Annotated[
    str, Field(max_length=MAX_DESCRIPTION_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$", description="For people; one line")
]


class _Strict(BaseModel):
    # No guessing: "yes" is not true. An unknown field is a typing error, and silence would hide it.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class EndpointCreate(_Strict):
    """Body of POST /webhooks."""

    url: _Url
    event_types: _EventTypes = None
    description: _Description = ""
    enabled: bool = Field(True, description="false: nothing is sent until it is enabled")


class EndpointPatch(_Strict):
    """Body of PATCH /webhooks/{endpoint_id}; what is absent stays as it is."""

    # Factories, because a default would be told in the OpenAPI document and is never used.
    url: _Url = Field(default_factory=str)
    event_types: _EventTypes = Field(default_factory=lambda: None)
    description: _Description = Field(default_factory=str)
    enabled: bool = Field(
        default_factory=bool, description="true: enable again, whatever has disabled it; false: pause"
    )


class SecretRotate(_Strict):
    """Body of POST /webhooks/{endpoint_id}/rotate_secret."""

    overlap_s: int | None = Field(
        None,
        ge=0,
        le=MAX_SECRET_OVERLAP_S,
        description="Seconds for which the secrets before it sign too; null or absent: WEBHOOK_SECRET_OVERLAP_S",
    )


class RedeliverSince(_Strict):
    """Body of POST /webhooks/{endpoint_id}/redeliver."""

    since: Rfc3339Time = Field(description="Events recorded at this time or later, RFC 3339")
    only_failed: bool = Field(True, description="false: also those that were delivered")


class EndpointsQuery(BaseModel):
    """Query of GET /webhooks."""

    page_size: int = Field(50, ge=1, le=MAX_PAGE_SIZE, description="Most endpoints of a page")
    page_token: PageToken = ""


class EndpointDeliveriesQuery(BaseModel):
    """Query of GET /webhooks/{endpoint_id}/deliveries."""

    state: Literal["PENDING", "DELIVERED", "FAILED"] | None = Field(None, description="Only deliveries in this state")
    page_size: int = Field(50, ge=1, le=MAX_PAGE_SIZE, description="Most deliveries of a page")
    page_token: PageToken = ""


class EndpointBody(BaseModel):
    """A webhook endpoint; its secret is never shown again."""

    id: str = Field(description="The endpoint")
    url: str = Field(description="Where events are sent")
    event_types: Sequence[str] | None = Field(description="The events wanted; null: all")
    description: str = Field(description="For people")
    enabled: bool = Field(description="Whether events are sent")
    disabled_reason: str | None = Field(
        description="PAUSED (as asked), GONE (it answered 410) or FAILING (for too long); null when enabled"
    )
    disable_time: str | None = Field(description="RFC 3339; null when enabled")
    failing_since: str | None = Field(description="First failure after the last success, RFC 3339; null when none")
    create_time: str = Field(description="RFC 3339")
    update_time: str = Field(description="RFC 3339")


class EndpointWithSecret(EndpointBody):
    """A webhook endpoint with its new secret, which is shown this once."""

    secret: str = Field(description="Standard Webhooks secret, whsec_...")


class EndpointsAnswer(BaseModel):
    """Answer of GET /webhooks."""

    endpoints: list[EndpointBody] = Field(description="Oldest first")
    next_page_token: str = Field(description="Empty on the last page")


class EndpointDeleted(BaseModel):
    """Answer of DELETE /webhooks/{endpoint_id}."""

    id: str = Field(description="The endpoint that is no more")


class EndpointDeliveriesAnswer(BaseModel):
    """Answer of GET /webhooks/{endpoint_id}/deliveries."""

    deliveries: list[DeliveryBody] = Field(description="Newest first")
    next_page_token: str = Field(description="Empty on the last page")


class RedeliverAnswer(BaseModel):
    """Answer of POST /webhooks/{endpoint_id}/redeliver."""

    redelivered: int = Field(description="Deliveries that are due again, each under its old webhook-id")


def endpoint_body(endpoint: Endpoint) -> EndpointBody:
    """Return an endpoint as it is shown."""
    return EndpointBody(
        id=str(endpoint.id),
        url=endpoint.url,
        event_types=endpoint.event_types,
        description=endpoint.description,
        enabled=endpoint.disabled_reason is None,
        disabled_reason=endpoint.disabled_reason,
        disable_time=rfc3339(endpoint.disable_time),
        failing_since=rfc3339(endpoint.failing_since),
        create_time=rfc3339(endpoint.create_time),
        update_time=rfc3339(endpoint.update_time),
    )


def endpoint_with_secret(endpoint: Endpoint, secret: str) -> EndpointWithSecret:
    """Return an endpoint and the secret, for the one answer that shows it."""
    return EndpointWithSecret(**endpoint_body(endpoint).model_dump(), secret=secret)
