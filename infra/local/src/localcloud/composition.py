"""Wires identity, Cloud Tasks, Workflows and the scheduler to one clock and one event loop.

This is what the process `localcloud serve` runs; `PlatformConfig` travels to it as a JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from localcloud.clock import Clock
from localcloud.fields import Fields
from localcloud.identity.issuer import TokenIssuer
from localcloud.identity.server import IdentityServer, start_identity_server
from localcloud.scheduler import Scheduler, load_schedules
from localcloud.tasks.queues_file import load_queues
from localcloud.tasks.server import TasksServer, start_tasks_server
from localcloud.workflows.server import WorkflowsServer, start_workflows_server


@dataclass(frozen=True, slots=True)
class PlatformConfig:
    """What one local platform serves.

    Attributes:
        project: project id.
        project_number: digits.
        location: the region of everything.
        accounts: service account name to email, in the order of their metadata ports.
        metadata_ports: account name to port; the first one also serves the certificates.
        workflows_account: name of the account that workflows run as.
        workflows_dir: folder of `*.yaml` to deploy, or None.
        workflows_environment: user environment variables of every workflow in that folder.
        secrets_file: values of Secret Manager for workflows, or None.
        queues_file: queues that exist from the start, or None.
        schedules_file: jobs of the scheduler; None switches it off.
        service_urls: service name to base URL, for schedules.
        url_rewrites: URL prefix of a task to where it is really sent.
        storage_url: base URL of the storage emulator for connectors, or "".
    """

    project: str
    project_number: str
    location: str
    accounts: Mapping[str, str]
    metadata_ports: Mapping[str, int]
    workflows_account: str
    workflows_port: int
    workflows_grpc_port: int
    tasks_port: int
    tasks_grpc_port: int
    host: str = "127.0.0.1"
    workflows_dir: Path | None = None
    workflows_environment: Mapping[str, str] = field(default_factory=dict)
    secrets_file: Path | None = None
    queues_file: Path | None = None
    schedules_file: Path | None = None
    service_urls: Mapping[str, str] = field(default_factory=dict)
    url_rewrites: Mapping[str, str] = field(default_factory=dict)
    storage_url: str = ""

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(asdict(self), default=str, indent=2)

    @classmethod
    def from_json(cls, text: str, *, place: str) -> PlatformConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: names `place` and the fault.
        """
        fields = Fields(json.loads(text), place)
        ports = fields.section("metadata_ports")
        config = cls(
            project=fields.text("project"),
            project_number=fields.text("project_number"),
            location=fields.text("location"),
            accounts=fields.text_mapping("accounts"),
            metadata_ports={name: ports.integer(name, most=65535) for name in ports.keys()},  # noqa: SIM118
            workflows_account=fields.text("workflows_account"),
            workflows_port=fields.integer("workflows_port", most=65535),
            workflows_grpc_port=fields.integer("workflows_grpc_port", most=65535),
            tasks_port=fields.integer("tasks_port", most=65535),
            tasks_grpc_port=fields.integer("tasks_grpc_port", most=65535),
            host=fields.text("host"),
            workflows_dir=_path(fields, "workflows_dir"),
            workflows_environment=fields.text_mapping("workflows_environment"),
            secrets_file=_path(fields, "secrets_file"),
            queues_file=_path(fields, "queues_file"),
            schedules_file=_path(fields, "schedules_file"),
            service_urls=fields.text_mapping("service_urls"),
            url_rewrites=fields.text_mapping("url_rewrites"),
            storage_url=fields.text("storage_url"),
        )
        fields.finish()
        return config


class Platform:
    """The running servers; made by `start_platform`."""

    def __init__(self) -> None:
        self.identity: IdentityServer | None = None
        self.tasks: TasksServer | None = None
        self.workflows: WorkflowsServer | None = None
        self.scheduler: Scheduler | None = None
        self._stops: list[Callable[[], Awaitable[None]]] = []

    def will_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Remember how to stop a part that was just started."""
        self._stops.append(stop)

    async def stop(self) -> None:
        """Stop all parts, the last started first."""
        while self._stops:
            await self._stops.pop()()


async def start_platform(config: PlatformConfig, clock: Clock) -> Platform:
    """Start identity, tasks, workflows and the scheduler, in this order.

    Raises:
        ConfigError: queues or schedules are wrong.
        OSError: a port is taken. What was started is stopped again.
    """
    platform = Platform()
    try:
        await _start_parts(platform, config, clock)
    except BaseException:
        await platform.stop()
        raise
    return platform


async def _start_parts(platform: Platform, config: PlatformConfig, clock: Clock) -> None:
    issuer = TokenIssuer(clock)
    identity = await start_identity_server(
        host=config.host,
        accounts={email: config.metadata_ports[name] for name, email in config.accounts.items()},
        issuer=issuer,
        project=config.project,
        project_number=config.project_number,
        location=config.location,
    )
    platform.identity = identity
    platform.will_stop(identity.stop)
    queues = (
        load_queues(config.queues_file, project=config.project, location=config.location) if config.queues_file else []
    )
    tasks = await start_tasks_server(
        host=config.host,
        port=config.tasks_port,
        grpc_port=config.tasks_grpc_port,
        clock=clock,
        location=config.location,
        queues=queues,
        mint_id_token=issuer.mint_id_token,
        mint_access_token=issuer.mint_access_token,
        url_rewrites=config.url_rewrites,
    )
    platform.tasks = tasks
    platform.will_stop(tasks.stop)
    endpoints = {"cloudtasks": tasks.base_url} | ({"storage": config.storage_url} if config.storage_url else {})
    workflow_ids = [path.stem for path in config.workflows_dir.glob("*.yaml")] if config.workflows_dir else []
    workflows = await start_workflows_server(
        host=config.host,
        port=config.workflows_port,
        grpc_port=config.workflows_grpc_port,
        clock=clock,
        project=config.project,
        project_number=config.project_number,
        location=config.location,
        service_account=config.accounts[config.workflows_account],
        token_source=identity.tokens,
        endpoints=endpoints,
        workflows_dir=config.workflows_dir,
        user_env=dict.fromkeys(workflow_ids, config.workflows_environment),
        secrets_file=config.secrets_file,
    )
    platform.workflows = workflows
    platform.will_stop(workflows.stop)
    if config.schedules_file is not None:
        scheduler = Scheduler(
            load_schedules(config.schedules_file),
            clock=clock,
            service_urls=config.service_urls,
            emails=config.accounts,
            mint_id_token=issuer.mint_id_token,
        )
        await scheduler.start()
        platform.scheduler = scheduler
        platform.will_stop(scheduler.stop)


def _path(fields: Fields, key: str) -> Path | None:
    return Path(fields.text(key)) if fields.raw(key) is not None else None
