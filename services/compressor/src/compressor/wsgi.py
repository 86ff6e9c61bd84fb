"""The only file that reads the environment and builds real parts; gunicorn runs `compressor.wsgi:build()`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from flask import Flask

from chassis.auth.oidc import MetadataTokens, TokenSource
from chassis.clock import Clock, SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from chassis.failpoints import arm_failpoints
from chassis.google.span_export import record_spans
from chassis.google.storage_client import new_storage_client
from chassis.http.caller_guard import CallerGuard
from chassis.logs import configure_logs
from chassis.peer_service import InternalService
from chassis.settings import SettingsError, exit_with_faults
from compressor.app import create_app
from compressor.clients.store import ImageStore
from compressor.failpoints import Failpoint
from compressor.origin.closed_hosts import ClosedHosts
from compressor.origin.fetch import ImageFetcher
from compressor.previews import Previewer
from compressor.sandbox.pool import CHILD_COMMAND, CodecPool, Limits
from compressor.service import Compressor
from compressor.settings import CompressorSettings


def build() -> Flask:
    """Return the application as the environment describes it."""
    try:
        settings = CompressorSettings.from_environ(os.environ)
    except SettingsError as error:
        exit_with_faults("compressor", error)
    configure_logs(service="compressor", project=settings.project, revision=settings.revision, level=settings.log_level)
    arm_failpoints("compressor", settings, Failpoint)
    record_spans("compressor", settings)
    # Otherwise the client asks for the bucket's metadata in the background, which our account may not read.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    clock = SystemClock()
    codec = new_codec(settings, clock)
    codec.start()  # its imports take as long as the first fetch
    return assemble(
        settings, clock=clock, storage_client=new_storage_client(settings), tokens=MetadataTokens(clock), codec=codec
    )


def new_codec(settings: CompressorSettings, clock: Clock, *, command: Sequence[str] = CHILD_COMMAND) -> CodecPool:
    """Return the codec as the settings bound it; `command` starts one of its processes."""
    limits = Limits(settings.codec_memory_bytes, settings.codec_cpu_s, settings.codec_timeout_s)
    return CodecPool(
        concurrency=settings.codec_concurrency,
        wait_s=settings.codec_wait_s,
        limits=limits,
        clock=clock,
        command=command,
    )


def assemble(
    settings: CompressorSettings, *, clock: Clock, storage_client: Any, tokens: TokenSource, codec: CodecPool
) -> Flask:
    """Return the application made of these outside parts; all else follows from the settings."""
    policy = EgressPolicy(
        allowed_networks=parse_networks(settings.egress_allowed_networks),
        ports=frozenset(settings.egress_allowed_ports),
        max_redirects=settings.fetch_max_redirects,
        connect_timeout_s=settings.fetch_connect_timeout_s,
        read_timeout_s=settings.fetch_read_timeout_s,
        total_timeout_s=settings.fetch_total_timeout_s,
        max_body_bytes=settings.fetch_max_bytes,
    )
    egress = Egress(policy, user_agent=settings.full_user_agent, clock=clock)
    fetcher = ImageFetcher(egress, clock, robots=settings.robots_policy)
    store = ImageStore(storage_client, bucket=settings.images_bucket, public_url_base=settings.public_url_base)
    compressor = Compressor(
        fetcher=fetcher,
        codec=codec,
        store=store,
        ingest=InternalService("ingest", settings.ingest_internal_url, tokens),
        clock=clock,
        closed_hosts=ClosedHosts(clock),
    )
    guard = CallerGuard(
        audience=settings.compressor_url, certs_url=settings.auth_certs_url, mode=settings.auth_mode, clock=clock
    )
    previewer = Previewer(fetcher, codec, store)
    return create_app(settings, guard=guard, compressor=compressor, previewer=previewer, clock=clock)
