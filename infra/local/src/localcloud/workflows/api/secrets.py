"""Secret Manager's `versions.access`, answered from a local file, so that workflows can read secrets without Google.

The file is YAML (JSON is YAML too): a secret id maps to its text, or to a map of version number to text. It is read at
every call: edit it and the next access sees it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from localcloud.core.google_errors import failed_precondition, not_found
from localcloud.core.json_values import Json


class SecretsApi:
    """The one method of Secret Manager that workflows need."""

    def __init__(self, path: Path | None) -> None:
        """`path` is the secrets file; without one there are no secrets."""
        self._path = path

    def access(self, project: str, secret_id: str, version: str) -> Json:
        """Return `{"name": ".../versions/2", "payload": {"data": base64}}`; `latest` is the highest version.

        Raises:
            GoogleError: NOT_FOUND, or FAILED_PRECONDITION when the secrets file is not readable.
        """
        versions = self._versions(project, secret_id)
        wanted = str(max(int(v) for v in versions)) if version == "latest" else version
        if wanted not in versions:
            raise not_found(f"Secret Version [projects/{project}/secrets/{secret_id}/versions/{version}] not found.")
        data = base64.b64encode(versions[wanted].encode()).decode("ascii")
        return {"name": f"projects/{project}/secrets/{secret_id}/versions/{wanted}", "payload": {"data": data}}

    def _versions(self, project: str, secret_id: str) -> dict[str, str]:
        found = self._load().get(secret_id)
        if found is None:
            raise not_found(f"Secret [projects/{project}/secrets/{secret_id}] not found or has no versions.")
        entries = found if isinstance(found, Mapping) else {"1": found}
        if not entries or not all(str(version).isdecimal() for version in entries):
            raise failed_precondition(f"{self._path}: versions of {secret_id} must be numbers")
        return {str(version): str(text) for version, text in entries.items()}

    def _load(self) -> Mapping[str, Any]:
        if self._path is None:
            return {}
        try:
            content = yaml.safe_load(self._path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise failed_precondition(f"The secrets file cannot be read: {error}") from error
        if not isinstance(content, Mapping):
            raise failed_precondition(f"{self._path} must map secret ids to texts")
        return content
