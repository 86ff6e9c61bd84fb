"""Replaces `${name}` in configuration text.

| placeholder | value |
| --- | --- |
| `${project}`, `${location}` | of the stack |
| `${root}` | the folder the configuration's paths are relative to, absolute |
| `${state}` | the folder of everything the stack writes, absolute |
| `${python}` | the running Python |
| `${port.NAME}` | the port called NAME |
| `${url.NAME}`, `${address.NAME}` | `http://127.0.0.1:PORT` and `127.0.0.1:PORT` of it |
| `${database.NAME}` | URL of the database NAME |
| `${account.NAME}` | email of the service account NAME |
| `${metadata.NAME}` | `127.0.0.1:PORT` of the metadata server that speaks for the account NAME |
| `${secret.NAME}` | base64 of 32 random bytes, made at the first start and kept in the state folder |
| `${env.VARIABLE:-default}` | a variable of the caller's environment, or the default; without `:-` it must be set |
| `$${` | a literal `${` |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from localcloud.core.config_fields import ConfigError

_PLACEHOLDER = re.compile(r"\$?\$\{([^}]*)\}")


def fill(text: str, values: Mapping[str, str], *, environment: Mapping[str, str], where: str) -> str:
    """Return `text` with every placeholder replaced.

    Args:
        text: e.g. `"--port=${port.samples}"`.
        values: placeholder names, without `env.`, to values.
        environment: what `${env.X}` looks into.
        where: named in errors.

    Raises:
        ConfigError: a placeholder that is not known, or a variable that is not set.
    """

    def replacement(match: re.Match[str]) -> str:
        if match[0].startswith("$$"):
            return match[0][1:]
        name, has_default, default = match[1].partition(":-")
        if name.startswith("env."):
            variable = name.removeprefix("env.")
            if variable in environment:
                return environment[variable]
            if not has_default:
                raise ConfigError(f"{where}: the environment variable {variable} is not set")
            return default
        if name not in values:
            kind = name.partition(".")[0]
            near = sorted(known for known in values if known.partition(".")[0] == kind) or sorted(values)
            raise ConfigError(f"{where}: unknown placeholder ${{{name}}}; known are {', '.join(near)}")
        return values[name]

    return _PLACEHOLDER.sub(replacement, text)
