"""Ingest's settings: one row per environment variable; numbers carry their unit in name or help."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from chassis.auth.image_links import MIN_SECRET_CHARS
from chassis.limited import Limited, NoLimit
from chassis.settings import CommaList, NetworkList, PortList, PublicSettings

_PORT = re.compile(r":[0-9]+$")
_HOST_LIMIT = re.compile(r"(?P<host>[^=/]+)=(?P<concurrency>[1-9][0-9]{0,3})/(?P<rate>[0-9]{1,4}(?:\.[0-9]+)?)")


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How many images of a host may be under way at once, and how many may start in a second."""

    concurrency: int
    starts_per_s: float


def _parse_host_limits(items: tuple[str, ...]) -> dict[str, HostLimits]:
    limits: dict[str, HostLimits] = {}
    for item in items:
        found = _HOST_LIMIT.fullmatch(item)
        if found is None or float(found["rate"]) == 0:
            message = f"{item} is not host=concurrency/rate, e.g. cdn.example=16/50, with 1 to 9999 of each"
            raise ValueError(message)
        limits[found["host"].lower()] = HostLimits(int(found["concurrency"]), float(found["rate"]))
    return limits


class IngestSettings(PublicSettings):
    """Everything that can be set; what names another system has no default."""

    database_url: SecretStr = Field(alias="DATABASE_URL", description="postgresql://user:password@host/database")
    database_pool_size: Annotated[int, NoLimit()] = Field(
        16, alias="DATABASE_POOL_SIZE", ge=1, le=100, description="Connections per process; as many as requests at once"
    )
    ingest_url: str = Field(alias="INGEST_URL", description="Root URL of this service's public door: base of links")
    ingest_internal_url: str = Field(
        alias="INGEST_INTERNAL_URL", description="Root URL of this service's internal door: audience of calls to it"
    )
    compressor_url: str = Field(alias="COMPRESSOR_URL", description="Root URL of the compressor")
    reporter_url: str = Field(alias="REPORTER_URL", description="Root URL of the reporter's public door: base of links")
    reporter_internal_url: str = Field(
        alias="REPORTER_INTERNAL_URL", description="Root URL of the reporter's internal door, which is told of batches"
    )
    workflow_id: str = Field(alias="WORKFLOW_ID", description="Id of the workflow that supervises a batch")
    batches_queue: str = Field(
        alias="BATCHES_QUEUE",
        pattern="^projects/[^/]+/locations/[^/]+/queues/[^/]+$",
        description="Full name of the queue that starts batches",
    )
    images_queue: str = Field(
        alias="IMAGES_QUEUE",
        pattern="^projects/[^/]+/locations/[^/]+/queues/[^/]+$",
        description="Full name of the queue of compressions",
    )
    workflow_service_account: str = Field(
        alias="WORKFLOW_SERVICE_ACCOUNT", min_length=1, description="Email of the account the workflow runs as"
    )
    tasks_service_account: str = Field(
        alias="TASKS_SERVICE_ACCOUNT",
        min_length=1,
        description="Email of the account Cloud Tasks starts batches as; may call POST /process",
    )
    compressor_tasks_service_account: str = Field(
        alias="COMPRESSOR_TASKS_SERVICE_ACCOUNT",
        min_length=1,
        description="Email of the account Cloud Tasks calls the compressor as",
    )
    scheduler_service_account: str = Field(
        alias="SCHEDULER_SERVICE_ACCOUNT", min_length=1, description="Email of the account Cloud Scheduler calls as"
    )
    compressor_service_account: str = Field(
        alias="COMPRESSOR_SERVICE_ACCOUNT", min_length=1, description="Email of the compressor's account"
    )
    reporter_service_account: str = Field(
        alias="REPORTER_SERVICE_ACCOUNT", min_length=1, description="Email of the reporter's account"
    )
    sample_sheet_url: str = Field(
        "",
        alias="INGEST_SAMPLE_SHEET_URL",
        description="URL of a sheet that the console offers to try; empty: none. Read by ingest itself, so an own one",
    )
    image_link_secret: SecretStr = Field(
        SecretStr(""),
        alias="IMAGE_LINK_SECRET",
        description="Signs the links of images in a private bucket, at least 32 random characters; empty: not signed",
    )
    image_link_days: Annotated[int, Limited("days", "403 `IMAGE_LINK_EXPIRED`; `/status` gives new links")] = Field(
        30, alias="IMAGE_LINK_DAYS", ge=1, le=3650, description="Whole days for which the link of a private image works"
    )
    sheet_buckets: CommaList = Field(
        (),
        alias="INGEST_SHEET_BUCKETS",
        description="Buckets whose sheets clients may name as csv_uri, separated by commas; the workflow needs none",
    )
    uploads_bucket: str = Field(
        "",
        alias="INGEST_UPLOADS_BUCKET",
        description="Bucket into which clients upload large sheets (`POST /uploads`); without it that route is refused",
    )
    max_sheet_bytes: Annotated[
        int, Limited("bytes", "413 `BODY_TOO_LARGE`; of a sheet in Cloud Storage 413 `SHEET_TOO_LARGE`")
    ] = Field(
        33_554_432, alias="INGEST_MAX_SHEET_BYTES", ge=1, description="Largest sheet, bytes (Cloud Run ends at 32 MiB)"
    )
    max_rows: Annotated[int, Limited("rows", "400 `SHEET_INVALID` with `TOO_MANY_ROWS`")] = Field(
        100_000, alias="INGEST_MAX_ROWS", ge=1, description="Most rows of a sheet, header not counted"
    )
    max_images: Annotated[int, Limited("images", "400 `SHEET_INVALID` with `TOO_MANY_IMAGES`")] = Field(
        100_000, alias="INGEST_MAX_IMAGES", ge=1, description="Most images of a sheet"
    )
    max_stored_sheet_bytes: Annotated[int, Limited("bytes", "413 `SHEET_TOO_LARGE`")] = Field(
        1_073_741_824,
        alias="INGEST_MAX_STORED_SHEET_BYTES",
        ge=1,
        description="Largest sheet in Cloud Storage, bytes: above the limits of other sheets it is imported in chunks",
    )
    max_stored_rows: Annotated[int, Limited("rows", "the batch is FAILED, its error has `TOO_MANY_ROWS`")] = Field(
        1_000_000, alias="INGEST_MAX_STORED_ROWS", ge=1, description="Most rows of a sheet in Cloud Storage"
    )
    max_stored_images: Annotated[int, Limited("images", "the batch is FAILED, its error has `TOO_MANY_IMAGES`")] = (
        Field(1_000_000, alias="INGEST_MAX_STORED_IMAGES", ge=1, description="Most images of a sheet in Cloud Storage")
    )
    max_urls_per_cell: Annotated[int, Limited("URLs", "400 `SHEET_INVALID` with `TOO_MANY_URLS` and the row")] = Field(
        100, alias="INGEST_MAX_URLS_PER_CELL", ge=1, description="Most URLs in one cell"
    )
    max_columns: Annotated[int, Limited("columns", "400 `SHEET_INVALID` with `TOO_MANY_COLUMNS`")] = Field(
        2000, alias="INGEST_MAX_COLUMNS", ge=1, description="Most columns of a sheet"
    )
    reuse_days: Annotated[int, Limited("days", "the image is fetched and compressed again")] = Field(
        30,
        alias="INGEST_REUSE_DAYS",
        ge=0,
        le=3650,
        description="Days for which is kept what was found behind a URL; 0: every image is fetched and compressed anew",
    )
    max_attempts: Annotated[
        int, Limited("attempts", "the image fails with the code of its last trouble, or `WORKER_LOST`")
    ] = Field(5, alias="INGEST_MAX_ATTEMPTS", ge=1, le=100, description="Dispatches an image gets before it has failed")
    max_in_flight: Annotated[int, Limited("images", "the rest waits")] = Field(
        1000,
        alias="INGEST_MAX_IN_FLIGHT",
        ge=1,
        description="Images of one batch with a task at once, however fast it is; queue waits stay below the lease",
    )
    first_in_flight: Annotated[int, Limited("images", "the rest waits")] = Field(
        10,
        alias="INGEST_FIRST_IN_FLIGHT",
        ge=1,
        description="Images of one batch with a task at once before it is known how long one of them takes",
    )
    lease_s: Annotated[int, Limited("seconds", "another attempt; `attempts` in `/status`")] = Field(
        900,
        alias="INGEST_LEASE_S",
        ge=1,
        description="Seconds a dispatched image may be silent; above what Cloud Tasks needs for all its tries",
    )
    retry_base_s: Annotated[float, Limited("seconds", "`attempts` in `/status`")] = Field(
        5.0, alias="INGEST_RETRY_BASE_S", ge=0, description="First wait after transient trouble, seconds; doubles"
    )
    retry_max_s: Annotated[float, Limited("seconds", "`attempts` in `/status`")] = Field(
        300.0,
        alias="INGEST_RETRY_MAX_S",
        ge=0,
        description="Longest wait between attempts, seconds; clamps Retry-After",
    )
    host_first_rate: Annotated[float, Limited("images per second", "the rest waits; `hosts` in `/status`")] = Field(
        5.0,
        alias="INGEST_HOST_FIRST_RATE",
        gt=0,
        le=10_000,
        description="Images in a second that may start at a host of which nothing is known; its answers change that",
    )
    host_max_concurrency: Annotated[int, Limited("images", "the rest waits; `hosts` in `/status`")] = Field(
        64,
        alias="INGEST_HOST_MAX_CONCURRENCY",
        ge=1,
        le=10_000,
        description="Images of one host under way at once, over all batches; bounds its rate by its latency",
    )
    host_max_rate: Annotated[float, Limited("images per second", "the rest waits; `hosts` in `/status`")] = Field(
        500.0,
        alias="INGEST_HOST_MAX_RATE",
        gt=0,
        le=10_000,
        description="Images of one host that may start in a second, however many it has shown to bear",
    )
    host_limits: CommaList = Field(
        (),
        alias="INGEST_HOST_LIMITS",
        description="Hosts that are known to bear so much at once: `host=concurrency/rate`, e.g. `cdn.example=16/50`",
    )
    host_patience_s: Annotated[float, Limited("seconds", "the image fails with `HOST_UNREACHABLE`")] = Field(
        900.0,
        alias="INGEST_HOST_PATIENCE_S",
        gt=0,
        description="Seconds an image waits for a host that gives nothing before it fails with HOST_UNREACHABLE",
    )
    egress_allowed_networks: NetworkList = Field(
        (), alias="EGRESS_ALLOWED_NETWORKS", description="Networks that webhooks may reach although they are not public"
    )
    egress_allowed_ports: PortList = Field(
        (80, 443, 8080, 8443),
        alias="EGRESS_ALLOWED_PORTS",
        description="Ports that webhooks may use on public addresses",
    )
    batch_deadline_s: Annotated[
        int, Limited("seconds", "open images fail with `DEADLINE`; report and webhook as always")
    ] = Field(
        86_400, alias="INGEST_BATCH_DEADLINE_S", ge=1, description="Seconds after which open images fail with DEADLINE"
    )
    idempotency_ttl_s: Annotated[int, Limited("seconds", "afterwards the key is as new")] = Field(
        86_400, alias="INGEST_IDEMPOTENCY_TTL_S", ge=1, description="Seconds an Idempotency-Key is remembered"
    )
    retention_days: Annotated[int, Limited("days", "afterwards 404 `BATCH_NOT_FOUND`")] = Field(
        30,
        alias="INGEST_RETENTION_DAYS",
        ge=0,
        le=36_500,
        description="Days after its end for which a batch is kept; 0 keeps batches for ever",
    )
    heartbeat_timeout_s: Annotated[int, NoLimit()] = Field(
        120,
        alias="INGEST_HEARTBEAT_TIMEOUT_S",
        ge=0,
        description="Seconds of silence after which the sweeper asks whether an execution lives",
    )
    start_grace_s: Annotated[int, NoLimit()] = Field(
        60,
        alias="INGEST_START_GRACE_S",
        ge=0,
        description="Seconds a batch may be without execution before the sweeper acts",
    )
    notify_grace_s: Annotated[int, NoLimit()] = Field(
        300,
        alias="INGEST_NOTIFY_GRACE_S",
        ge=0,
        description="Seconds the workflow has to notify before the sweeper does",
    )
    max_execution_failures: Annotated[int, Limited("executions", "the batch is FAILED, with step and error")] = Field(
        5, alias="INGEST_MAX_EXECUTION_FAILURES", ge=1, description="Failed executions after which a batch has FAILED"
    )
    max_open_images: Annotated[int, Limited("images", "429 `QUOTA_EXCEEDED`")] = Field(
        2_000_000, alias="INGEST_MAX_OPEN_IMAGES", ge=1, description="Unfinished images an owner may have at once"
    )
    max_open_batches: Annotated[int, Limited("batches", "429 `QUOTA_EXCEEDED`")] = Field(
        1000, alias="INGEST_MAX_OPEN_BATCHES", ge=1, description="Unfinished batches an owner may have at once"
    )
    max_daily_images: Annotated[int, Limited("images", "429 `QUOTA_EXCEEDED`")] = Field(
        10_000_000, alias="INGEST_MAX_DAILY_IMAGES", ge=1, description="Images an owner may upload in 24 hours"
    )
    max_previews_per_minute: Annotated[int, Limited("pictures", "429 `QUOTA_EXCEEDED`")] = Field(
        600,
        alias="INGEST_MAX_PREVIEWS_PER_MINUTE",
        ge=1,
        description="Pictures an owner may look at in the console in a minute",
    )
    max_backlog_s: Annotated[int, Limited("seconds", "503 `BACKLOG_TOO_OLD`")] = Field(
        600,
        alias="INGEST_MAX_BACKLOG_S",
        ge=1,
        description="Seconds for which a batch may wait for its start, or a due image for a compressor, before no more"
        " batches are taken",
    )

    @field_validator("image_link_secret")
    @classmethod
    def _is_no_short_secret(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < MIN_SECRET_CHARS:
            message = f"at least {MIN_SECRET_CHARS} characters"
            raise ValueError(message)
        return value

    @field_validator("host_limits")
    @classmethod
    def _are_host_limits(cls, items: tuple[str, ...]) -> tuple[str, ...]:
        _parse_host_limits(items)
        return items

    @cached_property
    def _own_limits(self) -> dict[str, HostLimits]:
        return _parse_host_limits(self.host_limits)

    def host_limits_of(self, host: str) -> HostLimits:
        """Return the limits of a host: its own, those of its name with any port, or those for everybody."""
        return self.own_limits_of(host) or HostLimits(self.host_max_concurrency, self.host_max_rate)

    def own_limits_of(self, host: str) -> HostLimits | None:
        """Return the limits that `INGEST_HOST_LIMITS` has for a host, or for its name with any port."""
        name = host.rpartition(":")[0] if _PORT.search(host) else host
        return self._own_limits.get(host) or self._own_limits.get(name)

    @cached_property
    def own_rates_json(self) -> str:
        """Return the rates of `INGEST_HOST_LIMITS` by host, as JSON for the database."""
        return json.dumps({host: limits.starts_per_s for host, limits in self._own_limits.items()})

    @property
    def workflow_name(self) -> str:
        """Return the workflow's full name."""
        return f"projects/{self.project}/locations/{self.location}/workflows/{self.workflow_id}"

    @property
    def tasks_accounts(self) -> dict[str, str]:
        """Return whose token the tasks of each queue carry."""
        return {
            self.batches_queue: self.tasks_service_account,
            self.images_queue: self.compressor_tasks_service_account,
        }
