"""Numbers that must agree: connections, threads, instances, queue rates, time-outs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from docs.generate.settings import SETTINGS

from ingest.dispatch.tasks import COMPRESSION_DEADLINE_S
from ingest.dispatch.window import ALL_FIRST_WINDOWS
from localcloud.tasks.model import MAX_DISPATCHES_PER_SECOND
from localcloud.tasks.queues_file import load_queues
from support import deployment_files as d
from support.terraform_files import Expression

RESERVED_CONNECTIONS = 3
"""PostgreSQL keeps them for superusers (superuser_reserved_connections)."""

OPERATOR_CONNECTIONS = 10
"""For psql, Cloud SQL's own agents and query insights."""

WITH_DATABASE = ("ingest", "ingest-internal", "reporter", "reporter-internal")

MIGRATED = ("ingest", "reporter")


def annotation(service: str, name: str) -> str:
    """Return an annotation of a service's template."""
    return str(d.manifests()[service]["spec"]["template"]["metadata"]["annotations"][name])


def max_instances(service: str, size: str = "S") -> int:
    """Return how many instances Cloud Run may start of one revision."""
    return int(d.size(size)["instances"][service])


def pool_size(service: str) -> int:
    """Return the connections of one process; there is no overflow (chassis.db.engine)."""
    return int(d.environment(service)["DATABASE_POOL_SIZE"])


def connections(service: str, size: str = "S") -> int:
    """Return the most connections that one revision of a service can hold."""
    return max_instances(service, size) * d.gunicorn(service)["workers"] * pool_size(service)


def seconds(text: str) -> float:
    """Return the seconds of `60s`."""
    return float(text.removesuffix("s"))


SIZES = tuple(d.sizes())


def test_manifests_take_their_instances_from_the_size() -> None:
    """And Terraform the tier, the connections and the queues; each size names every service and queue."""
    for name, size in d.sizes().items():
        assert (set(size["instances"]), set(size["queues"])) == (set(d.SERVICES), set(d.queues())), name
    for service in d.SERVICES:
        assert int(annotation(service, "autoscaling.knative.dev/maxScale")) == max_instances(service)
    assert {name: queue["rate_limits"] for name, queue in d.queues().items()} == d.size("S")["queues"]
    main = (d.MODULES / "pressroom/main.tf").read_text(encoding="utf-8")
    assert "sizes.yaml" in main
    for used in ("database.tier", "database.max_connections", "queues", "instances"):
        assert f"local.size.{used}" in main


@pytest.mark.parametrize("size", SIZES)
def test_connections_suffice_while_two_revisions_overlap(size: str) -> None:
    """During a rollout the old and the new revision hold their pools, and a migration runs beside them."""
    migrations = 2 * len(MIGRATED)  # one for the lock, one for the work
    most = 2 * sum(connections(service, size) for service in WITH_DATABASE) + migrations

    assert most <= d.size(size)["database"]["max_connections"] - RESERVED_CONNECTIONS - OPERATOR_CONNECTIONS


@pytest.mark.fault("B5")
def test_database_is_given_the_number_that_the_sum_needs() -> None:
    """`max_connections` is set as a flag, so it does not follow the machine's memory."""
    (instance,) = d.resources("google_sql_database_instance")
    flags = instance.inner("settings")[0].inner("database_flags")

    values = {flag.arguments["name"]: flag.arguments["value"] for flag in flags}
    assert values["max_connections"] == Expression("tostring ( var . max_connections )")


def splits(requests: int, processes: int) -> list[tuple[int, ...]]:
    """Return every way in which the kernel may spread so many requests over so many processes."""
    if processes == 1:
        return [(requests,)]
    return [(first, *rest) for first in range(requests + 1) for rest in splits(requests - first, processes - 1)]


@pytest.mark.fault("F18")
@pytest.mark.parametrize("service", d.SERVICES)
def test_every_request_and_a_probe_have_a_thread_however_connections_fall(service: str) -> None:
    """An accepted connection stays with its process: what Cloud Run sends at once may all fall on one of them.

    Threads divided evenly would leave requests, and the probe behind them, waiting in one process while another idles.
    """
    command, at_once = d.gunicorn(service), d.pod(service)["containerConcurrency"]

    for split in splits(at_once, command["workers"]):
        assert all(requests + 1 <= command["threads"] for requests in split), split


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_every_request_has_a_connection_however_requests_fall(service: str) -> None:
    """A request never waits for another one's connection, and none lies idle."""
    command, at_once = d.gunicorn(service), d.pod(service)["containerConcurrency"]

    assert max(max(split) for split in splits(at_once, command["workers"])) == pool_size(service)
    assert SETTINGS[d.image_of(service)].model_fields["database_pool_size"].default == pool_size(service)


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_one_instance_stays_below_the_connector_limit(service: str) -> None:
    """Cloud Run admits 100 connections of one instance (https://cloud.google.com/sql/docs/quotas)."""
    assert d.gunicorn(service)["workers"] * pool_size(service) <= 100


@pytest.mark.parametrize("service", WITH_DATABASE)
def test_service_and_its_migration_use_the_same_instance(service: str) -> None:
    """Both have the socket of the instance that Terraform makes."""
    instance = d.manifest_values()["database_connection"]

    assert annotation(service, "run.googleapis.com/cloudsql-instances") == instance
    assert annotation(f"migrate-{d.image_of(service)}", "run.googleapis.com/cloudsql-instances") == instance


def test_compressor_has_a_processor_for_every_process() -> None:
    """Decoding gains nothing from threads, so each gunicorn process has a vCPU of its own."""
    assert int(d.container("compressor")["resources"]["limits"]["cpu"]) == d.gunicorn("compressor")["workers"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("queue", "service"),
    [("batches", "ingest-internal"), ("images", "compressor"), ("webhooks", "reporter-internal")],
)
def test_instances_take_what_a_queue_has_under_way(queue: str, service: str, size: str) -> None:
    """A queue's concurrency is below what its target can hold, so Cloud Run never answers 429 to Cloud Tasks."""
    most = max_instances(service, size) * d.pod(service)["containerConcurrency"]

    assert d.size(size)["queues"][queue]["max_concurrent_dispatches"] <= most


@pytest.mark.parametrize("size", SIZES)
def test_queues_stay_within_the_limit_of_cloud_tasks(size: str) -> None:
    """500 dispatches a second are the most that a queue can have (https://cloud.google.com/tasks/docs/quotas)."""
    for queue in d.size(size)["queues"].values():
        assert queue["max_dispatches_per_second"] <= 500


PROCESSOR_S = {"compressor": 0.06, "ingest-internal": 0.0041, "database": 0.002}
"""Seconds of a processor that an image of 3 MP takes at most in each part (measured: docs/scaling.md)."""


def images_per_s(size: str) -> dict[str, int]:
    """Return how many images a second the processors of each part do."""
    processors = {
        "database": int(d.size(size)["database"]["tier"].split("-")[2]),
        **{
            service: max_instances(service, size) * int(d.container(service)["resources"]["limits"]["cpu"])
            for service in ("compressor", "ingest-internal")
        },
    }
    return {part: round(processors[part] / seconds) for part, seconds in PROCESSOR_S.items()}


@pytest.mark.parametrize("size", SIZES)
def test_every_part_does_what_the_queue_of_images_gives(size: str) -> None:
    """The queue is what bounds a size: no part behind it has fewer processors than its rate needs."""
    rate = d.size(size)["queues"]["images"]["max_dispatches_per_second"]

    assert {part: most for part, most in images_per_s(size).items() if most < rate} == {}
    assert d.size(size)["queues"]["images"]["max_concurrent_dispatches"] / rate >= 0.6  # seconds; half for its origin


def test_the_largest_size_gives_as_many_images_as_a_queue_can() -> None:
    """500 a second, and one host may be asked for all of them."""
    assert d.size("L")["queues"]["images"]["max_dispatches_per_second"] == MAX_DISPATCHES_PER_SECOND == 500
    assert SETTINGS["ingest"].model_fields["host_max_rate"].default >= 500


@pytest.mark.parametrize("size", SIZES)
def test_localcloud_takes_the_queues_of_every_size(size: str, tmp_path: Path) -> None:
    """What Terraform would be given, also where the file of queues has size S."""
    given = [{"name": name, "rate_limits": limits} for name, limits in d.size(size)["queues"].items()]
    path = tmp_path / "queues.yaml"
    path.write_text(yaml.safe_dump({"queues": given}), encoding="utf-8")

    taken = {queue.queue_id: queue.rate_limits for queue in load_queues(path, project="p", location="l")}

    assert {
        name: (limits.max_dispatches_per_second, limits.max_concurrent_dispatches) for name, limits in taken.items()
    } == {name: tuple(limits.values()) for name, limits in d.size(size)["queues"].items()}


def test_table_of_rates_in_the_docs_is_what_is_deployed() -> None:
    """docs/scaling.md: by size what the queue gives, for how long an image may then take, and what each part does."""
    page = (d.ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    for name in SIZES:
        queues, parts = d.size(name)["queues"], images_per_s(name)
        rate, under_way = queues["images"].values()
        does = " | ".join(str(parts[part]) for part in PROCESSOR_S)
        rest = f"{queues['batches']['max_dispatches_per_second']} | {queues['webhooks']['max_concurrent_dispatches']}"
        assert f"| {name} | {rate} | {under_way} | {under_way / rate:.2f} s | {does} | {rest} |" in page


@pytest.mark.parametrize("size", SIZES)
def test_webhooks_under_way_have_a_place(size: str) -> None:
    """The reporter answers 429 beyond WEBHOOK_CONCURRENCY; the queue does not drive it there."""
    most = max_instances("reporter-internal", size) * d.gunicorn("reporter")["workers"]
    most *= SETTINGS["reporter"].model_fields["webhook_concurrency"].default

    assert d.size(size)["queues"]["webhooks"]["max_concurrent_dispatches"] <= most


def test_sum_in_the_docs_is_the_sum() -> None:
    """docs/scaling.md shows today's connections."""
    page = (d.ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    for name, size in d.sizes().items():
        one = sum(connections(service, name) for service in WITH_DATABASE)
        needed = 2 * one + 2 * len(MIGRATED) + RESERVED_CONNECTIONS + OPERATOR_CONNECTIONS
        counts = " | ".join(str(max_instances(service, name)) for service in (*WITH_DATABASE, "compressor"))
        database = size["database"]
        assert (
            f"| {name} | {counts} | {one} | {needed} of {database['max_connections']} | `{database['tier']}` |" in page
        )


def test_capacity_in_the_docs_follows_from_the_numbers_deployed() -> None:
    """docs/scaling.md: images a second of one host, and leases that cover what may wait in the queue."""
    page = (d.ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    rates = d.queues()["images"]["rate_limits"]
    fields = {name: field.default for name, field in SETTINGS["ingest"].model_fields.items()}
    concurrency, starts = fields["host_max_concurrency"], fields["host_max_rate"]
    assert f"`INGEST_HOST_MAX_CONCURRENCY` {concurrency} under way and `INGEST_HOST_MAX_RATE` {starts:g} starts" in page
    # What a small batch waits for when many others have just begun.
    assert ALL_FIRST_WINDOWS / rates["max_dispatches_per_second"] <= 10
    assert f"| {min(starts, concurrency / 0.5):g} at 0.5 s, {min(starts, concurrency / 5):g} at 5 s |" in page


def test_image_task_may_last_as_long_as_the_compressor_does() -> None:
    """The dispatch deadline of its task is not above the service's time-out, and not below it either."""
    assert d.pod("compressor")["timeoutSeconds"] == COMPRESSION_DEADLINE_S


@pytest.mark.parametrize("service", ["ingest", "reporter"])
def test_service_answers_within_the_longest_wait_of_the_workflow(service: str) -> None:
    """Cloud Run does not cut off a call that the workflow still waits for."""
    calls = [part.partition("result:")[0] for part in d.workflow_text().split("call: call_service")[1:]]
    waits = [int(w) for call in calls if f"{service}_url" in call for w in re.findall(r"timeout_s: (\d+)", call)]

    assert d.pod(f"{service}-internal")["timeoutSeconds"] >= max(waits)


def test_sweep_is_cut_off_by_its_schedule_and_not_by_cloud_run() -> None:
    """The schedule's deadline is the shorter one."""
    for schedule in d.schedules().values():
        assert seconds(schedule["attempt_deadline"]) <= d.pod(schedule["service"])["timeoutSeconds"]


def test_lease_outlasts_the_tries_of_the_images_queue() -> None:
    """An image whose lease ends has no task left that could still report it."""
    retry = d.queues()["images"]["retry_config"]
    attempts = retry["max_attempts"]
    waits = [
        min(seconds(retry["min_backoff"]) * 2 ** min(n, retry["max_doublings"]), seconds(retry["max_backoff"]))
        for n in range(attempts - 1)
    ]
    lease_s = SETTINGS["ingest"].model_fields["lease_s"].default

    assert attempts * d.pod("compressor")["timeoutSeconds"] + sum(waits) <= lease_s


def test_largest_sheet_fits_into_a_request_of_cloud_run() -> None:
    """HTTP/1 requests end at 32 MiB (https://cloud.google.com/run/quotas)."""
    assert SETTINGS["ingest"].model_fields["max_sheet_bytes"].default <= 32 * 1024 * 1024


@pytest.mark.fault("A2")
def test_gunicorn_ends_before_cloud_run_kills() -> None:
    """SIGTERM is followed by SIGKILL after ten seconds."""
    for service in d.IMAGES:
        text = (d.ROOT / f"services/{service}/Dockerfile").read_text(encoding="utf-8")
        (graceful,) = re.findall(r'"--graceful-timeout", "(\d+)"', text)
        assert 0 < int(graceful) < 10


@pytest.mark.feature("55")
def test_reports_outlive_the_rows_that_link_to_them() -> None:
    """Services and Terraform have one default, and the bucket keeps an object a day longer than its row is there."""
    days = d.default("pressroom", "rows_retention_days")

    assert {SETTINGS[name].model_fields["retention_days"].default for name in MIGRATED} == {days}
    assert d.default("pressroom", "reports_retention_days") > days
    given = [d.environment(name)[f"{d.image_of(name).upper()}_RETENTION_DAYS"] for name in WITH_DATABASE]
    assert given == [str(days)] * len(WITH_DATABASE)


def test_services_listen_where_cloud_run_asks() -> None:
    """PORT is Cloud Run's to set; the containers are told 8080 and probed at /health."""
    for service in d.SERVICES:
        one = d.container(service)
        assert one["ports"] == [{"containerPort": 8080}]
        assert one["startupProbe"]["httpGet"] == one["livenessProbe"]["httpGet"] == {"path": "/health"}


@pytest.mark.parametrize("size", SIZES)
def test_database_tier_has_memory_for_its_connections(size: str) -> None:
    """About 10 MB a connection: 3.75 GB for 250 of them."""
    database = d.size(size)["database"]
    _, _, _, megabytes = database["tier"].split("-")

    assert database["max_connections"] * 10 <= int(megabytes) * 0.7


@pytest.mark.fault("J5")
def test_cloud_build_goes_from_test_to_traffic_in_order() -> None:
    """Nothing is built that fails its tests, nothing takes traffic before its tables and its smoke batch are there."""
    build, deployment = (
        [step["id"] for step in yaml.safe_load((d.ROOT / name).read_text(encoding="utf-8"))["steps"]]
        for name in ("cloudbuild.yaml", "cloudbuild-deploy.yaml")
    )

    assert build == ["test", "build"]
    assert deployment == ["ran-in-staging", "render", "migrate", "candidates", "smoke-candidate", "promote"]


def test_deployment_waits_for_no_timing_test() -> None:
    """Cloud Build leaves out what compares processor times, and each such test says that it does."""
    document = yaml.safe_load((d.ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))
    files = [*(d.ROOT / "tests").rglob("test_*.py"), *(d.ROOT / "infra/local/tests").rglob("test_*.py")]
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    clocked = {path for path, text in sources.items() if re.search(r"process_time\(|\b(measure_)?growth\(", text)}

    assert """PYTEST_ARGS='-m "not timing"' .ci/run""" in document["steps"][0]["args"][1]
    assert {path.name for path in clocked - {Path(__file__)} if "mark.timing" not in sources[path]} == set()
