"""What the repository says about its deployment, read from the files themselves: the facts that tests compare."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from support.terraform_files import Block, Expression, read_folder

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "infra/terraform"
MODULES = TERRAFORM / "modules"
ENVIRONMENTS = TERRAFORM / "environments"
CLOUDRUN = ROOT / "infra/cloudrun"
IMAGES = ("ingest", "compressor", "reporter")
GUARDED = ("ingest-internal", "compressor", "reporter-internal")
"""Cloud Run services that only our own parts may call."""
PUBLIC = ("ingest", "reporter")
SERVICES = (*GUARDED, *PUBLIC)

PROJECT, NUMBER, LOCATION = "shop", "123456789012", "us-central1"


@cache
def renderer() -> ModuleType:
    """Return infra/cloudrun/render.py, which is a script and no part of a package."""
    spec = importlib.util.spec_from_file_location("pressroom_render", CLOUDRUN / "render.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def module(name: str) -> list[Block]:
    """Return the blocks of a Terraform module."""
    return read_folder(MODULES / name)


@cache
def terraform() -> list[tuple[str, Block]]:
    """Return every top-level block with the name of its folder."""
    folders = [*sorted(MODULES.iterdir()), *sorted(ENVIRONMENTS.iterdir())]
    return [(folder.name, block) for folder in folders for block in read_folder(folder)]


def resources(resource_type: str) -> list[Block]:
    """Return the resources of a type, of all modules."""
    return [block for _, block in terraform() if block.type == "resource" and block.labels[0] == resource_type]


def local(module_name: str, name: str) -> Any:
    """Return a local value of a module as it is written."""
    return next(
        block.arguments[name] for block in module(module_name) if block.type == "locals" and name in block.arguments
    )


def output(module_name: str, name: str) -> Any:
    """Return the value of a module's output as it is written."""
    return next(b.arguments["value"] for b in module(module_name) if b.type == "output" and b.labels == (name,))


def default(folder: str, variable: str) -> Any:
    """Return the default of a variable."""
    return next(
        block.arguments["default"]
        for name, block in terraform()
        if name == folder and block.type == "variable" and block.labels == (variable,)
    )


def account(name: str) -> str:
    """Return the email that the module accounts gives an account."""
    return f"pressroom-{name}@{PROJECT}.iam.gserviceaccount.com"


def image_of(service: str) -> str:
    """Return the image of a service: both doors run from one."""
    return service.removesuffix("-internal")


def url(service: str) -> str:
    """Return the address that Cloud Run gives a service."""
    return f"https://{service}-{NUMBER}.{LOCATION}.run.app"


@cache
def manifest_values() -> dict[str, str]:
    """Return what Terraform would put out, for a project of ours: each expression is looked up, none is guessed."""
    known = {
        "var.project": PROJECT,
        "var.location": LOCATION,
        "var.database_connection": f"{PROJECT}:{LOCATION}:pressroom",
        **{
            f'tostring(var.settings.max_instances["{name}"])': str(count)
            for name, count in size("S")["instances"].items()
        },
        "var.settings.log_level": default("pressroom", "log_level"),
        "var.settings.webhook_url": default("pressroom", "webhook_url"),
        **{
            f"tostring(var.settings.{name})": str(default("pressroom", name))
            for name in (
                "ingest_min_instances",
                "max_requests_per_minute",
                "rows_retention_days",
                "trace_sample_ratio",
            )
        },
        **{
            f"tostring(var.settings.{name})": str(default("pressroom", name)).lower()
            for name in ("public_without_keys",)
        },
    }
    # By default there is no load balancer in front.
    known['var.settings.domains==null?"1":"2"'] = "1"
    known['var.settings.domains==null?"all":"internal-and-cloud-load-balancing"'] = "all"
    known |= {f'local.urls["{name}"]': url(name) for name in SERVICES}
    public_url_base = 'var.settings.public_images?"https://storage.googleapis.com":"${local.urls["reporter"]}/images"'
    known[public_url_base] = f"{url('reporter')}/images"  # by default images are private
    known |= {f'var.emails["{name}"]': account(name) for name in local("accounts", "accounts")}
    known |= {f'var.queues["{name}"]': queue_name(name) for name in queues()}
    known |= {f'var.buckets["{name}"]': f"{PROJECT}-pressroom-{name}" for name in output("buckets", "names")}
    known |= {f'var.settings.secret_versions["{name}"]': "1" for name in local("secrets", "readers")}
    return {
        name: known[value.text.replace(" ", "")] if isinstance(value, Expression) else str(value)
        for name, value in output("services", "manifest_values").items()
    }


@cache
def manifests() -> dict[str, dict[str, Any]]:
    """Return every rendered Cloud Run manifest by its name."""
    rendered = renderer().render_all(manifest_values())
    documents = [document for text in rendered.values() for document in yaml.safe_load_all(text)]
    return {document["metadata"]["name"]: document for document in documents}


def pod(name: str) -> dict[str, Any]:
    """Return the innermost `spec` of a manifest: account, limits, containers."""
    spec: dict[str, Any] = manifests()[name]["spec"]["template"]["spec"]
    return spec["template"]["spec"] if "template" in spec else spec


def container(name: str) -> dict[str, Any]:
    """Return the only container of a manifest."""
    (only,) = pod(name)["containers"]
    return dict(only)


def environment(name: str) -> dict[str, str]:
    """Return a manifest's environment; a secret is `secret:NAME/VERSION`."""
    return {entry["name"]: _value_of(entry) for entry in container(name)["env"]}


def _value_of(entry: dict[str, Any]) -> str:
    if "valueFrom" not in entry:
        return str(entry["value"])
    reference = entry["valueFrom"]["secretKeyRef"]
    return f"secret:{reference['name']}/{reference['key']}"


@cache
def sizes() -> dict[str, Any]:
    """Return infra/sizes.yaml by name."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "infra/sizes.yaml").read_text(encoding="utf-8"))["sizes"]
    return found


def size(name: str) -> dict[str, Any]:
    """Return a size of infra/sizes.yaml."""
    found: dict[str, Any] = sizes()[name]
    return found


@cache
def queues() -> dict[str, dict[str, Any]]:
    """Return infra/queues.yaml by name."""
    document = yaml.safe_load((ROOT / "infra/queues.yaml").read_text(encoding="utf-8"))
    return {queue["name"]: queue for queue in document["queues"]}


def queue_name(queue: str) -> str:
    """Return the full name of a queue."""
    return f"projects/{PROJECT}/locations/{LOCATION}/queues/{queue}"


@cache
def schedules() -> dict[str, dict[str, Any]]:
    """Return infra/schedules.yaml by name."""
    document = yaml.safe_load((ROOT / "infra/schedules.yaml").read_text(encoding="utf-8"))
    return {schedule["name"]: schedule for schedule in document["schedules"]}


@cache
def workflow_text() -> str:
    """Return workflows/batch.yaml."""
    return (ROOT / "workflows/batch.yaml").read_text(encoding="utf-8")


@cache
def skaffold() -> dict[str, dict[str, Any]]:
    """Return the configurations of skaffold.yaml by name."""
    text = (ROOT / "skaffold.yaml").read_text(encoding="utf-8")
    return {document["metadata"]["name"]: document for document in yaml.safe_load_all(text)}


@cache
def gunicorn(service: str) -> dict[str, int]:
    """Return `workers` and `threads` of a Dockerfile's command."""
    text = (ROOT / f"services/{image_of(service)}/Dockerfile").read_text(encoding="utf-8")
    command = re.search(r"^CMD \[(.*)\]$", text, re.MULTILINE)
    assert command is not None, f"{service}: no exec-form command"
    words = [word.strip().strip('"') for word in command[1].split(",")]
    return {option: int(words[words.index(f"--{option}") + 1]) for option in ("workers", "threads")}
