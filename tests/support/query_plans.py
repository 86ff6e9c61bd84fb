"""Plans that PostgreSQL may choose for any table, chosen always: a subquery runs once for each outer row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

_METHODS = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize")


@contextmanager
def planned_awkwardly(engine: Engine) -> Iterator[None]:
    """Take from the connections of an engine, meanwhile, what would spare them from running a subquery again."""

    def restrict(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for method in _METHODS:
                cursor.execute(f"SET enable_{method} = off")
        connection.commit()

    event.listen(engine, "connect", restrict)
    engine.dispose()
    try:
        yield
    finally:
        event.remove(engine, "connect", restrict)
        engine.dispose()
