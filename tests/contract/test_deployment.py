"""One truth: what HCL, manifests, Skaffold, queues, schedules, workflow and settings name is the same everywhere."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs.generate.settings import SETTINGS
from sqlalchemy import make_url

from chassis.settings import settings_rows
from reporter.webhooks.retry_policy import GivenUp
from support import deployment_files as d
from support.service_apps import app_of, internal_routes, settings_from
from support.terraform_files import Expression

API_KEY = "prk_0123456789abcdefghijABCDEFGHIJ0123456789abc"
SECRET_VALUES = {
    "ingest-database-url": f"postgresql://ingest:00ff@/pressroom_ingest?host=/cloudsql/{d.PROJECT}:{d.LOCATION}:pressroom",
    "reporter-database-url": f"postgresql://reporter:00ff@/pressroom_reporter?host=/cloudsql/{d.PROJECT}:{d.LOCATION}:pressroom",
    "api-keys": '{"owner": "operator", "scopes": ["admin"], "name": "first", "sha256": "'
    + hashlib.sha256(API_KEY.encode()).hexdigest()
    + '"}\n',
    "download-signing-secret": "0123456789abcdef" * 4,
    "image-link-secret": "0123456789abcdef" * 4,
    "webhook-endpoint-keys": "0123456789abcdef" * 4,
    "webhook-signing-secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}
"""Secrets of the very form that infra/terraform/new-secrets gives them."""

PLATFORM_VARIABLES = {"K_SERVICE", "K_REVISION"}
NEVER_DEPLOYED = {
    "AUTH_CERTS_URL",
    "CLOUD_TASKS_EMULATOR_HOST",
    "STORAGE_EMULATOR_HOST",
    "WORKFLOWS_EMULATOR_HOST",
    "EGRESS_ALLOWED_NETWORKS",
    "FAILPOINTS",
    "FAILPOINTS_DIR",
    "TRACE_ENDPOINT",
    "INGEST_SAMPLE_SHEET_URL",
}


def deployed_environment(service: str) -> dict[str, str]:
    """Return the environment that a manifest gives its container, secrets filled in."""
    return {
        name: SECRET_VALUES[value.removeprefix("secret:").partition("/")[0]] if value.startswith("secret:") else value
        for name, value in d.environment(service).items()
    }


def container_environment(service: str, port: int) -> dict[str, str]:
    """Return what a container finds on Cloud Run, for one that is started here.

    Google's clients want no credentials of emulators; that none is there does not matter before the first call.
    """
    platform = {"PORT": str(port), "K_SERVICE": service, "K_REVISION": f"{service}-00001"}
    emulators = dict.fromkeys(("CLOUD_TASKS_EMULATOR_HOST", "WORKFLOWS_EMULATOR_HOST"), "127.0.0.1:1")
    return {**deployed_environment(service), **platform, **emulators, "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}


def settings_of(service: str) -> Any:
    """Return the settings of a service as its manifest would start it."""
    return settings_from(deployed_environment(service), service)


@pytest.mark.parametrize("service", d.SERVICES)
def test_manifest_starts_its_service(service: str) -> None:
    """The environment of a manifest is complete and well-formed: the service's own settings take it."""
    assert settings_of(service).project == d.PROJECT


@pytest.mark.parametrize("service", d.SERVICES)
def test_manifest_names_only_settings_that_exist(service: str) -> None:
    """A variable that no settings table knows would be silently ignored."""
    known = {row.variable for row in settings_rows(SETTINGS[d.image_of(service)])}

    assert set(d.environment(service)) <= known - PLATFORM_VARIABLES - NEVER_DEPLOYED


@pytest.mark.parametrize("service", d.SERVICES)
def test_manifest_sets_every_required_setting(service: str) -> None:
    """What has no default is in the manifest by name."""
    required = {row.variable for row in settings_rows(SETTINGS[d.image_of(service)]) if row.default == "required"}

    assert required <= set(d.environment(service))


def test_terraform_gives_exactly_the_placeholders_of_the_manifests() -> None:
    """No placeholder without a value, no value without a placeholder."""
    wanted = {
        name
        for sources in d.renderer().FILES.values()
        for source in sources
        for name in d.renderer().placeholders((d.CLOUDRUN / source).read_text(encoding="utf-8"))
    }

    assert set(d.output("services", "manifest_values")) == wanted


def test_every_manifest_is_rendered() -> None:
    """Each file of infra/cloudrun belongs to one of the two rendered files."""
    rendered = {source for sources in d.renderer().FILES.values() for source in sources}

    assert {path.name for path in d.CLOUDRUN.glob("*.yaml")} == rendered


@pytest.mark.parametrize("value", ['a"b', "a\nb: c", "a\\", "'"])
def test_value_that_could_become_yaml_of_its_own_is_refused(value: str) -> None:
    """Rendering fails rather than let a value leave its quotes."""
    with pytest.raises(d.renderer().RenderError):
        d.renderer().render('a: "${x}"\n', {"x": value})


def test_missing_value_is_refused_by_name() -> None:
    """Rendering names what Terraform has not given."""
    with pytest.raises(d.renderer().RenderError, match="no value for x"):
        d.renderer().render("a: ${x}\n", {})


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["../x"]], ids=["none", "two", "a path"])
def test_render_takes_one_plain_name(arguments: list[str]) -> None:
    """Anything else is a mistake of usage, status 2."""
    assert d.renderer().main(arguments) == 2


def test_addresses_are_those_that_cloud_run_gives() -> None:
    """Terraform composes the deterministic address https://SERVICE-NUMBER.REGION.run.app of each service it makes."""
    expected = "https://${name}-${var.project_number}.${var.location}.run.app"

    assert expected in d.local("services", "urls").text
    assert set(d.local("services", "services")) == set(d.SERVICES)


def test_services_and_jobs_are_the_same_in_terraform_and_manifests() -> None:
    """Skaffold replaces what Terraform made and makes nothing of its own, which nobody would have granted anything."""
    (job,) = d.resources("google_cloud_run_v2_job")
    named = {*d.SERVICES, *(f"migrate-{name}" for name in ("ingest", "reporter"))}

    assert job.arguments["name"] == Expression('"migrate-${each.value}"')
    assert job.arguments["for_each"] == Expression('toset ( [ "ingest" , "reporter" ] )')
    assert set(d.manifests()) == named


def test_terraform_leaves_templates_to_skaffold() -> None:
    """Otherwise each apply would roll the services back to the placeholder image."""
    ignored = [
        block.inner("lifecycle")[0].arguments["ignore_changes"]
        for kind in ("google_cloud_run_v2_service", "google_cloud_run_v2_job")
        for block in d.resources(kind)
    ]

    assert [Expression("template") in names for names in ignored] == [True, True]


@pytest.mark.parametrize("service", d.SERVICES)
def test_door_of_a_service_is_the_same_in_terraform_and_manifest(service: str) -> None:
    """Ingress, IAM check and audience are in both, because a deployment replaces them."""
    stated = d.local("services", "services")[service]
    annotations = d.manifests()[service]["metadata"]["annotations"]
    ingress = {"INGRESS_TRAFFIC_ALL": "all", "INGRESS_TRAFFIC_INTERNAL_ONLY": "internal"}

    # An option puts a load balancer in front of the public doors; by default there is none.
    stated_ingress = "INGRESS_TRAFFIC_ALL" if stated["public"] else stated["ingress"]
    assert not stated["public"] or stated["ingress"] == Expression("local . public_ingress")
    assert annotations == {
        "run.googleapis.com/ingress": ingress[stated_ingress],
        "run.googleapis.com/invoker-iam-disabled": str(stated["public"]).lower(),
        "run.googleapis.com/custom-audiences": f'["{d.url(service)}"]',
    }


def test_skaffold_builds_the_images_that_the_manifests_name() -> None:
    """Image names are the only link between the two."""
    built = {artifact["image"] for artifact in d.skaffold()["images"]["build"]["artifacts"]}

    assert {d.container(name)["image"] for name in d.manifests()} == built == set(d.IMAGES)


def test_skaffold_builds_each_image_from_its_dockerfile() -> None:
    """The context is services/, because the chassis is built in; .dockerignore lies there."""
    artifacts = d.skaffold()["images"]["build"]["artifacts"]
    files = [d.ROOT / artifact["context"] / artifact["docker"]["dockerfile"] for artifact in artifacts]

    assert files == [d.ROOT / "services" / service / "Dockerfile" for service in d.IMAGES]
    assert (d.ROOT / "services/.dockerignore").is_file()


@pytest.mark.parametrize("profile", ["dev", "prod"])
@pytest.mark.parametrize("configuration", ["migrations", "services"])
def test_skaffold_deploys_what_render_writes(configuration: str, profile: str) -> None:
    """Each profile deploys the file that `render.py PROFILE` leaves."""
    profiles = {entry["name"]: entry for entry in d.skaffold()[configuration]["profiles"]}

    assert profiles[profile]["manifests"]["rawYaml"] == [f"infra/cloudrun/rendered/{profile}/{configuration}.yaml"]
    assert f"{configuration}.yaml" in d.renderer().FILES


@pytest.mark.feature("24")
def test_queues_are_read_from_the_one_file() -> None:
    """Terraform reads infra/queues.yaml, and every field of a queue reaches the resource."""
    (queue,) = d.resources("google_cloud_tasks_queue")
    for name, stated in d.queues().items():
        for group in ("rate_limits", "retry_config"):
            assert set(queue.inner(group)[0].arguments) == set(stated[group]), name
        assert set(d.size("S")["queues"][name]) == set(stated["rate_limits"]), name
    assert "queues.yaml" in d.local("queues", "queues").text


def test_enqueuers_name_queues_and_accounts_that_exist() -> None:
    """No queue without somebody who fills it, no grant for a queue or account that is not there."""
    enqueuers = d.local("queues", "enqueuers").values()

    assert {grant["queue"] for grant in enqueuers} == set(d.queues())
    assert {grant["account"] for grant in enqueuers} <= set(d.local("accounts", "accounts"))


def test_schedules_call_routes_that_exist_as_their_allowed_caller() -> None:
    """Each schedule of infra/schedules.yaml meets a route of its service that admits its account."""
    for name, schedule in d.schedules().items():
        routes = internal_routes(app_of(settings_of(schedule["service"])))
        callers = routes[f"{schedule['http_method']} {schedule['path']}"]
        assert callers == {d.account(schedule["service_account"])}, name
    assert "schedules.yaml" in d.local("schedules", "schedules").text


def test_workflow_is_deployed_from_the_one_file() -> None:
    """No copy and no text replacement: `file()` of workflows/batch.yaml."""
    (workflow,) = d.resources("google_workflows_workflow")

    assert workflow.arguments["source_contents"] == Expression(
        'file ( "${path.module}/../../../../workflows/batch.yaml" )'
    )
    assert workflow.arguments["name"] == d.manifest_values()["workflow_id"]


def test_workflow_gets_exactly_the_variables_it_asks_for() -> None:
    """`sys.get_env` of a name that Terraform does not give would fail the first step of every batch."""
    (workflow,) = d.resources("google_workflows_workflow")
    asked = set(re.findall(r'sys\.get_env\("(\w+)"\)', d.workflow_text()))
    built_in = {name for name in asked if name.startswith("GOOGLE_CLOUD_")}

    assert set(workflow.arguments["user_env_vars"]) == asked - built_in


def test_workflow_environment_is_that_of_the_local_stack() -> None:
    """What the workflow is told locally and on Google Cloud has the same names."""
    stack = yaml.safe_load((d.ROOT / "infra/local/stack.yaml").read_text(encoding="utf-8"))
    (workflow,) = d.resources("google_workflows_workflow")

    assert set(stack["workflows"]["environment"]) == set(workflow.arguments["user_env_vars"])


def test_accounts_buckets_and_databases_are_those_of_the_local_stack() -> None:
    """Locally and on Google Cloud the same things exist; jobs, builds and deployments need three accounts more."""
    stack = yaml.safe_load((d.ROOT / "infra/local/stack.yaml").read_text(encoding="utf-8"))
    (database,) = d.resources("google_sql_database")

    assert set(d.local("accounts", "accounts")) == {*stack["accounts"], "migrations", "builder", "deployer"}
    assert {f"pressroom-{name}" for name in d.output("buckets", "names")} == set(stack["storage"]["buckets"])
    assert set(re.findall(r'"(\w+)"', database.arguments["for_each"].text)) == set(stack["postgres"]["databases"])


def test_local_services_and_manifests_set_the_same_variables() -> None:
    """A variable that only one of the two platforms sets is one of the few that must differ."""
    stack = yaml.safe_load((d.ROOT / "infra/local/stack.yaml").read_text(encoding="utf-8"))
    only_cloud = {"LOG_LEVEL", "AUTH_MODE", "DATABASE_POOL_SIZE", "PUBLIC_WITHOUT_KEYS"}
    only_cloud |= {"INGEST_RETENTION_DAYS", "REPORTER_RETENTION_DAYS", "MAX_REQUESTS_PER_MINUTE", "TRUSTED_PROXIES"}
    for service in d.SERVICES:
        known = {row.variable for row in settings_rows(SETTINGS[d.image_of(service)])}
        given = {**stack["environment"], **stack["services"][service]["environment"]}
        local = known & {name for name, value in given.items() if value}
        tuned = {
            name
            for name in local
            if name.startswith("INGEST_") and name.endswith(("_S", "_HOST_LIMITS", "_SAMPLE_SHEET_URL"))
        }
        assert set(d.environment(service)) - only_cloud == local - NEVER_DEPLOYED - tuned, service


@pytest.mark.parametrize("service", ["ingest", "reporter"])
def test_new_secrets_makes_urls_of_the_databases_that_exist(service: str) -> None:
    """The script's URL has the user, database and socket folder that the engine expects."""
    script = (d.TERRAFORM / "new-secrets").read_text(encoding="utf-8")
    parsed = make_url(SECRET_VALUES[f"{service}-database-url"])

    assert "postgresql://%s:%s@/pressroom_%s?host=/cloudsql/%s:%s:pressroom" in script
    assert (parsed.username, parsed.database) == (service, f"pressroom_{service}")
    assert parsed.query == {"host": f"/cloudsql/{d.manifest_values()['database_connection']}"}


def test_new_secrets_adds_every_secret_that_terraform_makes() -> None:
    """After the script no secret is left without a version."""
    script = (d.TERRAFORM / "new-secrets").read_text(encoding="utf-8")
    named = {secret for secret in d.local("secrets", "readers") if not secret.endswith("-database-url")}

    assert {secret for secret in named if secret not in script} == set()
    assert set(SECRET_VALUES) | {"smoke-api-key"} == set(d.local("secrets", "readers"))


@pytest.mark.fault("J7")
@pytest.mark.threat("T16")
def test_alerts_and_metrics_count_events_that_the_code_logs() -> None:
    """A renamed log event would silence an alert without anybody noticing."""
    filters = " ".join(metric["filter"] for metric in d.local("monitoring", "metrics").values())
    code = "\n".join(path.read_text(encoding="utf-8") for path in (d.ROOT / "services").glob("*/src/**/*.py"))
    events = set(re.findall(r'"([a-z_]+\.[a-z_]+)"', filters))

    assert events
    assert {event for event in events if f'"{event}"' not in code} == set()


@pytest.mark.fault("J7")
def test_alerts_watch_metrics_that_exist() -> None:
    """Every metric of ours that an alert or chart uses is made by the same module."""
    text = "".join(path.read_text(encoding="utf-8") for path in (d.MODULES / "monitoring").glob("*.tf"))
    used = set(re.findall(r"user/pressroom/(\w+)", text)) | set(re.findall(r"\$\{local\.user\}/(\w+)", text))

    assert used == {*d.local("monitoring", "metrics"), *d.local("monitoring", "google_metrics")}


@pytest.mark.fault("J7")
@pytest.mark.threat("T11")
def test_refused_calls_of_our_own_parts_and_failed_schedules_alert() -> None:
    """What IAM refuses reaches no service: it is counted where Cloud Run and Cloud Scheduler log it."""
    metrics, alerts = d.local("monitoring", "google_metrics"), d.local("monitoring", "alerts")
    refused = metrics["internal_refused"]["filter"]

    assert set(re.findall(r'"([a-z-]+)"', refused.partition("service_name=")[2])) == set(d.GUARDED)
    assert "httpRequest.status=(401 OR 403)" in refused
    assert set(metrics) <= set(alerts)


def test_objectives_are_of_services_that_exist_and_alerts_reach_every_channel() -> None:
    """A renamed service would leave an objective without requests; a pager must hear of everything."""
    objectives = d.local("monitoring", "objectives").values()
    channels = {b.arguments["notification_channels"] for b in d.resources("google_monitoring_alert_policy")}

    assert {objective["service"] for objective in objectives} <= set(d.SERVICES)
    assert all(0.9 < objective["goal"] < 1 for objective in objectives)
    assert channels == {Expression("local . channels")}


def test_alerts_point_to_headings_of_the_runbook() -> None:
    """Whoever gets a mail finds the heading that it names."""
    runbook = (d.ROOT / "docs/operate.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^## (.+)$", runbook, re.MULTILINE))
    sources = "".join(path.read_text(encoding="utf-8") for path in (d.MODULES / "monitoring").glob("*.tf"))
    named = {alert["runbook"] for alert in d.local("monitoring", "alerts").values()}
    named |= set(re.findall(r'content += "docs/operate.md, \\"([^$\\]+)\\""', sources))
    linked = re.findall(r'for_each = var.runbook_url == "" \? \[\] : \["?([^"\]]+)"?\]', sources)

    assert named <= headings
    assert len(named) >= 8
    assert {heading for heading in linked if heading != "each.value.runbook"} <= headings
    assert len(linked) == len(d.resources("google_monitoring_alert_policy"))


@pytest.mark.fault("J7")
def test_routes_and_verdicts_of_metrics_and_alerts_are_those_of_the_code() -> None:
    """A renamed route or verdict would silence an alert without anybody noticing."""
    apps = [app_of(settings_of(service)) for service in ("ingest", "ingest-internal")]
    routes = {rule.rule for app in apps for rule in app.url_map.iter_rules()}
    named = re.findall(r'"(/[^"]+)"', d.local("monitoring", "metrics")["latency"]["filter"])

    assert set(named) <= routes
    assert len(named) == 3
    assert f'verdict = \\"{GivenUp.__name__}\\"' in d.local("monitoring", "alerts")["webhooks_failed"]["filter"].text


@pytest.fixture
def cloudrun_copy(tmp_path: Path) -> Path:
    shutil.copytree(d.CLOUDRUN, tmp_path / "cloudrun", ignore=shutil.ignore_patterns("rendered", "__pycache__"))
    (tmp_path / "cloudrun/rendered").mkdir()
    return tmp_path / "cloudrun"


def run_render(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run render.py of a folder as operators and builds do."""
    return subprocess.run(
        [sys.executable, str(folder / "render.py"), "prod"], check=False, capture_output=True, text=True
    )


def test_render_writes_the_files_that_skaffold_deploys(cloudrun_copy: Path) -> None:
    """From Terraform's JSON to two files of whole manifests."""
    (cloudrun_copy / "rendered/prod.json").write_text(json.dumps(d.manifest_values()))

    done = run_render(cloudrun_copy)

    assert (done.returncode, done.stderr) == (0, "")
    written = {path.name: path.read_text() for path in (cloudrun_copy / "rendered/prod").iterdir()}
    assert written == d.renderer().render_all(d.manifest_values())


def test_render_writes_nothing_when_a_value_is_missing(cloudrun_copy: Path) -> None:
    """Half a deployment is worse than none: the missing name is told and no file is left."""
    values = {name: value for name, value in d.manifest_values().items() if name != "images_bucket"}
    (cloudrun_copy / "rendered/prod.json").write_text(json.dumps(values))

    done = run_render(cloudrun_copy)

    assert done.returncode == 1
    assert "no value for images_bucket" in done.stderr
    assert not (cloudrun_copy / "rendered/prod").exists()


def test_render_says_which_file_it_lacks(cloudrun_copy: Path) -> None:
    """Without Terraform's output there is nothing to fill in."""
    done = run_render(cloudrun_copy)

    assert done.returncode == 1
    assert "prod.json" in done.stderr
