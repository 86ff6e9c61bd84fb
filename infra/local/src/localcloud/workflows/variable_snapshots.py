"""How much memory the variables of a detailed history may hold: the oldest entries lose theirs first.

A snapshot costs little, as it shares its values with the execution and with other snapshots; but it keeps values alive
that the execution has replaced, and an execution may replace half a megabyte 100,000 times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from localcloud.workflows.runtime.memory import size_of
from localcloud.workflows.values import Value

MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024
"""Bytes, by the documented memory rule, that the snapshots of one execution may hold."""


class Holder(Protocol):
    """What has a snapshot: a step entry. None means that it never had one."""

    entry_id: int
    variables: Mapping[str, Value] | None


@dataclass(slots=True)
class _Held:
    """A value that `count` snapshots share; it keeps its `id` as long as there are any."""

    size: int
    count: int = 0


class VariableSnapshots:
    """The snapshots of one execution's entries, in the order in which they were kept."""

    def __init__(self, max_bytes: int = MAX_SNAPSHOT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._holders: dict[int, Holder] = {}
        self._held: dict[int, _Held] = {}
        self.used_bytes = 0
        """What all snapshots hold; a value that several share counts once."""

    def keep(self, holder: Holder, variables: Mapping[str, Value]) -> None:
        """Give an entry a snapshot instead of an earlier one; the oldest entries may lose theirs and show none."""
        for value in variables.values():
            held = self._held.get(id(value))
            if held is None:
                held = self._held[id(value)] = _Held(size_of(value))
                self.used_bytes += held.size
            held.count += 1
        # Released only now, so that what both snapshots hold is not measured again.
        self._release(holder)
        holder.variables = variables
        self._holders[holder.entry_id] = holder
        while self.used_bytes > self._max_bytes and len(self._holders) > 1:
            self._release(next(iter(self._holders.values())))

    def clear(self) -> None:
        """Forget all entries."""
        self._holders.clear()
        self._held.clear()
        self.used_bytes = 0

    def _release(self, holder: Holder) -> None:
        if self._holders.pop(holder.entry_id, None) is None:
            return
        for value in (holder.variables or {}).values():
            held = self._held[id(value)]
            held.count -= 1
            if held.count == 0:
                self.used_bytes -= held.size
                del self._held[id(value)]
        holder.variables = {}
