"""Connectors whose answers a file gives, for services that localcloud does not emulate.

The file maps full names of connectors to an answer or a list of answers: `{returns: VALUE}` or `{raises: VALUE}`. A
list is used from its begin, one answer a call, and its last answer stays. A departure from production: nothing is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from localcloud.core.config_fields import ConfigError
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_NAME = re.compile(r"googleapis(?:\.[A-Za-z0-9_]+){3,}")
_KINDS = ("returns", "raises")


def load_mocks(path: Path) -> dict[str, ConnectorMethod]:
    """Return the connectors of a file by their full names.

    Raises:
        ConfigError: names file, connector and fault.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of connectors to their answers")
    return {name: _mock(_answers(path, name, given)) for name, given in content.items()}


def _answers(path: Path, name: Any, given: Any) -> list[Mapping[str, Any]]:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        example = "googleapis.pubsub.v1.projects.topics.publish"
        raise ConfigError(f"{path}: {name!r} is no name of a connector, such as {example}")
    answers = given if isinstance(given, list) else [given]
    for answer in answers:
        if not isinstance(answer, dict) or len(answer) != 1 or next(iter(answer)) not in _KINDS:
            raise ConfigError(f"{path}: {name}: an answer is {{returns: VALUE}} or {{raises: VALUE}}, not {answer!r}")
    if not answers:
        raise ConfigError(f"{path}: {name}: there is no answer")
    return answers


def _mock(answers: list[Mapping[str, Any]]) -> ConnectorMethod:
    left = list(answers)

    async def answer(_host: Host, _arguments: Mapping[str, Value]) -> Value:
        given = left.pop(0) if len(left) > 1 else left[0]
        if "raises" in given:
            raise WorkflowError(given["raises"])
        return given["returns"]

    return answer
