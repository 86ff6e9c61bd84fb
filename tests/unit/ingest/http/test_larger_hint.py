"""An upload and its dry run say how many links end as those of pictures that may become larger, where that is known."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import Lab, sheet_of

ENDINGS = (".png", ".gif", ".webp", ".avif", ".jpg", ".jpeg", "")


def hint(lab: Lab, sheet: str, **form: Any) -> dict[str, Any] | None:
    """Return the hint of an upload, which its dry run gives too."""
    upload, check = lab.upload(sheet, **form), lab.upload(sheet, validate_only="true", **form)
    assert (upload.code, check.code) == (202, 200), upload.text
    found: dict[str, Any] | None = upload.json["may_be_larger"]
    assert check.json["may_be_larger"] == found
    return found


@pytest.mark.parametrize(
    ("output", "growing"),
    [
        ("", [".png", ".gif", ".webp", ".avif"]),
        ("jpeg", [".png", ".gif", ".webp", ".avif"]),
        ("png", [".webp", ".avif", ".jpg", ".jpeg"]),
        ("webp", []),
        ("avif", []),
        ("keep", []),
        ("auto", []),
    ],
)
def test_the_endings_that_count_depend_on_the_format(lab: Lab, output: str, growing: list[str]) -> None:
    """A link without ending says nothing."""
    found = hint(lab, sheet_of(" ".join(f"https://a.example/1{ending}" for ending in ENDINGS)), format=output)
    assert (found or {"endings": {}})["endings"] == dict.fromkeys(growing, 1)
    assert found is None or (found["images"] == len(growing) and "format=auto" in found["advice"])


def test_only_the_end_of_the_path_counts(lab: Lab) -> None:
    """In any case of letters; not the host, not the query, not a folder. Equal links are so many images."""
    links = [
        "https://a.example/1.PNG?v=2.5",
        "https://a.example/1.PNG?v=2.5",
        "https://a.example/2.webp#x.jpg",
        "https://a.example/3.jpg?from=x.png",
        "https://a.example/d.png/4",
        "https://a.png",
    ]
    found = hint(lab, sheet_of(*links))
    assert found is not None
    assert (found["images"], found["endings"]) == (3, {".png": 2, ".webp": 1})


def test_a_row_that_sets_its_own_format_counts_by_that(lab: Lab) -> None:
    """Two rows of three keep JPEG, by their cell or by the batch."""
    sheet = "Name,Image URL,Format\n" + "".join(
        f"{name},https://a.example/{name}.png,{output}\n" for name, output in [("a", "auto"), ("b", ""), ("c", "jpeg")]
    )
    found = hint(lab, sheet)
    assert found is not None
    assert found["images"] == 2
