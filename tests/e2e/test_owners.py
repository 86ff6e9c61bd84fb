"""Two shops with API keys on one stack: each goes its whole way, and neither sees anything of the other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo
from samples.receiver import Receiver

from chassis.auth.api_keys import new_key
from e2e.conftest import running_stack
from localcloud.stack.blocking import Stack
from support.shop_client import Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ALICE, BOB, CAROL, ROOT = (
    new_key(owner="alice", scopes=["read", "write"]),
    new_key(owner="bob", scopes=["read", "write"]),
    new_key(owner="carol", scopes=["read", "write"]),
    new_key(owner="root", scopes=["admin"]),
)


@pytest.fixture(name="keyed_stack", scope="module")
def _keyed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    keys = "\n".join(key.line for key in (ALICE, BOB, CAROL, ROOT))
    # The batches of this module run in the other way that `CREATE_TASKS_BY` allows.
    with running_stack(tmp_path_factory.mktemp("keyed"), API_KEYS=keys, CREATE_TASKS_BY="create") as stack:
        yield stack


@pytest.fixture(name="origin", scope="module")
def _origin() -> Iterator[Origin]:
    with Origin({f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(80, 60, seed=n), "JPEG")) for n in range(4)}) as o:
        yield o


def test_two_owners_go_their_whole_way_unseen_by_each_other(keyed_stack: Stack, origin: Origin) -> None:
    """Upload, status, list, report, endpoint and event with a key; to the other every id is unknown."""
    shops = {"alice": Shop(keyed_stack, ALICE.key), "bob": Shop(keyed_stack, BOB.key)}
    batches: dict[str, str] = {}
    events: dict[str, Receiver] = {}
    for owner, shop in shops.items():
        # The secret is made by the endpoint, whose URL must exist before: the first receiver only finds a port.
        with Receiver("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") as placeholder:
            created = shop.call("reporter", "POST", "/webhooks", json={"url": placeholder.url})
        assert created.status_code == 201, created.text
        events[owner] = Receiver(created.json()["secret"], port=placeholder.port)
    with events["alice"], events["bob"]:
        for number, (owner, shop) in enumerate(shops.items()):
            batches[owner] = shop.upload(sheet_of([[f"{origin.base_url}/{number}.jpg"]]))
        for owner, shop in shops.items():
            assert shop.finished(batches[owner])["owner"] == owner
            received = events[owner].wait_for(batches[owner], within_s=30)
            assert received is not None
            assert received.verified
            assert len(shop.rows(batches[owner])) == 2

    for owner, other in (("alice", "bob"), ("bob", "alice")):
        shop, theirs = shops[owner], batches[other]
        listed = [row["request_id"] for row in shop.call("ingest", "GET", "/requests").json()["requests"]]
        assert listed == [batches[owner]]
        assert shop.call("ingest", "GET", f"/status/{theirs}").status_code == 404
        assert shop.call("ingest", "POST", "/retry", json={"request_id": theirs}).status_code == 404
        assert shop.call("reporter", "GET", "/download_csv", params={"request_id": theirs}).status_code == 404
        assert shop.call("reporter", "GET", "/download_csv").json()["request_id"] == batches[owner]
        assert len(shop.call("reporter", "GET", "/webhooks").json()["endpoints"]) == 1
        assert {item.event["request_id"] for item in events[owner].received} == {batches[owner]}
    assert requests.get(f"{keyed_stack.url('ingest')}/requests", timeout=10).status_code == 401
    everything = Shop(keyed_stack, ROOT.key).call("ingest", "GET", "/requests").json()["requests"]
    owners = {row["request_id"]: row["owner"] for row in everything}
    assert {owners[request_id]: request_id for request_id in batches.values()} == batches


def test_a_sheet_that_the_workflow_imports_has_the_owner_its_argument_names(keyed_stack: Stack, origin: Origin) -> None:
    """An operator runs `batch` for a shop; the shop finds the batch among its own."""
    client = storage.Client(
        project="demo",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": keyed_stack.url("storage")},
    )
    client.bucket("pressroom-sheets").blob("carol.csv").upload_from_string(sheet_of([[f"{origin.base_url}/3.jpg"]]))
    client.close()
    argument = {"csv_uri": "gs://pressroom-sheets/carol.csv", "owner": "carol"}
    started = requests.post(
        f"{keyed_stack.url('workflows')}/v1/projects/demo/locations/us-central1/workflows/batch/executions",
        json={"argument": json.dumps(argument)},
        timeout=30,
    )
    assert started.status_code == 200, started.text
    carol = Shop(keyed_stack, CAROL.key)

    def probe() -> str | None:
        found = carol.call("ingest", "GET", "/requests").json()["requests"]
        return next((row["request_id"] for row in found if row["source_name"] == "carol.csv"), None)

    request_id = eventually(probe, within_s=30, what="carol sees the imported batch")
    assert carol.finished(request_id)["status"] == "COMPLETED"
    assert Shop(keyed_stack, ALICE.key).call("ingest", "GET", f"/status/{request_id}").status_code == 404
