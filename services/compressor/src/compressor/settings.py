"""The compressor's settings: one row per environment variable."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from chassis.limited import Limited
from chassis.settings import NetworkList, PortList, Settings


class RobotsPolicy(StrEnum):
    """What follows from a refusal: nothing, a note with the outcome, or that the image is left alone."""

    IGNORE = "ignore"
    WARN = "warn"
    SKIP = "skip"


class CompressorSettings(Settings):
    """Settings of the compressor; sizes in bytes, times in seconds."""

    ingest_internal_url: str = Field(
        alias="INGEST_INTERNAL_URL", description="Root URL of ingest's internal door, which is told every outcome"
    )
    compressor_url: str = Field(
        alias="COMPRESSOR_URL", description="This service's own root URL: the audience of the tokens it accepts"
    )
    tasks_service_account: str = Field(
        alias="TASKS_SERVICE_ACCOUNT", description="The only account that may call POST /compress"
    )
    ingest_service_account: str = Field(
        alias="INGEST_SERVICE_ACCOUNT", description="The only account that may call POST /internal/previews"
    )
    images_bucket: str = Field(alias="IMAGES_BUCKET", description="Bucket of the compressed images")
    public_url_base: str = Field(
        "https://storage.googleapis.com",
        alias="PUBLIC_URL_BASE",
        description="Output URLs are BASE/BUCKET/NAME",
    )
    egress_allowed_networks: NetworkList = Field(
        (),
        alias="EGRESS_ALLOWED_NETWORKS",
        description="Networks (CIDR) that may be fetched from although they are not public; empty in production",
    )
    egress_allowed_ports: PortList = Field(
        (80, 443, 8080, 8443),
        alias="EGRESS_ALLOWED_PORTS",
        description="Ports of public addresses that may be fetched from",
    )
    user_agent: str = Field(
        "Pressroom/0.1",
        alias="USER_AGENT",
        pattern=r"^[\x21-\x7e]+/[\x20-\x7e]+$",
        description="How fetches name themselves to origins: product and version",
    )
    contact_url: str = Field(
        "",
        alias="CONTACT_URL",
        pattern=r"^((https?://|mailto:)[\x21-\x7e]+)?$",
        description="Where an origin's owner finds out who fetches; follows the User-Agent in brackets",
    )
    robots_policy: RobotsPolicy = Field(
        RobotsPolicy.WARN,
        alias="ROBOTS_POLICY",
        description="What follows from X-Robots-Tag noimageindex, noai or noimageai: ignore, warn (a note) or skip",
    )
    fetch_max_bytes: Annotated[int, Limited("bytes", "`TOO_LARGE`")] = Field(
        25 * 1024 * 1024, alias="FETCH_MAX_BYTES", ge=1, description="Largest source image, decompressed, in bytes"
    )
    fetch_max_redirects: Annotated[int, Limited("redirects", "`REDIRECT_LIMIT`")] = Field(
        5, alias="FETCH_MAX_REDIRECTS", ge=0, le=20, description="Redirects followed"
    )
    fetch_connect_timeout_s: Annotated[float, Limited("seconds", "`CONNECT_FAILED` or `TIMEOUT`, tried again")] = Field(
        5.0, alias="FETCH_CONNECT_TIMEOUT_S", gt=0, description="Seconds to wait for a connection"
    )
    fetch_read_timeout_s: Annotated[float, Limited("seconds", "`TIMEOUT`, tried again")] = Field(
        15.0, alias="FETCH_READ_TIMEOUT_S", gt=0, description="Seconds to wait for the next bytes"
    )
    fetch_total_timeout_s: Annotated[float, Limited("seconds", "`TIMEOUT`, tried again")] = Field(
        60.0, alias="FETCH_TOTAL_TIMEOUT_S", gt=0, le=60, description="Seconds for one image, redirects included"
    )
    codec_concurrency: Annotated[int, Limited("processes", "waiting")] = Field(
        1, alias="CODEC_CONCURRENCY", ge=1, le=8, description="Images decoded at once in one worker process"
    )
    codec_wait_s: Annotated[float, Limited("seconds", "503 `CODEC_BUSY`; Cloud Tasks comes again")] = Field(
        10.0, alias="CODEC_WAIT_S", gt=0, le=30, description="Seconds to wait for the codec before answering 503"
    )

    codec_memory_bytes: Annotated[int, Limited("bytes", "`DECODE_OUT_OF_MEMORY`")] = Field(
        1408 * 1024 * 1024,
        alias="CODEC_MEMORY_BYTES",
        ge=64 * 1024 * 1024,
        description="Memory one image may take in the codec's process",
    )
    codec_cpu_s: Annotated[int, Limited("seconds", "`DECODE_TIMEOUT`")] = Field(
        10, alias="CODEC_CPU_S", ge=1, le=60, description="Seconds of processor time one image may take"
    )
    codec_timeout_s: Annotated[float, Limited("seconds", "503 `CODEC_STALLED`; Cloud Tasks comes again")] = Field(
        20.0, alias="CODEC_TIMEOUT_S", gt=0, le=60, description="Seconds one image may be in the codec before 503"
    )

    @property
    def full_user_agent(self) -> str:
        """Return e.g. `Pressroom/0.1 (+https://shop.example/about-our-fetches)`."""
        return f"{self.user_agent} (+{self.contact_url})" if self.contact_url else self.user_agent
