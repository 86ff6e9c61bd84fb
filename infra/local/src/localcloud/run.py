"""The command `localcloud run`: one execution of one file, without a server.

The result goes to the standard output as JSON, everything else to the standard error. Tokens are signed by a key that
lives as long as the command; callbacks need a server, so their functions fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.core.clock import SystemClock
from localcloud.core.config_fields import ConfigError
from localcloud.core.service_addresses import OWN_VARIABLES, VARIABLES, service_addresses
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.workflows.connectors.mocks import MockedHttp, Mocks, load_mocks
from localcloud.workflows.connectors.registry import Connectors
from localcloud.workflows.engine.http_client import AiohttpCaller
from localcloud.workflows.errors import WorkflowError, value_error
from localcloud.workflows.jsontext import JsonDecodeError, decode_json, encode_json_leniently
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.failure import ExecutionFailedError
from localcloud.workflows.runtime.host import Host, Progress
from localcloud.workflows.runtime.interpreter import run_to_json
from localcloud.workflows.source.errors import SourceError
from localcloud.workflows.values import Value

Print = Callable[[str], None]

_ACCOUNT = "workflow@{}.iam.gserviceaccount.com"
_PROJECT_NUMBER = "123456789012"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the command line asks for.

    Attributes:
        file: the source.
        data: the argument as JSON text, or None.
        env: user environment variables, each `NAME=VALUE`.
        services: local servers of Google services, each `SERVICE=URL`.
        project: project id.
        location: region.
        traces: whether every step is told.
        connectors: file with mocks, or None.
        allows_unemulated: calls without an address deploy, and fail when they are made.
    """

    file: Path
    data: str | None = None
    env: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    project: str = "demo"
    location: str = "us-central1"
    traces: bool = False
    connectors: Path | None = None
    allows_unemulated: bool = False


async def run_file(settings: RunSettings, environment: Mapping[str, str], out: Print, err: Print) -> int:
    """Run the workflow of a file once; return 0 when it succeeds, 1 when it fails or is refused.

    Raises:
        ConfigError: an option cannot be read.
    """
    argument = _argument(settings.data)
    addresses = service_addresses(settings.services, environment, {**VARIABLES, **OWN_VARIABLES})
    mocks = load_mocks(settings.connectors) if settings.connectors else Mocks()
    connectors = Connectors(addresses, mocks, allows_unemulated=settings.allows_unemulated)
    try:
        source = settings.file.read_text(encoding="utf-8")
        program = load_program(source, connectors=connectors)
    except (OSError, UnicodeDecodeError) as error:
        err(f"{settings.file}: cannot be read: {error}")
        return 1
    except SourceError as error:
        err(f"{settings.file}: {error.rendered}")
        return 1
    for note in connectors.notes(program.connectors):
        err(f"{settings.file}: note: {note}")
    clock = SystemClock()
    http = AiohttpCaller(addresses, clock)
    account = _ACCOUNT.format(settings.project)
    host = Host(
        clock=clock,
        http=MockedHttp(http, mocks),
        tokens=AccountTokens(TokenIssuer(clock), account),
        callbacks=_NoCallbacks(),
        log=_Log(err),
        observer=_Steps(err if settings.traces else None),
        env=_variables(settings, account),
        connectors=connectors,
    )
    await http.start()
    try:
        out(await run_to_json(program, argument, host))
    except ExecutionFailedError as failure:
        err(f"{failure.context}\n{failure.payload}")
        return 1
    finally:
        await http.stop()
    return 0


def _argument(data: str | None) -> Value:
    try:
        return None if data is None else decode_json(data)
    except JsonDecodeError as error:
        raise ConfigError(f"--data is not JSON: {error}") from error


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"{option} wants NAME=VALUE, not {text!r}")
        pairs[name] = value
    return pairs


def _variables(settings: RunSettings, account: str) -> dict[str, str]:
    return {
        **_pairs("--env", settings.env),
        "GOOGLE_CLOUD_LOCATION": settings.location,
        "GOOGLE_CLOUD_PROJECT_ID": settings.project,
        "GOOGLE_CLOUD_PROJECT_NUMBER": _PROJECT_NUMBER,
        "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": account,
        "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": "00000000-0000-0000-0000-000000000000",
        "GOOGLE_CLOUD_WORKFLOW_ID": settings.file.stem,
        "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": "000001-000",
    }


class _NoCallbacks:
    def create(self, method: str) -> str:
        raise value_error(f"localcloud run has no server for callbacks ({method}): use localcloud serve")

    async def wait(self, url: str, timeout_s: float) -> dict[str, Value]:
        raise KeyError(url, timeout_s)


@dataclass(frozen=True, slots=True)
class _Log:
    """Writes what `sys.log` is given, one line each."""

    err: Print

    def write(self, severity: str, payload: Value) -> None:
        text = payload if isinstance(payload, str) else encode_json_leniently(payload)
        self.err(f"{severity}: {text}")


class _Steps:
    """Tells the steps, if anybody wants to know."""

    records_variables = False

    def __init__(self, err: Print | None) -> None:
        self._err = err
        self._names: list[str] = []

    def step_started(
        self,
        *,
        routine: str,
        step: str,
        step_type: str,
        line: int,
        thread: str,
        progress: Progress | None = None,
        variables: Mapping[str, Value] | None = None,  # noqa: ARG002 - none are recorded
    ) -> int:
        if self._err is None:
            return 0
        number = "" if progress is None else f" #{progress.number}"
        inside = "" if thread == "main" else f" in {thread.removeprefix('main/')}"
        self._names.append(f"{routine}.{step}")
        self._err(f"{line:>4}  {routine}.{step}{number}  {step_type.removeprefix('STEP_').lower()}{inside}")
        return len(self._names) - 1

    def step_ended(
        self,
        entry: int,
        *,
        failed: bool,
        error: WorkflowError | None = None,
        variables: Mapping[str, Value] | None = None,  # noqa: ARG002 - none are recorded
    ) -> None:
        if failed and self._err is not None:
            told = "" if error is None else f": {json.dumps(error.value, default=str)[:200]}"
            self._err(f"      {self._names[entry]} failed{told}")
