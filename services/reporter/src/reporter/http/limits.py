"""The table behind `/limits`: every limit a client can meet, from the settings and constants that enforce it."""

from __future__ import annotations

from chassis.auth.api_keys import MAX_KEY_CHARS
from chassis.http.body_pace import BODY_GRACE_S, BODY_MIN_BYTES_PER_S
from chassis.http.page_tokens import MAX_PAGE_TOKEN_CHARS
from chassis.limits import Limit
from reporter.http.endpoint_schemas import MAX_DESCRIPTION_CHARS, MAX_PAGE_SIZE, MAX_URL_CHARS
from reporter.http.schemas import MAX_TOKEN_CHARS
from reporter.settings import MAX_DOWNLOAD_TTL_S, MAX_SECRET_OVERLAP_S, ReporterSettings
from reporter.state.deliveries import MAX_ANSWER_BYTES
from reporter.webhooks.deliver import MAX_READ_BYTES
from reporter.webhooks.endpoints import MAX_SECRETS

MAX_BODY_BYTES = 64 * 1024
"""Largest body of a request: callers send ids, counts and two URLs."""

_SETTINGS = (
    # setting, unit, meaning
    ("body_timeout_s", "seconds", "Time in which a request's body must have come"),
    ("download_ttl_s", "seconds", "How long a download link works"),
    ("webhook_timeout_s", "seconds", "Time for one whole delivery"),
    ("webhook_disable_after_s", "seconds", "Nothing but failures for this long disables an endpoint"),
    ("webhook_secret_overlap_s", "seconds", "How long a replaced secret signs beside the new one"),
    ("retention_days", "days", "How long reports and deliveries are kept"),
    ("webhook_concurrency", "deliveries", "Deliveries under way at once in a process"),
)
_CONSTANTS = (
    Limit("body_grace_s", BODY_GRACE_S, "seconds", "Time after which a body must come at `body_min_bytes_per_s`"),
    Limit("body_min_bytes_per_s", BODY_MIN_BYTES_PER_S, "bytes per second", "Slowest body after the grace"),
    Limit("max_body_bytes", MAX_BODY_BYTES, "bytes", "Largest body of a request"),
    Limit("max_url_characters", MAX_URL_CHARS, "characters", "Longest URL of an endpoint"),
    Limit("max_description_characters", MAX_DESCRIPTION_CHARS, "characters", "Longest description of an endpoint"),
    Limit("max_secrets", MAX_SECRETS, "secrets", "Secrets that sign for an endpoint at once"),
    Limit("max_secret_overlap_s", MAX_SECRET_OVERLAP_S, "seconds", "Longest overlap_s of a rotation"),
    Limit("max_page_size", MAX_PAGE_SIZE, "entries", "Largest page_size"),
    Limit("max_page_token_characters", MAX_PAGE_TOKEN_CHARS, "characters", "Longest page_token"),
    Limit("max_token_characters", MAX_TOKEN_CHARS, "characters", "Longest token of a download link"),
    Limit("max_download_ttl_s", MAX_DOWNLOAD_TTL_S, "seconds", "Longest life that download links can be given"),
    Limit("max_read_bytes", MAX_READ_BYTES, "bytes", "How much of a receiver's answer is read"),
    Limit("max_answer_bytes", MAX_ANSWER_BYTES, "bytes", "How much of a receiver's answer is kept"),
    Limit("max_api_key_characters", MAX_KEY_CHARS, "characters", "Longest API key"),
)


def limits_of(settings: ReporterSettings, *, endpoint_count: int) -> tuple[Limit, ...]:
    """Return every limit, quotas with what their owner uses."""
    fields = ReporterSettings.model_fields
    attempts = Limit(
        "max_delivery_attempts",
        len(settings.webhook_retry_schedule_s) + 1,
        "attempts",
        "Attempts of a delivery",
        fields["webhook_retry_schedule_s"].alias or "",
    )
    quota = Limit(
        "webhook_max_endpoints",
        settings.webhook_max_endpoints,
        "endpoints",
        "Webhook endpoints of an owner",
        fields["webhook_max_endpoints"].alias or "",
        use=endpoint_count,
    )
    from_settings = [
        Limit(name, getattr(settings, name), unit, meaning, fields[name].alias or "")
        for name, unit, meaning in _SETTINGS
    ]
    return (quota, *from_settings, attempts, *_CONSTANTS)
