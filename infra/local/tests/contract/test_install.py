"""A stranger's path: localcloud installed into an empty environment, started, used by unmodified tools, and ended."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import grpc
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2, workflows_v1
from google.cloud.workflows import executions_v1
from google.cloud.workflows.executions_v1.services.executions.transports import ExecutionsGrpcTransport
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import newcomer
from localcloud.stack.free_ports import is_port_taken
from localcloud_process import GREETING, PARENT, Served, eventually, gcloud_environment

LOADED_BY = {"pytest_plugin.py": {"pytest"}}
"""Modules that nothing but a program loads which is there then."""
GRPC_MODULES = {"rpc.py", "grpc.py", "clients.py"}
"""Modules that are loaded only where the extra `grpc` is installed."""
PROJECT_FOLDER = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of localcloud's folder, because a build leaves folders beside the sources."""
    folder = tmp_path_factory.mktemp("stranger")
    newcomer.copy_of_package(folder)
    return folder / "infra/local"


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `localcloud` command of an environment into which nothing but localcloud was installed.

    Its dependencies are lent by the environment of the tests, since downloading them takes half a minute; that they
    are all declared is a test of its own.
    """
    environment = tmp_path_factory.mktemp("environment") / "venv"
    install(wheel, environment, lent=Path(sysconfig.get_path("purelib")))
    return environment / "bin/localcloud"


def install(wheel: Path, environment: Path, *, lent: Path) -> None:
    """Make an environment with localcloud in it that also sees the packages of a folder."""
    venv.create(environment, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)}))
    (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    options = ["--no-deps", "--ignore-installed", "--no-index"]
    subprocess.run([*PIP, "--python", environment / "bin/python", "install", *options, wheel], check=True)


def lend(names: Iterable[str], folder: Path) -> None:
    """Link these distributions and all that they require into a folder, and nothing else."""
    for distribution in required_by(names):
        for top in {path.parts[0] for path in distribution.files or () if ".." not in path.parts} - {"__pycache__"}:
            (folder / top).symlink_to(str(distribution.locate_file(top)))


def required_by(names: Iterable[str]) -> list[metadata.Distribution]:
    """Return these distributions and those that they require, without extras."""
    found: dict[str, metadata.Distribution] = {}
    todo = list(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        requirements = [Requirement(text) for text in found[name].requires or ()]
        todo += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return list(found.values())


@pytest.fixture(scope="module")
def served(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served([installed], tmp_path_factory.mktemp("served"))
    yield server
    server.kill()


def test_installed_package_is_whole(installed: Path, source: Path) -> None:
    """The environment runs its own copy of localcloud, which has every file of the checkout."""
    python = installed.parent / "python"
    code = "import localcloud, pathlib; print(pathlib.Path(localcloud.__file__).parent)"

    imported = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd="/").stdout.strip()

    copy = next((installed.parents[1] / "lib").glob("*/site-packages/localcloud"))
    assert imported == str(copy)
    assert files_in(copy) == files_in(source / "src/localcloud")


def files_in(folder: Path) -> set[str]:
    """Return the paths of a package's files, without what Python compiled."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_every_import_is_a_declared_dependency() -> None:
    """What localcloud imports from others is in its requirements, in an extra what only a part imports."""
    distributions = metadata.packages_distributions()

    undeclared = {
        f"{path.relative_to(PROJECT_FOLDER)}: {module}"
        for path in (PROJECT_FOLDER / "src").rglob("*.py")
        for module in imported_modules(path)
        - sys.stdlib_module_names
        - {"localcloud"}
        - LOADED_BY.get(path.name, set())
        if not {name.lower() for name in distributions[module]} & (declared() | declared(extra_of(path)))
    }

    assert undeclared == set()


def declared(extra: str | None = None) -> set[str]:
    """Return the names of localcloud's requirements, or of those of an extra."""
    project = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {Requirement(each).name.lower() for each in requirements}


def extra_of(path: Path) -> str | None:
    """Return the extra that a module belongs to."""
    for extra in ("stack", "traces"):
        if extra in path.parts:
            return extra
    return "grpc" if path.name in GRPC_MODULES else None


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


@pytest.fixture(scope="module")
def newcomers(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the quick start were run: localcloud without extras, pytest, nothing else."""
    folder = tmp_path_factory.mktemp("newcomer")
    lent = tmp_path_factory.mktemp("lent")
    lend([*declared(), "pytest"], lent)
    assert newcomer.preparations() == [
        "python3 -m venv venv",
        "venv/bin/pip install ./infra/local pytest",
        "mkdir workflows",
    ]
    install(wheel, folder / "venv", lent=lent)
    (folder / "workflows").mkdir()
    newcomer.write_files(folder)
    (folder / "venv/bin/pytest").write_text(
        f"#!{folder}/venv/bin/python\nimport pytest\nraise SystemExit(pytest.main())"
    )
    (folder / "venv/bin/pytest").chmod(0o755)
    return folder


def test_newcomer_reaches_a_passing_test(newcomers: Path) -> None:
    """As the quick start is printed, with what it installs and without gRPC; harness/newcomer.py times it with pip."""
    environment = {"PATH": os.defpath, "HOME": str(newcomers)}

    newcomer.run(newcomer.last_command(), newcomers, environment)


def test_server_without_the_extra_says_how_grpc_is_installed(newcomers: Path, tmp_path: Path) -> None:
    """And serves everything over REST."""
    server = Served([newcomers / "venv/bin/localcloud"], tmp_path)
    code = server.end()

    assert code == 0
    assert "gRPC is not served: pip install 'gcp-localcloud[grpc]'" in server.log.read_text()


def test_clients_without_the_extra_say_how_they_are_installed(newcomers: Path) -> None:
    """Instead of a module that is not found."""
    program = "from localcloud.testing import LocalCloud\nwith LocalCloud() as cloud: cloud.tasks_client('rest')"

    done = subprocess.run([newcomers / "venv/bin/python", "-c", program], check=False, capture_output=True, text=True)

    assert "Google's clients are not installed: pip install 'gcp-localcloud[grpc]'" in done.stderr
