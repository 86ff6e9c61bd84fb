"""What the statements of an engine cost: each is explained with the very values that it runs with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event

_PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "EXECUTE")
_MARK = "SAVEPOINT explained"


@dataclass(frozen=True, slots=True)
class Cost:
    """One statement: how many blocks it read or wrote in shared buffers, and its plan as PostgreSQL tells it."""

    statement: str
    buffers: int
    plan: dict[str, Any]

    @property
    def title(self) -> str:
        """Return the beginning of the statement in one line."""
        return " ".join(self.statement.split())[:90]


@contextmanager
def statement_costs(engine: Engine) -> Iterator[list[Cost]]:
    """Collect the costs of all statements that run meanwhile.

    Each statement runs twice: once under EXPLAIN, which is taken back, and once as it is. COPY and what
    else has no plan is left out.
    """
    costs: list[Cost] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if not statement.lstrip().upper().startswith(_PLANNED):
            return
        # A statement that is a transaction by itself has no savepoints.
        is_alone = cursor.connection.autocommit
        with cursor.connection.cursor() as own:
            own.execute("BEGIN" if is_alone else _MARK)
            own.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            (found,) = own.fetchone()
            own.execute("ROLLBACK" if is_alone else "ROLLBACK TO " + _MARK)
        (told,) = found if isinstance(found, list) else json.loads(found)
        plan = told["Plan"]
        costs.append(Cost(statement, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], plan))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield costs
    finally:
        event.remove(engine, "before_cursor_execute", explain)
