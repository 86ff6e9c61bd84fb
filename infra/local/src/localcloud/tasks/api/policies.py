"""The access policies of queues: kept and answered, but never asked (nobody's permissions are checked).

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues/setIamPolicy
"""

from __future__ import annotations

import base64
from typing import Any

from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.core.json_values import Json, object_from_json, text_from_json
from localcloud.tasks.store import TaskStore

_EMPTY: Json = {"etag": "ACAB"}
"""What production answers for a resource without a policy."""
_POLICY_FIELDS = ("version", "bindings", "etag", "auditConfigs")
_BINDING_FIELDS = ("role", "members", "condition")


class QueuePolicies:
    """The three methods of google.iam.v1.IAMPolicy, on JSON values, for queues."""

    def __init__(self, store: TaskStore) -> None:
        self._store = store

    def get(self, queue_name: str) -> Json:
        """Return the policy of a queue; an empty one has an etag only.

        Raises:
            GoogleError: NOT_FOUND.
        """
        self._store.queue(queue_name)
        return dict(self._store.policy(queue_name) or _EMPTY)

    def set(self, queue_name: str, body: Any) -> Json:
        """Replace the policy of a queue and return it with a new etag.

        Raises:
            GoogleError: NOT_FOUND; INVALID_ARGUMENT for a field there is none of; ABORTED, the etag is another's.
        """
        before = self.get(queue_name)
        request = object_from_json(body, at="request", allowed=("resource", "policy", "updateMask"))
        policy = object_from_json(request.get("policy", {}), at="policy", allowed=_POLICY_FIELDS)
        _check_bindings(policy.get("bindings", []))
        etag = text_from_json(policy.get("etag", ""), at="policy.etag")
        if etag and etag != before["etag"]:
            raise GoogleError("ABORTED", "There were concurrent policy changes: read the policy again.")
        kept = {name: value for name, value in policy.items() if value not in (None, [], 0)}
        kept["etag"] = base64.b64encode(self._store.next_serial().to_bytes(8)).decode()
        self._store.put_policy(queue_name, kept)
        return dict(kept)

    def test(self, queue_name: str, body: Any) -> Json:
        """Answer that the caller has every permission asked for.

        Raises:
            GoogleError: INVALID_ARGUMENT. A queue that is not there has no permissions, as documented.
        """
        request = object_from_json(body, at="request", allowed=("resource", "permissions"))
        permissions = request.get("permissions", [])
        if not isinstance(permissions, list) or not all(isinstance(name, str) for name in permissions):
            raise invalid_argument("Invalid value at 'permissions': expected a list of texts.")
        if any("*" in name for name in permissions):
            raise invalid_argument("permissions must not have wildcards.")
        if not permissions or not self._store.has_queue(queue_name):
            return {}
        return {"permissions": list(permissions)}


def _check_bindings(value: Any) -> None:
    if not isinstance(value, list):
        raise invalid_argument("Invalid value at 'policy.bindings': expected a list.")
    for binding in value:
        body = object_from_json(binding, at="policy.bindings", allowed=_BINDING_FIELDS)
        text_from_json(body.get("role", ""), at="policy.bindings.role")
        members = body.get("members", [])
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise invalid_argument("Invalid value at 'policy.bindings.members': expected a list of texts.")
