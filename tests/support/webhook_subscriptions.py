"""What tests of webhook endpoints do again and again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from werkzeug.test import TestResponse

from support.reporter_service import Got, World


def subscribe(world: World, url: str, **fields: Any) -> dict[str, Any]:
    """Create an endpoint and return the answer, secret and all."""
    answer = world.client.post("/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.get_json()
    return created


def endpoint(world: World, endpoint_id: str) -> dict[str, Any]:
    """Return an endpoint as it is shown."""
    answer = world.client.get(f"/webhooks/{endpoint_id}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.get_json()
    return shown


def patch(world: World, endpoint_id: str, **fields: Any) -> dict[str, Any]:
    """Change an endpoint and return it."""
    answer = world.client.patch(f"/webhooks/{endpoint_id}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.get_json()
    return changed


def log_of(world: World, endpoint_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return an endpoint's deliveries, newest first."""
    answer = world.client.get(f"/webhooks/{endpoint_id}/deliveries", query_string=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["deliveries"]
    return found


def reason(answer: TestResponse) -> tuple[int, str]:
    """Return HTTP code and reason of an error."""
    return answer.status_code, answer.get_json()["error"]["details"][0]["reason"]


def opens(secret: str, got: Got) -> bool:
    """Return whether the public library verifies a request with a secret."""
    try:
        Webhook(secret).verify(got.body, dict(got.headers))
    except WebhookVerificationError:
        return False
    return True


def deliver_until_over(world: World, *, within: timedelta | None = None) -> int:
    """Make the newest delivery's attempts, each at its time, until it is over or `within` has passed; count them."""
    begin, count = world.clock.now(), 0
    while True:
        hint, not_before = world.queue.last
        if not_before is not None and not_before > world.clock.now():
            if within is not None and not_before - begin > within:
                return count
            world.clock.time = not_before
        if world.deliver(hint)["state"] != "PENDING":
            return count + 1
        count += 1
