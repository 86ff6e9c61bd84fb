"""What became of each mutant: a line of JSON for each trial, so that a run may be ended at any time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CAUGHT = {"killed", "timeout", "crashed"}
_CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A file of verdicts; several processes add to it."""

    file: Path

    def begin(self, *, keep: bool) -> None:
        """Begin a new file; with `keep` it has what was caught before, and the controls."""
        kept = [line for line in self._lines() if line["verdict"] in CAUGHT or line["verdict"].startswith(_CONTROL)]
        lines = kept if keep else []
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    def add(self, key: str, verdict: str, by: str = "") -> None:
        """Add a verdict: killed (by which test), survived, timeout, crashed or no tests."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "verdict": verdict, "by": by}) + "\n")

    def add_control(self, key: str, verdict: str, by: str = "") -> None:
        """Add what became of a trial without a change."""
        self.add(key, f"{_CONTROL} {verdict}", by)

    def read(self) -> dict[str, str]:
        """Return the verdict of each mutant that was tried, by its key."""
        return {line["key"]: line["verdict"] for line in self._lines() if not line["verdict"].startswith(_CONTROL)}

    def survivors(self) -> set[str]:
        """Return the names of the mutants that no test caught."""
        return {key.partition(" ")[0] for key, verdict in self.read().items() if verdict not in CAUGHT}

    def controls(self) -> list[tuple[str, str]]:
        """Return verdict and test of each trial without a change."""
        return [
            (line["verdict"].removeprefix(_CONTROL).strip(), line["by"])
            for line in self._lines()
            if line["verdict"].startswith(_CONTROL)
        ]

    def _lines(self) -> list[dict[str, str]]:
        if not self.file.exists():
            return []
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
