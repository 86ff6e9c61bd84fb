"""A whole stack in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import requests

from localcloud.core.config_fields import ConfigError
from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports
from localcloud.stack.supervisor import ChildError


def _get(url: str) -> Any:
    with requests.get(url, timeout=5) as response:
        return response.json()


def test_service_runs_as_its_image_says_on_loopback(running: Any) -> None:
    """Command from the Dockerfile, PORT and gunicorn's binding from the stack, environment from the file."""
    seen = _get(running.url("web"))

    environment = {name: seen["environment"].get(name) for name in ("PORT", "GUNICORN_CMD_ARGS", "GREETING")}
    port = str(running.ports["web"])
    assert seen["argv"] == ["--from-image"]
    assert environment == {"PORT": port, "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}", "GREETING": "good day"}


def test_migrations_ran_before_the_service(running: Any) -> None:
    """The table is there."""
    connection = psycopg2.connect(running.database_url("orders"))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM items")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_program_is_started_with_its_placeholders_filled(running: Any) -> None:
    """Programs that are no services get their port by argument."""
    assert _get(running.url("echo"))["argv"] == [str(running.ports["echo"])]


def test_emulators_hold_what_the_files_declare(running: Any) -> None:
    """The queue of the queues file exists, and every account has a metadata server."""
    queue = _get(f"{running.url('tasks')}/v2/projects/demo/locations/us-central1/queues/work")
    with requests.get(
        f"http://127.0.0.1:{running.ports['metadata'] + 1}/computeMetadata/v1/instance/service-accounts/default/email",
        headers={"Metadata-Flavor": "Google"},
        timeout=5,
    ) as response:
        email = response.text

    assert queue["rateLimits"]["maxDispatchesPerSecond"] == 50
    assert email == "workflow@demo.iam.gserviceaccount.com"


def test_workflow_of_the_folder_is_deployed_with_its_environment(running: Any) -> None:
    """`workflows.environment` becomes the user environment variables of every workflow in the folder."""
    workflow = _get(f"{running.url('workflows')}/v1/projects/demo/locations/us-central1/workflows/tell")

    assert (workflow["state"], workflow["userEnvVars"]) == ("ACTIVE", {"WEB_URL": running.url("web")})


def test_exports_can_be_read_by_a_shell(running: Any) -> None:
    """`. STATE/env` sets the variables, quotes included."""
    command = f'. {running.state_dir}/env && printf "%s|%s" "$WEB_URL" "$QUOTED"'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)

    assert done.stdout == f"{running.url('web')}|it's demo"


@pytest.mark.parametrize("name", ["web", "localcloud", "postgres", "storage"])
def test_killed_program_comes_back(running: Any, name: str) -> None:
    """`kill -9` by the pid in pids.json is repaired."""
    pid = json.loads((running.state_dir / "pids.json").read_text())[name]

    running.kill(name)
    running.wait_healthy(name)

    pids = json.loads((running.state_dir / "pids.json").read_text())
    assert pids[name] != pid
    assert pids == {"stack": os.getpid()} | running.pids()


def test_program_can_be_left_down_and_started_again(running: Any) -> None:
    """A test may take one part away for a while."""
    running.stop_one("echo")
    with pytest.raises(requests.ConnectionError):
        _get(running.url("echo"))
    running.start_one("echo")

    assert _get(running.url("echo"))["argv"]


def test_second_stack_in_the_same_folder_is_refused(running: Any) -> None:
    """One state folder, one stack."""
    second = Stack(running._runner.config, running.state_dir, free_ports(running._runner.config), environment={})

    with pytest.raises(ConfigError, match="another stack runs with the state folder"):
        second.start()


def test_taken_port_is_reported_by_name_and_setting(running: Any, tmp_path: Path) -> None:
    """The error says which port, whose, and which variable moves it."""
    config = running._runner.config
    ports = free_ports(config) | {"web": running.ports["web"]}

    with pytest.raises(ConfigError, match=rf"port {ports['web']} \(web\) is taken .*; set WEB_PORT"):
        Stack(config, tmp_path / "state", ports, environment={}).start()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, write_stack: Any) -> Iterator[Any]:
    """Give the file of a stack whose database cluster is already initialised."""
    path = write_stack(tmp_path_factory.mktemp("source"))
    config = load_stack_config(path)
    stack = Stack(config, config.state_dir, free_ports(config), environment={})
    stack._runner.postgres.prepare()
    yield path
    stack.remove_data()


def test_failed_migration_stops_the_start_and_everything_started(source: Any) -> None:
    """The error holds the migration's words; nothing keeps running."""
    path = source.with_name("failing.yaml")
    path.write_text(source.read_text().replace("python, migrate.py", "python, -c, raise SystemExit('column missing')"))
    config = load_stack_config(path)
    stack = Stack(config, config.state_dir, free_ports(config), environment={})

    with pytest.raises(ChildError, match="column missing"):
        stack.start()

    assert stack.pids() == {}


def test_wrong_configuration_ends_the_command_line_with_two(tmp_path: Path) -> None:
    """Usage errors are told on standard error, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "up", "--config", str(tmp_path / "gone.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.strip()) == (
        2,
        f"localcloud: {tmp_path / 'gone.yaml'}: cannot be read: No such file or directory",
    )


def test_killed_command_line_leaves_no_process_behind(source: Any, left_of: Any) -> None:
    """`localcloud up --manual-clock` says when it is ready; after `kill -9` of it every program ends."""
    config = load_stack_config(source)
    variables = {config.ports[name].variable: str(port) for name, port in free_ports(config).items()}
    up = subprocess.Popen(
        [sys.executable, "-m", "localcloud", "up", "--config", str(config.source), "--quiet", "--manual-clock"],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    with up:
        for line in up.stdout:
            if line.startswith("Ready"):
                break
        family = psutil.Process(up.pid).children(recursive=True)
        tasks_port = variables[config.ports["tasks"].variable]
        time = requests.get(f"http://127.0.0.1:{tasks_port}/_local/time", timeout=5).json()
        os.kill(up.pid, signal.SIGKILL)

    assert time["is_manual"] is True
    assert len(family) >= 5
    assert left_of(family) == []
