"""Access policies of queues."""

from __future__ import annotations

import asyncio
from typing import Any

BINDING = {"role": "roles/cloudtasks.enqueuer", "members": ["user:a@b.example"]}


def _calls(lab: Any, *calls: Any) -> Any:
    async def scenario() -> Any:
        async with lab() as cloud:
            return [await cloud.call("POST", f"{cloud.queue}:{verb}", body) for verb, body in calls]

    return asyncio.run(scenario())


def test_queue_without_a_policy_has_an_empty_one(lab: Any) -> None:
    """With the etag that production shows for it."""
    assert _calls(lab, ("getIamPolicy", {})) == [(200, {"etag": "ACAB"})]


def test_policy_is_kept(lab: Any) -> None:
    """What was set is read again, with a new etag."""
    (_, put), (_, got) = _calls(
        lab, ("setIamPolicy", {"policy": {"etag": "ACAB", "bindings": [BINDING]}}), ("getIamPolicy", {})
    )

    assert put == got
    assert (got["bindings"], got["etag"] != "ACAB") == ([BINDING], True)


def test_policy_of_another_reading_is_refused(lab: Any) -> None:
    """Whoever read before a change must read again."""
    stale = {"policy": {"etag": "ACAB", "bindings": [BINDING]}}
    (first, _), (second, answer) = _calls(lab, ("setIamPolicy", stale), ("setIamPolicy", stale))

    assert (first, second, answer["error"]["status"]) == (200, 409, "ABORTED")


def test_every_permission_is_granted(lab: Any) -> None:
    """Nobody's permissions are checked here."""
    wanted = {"permissions": ["cloudtasks.tasks.create"]}

    assert _calls(lab, ("testIamPermissions", wanted)) == [(200, wanted)]


def test_binding_of_another_shape_is_refused(lab: Any) -> None:
    """As Google's parser refuses unknown names."""
    [(status, answer)] = _calls(lab, ("setIamPolicy", {"policy": {"bindings": [{"rule": "r"}]}}))

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_policy_of_no_queue_is_not_found(lab: Any) -> None:
    """There is none to read."""

    async def scenario() -> Any:
        async with lab() as cloud:
            return (await cloud.call("POST", f"{cloud.queue}x:getIamPolicy", {}))[0]

    assert asyncio.run(scenario()) == 404
