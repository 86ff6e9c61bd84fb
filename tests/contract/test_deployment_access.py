"""Who may do what: nobody reaches an internal service, nothing runs as a default account, every secret is a secret."""

from __future__ import annotations

import re

import pytest

from contract.test_deployment import settings_of
from support import deployment_files as d
from support.service_apps import app_of, internal_routes, public_routes
from support.terraform_files import Block, Expression

EVERYONE = {"allUsers", "allAuthenticatedUsers"}


def grants() -> list[tuple[str, Block]]:
    """Return every IAM resource with the module it is in."""
    return [
        (folder, b)
        for folder, b in d.terraform()
        if b.type == "resource" and "_iam_" in b.labels[0] and not b.labels[0].endswith("_custom_role")
    ]


def test_everyone_is_granted_one_thing_only() -> None:
    """`allUsers` may read an image whose name it knows, when the operator switched that on; nothing else."""
    public = [
        (folder, block.labels, block.arguments["role"], block.arguments["count"])
        for folder, block in grants()
        if block.arguments["member"] in EVERYONE
    ]

    assert public == [
        (
            "buckets",
            ("google_storage_bucket_iam_member", "public"),
            "roles/storage.legacyObjectReader",
            Expression("var . public_images ? 1 : 0"),
        )
    ]


def test_grants_are_single_members() -> None:
    """Bindings and policies would replace what others granted; members are named one by one."""
    kinds = {block.labels[0] for _, block in grants()}

    assert {kind for kind in kinds if not kind.endswith("_iam_member")} == set()


@pytest.mark.fault("I10")
def test_no_account_gets_a_basic_role() -> None:
    """No owner, editor or viewer of the project, and no admin of anything."""
    roles = {str(b.arguments["role"]) for _, b in grants()}
    roles |= {str(grant["role"]) for grant in d.local("accounts", "project_roles").values()}

    assert roles & {"roles/owner", "roles/editor", "roles/viewer"} == set()
    assert {role for role in roles if "admin" in role.lower()} == set()


@pytest.mark.fault("I10")
@pytest.mark.threat("T15")
def test_roles_of_our_own_hold_what_is_done_and_nothing_that_opens_a_door() -> None:
    """Whoever deploys replaces revisions and the workflow; it cannot change who may call, create or delete."""
    roles = {
        role.labels[1]: set(role.arguments["permissions"]) for role in d.resources("google_project_iam_custom_role")
    }
    verbs = {permission.rpartition(".")[2] for permissions in roles.values() for permission in permissions}

    assert roles["task_operations"] == {"cloudtasks.operations.get"}
    assert verbs == {"get", "run", "update"}


@pytest.mark.threat("T15")
def test_what_tests_download_never_runs_with_the_rights_of_a_deployment() -> None:
    """The account `builder` pushes images, reads its sources and adds bills of materials; what it may do ends there."""
    allowed = {
        (folder, str(block.arguments["role"]))
        for folder, block in grants()
        if "builder" in str(block.arguments["member"])
    }
    built, deployed = (
        (d.ROOT / name).read_text(encoding="utf-8") for name in ("cloudbuild.yaml", "cloudbuild-deploy.yaml")
    )

    assert allowed == {
        ("registry", "roles/artifactregistry.writer"),
        ("deployment", "roles/storage.objectViewer"),
        ("deployment", "roles/storage.objectCreator"),
    }
    assert "gcloud run" not in built
    assert not re.search(r"\b(pip|make|npm|apt-get)\b|\.ci/run", deployed)


@pytest.mark.threat("T3")
def test_iam_checks_who_calls_the_compressor() -> None:
    """So a forged token gets nowhere although the compressor trusts IAM to have checked it."""
    door = d.local("services", "services")["compressor"]

    assert door == {"account": "compressor", "public": False, "ingress": "INGRESS_TRAFFIC_ALL"}
    assert d.environment("compressor")["AUTH_MODE"] == "platform"


@pytest.mark.parametrize("service", d.SERVICES)
def test_service_trusts_iam_only_where_iam_checks(service: str) -> None:
    """AUTH_MODE=platform behind an open door would admit forged tokens; behind IAM there is nothing left to verify."""
    public = d.local("services", "services")[service]["public"]

    assert public == (service in d.PUBLIC)
    assert settings_of(service).auth_mode == ("verify" if public else "platform")


@pytest.mark.threat("T3", "T11")
@pytest.mark.parametrize("service", d.GUARDED)
def test_internal_door_has_no_public_route_but_health(service: str) -> None:
    """What it offers besides guarded routes is the probe."""
    assert public_routes(app_of(settings_of(service))) == {"/health"}
    assert internal_routes(app_of(settings_of(service)))


@pytest.mark.threat("T3", "T11")
@pytest.mark.parametrize("service", d.PUBLIC)
def test_public_door_has_no_internal_route(service: str) -> None:
    """Whether Cloud Run leaves a token's signature alone where it does not check it is nobody's concern any more."""
    assert internal_routes(app_of(settings_of(service))) == {}
    assert len(public_routes(app_of(settings_of(service)))) > 5


@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.SERVICES)
def test_internal_routes_are_guarded(service: str) -> None:
    """Nothing below /internal, nor /process or /compress, is open."""
    public = public_routes(app_of(settings_of(service)))

    assert {route for route in public if re.match(r"/(internal|process|compress)\b", route)} == set()


@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.SERVICES)
def test_invokers_are_exactly_the_callers_that_the_routes_admit(service: str) -> None:
    """An account that a route admits may invoke the service, and no other may."""
    admitted = set().union(*internal_routes(app_of(settings_of(service))).values())
    invokers = [grant for grant in d.local("services", "invokers").values() if grant["service"] == service]

    assert {d.account(grant["account"]) for grant in invokers} == admitted


def test_every_manifest_runs_as_an_account_of_its_own() -> None:
    """No default service account: each names one of ours, services their own."""
    expected = {service: d.account(d.image_of(service)) for service in d.SERVICES}
    stated = {name: d.account(service["account"]) for name, service in d.local("services", "services").items()}

    assert stated == expected
    expected |= {f"migrate-{name}": d.account("migrations") for name in ("ingest", "reporter")}
    assert {name: d.pod(name)["serviceAccountName"] for name in d.manifests()} == expected


def test_whatever_terraform_runs_names_an_account() -> None:
    """Services, jobs, workflow and trigger say who they are, before and after Skaffold."""
    (service,) = d.resources("google_cloud_run_v2_service")
    (job,) = d.resources("google_cloud_run_v2_job")
    (workflow,) = d.resources("google_workflows_workflow")
    (trigger,) = d.resources("google_cloudbuild_trigger")
    accounts = [
        service.inner("template")[0].arguments["service_account"],
        job.inner("template")[0].inner("template")[0].arguments["service_account"],
        workflow.arguments["service_account"],
        trigger.arguments["service_account"],
    ]

    assert [isinstance(account, Expression) for account in accounts] == [True] * 4


@pytest.mark.fault("I10")
def test_default_accounts_are_named_nowhere() -> None:
    """Neither Compute Engine's nor App Engine's nor Cloud Build's default account occurs."""
    files = [
        *d.TERRAFORM.rglob("*.tf"),
        *d.CLOUDRUN.glob("*.yaml"),
        d.ROOT / "cloudbuild.yaml",
        d.ROOT / "skaffold.yaml",
    ]
    pattern = re.compile(r"-compute@|@appspot|@cloudbuild|@developer\.gserviceaccount|@cloudservices")

    assert [path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.threat("T14")
def test_every_secret_setting_comes_from_secret_manager() -> None:
    """A setting that the code holds as a secret is a reference in the manifest, with a version of its own."""
    for service in d.SERVICES:
        fields = type(settings_of(service)).model_fields.values()
        secret = {str(field.alias) for field in fields if "SecretStr" in str(field.annotation)}
        secret -= set() if service in d.PUBLIC else {"API_KEYS"}
        referenced = {name for name, value in d.environment(service).items() if value.startswith("secret:")}
        assert referenced == secret, service


@pytest.mark.fault("I10")
def test_accounts_may_read_exactly_the_secrets_that_they_are_given() -> None:
    """What a manifest refers to its account may read, and nothing more."""
    given: dict[str, set[str]] = {secret: set() for secret in d.local("secrets", "readers")}
    for name in d.manifests():
        for value in d.environment(name).values():
            if value.startswith("secret:"):
                given[value.removeprefix("secret:").partition("/")[0]].add(d.pod(name)["serviceAccountName"])

    # The smoke batches of a deployment come with a key, as a client's do.
    given["smoke-api-key"].add(d.account("deployer"))
    allowed = {
        secret: {d.account(reader) for reader in readers} for secret, readers in d.local("secrets", "readers").items()
    }
    assert given == allowed


@pytest.mark.threat("T14")
def test_no_secret_value_is_in_terraform() -> None:
    """Terraform makes secrets and users of no value, so its state holds none."""
    kinds = {block.labels[0] for _, block in d.terraform() if block.type == "resource"}
    text = "".join(path.read_text(encoding="utf-8") for path in d.TERRAFORM.rglob("*.tf"))

    assert kinds & {"google_secret_manager_secret_version", "google_sql_user", "random_password"} == set()
    assert re.search(r"\bpassword\w*\s*=", text) is None


def test_whoever_creates_tasks_may_act_as_the_tasks_account() -> None:
    """Without it Cloud Tasks refuses a task that carries the account's token."""
    enqueuers = d.local("queues", "enqueuers").values()

    assert sorted((grant["tasks"], grant["account"]) for grant in d.local("accounts", "task_creators").values()) == [
        (f"tasks-{grant['queue']}", grant["account"]) for grant in sorted(enqueuers, key=lambda g: str(g["queue"]))
    ]


@pytest.mark.threat("T11")
def test_tasks_of_a_queue_can_call_one_service_only() -> None:
    """Each queue has an account of its own, and IAM admits that account at the one service that the queue is for."""
    invoked: dict[str, set[str]] = {}
    for grant in d.local("services", "invokers").values():
        invoked.setdefault(grant["account"], set()).add(grant["service"])

    assert {f"tasks-{queue}" for queue in d.queues()} == {name for name in invoked if name.startswith("tasks")}
    assert invoked["tasks-batches"] == {"ingest-internal"}
    assert invoked["tasks-images"] == {"compressor"}
    assert invoked["tasks-webhooks"] == {"reporter-internal"}


def test_workflow_calls_only_addresses_it_was_given() -> None:
    """One URL is written in batch.yaml, Cloud Tasks'; all others begin with a variable that Terraform fills in."""
    lines = [line.split("#")[0] for line in d.workflow_text().splitlines()]
    called = [line.split("url:", 1)[1].strip() for line in lines if re.search(r"\burl: ", line)]
    targets = {re.sub(r"^\$\{(\w+).*$", r"\1", target) for target in called}

    assert targets - {"sys"} == {"ingest_url", "reporter_url", "tasks_url", "url"}
    assert [line.strip() for line in lines if "://" in line] == ["- tasks_url: https://cloudtasks.googleapis.com/v2/"]


def test_workflow_is_admitted_wherever_it_calls() -> None:
    """Every path in batch.yaml is a route of its service that admits `workflow`; its tasks meet `tasks-images`."""
    found = re.findall(
        r'method: (\w+)\s+url: \$\{(\w+)_url \+ ("[^"]*")((?: \+ request_id \+ "[^"]*")?)\}', d.workflow_text()
    )
    calls = [
        (service, f"{method} {path.strip(chr(34))}" + ("<request_id>" + rest.split('"')[1] if rest else ""))
        for method, service, path, rest in found
    ]

    assert len(calls) == d.workflow_text().count("call: call_service")
    for service, route in calls:
        assert d.account("workflow") in internal_routes(app_of(settings_of(f"{service}-internal")))[route]
    assert internal_routes(app_of(settings_of("compressor"))) == {
        "POST /compress": {d.account("tasks-images")},
        "POST /internal/previews": {d.account("ingest")},
    }


@pytest.mark.feature("54")
def test_buckets_keep_uniform_access_and_prevent_publication() -> None:
    """Only the images bucket can become public, and only by the switch."""
    buckets = {bucket.labels[1]: bucket.arguments for bucket in d.resources("google_storage_bucket")}

    assert {name: bucket["uniform_bucket_level_access"] for name, bucket in buckets.items()} == dict.fromkeys(
        buckets, True
    )
    assert {name for name, b in buckets.items() if b["public_access_prevention"] != "enforced"} == {"images"}
    assert buckets["images"]["public_access_prevention"] == Expression('var . public_images ? "inherited" : "enforced"')


@pytest.mark.feature("54")
def test_safe_by_default() -> None:
    """Without a word of the operator images are private, doors need keys and nothing can be deleted by accident."""
    assert d.default("pressroom", "public_images") is False
    assert d.default("pressroom", "public_without_keys") is False
    assert d.default("pressroom", "deletion_protection") is True


def test_database_admits_only_connectors() -> None:
    """No authorised network, connectors enforced, client certificates required, backups with point-in-time recovery."""
    (instance,) = d.resources("google_sql_database_instance")
    (settings,) = instance.inner("settings")
    (network,) = settings.inner("ip_configuration")
    (backup,) = settings.inner("backup_configuration")

    assert settings.arguments["connector_enforcement"] == "REQUIRED"
    assert (network.arguments["ssl_mode"], network.blocks) == ("TRUSTED_CLIENT_CERTIFICATE_REQUIRED", [])
    assert (backup.arguments["enabled"], backup.arguments["point_in_time_recovery_enabled"]) == (True, True)
