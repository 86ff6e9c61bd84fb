"""The stack file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.stack.config import load_stack_config, metadata_ports, resolve_ports
from localcloud.stack.free_ports import free_ports
from localcloud.stack.runner import StackRunner


@pytest.fixture
def config(tmp_path: Path, write_stack: Any) -> Any:
    return load_stack_config(write_stack(tmp_path))


def test_service_gets_the_command_of_its_image(config: Any) -> None:
    """The command, the folder and the port of a service come from its Dockerfile and its name."""
    web = config.processes[0]

    assert (web.argv, web.folder.name, web.port) == (("python", "web.py", "--from-image"), "web", "web")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("project: demo", "project: 7", r"stack\.yaml\.project: expected text, found a number 7"),
        ("project: demo", "projekt: demo", r"stack\.yaml\.project: is missing"),
        ("buckets: [photos]", "bucket: [photos]", r"stack\.yaml\.storage: unknown 'bucket'; known are buckets"),
        ("  web:\n", "  shop:\n", r"services\.shop: there is no port called 'shop'"),
        ("default: 18080", "default: 0", r"ports\.web\.default: expected a whole number from 1 to 65535, found 0"),
        ("  tasks: {default: 18123, variable: TASKS_PORT}\n", "", r"ports: missing tasks"),
        ("service_account: workflow", "service_account: boss", r"workflows\.service_account: no account 'boss'"),
        ("before: [[python, migrate.py]]", "before: [python]", r"services\.web\.before: expected a list of commands"),
        ("web/Dockerfile", "gone/Dockerfile", r"gone/Dockerfile: cannot be read"),
        ("project: demo", "project: demo\nscheduler: {schedules: s.yaml}", r"no port called 'scheduler'"),
        ("project: demo", "project: [", r"stack\.yaml: is not YAML"),
    ],
    ids=[
        "type",
        "missing",
        "unknown",
        "port-name",
        "port-number",
        "built-in",
        "account",
        "before",
        "file",
        "jobs",
        "yaml",
    ],
)
def test_fault_in_the_stack_file_is_named_with_its_place(
    tmp_path: Path, write_stack: Any, stack_text: Any, old: str, new: str, fault: str
) -> None:
    """Every error says where and what."""
    with pytest.raises(ConfigError, match=fault):
        load_stack_config(write_stack(tmp_path, stack_text.replace(old, new)))


def test_unknown_placeholder_is_found_before_anything_starts(tmp_path: Path, write_stack: Any, stack_text: Any) -> None:
    """The whole file is filled when the stack is made."""
    config = load_stack_config(write_stack(tmp_path, stack_text.replace("${database.orders}", "${database.order}")))

    with pytest.raises(ConfigError, match=r"web: environment\.DATABASE_URL: unknown .*database\.orders"):
        StackRunner(config, state_dir=tmp_path / "state", environment={})


def test_port_comes_from_the_caller_then_the_variable_then_the_default(config: Any) -> None:
    """Three sources in this order."""
    ports = resolve_ports(config, environment={"WEB_PORT": "9000", "ECHO_PORT": "9001"}, given={"web": 9100})

    assert (ports["web"], ports["echo"], ports["storage"]) == (9100, 9001, 14443)


@pytest.mark.parametrize(
    ("environment", "fault"),
    [
        ({"WEB_PORT": "http"}, "WEB_PORT='http' is not a port number"),
        ({"WEB_PORT": "18123"}, "port 18123 is given to both 'web' and 'tasks'"),
        ({"WEB_PORT": "18091"}, "port 18091 is given to both 'web' and 'metadata of workflow'"),
    ],
    ids=["text", "twice", "metadata-run"],
)
def test_impossible_ports_are_refused(config: Any, environment: Any, fault: str) -> None:
    """A port must be a number and belong to one owner."""
    with pytest.raises(ConfigError, match=fault):
        resolve_ports(config, environment=environment)


def test_every_account_has_a_metadata_port(config: Any) -> None:
    """Accounts count up from the base port, in file order."""
    ports = resolve_ports(config, environment={})

    assert metadata_ports(config, ports) == {"web": 18090, "workflow": 18091}


def test_free_ports_cover_the_whole_stack_without_overlap(config: Any) -> None:
    """What `free_ports` gives is accepted."""
    given = free_ports(config)

    assert resolve_ports(config, environment={}, given=given) == given


def test_what_is_said_in_the_end_has_its_addresses(tmp_path: Path, write_stack: Any) -> None:
    """`ready` is filled as exports are."""
    path = write_stack(tmp_path)
    path.write_text(path.read_text() + 'ready: {page: "${url.web}/start"}\n')

    runner = StackRunner(load_stack_config(path), state_dir=tmp_path / "state", ports={"web": 18099})

    assert runner.ready == {"page": "http://127.0.0.1:18099/start"}
