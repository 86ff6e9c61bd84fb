"""Keeps a folder of workflow sources deployed: `NAME.yaml` becomes workflow `NAME`, again whenever the file changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError
from localcloud.core.json_values import Json
from localcloud.workflows.api.workflows import WorkflowsApi

_SUFFIXES = (".yaml", ".yml", ".json")

_LOG = logging.getLogger("localcloud.workflows")

POLL_INTERVAL_S = 1.0


class WorkflowFolder:
    """Deploys the sources of one folder into one location: `*.yaml`, `*.yml` and `*.json`."""

    def __init__(
        self, path: Path, *, parent: str, api: WorkflowsApi, clock: Clock, user_env: Mapping[str, Mapping[str, str]]
    ) -> None:
        """Watch `path`; `parent` is `projects/P/locations/L`, `user_env` maps workflow ids to `userEnvVars`.

        Raises:
            NotADirectoryError: `path` is no folder.
        """
        if not path.is_dir():
            raise NotADirectoryError(f"workflows_dir {path} is no folder")
        self.path = path
        self.parent = parent
        self._api = api
        self._clock = clock
        self._user_env = user_env
        self._seen: dict[Path, tuple[int, int]] = {}
        self._missing: set[Path] = set()
        self.refusals: dict[str, str] = {}
        """Workflow id to why its file is not deployed as it is now, caret included."""

    def deploy_changed(self) -> list[str]:
        """Deploy the files that are new or changed since the last call; return the ids that were deployed.

        A source that is refused is logged with its caret and leaves the old revision in force. A file that went away
        takes its workflow along, once it was missing twice: editors save by removing a file and writing it again.
        """
        deployed = []
        files = sorted(file for file in self.path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
        missing = {seen for seen in self._seen if seen not in files}
        for file in missing & self._missing:
            self._remove(file)
        self._missing = missing
        for file in files:
            try:
                stat = file.stat()
                if self._seen.get(file) == (stat.st_mtime_ns, stat.st_size):
                    continue
                source = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                _LOG.error("workflow.unreadable %s: %s", file, error)
                self.refusals[file.stem] = f"{file.name} cannot be read: {error}"
                continue
            self._seen[file] = (stat.st_mtime_ns, stat.st_size)
            if self._deploy(file, source):
                deployed.append(file.stem)
        return deployed

    @property
    def ids(self) -> list[str]:
        """Return the workflow ids of the files that were seen, sorted."""
        return sorted(file.stem for file in self._seen)

    def forget(self) -> None:
        """Take every file for new the next time."""
        self._seen.clear()
        self.refusals.clear()

    async def watch(self) -> None:
        """Deploy changed files every second, until cancelled."""
        while True:
            await self._clock.sleep(POLL_INTERVAL_S)
            self.deploy_changed()

    def _remove(self, file: Path) -> None:
        del self._seen[file]
        self.refusals.pop(file.stem, None)
        if any(other.stem == file.stem for other in self._seen):
            return
        try:
            self._api.delete(f"{self.parent}/workflows/{file.stem}")
        except GoogleError:
            # It was never deployed, or somebody else has deleted it.
            return
        _LOG.info("workflow.deleted %s: its file is gone", file.stem)

    def _deploy(self, file: Path, source: str) -> bool:
        body: dict[str, Any] = {"sourceContents": source, "userEnvVars": dict(self._user_env.get(file.stem, {}))}
        try:
            operation = self._apply(file.stem, body)
        except GoogleError as error:
            _LOG.error("workflow.refused %s: %s", file, error.message)
            self.refusals[file.stem] = error.message
            return False
        if "error" in operation:
            _LOG.error("workflow.refused %s\n%s", file, operation["error"]["message"])
            self.refusals[file.stem] = operation["error"]["message"]
            return False
        self.refusals.pop(file.stem, None)
        _LOG.info("workflow.deployed %s %s", file.stem, operation["response"]["revisionId"])
        return True

    def _apply(self, workflow_id: str, body: dict[str, Any]) -> Json:
        name = f"{self.parent}/workflows/{workflow_id}"
        try:
            self._api.get(name)
        except GoogleError:
            return self._api.create(self.parent, workflow_id, body)
        return self._api.patch(name, "sourceContents,userEnvVars", body)
