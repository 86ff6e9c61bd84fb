"""What the reporter is told by its environment."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from chassis.limited import Limited, NoLimit
from chassis.settings import NetworkList, PortList, PublicSettings
from reporter.secret_formats import check_secret, split_keys

MAX_DOWNLOAD_TTL_S: Annotated[
    int, Limited("seconds", "the start is refused", "Longest life that download links can be given")
] = 7 * 24 * 3600
"""The longest life of a download link, as with Cloud Storage's own signed URLs."""

MAX_SCHEDULED_S: Annotated[
    int,
    Limited(
        "seconds",
        "the start is refused",
        "Longest wait between two attempts of a delivery, twice what a schedule may say",
        internal=True,
    ),
] = 25 * 24 * 3600
"""Cloud Tasks schedules at most 30 days ahead; Retry-After may double an interval."""

MAX_SECRET_OVERLAP_S: Annotated[int, Limited("seconds", "400 `FIELD_INVALID`", "Longest overlap_s of a rotation")] = (
    7 * 24 * 3600
)
"""The longest time for which a replaced secret may go on signing."""


def _split_numbers(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


NumberList = Annotated[tuple[int, ...], BeforeValidator(_split_numbers)]
"""A setting written as `5,300`."""


class ReporterSettings(PublicSettings):
    """Settings of the reporter; nothing that names another system has a default."""

    database_url: SecretStr = Field(alias="DATABASE_URL", description="PostgreSQL URL of the reporter's own database")
    database_pool_size: Annotated[int, NoLimit()] = Field(
        8, alias="DATABASE_POOL_SIZE", ge=1, description="Connections per process; as many as requests at once"
    )
    reporter_url: str = Field(
        alias="REPORTER_URL",
        pattern="^https?://",
        description="Root URL of this service's public door: base of download links",
    )
    reporter_internal_url: str = Field(
        alias="REPORTER_INTERNAL_URL",
        pattern="^https?://",
        description="Root URL of this service's internal door: audience of its callers' tokens, target of deliveries",
    )
    ingest_internal_url: str = Field(
        alias="INGEST_INTERNAL_URL", pattern="^https?://", description="Root URL of ingest's internal door"
    )
    reports_bucket: str = Field(alias="REPORTS_BUCKET", description="Private bucket that holds the reports")
    webhooks_queue: str = Field(
        alias="WEBHOOKS_QUEUE",
        pattern="^projects/[^/]+/locations/[^/]+/queues/[^/]+$",
        description="Full name of the Cloud Tasks queue that carries delivery attempts",
    )
    workflow_service_account: str = Field(
        alias="WORKFLOW_SERVICE_ACCOUNT", description="May publish reports and notify"
    )
    ingest_service_account: str = Field(
        alias="INGEST_SERVICE_ACCOUNT", description="May publish reports and notify (ingest's sweeper)"
    )
    tasks_service_account: str = Field(
        alias="TASKS_SERVICE_ACCOUNT", description="The account Cloud Tasks calls as; may deliver"
    )
    scheduler_service_account: str = Field(alias="SCHEDULER_SERVICE_ACCOUNT", description="May sweep")
    download_signing_secret: SecretStr = Field(
        alias="DOWNLOAD_SIGNING_SECRET",
        min_length=32,
        description="At least 32 random characters; signs download links",
    )
    download_ttl_s: Annotated[int, Limited("seconds", "403 `DOWNLOAD_LINK_EXPIRED`")] = Field(
        3600,
        alias="DOWNLOAD_TTL_S",
        ge=1,
        le=MAX_DOWNLOAD_TTL_S,
        description="Life of a download link in seconds, at most 7 days",
    )
    images_bucket: str = Field(
        "",
        alias="IMAGES_BUCKET",
        description="Private bucket whose images are shown to whoever holds a link; empty: none",
    )
    image_link_secret: SecretStr = Field(
        SecretStr(""),
        alias="IMAGE_LINK_SECRET",
        description="Checks the links of private images that ingest signs with it; empty: no link is good",
    )
    webhook_signing_secret: SecretStr = Field(
        alias="WEBHOOK_SIGNING_SECRET",
        description="Standard Webhooks secret: `whsec_` and 24 to 64 random bytes in base64",
    )
    webhook_endpoint_keys: SecretStr = Field(
        alias="WEBHOOK_ENDPOINT_KEYS",
        description="Keys of at least 32 random characters, from which the secrets of webhook endpoints are derived;"
        " the first makes new secrets, the others (after commas) keep older ones working",
    )
    webhook_url: str = Field(
        "",
        alias="WEBHOOK_URL",
        pattern="^(https?://.*)?$",
        description="Told how every batch ended, besides the batch's own URL",
    )
    webhook_retry_schedule_s: NumberList = Field(
        (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        alias="WEBHOOK_RETRY_SCHEDULE_S",
        description="Seconds between the attempts of a delivery, each with 20 % jitter; one attempt more than numbers",
    )
    webhook_timeout_s: Annotated[float, Limited("seconds", "the attempt has failed")] = Field(
        15.0,
        alias="WEBHOOK_TIMEOUT_S",
        gt=0,
        le=30,
        description="Seconds for one whole delivery, name lookup to last byte",
    )
    webhook_concurrency: Annotated[
        int, Limited("deliveries", "429 `DELIVERIES_BUSY` to Cloud Tasks, which comes again")
    ] = Field(
        5,
        alias="WEBHOOK_CONCURRENCY",
        ge=1,
        description="Deliveries under way at once in a process; below the number of threads, which serve others too",
    )
    webhook_hint_grace_s: Annotated[float, NoLimit()] = Field(
        120.0,
        alias="WEBHOOK_HINT_GRACE_S",
        gt=0,
        description="Seconds after which the sweeper takes the task of a due delivery for lost and makes another",
    )
    webhook_max_endpoints: Annotated[int, Limited("endpoints", "400 `ENDPOINT_LIMIT`")] = Field(
        50, alias="WEBHOOK_MAX_ENDPOINTS", ge=1, le=1000, description="Webhook endpoints an owner may have at once"
    )
    webhook_secret_overlap_s: Annotated[int, Limited("seconds", "both secrets sign until then")] = Field(
        86400,
        alias="WEBHOOK_SECRET_OVERLAP_S",
        ge=0,
        le=MAX_SECRET_OVERLAP_S,
        description="Seconds for which a replaced secret signs beside the new one",
    )
    webhook_disable_after_s: Annotated[int, Limited("seconds", "the endpoint is disabled, with the reason")] = Field(
        5 * 86400,
        alias="WEBHOOK_DISABLE_AFTER_S",
        ge=1,
        description="Seconds of nothing but failures after which an endpoint is disabled",
    )
    retention_days: Annotated[int, Limited("days", "afterwards 404 `REPORT_NOT_FOUND`")] = Field(
        30,
        alias="REPORTER_RETENTION_DAYS",
        ge=0,
        le=36_500,
        description="Days for which reports and ended deliveries are kept; 0 keeps them for ever",
    )
    egress_allowed_networks: NetworkList = Field(
        (), alias="EGRESS_ALLOWED_NETWORKS", description="Networks that webhooks may reach although they are not public"
    )
    egress_allowed_ports: PortList = Field(
        (80, 443, 8080, 8443),
        alias="EGRESS_ALLOWED_PORTS",
        description="Ports that webhooks may use on public addresses",
    )

    @field_validator("webhook_signing_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr) -> SecretStr:
        check_secret(value.get_secret_value())
        return value

    @field_validator("webhook_endpoint_keys")
    @classmethod
    def _check_endpoint_keys(cls, value: SecretStr) -> SecretStr:
        split_keys(value.get_secret_value())
        return value

    @field_validator("webhook_retry_schedule_s")
    @classmethod
    def _check_schedule(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 < delay_s <= MAX_SCHEDULED_S // 2 for delay_s in value):
            message = f"every delay must be between 1 and {MAX_SCHEDULED_S // 2} seconds"
            raise ValueError(message)
        return value

    @field_validator("reporter_url", "reporter_internal_url", "ingest_internal_url", mode="after")
    @classmethod
    def _without_slash(cls, value: Any) -> Any:
        return value.rstrip("/")

    @property
    def endpoint_keys(self) -> tuple[str, ...]:
        """Return the keys of WEBHOOK_ENDPOINT_KEYS, the one that makes new secrets first."""
        return split_keys(self.webhook_endpoint_keys.get_secret_value())
