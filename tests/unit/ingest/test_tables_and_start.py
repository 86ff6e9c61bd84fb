"""Missing settings stop the start, migrations may meet, the database keeps the rules, and the image starts."""

from __future__ import annotations

import importlib
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import IntegrityError

from chassis.settings import SettingsError
from ingest.migrate import MIGRATIONS, upgrade
from ingest.settings import IngestSettings
from ingest.sheets.links import host_of
from support.ingest_service import Lab

OLD_BATCH = text(
    """
    INSERT INTO batches (request_id, status, options, header, columns, dialect, source_name, source_sha256, row_count,
                         total, pending, deadline_at)
    VALUES (gen_random_uuid(), 'PENDING', '{}', '[]', '{}', '{}', 'x', repeat('a', 64), 7, 7, 7, now())
    """
)
OLD_IMAGE = text(
    """
    INSERT INTO images (id, batch, row_number, slot, input_url, attempt_limit)
    SELECT gen_random_uuid(), request_id, :number, 0, :link, 5 FROM batches
    """
)
SERVICE = Path(__file__).parents[3] / "services" / "ingest"


@pytest.mark.fault("J4")
def test_missing_settings_are_named_all_at_once() -> None:
    """Nothing that names another system has a default."""
    with pytest.raises(SettingsError) as caught:
        IngestSettings.from_environ({})
    assert {"DATABASE_URL: Field required", "REPORTER_URL: Field required"} <= set(caught.value.faults)
    assert len(caught.value.faults) == 17


def test_migrations_may_run_at_once_and_again(postgres: Any) -> None:
    """Two revisions that start together do not trip over each other."""
    name = f"migrate_{uuid.uuid4().hex[:8]}"
    postgres.create_database(name)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(upgrade, [postgres.url(name)] * 3))
    upgrade(postgres.url(name))


@pytest.mark.fault("B10")
def test_images_of_the_release_before_get_the_host_that_the_code_would_give_them(postgres: Any) -> None:
    """Going back and forth over the newest change gives images the same names as an upload does."""
    name = f"migrate_{uuid.uuid4().hex[:8]}"
    postgres.create_database(name)
    upgrade(postgres.url(name))
    links = [
        *(
            "https://CDN.Example/a.jpg",
            "http://cdn.example:80/b.jpg",
            "http://cdn.example:8080?c",
            "https://x.example./d",
        ),
        *("http://[2606:4700::1]:443/e", "https://cdn.example#f", "HTTP://y.example:/g"),
    ]
    engine = create_engine(make_url(postgres.url(name)).set(drivername="postgresql+psycopg2"))
    config = Config()
    config.set_main_option("script_location", str(SERVICE / "src/ingest/migrations"))
    config.set_main_option("path_separator", "os")
    try:
        # Each migration is a transaction of its own, so what it finds was committed before.
        with engine.connect() as connection:
            config.attributes.update(connection=connection, version_table=MIGRATIONS.version_table)
            command.downgrade(config, "0002")
            connection.execute(OLD_BATCH)
            for number, link in enumerate(links):
                connection.execute(OLD_IMAGE, {"number": number, "link": link})
            connection.commit()
            command.upgrade(config, "head")
            found = connection.execute(text("SELECT host FROM images ORDER BY row_number")).scalars().all()
            counted = connection.execute(text("SELECT count(*) FROM batch_hosts JOIN hosts USING (host)")).scalar_one()
    finally:
        engine.dispose()

    assert found == [host_of(link) for link in links]
    assert counted == len(set(found))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE batches SET pending = 0",
        "UPDATE batches SET pending = -1, failed = 2",
        "UPDATE batches SET status = 'DONE'",
        "UPDATE batches SET status = 'COMPLETED'",
        "UPDATE images SET status = 'SUCCEEDED'",
        "UPDATE images SET status = 'DISPATCHED'",
        "UPDATE images SET attempt = 99",
        "INSERT INTO images SELECT gen_random_uuid(), batch, row_number, slot, input_url FROM images",
    ],
)
def test_the_database_refuses_what_the_code_must_never_do(lab: Lab, statement: str) -> None:
    """The last line of defence is not ours."""
    lab.submit("https://a.example/1.jpg")
    with pytest.raises(IntegrityError):
        lab.change(statement)


def test_the_image_starts_what_exists() -> None:
    """The CMD is in exec form and names the factory."""
    dockerfile = (SERVICE / "Dockerfile").read_text()
    command = json.loads(re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)[0])
    module, _, factory = command[-1].partition(":")
    assert (command[0], module, factory) == ("gunicorn", "ingest.wsgi", "build()")
    assert callable(importlib.import_module(module).build)
