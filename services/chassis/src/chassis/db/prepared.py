"""Statements that a connection parses and plans once, and executes many times.

psycopg2 sends every statement as text, and a long one takes PostgreSQL longer to parse and to plan than to execute. A
`Prepared` statement is prepared by each connection that uses it (PREPARE) and from then on named (EXECUTE).

PostgreSQL may keep one plan for all values, made for tables as they were: of a small table it reads all, and would do
so still when the table has grown. So no plan becomes older than `PLAN_S`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DBAPIError

from chassis.clock import Clock, SystemClock

PLAN_S = 10.0
"""Seconds after which a connection prepares a statement anew: so long a plan may know nothing of a new batch."""

_NUMBERED = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
_AS_IT_IS = {"no_parameters": True}  # percent signs mean nothing where there are no values
_KEPT = "prepared"  # in a connection's info: by name of a statement, when it was prepared
# The connection knows no such statement, or one already; or the result is of another type since a migration.
_STALE_SQLSTATES = frozenset({"26000", "42P05", "0A000"})


class Prepared:
    """A statement that connections prepare.

    Args:
        name: of the statement in a connection.
        sql: one statement with its parameters as `:name`. Each has the type of where it stands first; where that could
            be several, `sql` says CAST(:name AS type).
        clock: by it plans age.
    """

    def __init__(self, name: str, sql: str, *, clock: Clock | None = None) -> None:
        compiled = text(sql).compile(dialect=_NUMBERED)
        self._name = name
        self._names = tuple(compiled.positiontup or ())
        marks = ", ".join(["%s"] * len(self._names))
        self._prepare = f"PREPARE {name} AS {compiled}"
        self._execute = f"EXECUTE {name} ({marks})" if marks else f"EXECUTE {name}"
        self._clock = clock or SystemClock()

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Execute the statement; it is prepared before if it was not within `PLAN_S`.

        Raises:
            sqlalchemy.exc.DBAPIError: as of any statement. When what is prepared cannot be used any more, the pool
                makes new connections and `transact` runs its work again.
        """
        kept: dict[str, float] = connection.info.setdefault(_KEPT, {})
        now, prepared_at = self._clock.monotonic(), kept.get(self._name)
        try:
            if prepared_at is None or now - prepared_at >= PLAN_S:
                again = "" if kept.pop(self._name, None) is None else f"DEALLOCATE {self._name}; "
                connection.exec_driver_sql(again + self._prepare, execution_options=_AS_IT_IS)
                kept[self._name] = now  # also if the transaction is rolled back: PREPARE is not taken back
            given = tuple(values[name] for name in self._names)
            return connection.exec_driver_sql(self._execute, given, execution_options=_AS_IT_IS)
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) in _STALE_SQLSTATES:
                connection.invalidate(error)
                connection.engine.dispose()
                error.connection_invalidated = True
            raise
