"""What the routes of webhook endpoints accept and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from chassis.http.fields import PublicRequest
from chassis.http.page_tokens import PageToken
from chassis.limited import Limited
from chassis.times import Rfc3339Time, rfc3339
from reporter.http.public_schemas import MAX_PAGE_SIZE, Answer, DeliveryBody, former
from reporter.settings import MAX_SECRET_OVERLAP_S
from reporter.state.endpoints import Endpoint, EndpointChange
from reporter.webhooks.endpoints import Subscription
from reporter.webhooks.events import EVENT_TYPES

MAX_DESCRIPTION_CHARS: Annotated[
    int,
    Limited(
        "characters", "400 `FIELD_INVALID`", "Longest description of an endpoint", name="max_description_characters"
    ),
] = 500
MAX_URL_CHARS: Annotated[
    int, Limited("characters", "400 `FIELD_INVALID`", "Longest URL of an endpoint", name="max_url_characters")
] = 2083

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
    str, Field(min_length=1, max_length=MAX_URL_CHARS, description="http or https, leading to a public address")
]
_Description = Annotated[
    str, Field(max_length=MAX_DESCRIPTION_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$", description="For people; one line")
]


class _Strict(PublicRequest):
    # No guessing: "yes" is not true.
    model_config = ConfigDict(strict=True)


class EndpointCreate(_Strict):
    """Body of POST /webhooks."""

    url: _Url
    event_types: _EventTypes = None
    description: _Description = ""
    enabled: bool = Field(True, description="false: nothing is sent until it is enabled")

    def to_subscription(self) -> Subscription:
        """Return what the use case takes."""
        return Subscription(self.url, _as_tuple(self.event_types), self.description, self.enabled)


class EndpointPatch(_Strict):
    """Body of PATCH /webhooks/{endpoint_id}; what is absent stays as it is."""

    # Factories, because a default would be told in the OpenAPI document and is never used.
    url: _Url = Field(default_factory=str)
    event_types: _EventTypes = Field(default_factory=lambda: None)
    description: _Description = Field(default_factory=str)
    enabled: bool = Field(
        default_factory=bool, description="true: enable again, whatever has disabled it; false: pause"
    )

    def named(self, field: str) -> Any:
        """Return the value of a field that the body names; None when it is absent."""
        return getattr(self, field) if field in self.model_fields_set else None

    def to_change(self) -> EndpointChange:
        """Return what the use case takes."""
        return EndpointChange(
            url=self.named("url"),
            description=self.named("description"),
            new_event_types="event_types" in self.model_fields_set,
            event_types=_as_tuple(self.event_types),
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


class EndpointsQuery(PublicRequest):
    """Query of GET /webhooks."""

    page_size: int = Field(50, ge=1, le=MAX_PAGE_SIZE, description="Most endpoints of a page")
    page_token: PageToken = ""


class EndpointDeliveriesQuery(PublicRequest):
    """Query of GET /webhooks/{endpoint_id}/deliveries."""

    state: Literal["PENDING", "DELIVERED", "FAILED"] | None = Field(None, description="Only deliveries in this state")
    page_size: int = Field(50, ge=1, le=MAX_PAGE_SIZE, description="Most deliveries of a page")
    page_token: PageToken = ""


class EndpointBody(Answer):
    """A webhook endpoint; its secret is never shown again."""

    id: str = Field(description="The endpoint")
    url: str = Field(description="Where events are sent")
    event_types: Sequence[str] | None = Field(description="The events wanted; null: all")
    description: str = Field(description="For people")
    enabled: bool = Field(description="Whether events are sent")
    disabled_reason: str | None = Field(
        description="PAUSED (as asked), GONE (it answered 410) or FAILING (for too long); null when enabled"
    )
    disabled_at: str | None = Field(description="RFC 3339; null when enabled")
    disable_time: str | None = Field(description=former("disabled_at"), json_schema_extra={"deprecated": True})
    failing_since: str | None = Field(description="First failure after the last success, RFC 3339; null when none")
    created_at: str = Field(description="RFC 3339")
    create_time: str = Field(description=former("created_at"), json_schema_extra={"deprecated": True})
    updated_at: str = Field(description="RFC 3339")
    update_time: str = Field(description=former("updated_at"), json_schema_extra={"deprecated": True})


class EndpointWithSecret(EndpointBody):
    """A webhook endpoint with its new secret, which is shown this once."""

    secret: str = Field(description="Standard Webhooks secret, whsec_...")


class EndpointsAnswer(Answer):
    """Answer of GET /webhooks."""

    endpoints: list[EndpointBody] = Field(description="Oldest first")
    next_page_token: str = Field(description="Empty on the last page")


class EndpointDeleted(Answer):
    """Answer of DELETE /webhooks/{endpoint_id}."""

    id: str = Field(description="The endpoint that is no more")


class EndpointDeliveriesAnswer(Answer):
    """Answer of GET /webhooks/{endpoint_id}/deliveries."""

    deliveries: list[DeliveryBody] = Field(description="Newest first")
    next_page_token: str = Field(description="Empty on the last page")


class RedeliverAnswer(Answer):
    """Answer of POST /webhooks/{endpoint_id}/redeliver."""

    redelivered: int = Field(description="Deliveries that are due again, each under its old webhook-id")


def endpoint_body(endpoint: Endpoint) -> EndpointBody:
    """Return an endpoint as it is shown."""
    created_at, updated_at = rfc3339(endpoint.created_at), rfc3339(endpoint.updated_at)
    disabled_at = rfc3339(endpoint.disabled_at)
    return EndpointBody(
        id=str(endpoint.id),
        url=endpoint.url,
        event_types=endpoint.event_types,
        description=endpoint.description,
        enabled=endpoint.disabled_reason is None,
        disabled_reason=endpoint.disabled_reason,
        disabled_at=disabled_at,
        disable_time=disabled_at,
        failing_since=rfc3339(endpoint.failing_since),
        created_at=created_at,
        create_time=created_at,
        updated_at=updated_at,
        update_time=updated_at,
    )


def endpoint_with_secret(endpoint: Endpoint, secret: str) -> EndpointWithSecret:
    """Return an endpoint and the secret, for the one answer that shows it."""
    return EndpointWithSecret(**endpoint_body(endpoint).model_dump(), secret=secret)


def _as_tuple(types: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if types is None else tuple(types)
