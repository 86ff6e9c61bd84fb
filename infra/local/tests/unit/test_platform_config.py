"""The file that tells the emulators' process what to serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.platform_config import PlatformConfig

CONFIG = PlatformConfig(
    project="demo",
    project_number="1",
    location="us-central1",
    accounts={"workflow": "workflow@demo"},
    metadata_ports={"workflow": 8090},
    workflows_account="workflow",
    workflows_port=8787,
    workflows_grpc_port=8788,
    tasks_port=8123,
    tasks_grpc_port=8124,
    workflows_dir=Path("/w"),
    workflows_environment={"URL": "http://x"},
    queues_file=Path("/q.yaml"),
    queue_rates={"images": 500},
    queue_tombstone_s=60.0,
    service_urls={"shop": "http://s"},
    url_rewrites={"https://a": "http://b"},
    storage_url="http://st",
)


def test_platform_config_survives_the_way_through_its_file() -> None:
    """What one process writes the other reads."""
    assert PlatformConfig.from_json(CONFIG.to_json(), where="x") == CONFIG


def test_unknown_key_is_refused_by_name() -> None:
    """A file of another version is not half understood."""
    text = json.dumps(json.loads(CONFIG.to_json()) | {"colour": "red"})

    with pytest.raises(ConfigError, match=r"platform\.json: unknown 'colour'"):
        PlatformConfig.from_json(text, where="platform.json")
