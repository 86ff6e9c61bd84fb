"""A stranger's path: localcloud installed into an empty environment, started, used by unmodified tools, and ended."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import grpc
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2, workflows_v1
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport

from localcloud.stack.free_ports import is_port_taken
from localcloud_process import GREETING, PARENT, Served, eventually, gcloud_environment

LOADED_BY = {"pytest_plugin.py": {"pytest"}}
"""Modules that nothing but a program loads which is there then."""
PROJECT_FOLDER = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `localcloud` command of an environment into which nothing but localcloud was installed.

    Its dependencies are lent by the environment of the tests, since downloading them takes half a minute; that they
    are all declared is a test of its own.
    """
    folder = tmp_path_factory.mktemp("stranger")
    environment = folder / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin/python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    # A copy, because a build leaves folders beside the sources.
    source = folder / "local"
    shutil.copytree(PROJECT_FOLDER, source, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-build-isolation", "--ignore-installed", "--no-index", str(source)],
        check=True,
    )
    return environment / "bin/localcloud"


@pytest.fixture(scope="module")
def served(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served([installed], tmp_path_factory.mktemp("served"))
    yield server
    server.kill()


def test_installed_package_is_whole(installed: Path) -> None:
    """The environment runs its own copy of localcloud, which has every file of the checkout."""
    python = installed.parent / "python"
    code = "import localcloud, pathlib; print(pathlib.Path(localcloud.__file__).parent)"

    imported = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd="/").stdout.strip()

    copy = next((installed.parents[1] / "lib").glob("*/site-packages/localcloud"))
    assert imported == str(copy)
    assert files_in(copy) == files_in(installed.parents[2] / "local/src/localcloud")


def files_in(folder: Path) -> set[str]:
    """Return the paths of a package's files, without what Python compiled."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_import_is_a_declared_dependency() -> None:
    """What localcloud imports from others is in its requirements, in the extra `stack` what only the stack imports."""
    project = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain, extra = (
        {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}
        for requirements in (project["dependencies"], project["optional-dependencies"]["stack"])
    )
    distributions = metadata.packages_distributions()

    undeclared = {
        f"{path.relative_to(PROJECT_FOLDER)}: {module}"
        for path in (PROJECT_FOLDER / "src").rglob("*.py")
        for module in imported_modules(path)
        - sys.stdlib_module_names
        - {"localcloud"}
        - LOADED_BY.get(path.name, set())
        if not {name.lower() for name in distributions[module]} & (plain | (extra if "stack" in path.parts else set()))
    }

    assert undeclared == set()


def imported_modules(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


def test_gcloud_runs_the_workflow_of_the_folder(served: Served, tmp_path: Path) -> None:
    """`gcloud workflows run`, with the variables of the README, prints the result."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        pytest.skip("gcloud is not installed")

    done = subprocess.run(
        [gcloud, "workflows", "run", "greeting", '--data={"name": "gcloud"}', "--format=json"],
        check=False,
        env=gcloud_environment(served, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    execution = json.loads(done.stdout)
    assert (execution["state"], execution["result"]) == ("SUCCEEDED", '"Hello gcloud"')


def test_workflows_client_reads_the_workflow_over_rest(served: Served) -> None:
    """google-cloud-workflows finds the folder's workflow with nothing but an endpoint set."""
    client = workflows_v1.WorkflowsClient(
        transport="rest", client_options={"api_endpoint": served.url("workflows")}, credentials=AnonymousCredentials()
    )

    found = client.get_workflow(name=f"{PARENT}/workflows/greeting")

    assert (found.state, found.source_contents) == (workflows_v1.Workflow.State.ACTIVE, GREETING)


def test_executions_client_runs_the_workflow_over_grpc(served: Served) -> None:
    """google-cloud-workflows runs the folder's workflow over an insecure channel."""
    with grpc.insecure_channel(f"127.0.0.1:{served.ports['workflows-grpc']}") as channel:
        client = executions_v1.ExecutionsClient(transport=ExecutionsGrpcTransport(channel=channel))
        started = client.create_execution(
            parent=f"{PARENT}/workflows/greeting", execution=executions_v1.Execution(argument='{"name": "gRPC"}')
        )

        ended = eventually(
            lambda: client.get_execution(name=started.name),
            lambda execution: execution.state != executions_v1.Execution.State.ACTIVE,
        )

    assert ended.result == '"Hello gRPC"'


@pytest.fixture(scope="module")
def tasks(served: Served) -> tasks_v2.CloudTasksClient:
    return tasks_v2.CloudTasksClient(
        transport="rest", client_options={"api_endpoint": served.url("tasks")}, credentials=AnonymousCredentials()
    )


@pytest.fixture
def queue(tasks: tasks_v2.CloudTasksClient, request: pytest.FixtureRequest) -> str:
    """The name of a queue that no other test uses."""
    name = f"{PARENT}/queues/{request.node.name.replace('_', '-')}"
    return tasks.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=name)).name


def test_task_for_the_executions_api_starts_a_local_execution(
    served: Served, tasks: tasks_v2.CloudTasksClient, queue: str
) -> None:
    """A task for workflowexecutions.googleapis.com, as Google's tutorial makes it, starts a local execution."""
    target = tasks_v2.HttpRequest(
        url=f"https://workflowexecutions.googleapis.com/v1/{PARENT}/workflows/greeting/executions",
        body=json.dumps({"argument": '{"name": "task"}'}).encode(),
        oauth_token=tasks_v2.OAuthToken(service_account_email="caller@demo.iam.gserviceaccount.com"),
    )

    tasks.create_task(parent=queue, task=tasks_v2.Task(http_request=target))

    listing = f"{served.url('workflows')}/v1/{PARENT}/workflows/greeting/executions?view=FULL"
    results = eventually(
        lambda: {
            execution.get("result") for execution in requests.get(listing, timeout=5).json().get("executions", [])
        },
        lambda found: '"Hello task"' in found,
    )
    assert '"Hello task"' in results


def test_task_for_another_google_api_is_not_sent(tasks: tasks_v2.CloudTasksClient, queue: str) -> None:
    """A local token never reaches Google: the attempt fails and says why."""
    target = tasks_v2.HttpRequest(url="https://nothing.googleapis.com/v1/anything")
    task = tasks.create_task(parent=queue, task=tasks_v2.Task(http_request=target))

    tried = eventually(lambda: tasks.get_task(name=task.name), lambda found: "response_status" in found.last_attempt)

    assert "localcloud sends nothing to Google" in tried.last_attempt.response_status.message


def test_ctrl_c_ends_it_cleanly(installed: Path, tmp_path: Path) -> None:
    """The process exits with 0, says nothing alarming, and its ports are free again."""
    server = Served([installed], tmp_path)

    code = server.end()

    assert (code, re.findall(r"WARNING|ERROR|Traceback", server.log.read_text())) == (0, [])
    assert [port for port in server.ports.values() if is_port_taken(port)] == []
