"""What a harness is started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.platform_config import PlatformConfig

_ACCOUNT = "workflow"


@dataclass(frozen=True, slots=True)
class LocalCloudOptions:
    """What a harness is started with; see `localcloud serve` for the meaning.

    Attributes:
        project: project id.
        location: region.
        services: Google service to the base URL of its local server.
        queues_file: queues that exist from the start, or None.
        allow_unemulated: connectors that nothing answers deploy, and fail at their call.
        timeout_s: real seconds that an execution may take.
    """

    project: str = "demo"
    location: str = "us-central1"
    services: Mapping[str, str] = field(default_factory=dict)
    queues_file: Path | None = None
    allow_unemulated: bool = False
    timeout_s: float = 60.0


def platform_config(options: LocalCloudOptions, secrets_file: Path) -> PlatformConfig:
    """Return the configuration of the emulators, all on free ports."""
    account = f"{_ACCOUNT}@{options.project}.iam.gserviceaccount.com"
    return PlatformConfig(
        project=options.project,
        project_number="123456789012",
        location=options.location,
        accounts={_ACCOUNT: account},
        metadata_ports={_ACCOUNT: 0},
        workflows_account=_ACCOUNT,
        workflows_port=0,
        workflows_grpc_port=0,
        tasks_port=0,
        tasks_grpc_port=0,
        secrets_file=secrets_file,
        queues_file=options.queues_file,
        google_services=options.services,
        allows_unemulated=options.allow_unemulated,
    )
