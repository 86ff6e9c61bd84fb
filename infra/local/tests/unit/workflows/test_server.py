"""Starting and stopping the server, and the folder it keeps deployed."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from coroutine_tests import until
from localcloud.core.clock import ManualClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.workflows.server import WorkflowsServer, start_workflows_server

PARENT = "projects/demo/locations/us-central1"
CLOCK = ManualClock()
ISSUER = TokenIssuer(CLOCK)

ENVIRONMENT = '- answer:\n    return: ${sys.get_env("COLOUR")}\n'
NUMBER = "- answer:\n    return: 1\n"


@asynccontextmanager
async def server(clock: ManualClock, **changes: Any) -> AsyncIterator[WorkflowsServer]:
    options: dict[str, Any] = {
        "port": 0,
        "grpc_port": 0,
        "clock": clock,
        "project": "demo",
        "project_number": "123456789012",
        "location": "us-central1",
        "service_account": "workflows@demo.iam.gserviceaccount.com",
        "token_source": lambda email: AccountTokens(ISSUER, email),
        "endpoints": {},
    }
    running = await start_workflows_server(**(options | changes))
    try:
        yield running
    finally:
        await running.stop()


async def result_of(running: WorkflowsServer, workflow_id: str) -> str:
    """Run a workflow and return its result."""
    name = running.executions.create(f"{PARENT}/workflows/{workflow_id}", {})["name"]
    await until(lambda: not running.store.execution(name).is_live)
    return str(running.executions.get(name).get("result"))


def write(path: Path, text: str, age: int) -> None:
    """Write a file whose modification time differs from the last one's."""
    path.write_text(text)
    os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))


async def test_folder_is_deployed_at_start_with_its_environment(tmp_path: Path) -> None:
    """Each file is a workflow under its stem, with the variables of its id."""
    write(tmp_path / "paint.yaml", ENVIRONMENT, 0)
    write(tmp_path / "notes.txt", "no workflow", 0)

    async with server(ManualClock(), workflows_dir=tmp_path, user_env={"paint": {"COLOUR": "red"}}) as running:
        result = await result_of(running, "paint")

    assert (result, list(running.store.workflows)) == ('"red"', [f"{PARENT}/workflows/paint"])


async def test_changed_file_is_deployed_again(tmp_path: Path) -> None:
    """A second is enough for a change to be seen."""
    clock = ManualClock()
    write(tmp_path / "w.yaml", NUMBER, 0)

    async with server(clock, workflows_dir=tmp_path) as running:
        write(tmp_path / "w.yaml", NUMBER.replace("1", "2"), 1)
        await clock.advance(1)
        result = await result_of(running, "w")

    assert result == "2"


async def test_unchanged_file_makes_no_revision(tmp_path: Path) -> None:
    """Polling alone deploys nothing."""
    clock = ManualClock()
    write(tmp_path / "w.yaml", NUMBER, 0)

    async with server(clock, workflows_dir=tmp_path) as running:
        await clock.advance(5)
        revision = running.workflows.get(f"{PARENT}/workflows/w")["revisionId"]

    assert revision.startswith("000001-")


async def test_refused_file_is_logged_and_leaves_the_old_revision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log shows the offending line; the workflow still runs."""
    clock = ManualClock()
    write(tmp_path / "w.yaml", NUMBER, 0)

    async with server(clock, workflows_dir=tmp_path) as running:
        write(tmp_path / "w.yaml", "- answer:\n    return: ${1 +}\n", 1)
        await clock.advance(1)
        result = await result_of(running, "w")

    assert result == "1"
    assert "2 |     return: ${1 +}" in caplog.text


@pytest.mark.parametrize(
    ("name", "content"), [("1st.yaml", NUMBER.encode()), ("raw.yaml", b"\xff\xfe")], ids=["bad id", "not text"]
)
async def test_file_that_cannot_be_a_workflow_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: bytes
) -> None:
    """A bad name or content does not stop the server."""
    (tmp_path / name).write_bytes(content)

    async with server(ManualClock(), workflows_dir=tmp_path) as running:
        assert running.store.workflows == {}

    assert name in caplog.text


async def test_file_that_goes_away_takes_its_workflow_along(tmp_path: Path) -> None:
    """Not at once, since editors replace files; what it was renamed to is deployed, also as JSON."""
    clock = ManualClock()
    source = tmp_path / "paint.yaml"
    source.write_text("- a: {return: 1}")
    async with server(clock, workflows_dir=tmp_path) as running:
        source.rename(tmp_path / "varnish.yml")
        (tmp_path / "polish.json").write_text('[{"a": {"return": 1}}]')
        (tmp_path / "notes.txt").write_text("no workflow")
        await clock.advance(1)
        kept = f"{PARENT}/workflows/paint" in running.store.workflows
        await clock.advance(1)

        assert kept
        assert sorted(running.store.workflows) == [f"{PARENT}/workflows/{name}" for name in ("polish", "varnish")]


async def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    """A mistyped folder is not an empty one."""
    with pytest.raises(NotADirectoryError, match="none is no folder"):
        async with server(ManualClock(), workflows_dir=tmp_path / "none"):
            pass


async def test_taken_port_is_an_os_error_and_leaves_nothing_open() -> None:
    """Both ports are checked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match="address already in use"):
            async with server(ManualClock(), port=port):
                pass
        with pytest.raises(OSError, match=f"gRPC port {port}"):
            async with server(ManualClock(), grpc_port=port):
                pass


async def test_stop_cancels_running_executions(tmp_path: Path) -> None:
    """Nothing goes on after the server has stopped."""
    clock = ManualClock()
    write(tmp_path / "nap.yaml", "- nap:\n    call: sys.sleep\n    args: {seconds: 60}\n", 0)

    async with server(clock, workflows_dir=tmp_path) as running:
        running.executions.create(f"{PARENT}/workflows/nap", {})
        await clock.advance(0.5)
        before = clock.sleeper_count

    await clock.advance(0)
    # The folder's poll and the nap were waiting.
    assert (before, clock.sleeper_count) == (2, 0)


async def test_workflow_reads_a_secret_through_the_server_itself(tmp_path: Path) -> None:
    """The Secret Manager connector is answered from the secrets file, with no endpoint configured."""
    call = "googleapis.secretmanager.v1.projects.secrets.versions.accessString"
    source = f"- read:\n    call: {call}\n    args: {{secret_id: key}}\n    result: r\n- answer:\n    return: ${{r}}\n"
    write(tmp_path / "w.yaml", source, 0)
    secrets = tmp_path / "secrets.txt"
    secrets.write_text("key: hush\n")

    async with server(ManualClock(), workflows_dir=tmp_path, secrets_file=secrets) as running:
        assert await result_of(running, "w") == '"hush"'


async def test_answer_is_sent_in_one_packet(tmp_path: Path) -> None:
    """Header and body arrive together: clients with delayed acknowledgements stay fast."""
    async with server(ManualClock()) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /v1/projects/demo/locations HTTP/1.1\r\nHost: localhost\r\n\r\n")
        first = await reader.read(65536)
        writer.close()
        await writer.wait_closed()

    assert first.startswith(b"HTTP/1.1 200 OK")
    assert first.endswith(b"}]}")


async def test_server_answers_on_its_base_url() -> None:
    """`base_url` is where the REST API is."""
    async with (
        server(ManualClock()) as running,
        aiohttp.ClientSession() as session,
        session.get(f"{running.base_url}/v1/projects/demo/locations/us-central1") as answer,
    ):
        body = await answer.json()

    assert body == {"name": PARENT, "locationId": "us-central1"}
