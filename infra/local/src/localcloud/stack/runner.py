"""Runs a whole stack: data stores, the local platform, migrations, services; in order, and back down in reverse.

`StackRunner` is the asyncio form, used by `localcloud up`; `Stack` is the same for tests, with an event loop in a
thread of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from localcloud.core.config_fields import ConfigError
from localcloud.platform_config import PlatformConfig
from localcloud.stack.config import (
    ProcessSetting,
    StackConfig,
    all_ports,
    metadata_ports,
    placeholder_values,
    resolve_ports,
)
from localcloud.stack.console import Console
from localcloud.stack.free_ports import is_port_taken
from localcloud.stack.placeholders import fill
from localcloud.stack.postgres import START_WITHIN_S, Postgres
from localcloud.stack.process import Command, base_environment
from localcloud.stack.state import StateFolder
from localcloud.stack.storage import Storage
from localcloud.stack.supervisor import ChildSetting, Supervisor

PLATFORM = "localcloud"
"""Name of the process that holds Workflows, Cloud Tasks, identity and the scheduler."""
_HEALTH_TIMEOUT_S = 5.0


class StackRunner:
    """A stack on fixed ports.

    Args:
        config: what to run.
        state_dir: where everything is written: data, logs, `env`, `pids.json`; the configured one if None.
        ports: port name to number; overrides environment and defaults.
        environment: what `${env.X}` and the port variables look into; this process's by default.
        echo: write the output of all programs to the terminal too.
        manual_clock: time of the emulators stands still until a test moves it (`localcloud serve --manual-clock`);
            services, database and tokens keep the machine's.

    Raises:
        ConfigError: a placeholder or a port is wrong.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        state_dir: Path | None = None,
        ports: Mapping[str, int] | None = None,
        environment: Mapping[str, str] | None = None,
        echo: bool = False,
        manual_clock: bool = False,
    ) -> None:
        self.config = config
        self._manual_clock = manual_clock
        self._state = StateFolder(config.state_dir if state_dir is None else state_dir)
        self._environment = dict(os.environ) if environment is None else environment
        self.ports = resolve_ports(config, environment=self._environment, given=ports)
        self.postgres = Postgres(self.state_dir / "postgres", self.ports["postgres"], fsync=config.fsync)
        self.storage = Storage(self.state_dir / "storage", self.ports["storage"], location=config.location.upper())
        self._values = placeholder_values(
            config,
            ports=self.ports,
            state_dir=self.state_dir,
            database_urls={name: self.postgres.url(name) for name in config.databases},
            secrets=self._state.secrets(config.secrets),
            python=sys.executable,
        )
        self.exports = self._filled(config.exports, "exports")
        self.ready = self._filled(config.ready, "ready")
        self._settings = self._child_settings()
        self._console = Console(self.state_dir / "logs", echo=echo)
        self._supervisor = Supervisor(self._console, lambda: self._state.write_pids(self._supervisor.pids()))
        self._session: aiohttp.ClientSession | None = None

    @property
    def state_dir(self) -> Path:
        """Return where everything is written."""
        return self._state.path

    @property
    def names(self) -> list[str]:
        """Return the names of all programs in start order."""
        return list(self._settings)

    def url(self, port: str) -> str:
        """Return `http://127.0.0.1:PORT` of a port name."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def metadata_address(self, account: str) -> str:
        """Return `127.0.0.1:PORT` of the metadata server that speaks for an account."""
        return self._values[f"metadata.{account}"]

    async def start(self) -> None:
        """Start everything and return when all of it is healthy.

        Raises:
            ConfigError: a port is taken, or another stack uses the state folder.
            ChildError, PostgresError, StorageError: a program did not start. What was started is stopped again.
        """
        self._state.take()
        self._state.write_pids({})
        try:
            self._check_ports()
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT_S))
            self._write_platform_config()
            await _together(self._start_database(), self._start_storage(), self.start_one(PLATFORM))
            self._state.write_exports(self.exports)
            await _together(*(self.start_one(process.name) for process in self.config.processes))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, services first and data stores last; the state stays."""
        programs = [process.name for process in self.config.processes]
        await asyncio.gather(*(self._supervisor.stop(name) for name in programs))
        for name in (PLATFORM, "storage", "postgres"):
            await self._supervisor.stop(name)
        if self._session is not None:
            await self._session.close()
        self._console.close()
        self._state.release()

    async def start_one(self, name: str) -> None:
        """Start one program and return when it is healthy; a failed start raises ChildError."""
        await self._supervisor.start(self._settings[name])

    async def stop_one(self, name: str) -> None:
        """Stop one program and leave it down."""
        if name not in self._settings:
            raise KeyError(name)
        await self._supervisor.stop(name)

    def kill(self, name: str) -> None:
        """`kill -9` one program; it is restarted."""
        self._supervisor.kill(name)

    async def restart(self, name: str) -> None:
        """Stop one program in good order and start it again."""
        await self.stop_one(name)
        await self.start_one(name)

    async def wait_healthy(self, name: str, within_s: float = 60.0) -> None:
        """Return when one program is (again) healthy; raise TimeoutError if it takes too long."""
        await self._supervisor.wait_ready(name, within_s)

    def pids(self) -> dict[str, int]:
        """Return the process ids of the programs that run."""
        return self._supervisor.pids()

    async def _start_database(self) -> None:
        await asyncio.to_thread(self.postgres.prepare)
        await self.start_one("postgres")
        for database in self.config.databases:
            await asyncio.to_thread(self.postgres.create_database, database)
        await _together(*(self._run_before(process) for process in self.config.processes))

    async def _start_storage(self) -> None:
        await self.start_one("storage")
        await asyncio.to_thread(self.storage.create_buckets, self.config.buckets, project=self.config.project)

    async def _run_before(self, process: ProcessSetting) -> None:
        for argv in process.before:
            await self._supervisor.run_once(f"{process.name}-before", self._command(process, argv))

    def _child_settings(self) -> dict[str, ChildSetting]:
        settings = {
            "postgres": ChildSetting(
                "postgres",
                self.postgres.command,
                lambda: asyncio.to_thread(self.postgres.is_ready),
                START_WITHIN_S,
                restart_while_starting=True,
            ),
            "storage": ChildSetting("storage", self.storage.command, lambda: asyncio.to_thread(self.storage.is_ready)),
            PLATFORM: ChildSetting(PLATFORM, self._platform_command, self._is_platform_ready),
        }
        for process in self.config.processes:
            settings[process.name] = self._program_setting(process)
        return settings

    def _program_setting(self, process: ProcessSetting) -> ChildSetting:
        argv = tuple(self._fill(word, f"{process.name}: command") for word in process.argv)
        command = self._command(process, argv)
        address = f"{self.url(process.port)}{process.health}"

        async def is_ready() -> bool:
            return await self._status(address) == 200

        return ChildSetting(process.name, lambda: command, is_ready, grace_s=process.grace_s)

    def _platform_command(self) -> Command:
        flags = ("--manual-clock",) if self._manual_clock else ()
        argv = (sys.executable, "-m", "localcloud", "serve", "--config", str(self.state_dir / "platform.json"), *flags)
        return Command(argv, self.state_dir, base_environment())

    async def _is_platform_ready(self) -> bool:
        # Workflows starts last; whatever it answers to "/" it is up.
        answers = [await self._status(f"{self.url('tasks')}/_local/health"), await self._status(self.url("workflows"))]
        return answers[0] == 200 and answers[1] is not None

    async def _status(self, url: str) -> int | None:
        if self._session is None:
            return None
        try:
            async with self._session.get(url, allow_redirects=False) as response:
                return response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    def _command(self, process: ProcessSetting, argv: tuple[str, ...]) -> Command:
        environment = base_environment()
        if process.is_service:
            port = str(self.ports[process.port])
            # In its image gunicorn listens on all addresses at $PORT; here only on loopback.
            environment |= {"PORT": port, "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}"}
        environment |= self._filled(self.config.environment, "environment")
        environment |= self._filled(process.environment, f"{process.name}: environment")
        return Command(argv, process.folder, environment)

    def _fill(self, text: str, where: str) -> str:
        return fill(text, self._values, environment=self._environment, where=f"{self.config.source}: {where}")

    def _filled(self, texts: Mapping[str, str], where: str) -> dict[str, str]:
        return {name: self._fill(text, f"{where}.{name}") for name, text in texts.items()}

    def _write_platform_config(self) -> None:
        config = self.config
        enabled = self._fill(config.scheduler_enabled, "scheduler.enabled").lower()
        if enabled not in ("true", "false"):
            raise ConfigError(f"{config.source}: scheduler.enabled must be true or false, not {enabled!r}")
        platform = PlatformConfig(
            project=config.project,
            project_number=config.project_number,
            location=config.location,
            accounts=config.accounts,
            metadata_ports=metadata_ports(config, self.ports),
            workflows_account=config.workflows_account,
            workflows_port=self.ports["workflows"],
            workflows_grpc_port=self.ports["workflows-grpc"],
            tasks_port=self.ports["tasks"],
            tasks_grpc_port=self.ports["tasks-grpc"],
            workflows_dir=config.workflows_dir,
            workflows_environment=self._filled(config.workflows_environment, "workflows.environment"),
            secrets_file=config.workflows_secrets,
            queues_file=config.queues_file,
            queue_rates=config.queue_rates,
            schedules_file=config.schedules_file,
            schedules_paused=enabled == "false",
            scheduler_port=self.ports.get("scheduler", 0),
            service_urls={process.name: self.url(process.port) for process in config.processes},
            url_rewrites=self._filled(config.url_rewrites, "url_rewrites"),
            storage_url=self.storage.base_url,
            key_file=self.state_dir / "issuer.pem",
            host_names=config.allow_hosts,
        )
        self._state.write_platform(platform.to_json())

    def _check_ports(self) -> None:
        for owner, port in all_ports(self.config, self.ports).items():
            if is_port_taken(port):
                setting = self.config.ports.get(owner, self.config.ports["metadata"])
                raise ConfigError(
                    f"port {port} ({owner}) is taken by another program; set {setting.variable} to a free one"
                )


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Do things at once; when one fails, cancel the others, wait for them and raise its error."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
