"""What a stack consists of, read from a YAML file.

Texts may hold placeholders (see `localcloud.stack.placeholders`); they are filled when the ports are known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.core.config_fields import ConfigError, Fields, read_yaml
from localcloud.stack.dockerfile import command_from_dockerfile

BUILT_IN_PORTS = ("postgres", "storage", "workflows", "workflows-grpc", "tasks", "tasks-grpc", "metadata")
"""Ports every stack needs; `metadata` is the first of as many as there are service accounts. Schedules need one too."""


@dataclass(frozen=True, slots=True)
class PortSetting:
    """A port's default and the environment variable that overrides it."""

    name: str
    default: int
    variable: str


@dataclass(frozen=True, slots=True)
class ProcessSetting:
    """A program of the stack.

    `before` are commands that must succeed before any program starts (database migrations), in the same environment.
    `is_service` means: started from its Dockerfile, on the port of its name, as Cloud Run would.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    is_service: bool
    port: str
    health: str
    before: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str]
    grace_s: float


@dataclass(frozen=True, slots=True)
class StackConfig:
    """A whole stack; paths are absolute, texts may hold placeholders.

    `allow_hosts` are names that the emulators' ports are reached by, beside localhost and addresses.
    """

    source: Path
    root: Path
    state_dir: Path
    project: str
    project_number: str
    location: str
    ports: Mapping[str, PortSetting]
    accounts: Mapping[str, str]
    databases: tuple[str, ...]
    fsync: bool
    buckets: tuple[str, ...]
    secrets: tuple[str, ...]
    queues_file: Path
    queue_rates: Mapping[str, int]
    schedules_file: Path | None
    scheduler_enabled: str
    workflows_dir: Path | None
    workflows_account: str
    workflows_environment: Mapping[str, str]
    workflows_secrets: Path | None
    url_rewrites: Mapping[str, str]
    environment: Mapping[str, str]
    processes: tuple[ProcessSetting, ...]
    exports: Mapping[str, str]
    allow_hosts: tuple[str, ...] = ()
    ready: Mapping[str, str] = field(default_factory=dict)


def load_stack_config(path: Path) -> StackConfig:
    """Read a stack file.

    Raises:
        ConfigError: names file, key and fault.
    """
    top = read_yaml(path)
    root = (path.parent / top.text("root", ".")).resolve()
    ports = _ports(top.section("ports"))
    accounts = top.text_mapping("accounts")
    postgres, storage = top.section("postgres"), top.section("storage")
    rates = top.section("queue_rates")
    workflows, scheduler = top.section("workflows"), top.section("scheduler")
    config = StackConfig(
        source=path,
        root=root,
        state_dir=root / top.text("state", ".local"),
        project=top.text("project"),
        project_number=top.text("project_number", "123456789012"),
        location=top.text("location"),
        ports=ports,
        accounts=accounts,
        databases=tuple(postgres.text_list("databases")),
        fsync=postgres.flag("fsync", True),
        buckets=tuple(storage.text_list("buckets")),
        secrets=tuple(top.text_list("secrets")),
        queues_file=root / top.text("queues"),
        queue_rates={name: rates.integer(name, least=1) for name in rates.keys()},  # noqa: SIM118 - not a dict
        schedules_file=root / scheduler.text("schedules") if "schedules" in scheduler else None,
        scheduler_enabled=scheduler.text("enabled", "true"),
        workflows_dir=root / workflows.text("directory") if "directory" in workflows else None,
        workflows_account=workflows.text("service_account"),
        workflows_environment=workflows.text_mapping("environment"),
        workflows_secrets=root / workflows.text("secrets") if "secrets" in workflows else None,
        url_rewrites=top.text_mapping("url_rewrites"),
        environment=top.text_mapping("environment"),
        processes=(*_processes(top.section("services"), root, ports), *_programs(top.section("programs"), root, ports)),
        exports=top.text_mapping("exports"),
        allow_hosts=tuple(top.text_list("allow_hosts")),
        ready=top.text_mapping("ready"),
    )
    for section in (top, postgres, storage, workflows, scheduler):
        section.finish()
    if config.schedules_file is not None and "scheduler" not in ports:
        raise scheduler.error("schedules", "there is no port called 'scheduler'")
    if not accounts:
        raise top.error("accounts", "at least one service account is needed")
    if config.workflows_account not in accounts:
        raise workflows.error("service_account", f"no account '{config.workflows_account}' is defined")
    return config


def resolve_ports(
    config: StackConfig, *, environment: Mapping[str, str], given: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return the port of every name: `given` first, then the environment variable, then the default.

    Raises:
        ConfigError: a variable is no port number, or two names share a port.
    """
    ports: dict[str, int] = {}
    for name, setting in config.ports.items():
        text = environment.get(setting.variable, "")
        if given is not None and name in given:
            ports[name] = given[name]
        elif not text:
            ports[name] = setting.default
        elif text.isdecimal() and 0 < int(text) < 65536:
            ports[name] = int(text)
        else:
            raise ConfigError(f"{setting.variable}={text!r} is not a port number")
    owners: dict[int, str] = {}
    for owner, port in all_ports(config, ports).items():
        if port in owners:
            raise ConfigError(f"port {port} is given to both '{owners[port]}' and '{owner}'")
        owners[port] = owner
    return ports


def all_ports(config: StackConfig, ports: Mapping[str, int]) -> dict[str, int]:
    """Return every port the stack listens on by a describing name, the metadata ports one by one."""
    named = {name: port for name, port in ports.items() if name != "metadata"}
    return named | {f"metadata of {name}": port for name, port in metadata_ports(config, ports).items()}


def metadata_ports(config: StackConfig, ports: Mapping[str, int]) -> dict[str, int]:
    """Return the metadata port of every account: the base port, then counting up."""
    return {name: ports["metadata"] + offset for offset, name in enumerate(config.accounts)}


def placeholder_values(
    config: StackConfig,
    *,
    ports: Mapping[str, int],
    state_dir: Path,
    database_urls: Mapping[str, str],
    secrets: Mapping[str, str],
    python: str,
) -> dict[str, str]:
    """Return the values of every placeholder but `env.`."""
    values = {
        "project": config.project,
        "location": config.location,
        "root": str(config.root),
        "state": str(state_dir),
        "python": python,
    }
    for name, port in ports.items():
        values[f"port.{name}"] = str(port)
        values[f"address.{name}"] = f"127.0.0.1:{port}"
        values[f"url.{name}"] = f"http://127.0.0.1:{port}"
    values |= {f"database.{name}": url for name, url in database_urls.items()}
    values |= {f"secret.{name}": secret for name, secret in secrets.items()}
    values |= {f"account.{name}": email for name, email in config.accounts.items()}
    values |= {f"metadata.{name}": f"127.0.0.1:{port}" for name, port in metadata_ports(config, ports).items()}
    return values


def _ports(section: Fields) -> dict[str, PortSetting]:
    ports: dict[str, PortSetting] = {}
    for name in section.keys():  # noqa: SIM118 - not a dict
        fields = section.section(name)
        ports[name] = PortSetting(name, fields.integer("default", least=1, most=65535), fields.text("variable"))
        fields.finish()
    missing = [name for name in BUILT_IN_PORTS if name not in ports]
    if missing:
        raise ConfigError(f"{section.where}: missing {', '.join(missing)}")
    return ports


def _processes(section: Fields, root: Path, ports: Mapping[str, PortSetting]) -> list[ProcessSetting]:
    """Read services: `dockerfile` gives the command, the port has the service's name."""
    found = []
    for name in section.keys():  # noqa: SIM118 - not a dict
        fields = section.section(name)
        if name not in ports:
            raise ConfigError(f"{fields.where}: there is no port called '{name}'")
        dockerfile = root / fields.text("dockerfile")
        found.append(_process(fields, name, command_from_dockerfile(dockerfile), dockerfile.parent, is_service=True))
    return found


def _programs(section: Fields, root: Path, ports: Mapping[str, PortSetting]) -> list[ProcessSetting]:
    """Read other programs: `command` is given, `port` names the port it listens on."""
    found = []
    for name in section.keys():  # noqa: SIM118 - not a dict
        fields = section.section(name)
        port = fields.text("port")
        if port not in ports:
            raise fields.error("port", f"there is no port called '{port}'")
        argv = tuple(fields.text_list("command"))
        if not argv:
            raise fields.error("command", "is missing")
        found.append(_process(fields, name, argv, root, is_service=False))
    return found


def _process(fields: Fields, name: str, argv: tuple[str, ...], folder: Path, *, is_service: bool) -> ProcessSetting:
    before = fields.raw("before") or []
    if not isinstance(before, list) or not all(_is_command(command) for command in before):
        raise fields.error("before", f"expected a list of commands, each a list of text: {json.dumps(before)}")
    setting = ProcessSetting(
        name=name,
        argv=argv,
        folder=folder,
        is_service=is_service,
        port=name if is_service else fields.text("port"),
        health=fields.text("health"),
        before=tuple(tuple(command) for command in before),
        environment=fields.text_mapping("environment"),
        # Cloud Run kills ten seconds after SIGTERM.
        grace_s=fields.number("grace_s", 10.0),
    )
    fields.finish()
    return setting


def _is_command(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)
