"""Command line of localcloud."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from localcloud.core.clock import Clock, ManualClock, SystemClock
from localcloud.core.config_fields import ConfigError
from localcloud.core.service_addresses import service_addresses
from localcloud.platform_config import PlatformConfig

_DISTRIBUTION = "gcp-localcloud"
_DOWN_WITHIN_S = 60.0
_MANUAL_CLOCK_HELP = (
    "departs from production: time stands still in the emulators until "
    'POST /_local/time {"advance_s": SECONDS} to any of them'
)
_CONNECTORS_HELP = (
    "answers of calls that are not emulated (YAML): connector or 'http.VERB URL' to {returns: VALUE} or {raises: VALUE}"
)
_UNEMULATED_HELP = "deploy calls of connectors that nothing answers; they fail when they are made"
_SERVICE_HELP = (
    "local server of a Google service, e.g. pubsub=http://127.0.0.1:8085; PUBSUB_EMULATOR_HOST, "
    "FIRESTORE_EMULATOR_HOST, BIGQUERY_EMULATOR_HOST and STORAGE_EMULATOR_HOST are read, too"
)
_DEFAULT_ACCOUNTS = {"workflow": "workflow@{project}.iam.gserviceaccount.com"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 failed, 2 wrong usage or configuration."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "up":
                return asyncio.run(_up(options))
            case "down":
                return _down(options)
            case "check":
                return _check(options)
            case "run":
                return _run(options)
            case _:
                return asyncio.run(_serve(_platform_config(options), _clock(options)))
    except ConfigError as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads the output has seen enough (`localcloud check ... | head`); Python must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1


def _version() -> str:
    return metadata.version(_DISTRIBUTION)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="localcloud", description="Google Cloud Workflows and Cloud Tasks on a laptop."
    )
    parser.add_argument("--version", action="version", version=f"localcloud {_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="run a whole stack: database, storage, emulators and services")
    up.add_argument("--config", type=Path, required=True, help="stack file (YAML)")
    up.add_argument("--state", type=Path, help="folder of data, logs, env and pids.json (default: from the stack file)")
    up.add_argument("--quiet", action="store_true", help="programs write only to their log files")
    up.add_argument("--manual-clock", action="store_true", help=_MANUAL_CLOCK_HELP)
    down = commands.add_parser("down", help="end a stack that runs")
    down.add_argument("--config", type=Path, required=True, help="stack file (YAML)")
    down.add_argument("--state", type=Path, help="its state folder (default: from the stack file)")
    serve = commands.add_parser("serve", help="run the emulators only")
    serve.add_argument(
        "--config",
        type=Path,
        help="platform file (JSON) as written by `up`; replaces all other options but --manual-clock",
    )
    serve.add_argument("--workflows-dir", type=Path, help="folder of workflows to deploy")
    serve.add_argument("--queues", type=Path, help="queues that exist from the start (YAML)")
    serve.add_argument(
        "--queue-tombstone",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long the name of a deleted queue stays taken; production says up to 3 days (default: %(default)s)",
    )
    serve.add_argument("--secrets", type=Path, help="values of Secret Manager: YAML or JSON of secret ids and texts")
    serve.add_argument(
        "--storage", metavar="URL", help="base URL of a Cloud Storage emulator (default: STORAGE_EMULATOR_HOST)"
    )
    serve.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="user environment variable")
    serve.add_argument("--connectors", type=Path, metavar="FILE", help=_CONNECTORS_HELP)
    serve.add_argument("--service", action="append", default=[], metavar="SERVICE=URL", help=_SERVICE_HELP)
    serve.add_argument("--allow-unemulated", action="store_true", help=_UNEMULATED_HELP)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--project", default="demo", help="project id (default: %(default)s)")
    serve.add_argument("--location", default="us-central1", help="region (default: %(default)s)")
    serve.add_argument("--workflows-port", type=int, default=8787, help="REST (default: %(default)s)")
    serve.add_argument("--workflows-grpc-port", type=int, default=8788, help="gRPC (default: %(default)s)")
    serve.add_argument("--tasks-port", type=int, default=8123, help="REST (default: %(default)s)")
    serve.add_argument("--tasks-grpc-port", type=int, default=8124, help="gRPC (default: %(default)s)")
    serve.add_argument("--metadata-port", type=int, default=8090, help="metadata server (default: %(default)s)")
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name that the ports are reached by, e.g. in a container network; localhost and addresses always are",
    )
    serve.add_argument("--manual-clock", action="store_true", help=_MANUAL_CLOCK_HELP)
    run = commands.add_parser("run", help="run a workflow once, without a server, and print its result")
    run.add_argument("file", type=Path, metavar="FILE", help="workflow source (YAML or JSON)")
    run.add_argument("--data", metavar="JSON", help="argument of the execution")
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="user environment variable")
    run.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="SERVICE=URL",
        help=f"{_SERVICE_HELP}, and CLOUD_TASKS_EMULATOR_HOST and WORKFLOWS_EMULATOR_HOST",
    )
    run.add_argument("--connectors", type=Path, metavar="FILE", help=_CONNECTORS_HELP)
    run.add_argument("--allow-unemulated", action="store_true", help=_UNEMULATED_HELP)
    run.add_argument("--trace", action="store_true", help="tell every step on the standard error")
    run.add_argument("--project", default="demo", help="project id (default: %(default)s)")
    run.add_argument("--location", default="us-central1", help="region (default: %(default)s)")
    check = commands.add_parser("check", help="say what is known about workflows without running them")
    check.add_argument(
        "files", type=Path, nargs="+", metavar="PATH", help="workflow source (YAML or JSON), or a folder of them"
    )
    check.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="json for programs, github for annotations of GitHub Actions (default: %(default)s)",
    )
    check.add_argument(
        "--allow-unemulated",
        action="store_true",
        help="tell connectors that are not in Google's discovery documents instead of refusing them",
    )
    check.add_argument(
        "--assume",
        action="append",
        default=[],
        metavar="NAME=BYTES",
        help="largest size of a variable whose bound is not in the source, for the memory of parallel steps",
    )
    return parser


def _platform_config(options: argparse.Namespace) -> PlatformConfig:
    if options.config is not None:
        try:
            text = options.config.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{options.config}: cannot be read: {error.strerror}") from error
        return PlatformConfig.from_json(text, where=str(options.config))
    accounts = {name: email.format(project=options.project) for name, email in _DEFAULT_ACCOUNTS.items()}
    return PlatformConfig(
        project=options.project,
        project_number="123456789012",
        location=options.location,
        accounts=accounts,
        metadata_ports=dict.fromkeys(accounts, options.metadata_port),
        workflows_account="workflow",
        workflows_port=options.workflows_port,
        workflows_grpc_port=options.workflows_grpc_port,
        tasks_port=options.tasks_port,
        tasks_grpc_port=options.tasks_grpc_port,
        workflows_dir=options.workflows_dir,
        queues_file=options.queues,
        queue_tombstone_s=options.queue_tombstone,
        host_names=tuple(options.allow_host),
        host=options.host,
        secrets_file=options.secrets,
        connectors_file=options.connectors,
        google_services=service_addresses(_services(options), os.environ),
        allows_unemulated=options.allow_unemulated,
        workflows_environment=_variables(options.env),
    )


def _services(options: argparse.Namespace) -> list[str]:
    if options.storage is None:
        return list(options.service)
    return [*options.service, f"storage={options.storage if '://' in options.storage else f'http://{options.storage}'}"]


def _variables(texts: Sequence[str]) -> dict[str, str]:
    variables = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"--env wants NAME=VALUE, not {text!r}")
        variables[name] = value
    return variables


def _clock(options: argparse.Namespace) -> Clock:
    machine = SystemClock()
    # It starts at the machine's time, so that tokens are valid for verifiers outside of this process.
    return ManualClock(machine.now()) if options.manual_clock else machine


def _collect_less_often() -> None:
    """Look for garbage in larger portions: what a server makes are step entries, which stay, and few cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _serve(config: PlatformConfig, clock: Clock) -> int:
    # Here, not above: the emulators and gRPC take a second to load, and only this command needs them.
    from localcloud.composition import start_platform
    from localcloud.core.grpc_extra import INSTALLS_GRPC, is_grpc_installed
    from localcloud.log_lines import LineFormatter

    _collect_less_often()

    lines = logging.StreamHandler(sys.stdout)
    lines.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    ended = _end_event()
    platform = await start_platform(config, clock)
    try:
        workflows_url = f"http://{config.host}:{config.workflows_port}"
        workflows_grpc, tasks_grpc = (
            f" (gRPC {port})" if is_grpc_installed() else ""
            for port in (config.workflows_grpc_port, config.tasks_grpc_port)
        )
        print(f"Workflows on {workflows_url}{workflows_grpc}, pages at {workflows_url}/ui/")
        print(f"Cloud Tasks on http://{config.host}:{config.tasks_port}{tasks_grpc}", flush=True)
        if not is_grpc_installed():
            print(f"gRPC is not served: {INSTALLS_GRPC}", flush=True)
        await ended.wait()
    finally:
        await platform.stop()
    return 0


async def _up(options: argparse.Namespace) -> int:
    # Here, not above: the emulators alone need neither PostgreSQL nor its driver.
    from localcloud.stack.config import load_stack_config
    from localcloud.stack.postgres import PostgresError
    from localcloud.stack.runner import StackRunner
    from localcloud.stack.storage import StorageError
    from localcloud.stack.supervisor import ChildError

    config = load_stack_config(options.config)
    runner = StackRunner(
        config,
        state_dir=options.state,
        environment=os.environ,
        echo=not options.quiet,
        manual_clock=options.manual_clock,
    )
    ended = _end_event()
    starting = asyncio.create_task(runner.start())
    ending = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return 130
        await starting
        for process in config.processes:
            print(f"{process.name:<12} {runner.url(process.port)}")
        scheduler = ["scheduler"] if config.schedules_file is not None else []
        for name in ("workflows", "tasks", *scheduler, "storage"):
            print(f"{name:<12} {runner.url(name)}")
        print(f"{'executions':<12} {runner.url('workflows')}/ui/")
        print(f"\nReady. In another terminal:  . {runner.state_dir / 'env'}", flush=True)
        for what, text in runner.ready.items():
            print(f"{what:<12} {text}", flush=True)
        await ending
        print("\nstopping", flush=True)
    except (ChildError, PostgresError, StorageError) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1
    finally:
        ending.cancel()
        await runner.stop()
    return 0


def _down(options: argparse.Namespace) -> int:
    from localcloud.stack.config import load_stack_config
    from localcloud.stack.state import StateFolder

    state = StateFolder(options.state or load_stack_config(options.config).state_dir)
    print("stopped" if state.end_owner(_DOWN_WITHIN_S) else "no stack runs")
    return 0


def _check(options: argparse.Namespace) -> int:
    # Here, not above: the standard library of workflows takes a moment to load.
    from localcloud.check.command import check_files

    return check_files(options.files, options.assume, print, options.format, allows_unemulated=options.allow_unemulated)


def _run(options: argparse.Namespace) -> int:
    # Here, not above: the interpreter takes a moment to load.
    from localcloud.run import RunSettings, run_file

    settings = RunSettings(
        file=options.file,
        data=options.data,
        env=tuple(options.env),
        services=tuple(options.service),
        project=options.project,
        location=options.location,
        traces=options.trace,
        connectors=options.connectors,
        allows_unemulated=options.allow_unemulated,
    )

    def tell(text: str) -> None:
        print(text, file=sys.stderr)

    try:
        return asyncio.run(run_file(settings, os.environ, print, tell))
    except KeyboardInterrupt:
        return 130


def _end_event() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    return ended


if __name__ == "__main__":
    sys.exit(main())
