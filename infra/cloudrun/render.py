"""Fills Terraform's values into the Cloud Run manifests: `python3 infra/cloudrun/render.py NAME`.

Reads `rendered/NAME.json` (the Terraform output `manifest_values`) and writes `rendered/NAME/services.yaml` and
`rendered/NAME/migrations.yaml`, which skaffold.yaml deploys. Standard library only: it runs on operators' machines and
in Cloud Build. A placeholder without a value ends it with status 1 before anything is written.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = {
    "services.yaml": (
        "ingest.yaml",
        "ingest-internal.yaml",
        "compressor.yaml",
        "reporter.yaml",
        "reporter-internal.yaml",
    ),
    "migrations.yaml": ("migrate-ingest.yaml", "migrate-reporter.yaml"),
}
_PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
_UNSAFE = re.compile(r"[\x00-\x1f\"'\\\x7f]")


class RenderError(Exception):
    """A value is missing or would not stay the text that it is."""


def placeholders(text: str) -> set[str]:
    """Return the names in `${...}`, comments not counted."""
    return set(_PLACEHOLDER.findall(re.sub(r"(?m)^\s*#.*$", "", text)))


def render(text: str, values: Mapping[str, str]) -> str:
    """Return a manifest with its placeholders filled in.

    Args:
        text: the manifest; lines of comment are dropped.
        values: what Terraform knows, by placeholder.

    Raises:
        RenderError: a placeholder has no value, or a value has quotes, backslashes or control characters, which could
            turn into YAML of their own.
    """
    text = re.sub(r"(?m)^\s*#.*\n", "", text)
    missing = sorted(placeholders(text) - values.keys())
    if missing:
        message = f"no value for {', '.join(missing)}: run `terraform apply` first"
        raise RenderError(message)
    unsafe = sorted(name for name in placeholders(text) if _UNSAFE.search(values[name]))
    if unsafe:
        message = f"quotes, backslashes or control characters in {', '.join(unsafe)}"
        raise RenderError(message)
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)


def render_all(values: Mapping[str, str]) -> dict[str, str]:
    """Return the text of every rendered file by its name.

    Raises:
        RenderError: as `render`.
    """
    return {
        name: "---\n".join(render((HERE / source).read_text(encoding="utf-8"), values) for source in sources)
        for name, sources in FILES.items()
    }


def main(arguments: list[str]) -> int:
    """Render for one environment; return the exit status."""
    if len(arguments) != 1 or not re.fullmatch(r"[a-z0-9-]+", arguments[0]):
        sys.stderr.write("usage: render.py NAME   (reads rendered/NAME.json)\n")
        return 2
    source = HERE / "rendered" / f"{arguments[0]}.json"
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
        files = render_all({name: str(value) for name, value in values.items()})
    except (OSError, ValueError, AttributeError, RenderError) as error:
        sys.stderr.write(f"render.py: {source}: {error}\n")
        return 1
    folder = source.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
