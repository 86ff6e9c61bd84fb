"""The PostgreSQL launcher."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from localcloud.stack.postgres import Postgres, PostgresError
from localcloud.stack.process import SystemUser, may_reach


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Any]:
    free = request.getfixturevalue("free_port")
    server = Postgres(tmp_path_factory.mktemp("pg") / "data", free(), fsync=False)
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def free_port() -> Any:
    from localcloud.stack.free_ports import _blocks

    return lambda: next(_blocks(1))


@pytest.fixture
def open_folder() -> Iterator[Any]:
    """Give a folder that every user can reach, as pytest's own cannot."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def _query(server: Any, statement: str, database: str = "postgres") -> Any:
    connection = psycopg2.connect(server.url(database))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None
    finally:
        connection.close()


def test_database_is_created_once_and_upper_cases_accents(postgres: Any) -> None:
    """Creating twice is harmless; the built-in locale knows more than ASCII."""
    postgres.create_database("shop-1")
    postgres.create_database("shop-1")

    assert _query(postgres, "SELECT upper('é')", "shop-1") == "É"


def test_committed_rows_survive_kill_minus_nine_and_a_new_start(postgres: Any) -> None:
    """A start right after a crash succeeds, although orphaned backends may still hold the shared memory."""
    _query(postgres, "DROP TABLE IF EXISTS kept")
    _query(postgres, "CREATE TABLE kept AS SELECT 42 AS x")
    os.kill(postgres._process.pid, signal.SIGKILL)
    postgres._process.wait()

    postgres.start()

    assert _query(postgres, "SELECT x FROM kept") == 42


def test_stopped_server_starts_again_on_its_data(postgres: Any) -> None:
    """Stop is clean and the cluster is kept."""
    _query(postgres, "DROP TABLE IF EXISTS kept_2")
    _query(postgres, "CREATE TABLE kept_2 AS SELECT 7 AS x")
    postgres.stop()
    ready_when_stopped = postgres.is_ready()
    postgres.start()

    assert (ready_when_stopped, _query(postgres, "SELECT x FROM kept_2")) == (False, 7)


def test_foreign_folder_is_not_taken_for_a_cluster(open_folder: Any, free_port: Any) -> None:
    """A folder with content that is no cluster is left alone."""
    (open_folder / "letter.txt").write_text("dear")
    server = Postgres(open_folder, free_port())

    with pytest.raises(PostgresError, match="neither empty nor a PostgreSQL cluster"):
        server.start()


def test_wrong_pg_bin_is_named(tmp_path: Path, free_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """PG_BIN must hold the binaries."""
    monkeypatch.setenv("PG_BIN", str(tmp_path))

    with pytest.raises(PostgresError, match=r"PG_BIN=.* holds no 'postgres'"):
        Postgres(tmp_path / "data", free_port()).prepare()


def test_server_that_cannot_start_says_why(open_folder: Any, free_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds the program's own words."""
    (open_folder / "PG_VERSION").write_text("18\n")
    server = Postgres(open_folder, free_port())
    monkeypatch.setattr("localcloud.stack.postgres.START_WITHIN_S", 0.5)

    with pytest.raises(PostgresError, match=r"did not start on port \d+ (.|\n)*could not access the server config"):
        server.start()


def test_reach_is_judged_by_the_mode_of_every_folder(tmp_path: Path) -> None:
    """A private folder anywhere on the way keeps others out."""
    private = tmp_path / "private"
    (private / "inner").mkdir(parents=True)
    stranger = SystemUser("stranger", 54321, 54321)
    before = may_reach(private / "inner" / "x", stranger)
    private.chmod(stat.S_IRWXU)

    assert may_reach(private / "inner" / "x", stranger) is False
    assert before is may_reach(tmp_path / "x", stranger)
