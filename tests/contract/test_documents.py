"""What is generated from the code is fresh, and the catalogue of faults, features and threats is whole."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from docs.generate import catalogue, codes, floors, tables
from docs.generate.blocks import ROOT, pages, with_fresh_blocks
from docs.generate.marks import MarkedTest, MarkError, marked_tests

import ingest.http.openapi
import reporter.http.openapi

TOP_FOLDERS = {"services", "infra", "tests", "docs", "workflows", "samples", "bench", ".ci"}
PAGES = sorted(
    str(page.relative_to(ROOT))
    for folder in ("", "docs/", "services/*/", "workflows/")
    for page in ROOT.glob(f"{folder}*.md")
)
ROWS = [{"id": "A1", "fault": "one"}, {"id": "A2", "fault": "two", "untested": "too slow"}, {"id": "B1", "fault": "x"}]


def test_no_page_is_stale() -> None:
    """Run `make docs` when this fails."""
    stale = [
        str(page.relative_to(ROOT))
        for page in pages()
        if with_fresh_blocks(text := page.read_text(encoding="utf-8")) != text
    ]

    assert stale == [], "run `make docs`"


@pytest.mark.parametrize(
    ("tested", "fault"),
    [
        (["A1"], "fault B1 has neither a test nor a reason"),
        (["A1", "A2", "B1"], "fault A2 has a test and says that it has none"),
        (["A1", "B1", "C7"], "test_x.py::test_y is marked fault C7, which is not in the catalogue"),
        (["A1", "B1"], None),
    ],
)
def test_a_hole_in_the_catalogue_is_noticed(tested: list[str], fault: str | None) -> None:
    """A row without test and reason, a reason beside a test, a mark without row."""
    tests = {id_: [MarkedTest(Path("test_x.py"), "test_y")] for id_ in tested}

    assert catalogue.faults_of(({"rows": ROWS},), tests, "fault") == ([fault] if fault else [])


@pytest.mark.parametrize("lost", ["A2", "A3"])
def test_a_row_that_is_lost_is_noticed(lost: str) -> None:
    """Numbers have no gaps."""
    rows = [{"id": id_, "fault": "x", "untested": "x"} for id_ in ("A1", "A2", "A3", "A4") if id_ != lost]

    assert len(catalogue.faults_of(({"rows": rows},), {}, "fault")) == 1


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.fault(ID)\ndef test_x(): ...",
        '@pytest.mark.fault("A1")\ndef helper(): ...',
        'x = pytest.mark.fault("A1")',
    ],
)
def test_a_mark_that_nobody_would_find_is_refused(tmp_path: Path, source: str) -> None:
    """Marks are written out, on the test itself."""
    (tmp_path / "test_x.py").write_text(source)

    with pytest.raises(MarkError):
        marked_tests((tmp_path,), "fault")


@pytest.mark.parametrize(
    ("imports", "arrows"),
    [
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, {"a": {"b"}, "b": {"c"}, "c": set()}),
        ({"a": {"b", "c"}, "b": set(), "c": set()}, {"a": {"b", "c"}, "b": set(), "c": set()}),
        ({"a": {"b", "c"}, "b": {"c"}, "c": {"b"}}, {"a": {"b", "c"}, "b": {"c"}, "c": {"b"}}),
    ],
)
def test_a_picture_of_floors_loses_no_order(imports: dict[str, set[str]], arrows: dict[str, set[str]]) -> None:
    """An arrow goes only when two others say the same; parts that import each other keep theirs."""
    assert floors.shortest(imports) == arrows


def test_a_picture_of_tables_has_columns_keys_and_references() -> None:
    """As `state/schema.sql` writes them: comments and constraints are no columns."""
    schema = """
CREATE TABLE parents (
    id uuid PRIMARY KEY,  -- a comment, with a comma
    kind text NOT NULL CHECK (kind IN ('A', 'B')),
    CONSTRAINT always CHECK (true)
);
CREATE TABLE children (
    parent uuid NOT NULL REFERENCES parents (id),
    number integer NOT NULL,
    PRIMARY KEY (parent, number)
);
"""
    parents, children = tables.tables_of(schema)

    assert parents == tables.Table("parents", (("id", "uuid"), ("kind", "text")), frozenset({"id"}), ())
    assert (set(children.key), children.refers_to) == ({"parent", "number"}, ("parents",))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """A page or folder that moves is noticed."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", text)

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_that_a_page_names_exist(page: str) -> None:
    """Folders and files of the repository stand in code marks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", text) if path.split("/")[0] in TOP_FOLDERS}

    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_no_page_names_a_module() -> None:
    """Pages name settings, limits, routes and folders; a module that moves would make them wrong."""
    # What is typed (`python -m`, gunicorn's `wsgi`) is no name of a place; nor are file names and hosts.
    name = re.compile(r"(?<!-m )\b(?:chassis|ingest|compressor|reporter)\.(?!wsgi|yaml|md|test)[a-z_]+|src/\S+\.py")
    found = [f"{page}: {hit[0]}" for page in PAGES for hit in name.finditer((ROOT / page).read_text(encoding="utf-8"))]

    assert found == []


def test_a_code_without_a_meaning_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever adds a code must say what it means, and its status, before `make docs` writes a table."""
    source = tmp_path / "services/shop/src/errors.py"
    source.parent.mkdir(parents=True)
    monkeypatch.setattr(codes, "ROOT", tmp_path)
    head = 'class Reason(StrEnum):\n    """Reasons."""\n\n    SOLD = "SOLD"\n'

    for below, complaint in (("", "has no text"), ('    """it is gone"""\n', "begins with no HTTP")):
        source.write_text(head + below)
        with pytest.raises(LookupError, match=complaint):
            codes.table("shop", "Reason")

    source.write_text(head + '    """410: it is gone"""\n')
    assert codes.table("shop", "Reason").splitlines()[-1] == "| `SOLD` | 410 | it is gone |"


def test_every_service_has_the_version_of_the_changelog() -> None:
    """The newest dated heading is the release; packages and OpenAPI documents say the same."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)[0]
    versions = {
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"]
        for path in (ROOT / "services").glob("*/pyproject.toml")
    }

    assert changelog.index("## [Unreleased]") < changelog.index(f"## [{newest}]")
    assert versions == {newest}
    assert {ingest.http.openapi.VERSION, reporter.http.openapi.VERSION} == {newest}


def test_ci_is_one_script() -> None:
    """What runs on a push is what runs on a clean machine."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yaml").read_text(encoding="utf-8"))
    ran = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]

    assert ran == [".ci/run"]


def test_services_tell_the_same_under_the_same_headings() -> None:
    """Who knows one README finds the same thing in its sisters."""
    headings = {}
    for service in ("ingest", "compressor", "reporter"):
        readme = (ROOT / f"services/{service}/README.md").read_text(encoding="utf-8")
        headings[service] = re.findall(r"^## (.+)$", readme, re.MULTILINE)

    assert set(map(tuple, headings.values())) == {("Endpoints", "Settings", "Errors", "How it works", "Run and test")}
