"""What one local platform serves; the stack runner writes it as a JSON file for the process that serves it.

Apart from `composition` so that the runner need not load gRPC and the emulators.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from localcloud.core.config_fields import Fields


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
        queue_rates: dispatches a second of some of them, instead of what the file says.
        queue_tombstone_s: seconds for which the name of a deleted queue stays taken.
        schedules_file: jobs of the scheduler, which there is only with one.
        schedules_paused: jobs run only when told to.
        scheduler_port: REST port of the scheduler.
        service_urls: service name to base URL, for schedules.
        url_rewrites: URL prefix of a task to where it is really sent.
        storage_url: base URL of the storage emulator for connectors, or "".
        google_services: Google service to the base URL of its local server, for connectors.
        connectors_file: mocks of calls, or None.
        allows_unemulated: connectors without an address deploy, and fail when they are called.
        host_names: names that the ports are reached by, beside localhost and addresses.
        key_file: where the identity issuer keeps its key over restarts; None makes a fresh one each time.
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
    queue_rates: Mapping[str, int] = field(default_factory=dict)
    queue_tombstone_s: float = 0.0
    schedules_file: Path | None = None
    schedules_paused: bool = False
    scheduler_port: int = 0
    service_urls: Mapping[str, str] = field(default_factory=dict)
    url_rewrites: Mapping[str, str] = field(default_factory=dict)
    storage_url: str = ""
    key_file: Path | None = None
    host_names: tuple[str, ...] = ()
    connectors_file: Path | None = None
    google_services: Mapping[str, str] = field(default_factory=dict)
    allows_unemulated: bool = False

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(asdict(self), default=str, indent=2)

    @classmethod
    def from_json(cls, text: str, *, where: str) -> PlatformConfig:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: names `where` and the fault.
        """
        fields = Fields(json.loads(text), where)
        ports, rates = fields.section("metadata_ports"), fields.section("queue_rates")
        config = cls(
            project=fields.text("project"),
            project_number=fields.text("project_number"),
            location=fields.text("location"),
            accounts=fields.text_mapping("accounts"),
            metadata_ports={name: ports.integer(name, most=65535) for name in ports.keys()},  # noqa: SIM118 - not a dict
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
            queue_rates={name: rates.integer(name, least=1) for name in rates.keys()},  # noqa: SIM118 - not a dict
            queue_tombstone_s=fields.number("queue_tombstone_s", 0.0),
            schedules_file=_path(fields, "schedules_file"),
            schedules_paused=fields.flag("schedules_paused", False),
            scheduler_port=fields.integer("scheduler_port", most=65535),
            service_urls=fields.text_mapping("service_urls"),
            url_rewrites=fields.text_mapping("url_rewrites"),
            storage_url=fields.text("storage_url"),
            key_file=_path(fields, "key_file"),
            host_names=tuple(fields.text_list("host_names")),
            connectors_file=_path(fields, "connectors_file"),
            google_services=fields.text_mapping("google_services"),
            allows_unemulated=fields.flag("allows_unemulated", False),
        )
        fields.finish()
        return config


def _path(fields: Fields, key: str) -> Path | None:
    return Path(fields.text(key)) if fields.raw(key) is not None else None
