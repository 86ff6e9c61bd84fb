"""Plans that PostgreSQL may choose for any table, chosen always: a subquery runs once for each outer row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

_METHODS = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize")


def plan_awkwardly(engine: Engine) -> None:
    """Take from every new connection of an engine whatever would spare it from running a subquery again."""

    def restrict(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for method in _METHODS:
                cursor.execute(f"SET enable_{method} = off")
        connection.commit()

    event.listen(engine, "connect", restrict)
    engine.dispose()
