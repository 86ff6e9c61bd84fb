"""Signs webhooks as Standard Webhooks 1.0.0 wants it, with that project's own library. Pure.

The library's `sign` replaces the zone of the time it is given instead of converting it, so any time but UTC would be
signed wrongly and every receiver would refuse the event; here a naive time is refused and any other is converted.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook


def signed_headers(secrets: tuple[str, ...], *, message_id: str, attempt_time: datetime, body: bytes) -> dict[str, str]:
    """Return the three headers of one attempt.

    Args:
        secrets: `whsec_...`; one signature for each, of which a receiver accepts any. Two while a secret is replaced.
        message_id: the same in every attempt of one delivery.
        attempt_time: when this attempt is made; aware, of any zone.
        body: exactly the bytes that will be sent; UTF-8.

    Raises:
        ValueError: the time is naive.
    """
    if attempt_time.tzinfo is None:
        message = "the time of an attempt must be aware"
        raise ValueError(message)
    in_utc = attempt_time.astimezone(UTC)
    signatures = [str(Webhook(secret).sign(message_id, in_utc, body.decode())) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(in_utc.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
