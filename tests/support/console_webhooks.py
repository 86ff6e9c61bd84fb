"""What the reporter tells the console of webhooks: one endpoint, and one delivery to it that failed."""

from __future__ import annotations

import uuid
from typing import Any

from support.console_site import HOSTILE_NAME

ENDPOINT_ID = str(uuid.UUID(int=7))
ENDPOINT: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "url": "https://shop.example/hooks",
    "description": HOSTILE_NAME,
    "event_types": None,
    "enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "created_at": "2026-11-29T10:00:00.000000Z",
}
DELIVERY: dict[str, Any] = {
    "id": str(uuid.UUID(int=8)),
    "request_id": str(uuid.UUID(int=9)),
    "endpoint_id": ENDPOINT_ID,
    "message_id": "msg_1",
    "type": "batch.completed",
    "url_host": "shop.example",
    "state": "FAILED",
    "end_reason": "GONE",
    "created_at": "2026-11-29T10:00:00.000000Z",
    "next_attempt_at": None,
    "attempts": [
        {
            "number": 1,
            "started_at": "2026-11-29T10:00:01.000000Z",
            "elapsed_ms": 41,
            "status_code": 410,
            "failure": None,
            "answer": "<b>gone</b>",
        }
    ],
}


def webhook_answers() -> dict[str, Any]:
    """Return the reporter's answers by route."""
    return {
        "GET /webhooks": {"endpoints": [ENDPOINT], "next_page_token": ""},
        f"GET /webhooks/{ENDPOINT_ID}": ENDPOINT,
        f"GET /webhooks/{ENDPOINT_ID}/deliveries": {"deliveries": [DELIVERY], "next_page_token": "t"},
        "GET /deliveries": {"deliveries": [DELIVERY], "next_page_token": ""},
        "POST /webhooks": ENDPOINT | {"secret": "whsec_once"},
        f"POST /webhooks/{ENDPOINT_ID}/rotate_secret": ENDPOINT | {"secret": "whsec_new"},
        f"POST /deliveries/{DELIVERY['id']}/redeliver": DELIVERY,
    }
