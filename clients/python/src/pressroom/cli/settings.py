"""Where the service is and with which key: an option, then the environment, then the config file."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where `make up` serves."""


class SettingsError(Exception):
    """The config file cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """URL and key, and where the URL comes from."""

    url: str
    api_key: str | None
    source: str


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the config file: PRESSROOM_CONFIG, or pressroom/config.toml below XDG_CONFIG_HOME or ~/.config."""
    named = environ.get("PRESSROOM_CONFIG")
    if named:
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "pressroom" / "config.toml"


def load_settings(url: str | None, api_key: str | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings; a key is only taken from the config file for the URL that it stands beside.

    Raises:
        SettingsError: the config file is there and cannot be read.
    """
    stored = _stored(config_path(environ))
    found_url, source = next(
        (found, where)
        for found, where in (
            (url, "--url"),
            (environ.get("PRESSROOM_URL"), "PRESSROOM_URL"),
            (stored.get("url"), "config file"),
            (DEFAULT_URL, "default"),
        )
        if found
    )
    of_file = stored.get("api_key") if found_url == stored.get("url") else None
    return Settings(found_url, api_key or environ.get("PRESSROOM_API_KEY") or of_file, source)


def store_settings(path: Path, url: str, api_key: str | None) -> None:
    """Write the config file, readable by nobody else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"url = {json.dumps(url)}"] + ([f"api_key = {json.dumps(api_key)}"] if api_key else [])
    # Made with its mode: a file that is closed afterwards could be read meanwhile.
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    fresh.replace(path)


def _stored(path: Path) -> dict[str, str]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return {name: value for name, value in found.items() if isinstance(value, str)}
