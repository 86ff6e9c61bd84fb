"""Wires identity, Cloud Tasks, Workflows and the scheduler to one clock and one event loop.

This is what the process `localcloud serve` runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from localcloud.core.clock import Clock, SystemClock
from localcloud.core.faults import FaultPlan
from localcloud.core.grpc_extra import is_grpc_installed
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.identity.engine.keys import kept_signing_key
from localcloud.identity.server import IdentityServer, start_identity_server
from localcloud.platform_config import PlatformConfig
from localcloud.scheduler.api.rest import ROUTES as SCHEDULER_ROUTES
from localcloud.scheduler.engine.jobs import DISPATCH, Scheduler
from localcloud.scheduler.schedules_file import load_schedules
from localcloud.scheduler.server import SchedulerServer
from localcloud.tasks.queues_file import load_queues
from localcloud.tasks.server import TasksServer, start_tasks_server
from localcloud.workflows.connectors.mocks import Mocks, load_mocks
from localcloud.workflows.server import WorkflowsServer, start_workflows_server


class _SameForAll(Mapping[str, Mapping[str, str]]):
    """User environment variables of any workflow, also of one whose file appears later."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, workflow_id: str) -> Mapping[str, str]:
        return self._variables

    def __bool__(self) -> bool:
        # It holds a value for every workflow although it can list none: `user_env or {}` must keep it.
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Platform:
    """The running servers; made by `start_platform`."""

    def __init__(self) -> None:
        self.identity: IdentityServer | None = None
        self.tasks: TasksServer | None = None
        self.workflows: WorkflowsServer | None = None
        self.scheduler: SchedulerServer | None = None
        self.mocks = Mocks()
        """Calls of executions whose answers are given; more may be added."""
        self._stops: list[Callable[[], Awaitable[None]]] = []

    def will_stop(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Remember how to stop a part that was just started."""
        self._stops.append(stop)

    async def stop(self) -> None:
        """Stop all parts, the last started first."""
        while self._stops:
            await self._stops.pop()()


async def start_platform(config: PlatformConfig, clock: Clock) -> Platform:
    """Start identity, tasks, the scheduler and workflows, in this order.

    Raises:
        ConfigError: queues or schedules are wrong.
        OSError: a port is taken. What was started is stopped again.
    """
    platform = Platform()
    if config.connectors_file is not None:
        platform.mocks = load_mocks(config.connectors_file)
    try:
        await _start_parts(platform, config, clock)
    except BaseException:
        await platform.stop()
        raise
    return platform


def _own_addresses(workflows: WorkflowsServer) -> dict[str, str]:
    """Return where tasks for the Workflows APIs go: Google's tutorials aim tasks at their production addresses."""
    services = ("workflows", "workflowexecutions")
    return {f"https://{service}.googleapis.com/": f"{workflows.base_url}/" for service in services}


async def _start_parts(platform: Platform, config: PlatformConfig, clock: Clock) -> None:
    # Tokens are judged and files change in the machine's time, also while a manual clock stands still or leaps a year.
    machine = SystemClock()
    key = kept_signing_key(config.key_file, machine.now()) if config.key_file else None
    issuer = TokenIssuer(machine, key)
    identity = await start_identity_server(
        host=config.host,
        accounts={email: config.metadata_ports[name] for name, email in config.accounts.items()},
        issuer=issuer,
        clock=clock,
        project=config.project,
        project_number=config.project_number,
        location=config.location,
        host_names=config.host_names,
    )
    platform.identity = identity
    has_grpc = is_grpc_installed()
    platform.will_stop(identity.stop)
    queues = []
    if config.queues_file:
        queues = load_queues(
            config.queues_file, project=config.project, location=config.location, rates=config.queue_rates
        )
    tasks = await start_tasks_server(
        host=config.host,
        port=config.tasks_port,
        grpc_port=config.tasks_grpc_port if has_grpc else None,
        clock=clock,
        location=config.location,
        queues=queues,
        mint_id_token=issuer.mint_id_token,
        mint_access_token=issuer.mint_access_token,
        token_clock=machine,
        queue_tombstone_s=config.queue_tombstone_s,
        url_rewrites=config.url_rewrites,
        host_names=config.host_names,
    )
    platform.tasks = tasks
    platform.will_stop(tasks.stop)
    if config.schedules_file is not None:
        faults = FaultPlan(clock, SCHEDULER_ROUTES, route_of={"job": DISPATCH})
        jobs = Scheduler(
            load_schedules(config.schedules_file),
            parent=f"projects/{config.project}/locations/{config.location}",
            clock=clock,
            service_urls=config.service_urls,
            emails=config.accounts,
            mint_id_token=issuer.mint_id_token,
            faults=faults,
            paused=config.schedules_paused,
        )
        scheduler = SchedulerServer(jobs, faults, clock, host=config.host, host_names=config.host_names)
        await scheduler.start(config.scheduler_port)
        platform.scheduler = scheduler
        platform.will_stop(scheduler.stop)
    storage = {"storage": config.storage_url} if config.storage_url else {}
    endpoints = {"cloudtasks": tasks.base_url} | storage | dict(config.google_services)
    workflows = await start_workflows_server(
        host=config.host,
        port=config.workflows_port,
        grpc_port=config.workflows_grpc_port if has_grpc else None,
        clock=clock,
        project=config.project,
        project_number=config.project_number,
        location=config.location,
        service_account=config.accounts[config.workflows_account],
        token_source=identity.tokens,
        endpoints=endpoints,
        workflows_dir=config.workflows_dir,
        user_env=_SameForAll(config.workflows_environment),
        secrets_file=config.secrets_file,
        folder_clock=machine,
        host_names=config.host_names,
        mocks=platform.mocks,
        allows_unemulated=config.allows_unemulated,
    )
    platform.workflows = workflows
    tasks.add_rewrites(_own_addresses(workflows) | dict(config.url_rewrites))
    platform.will_stop(workflows.stop)
