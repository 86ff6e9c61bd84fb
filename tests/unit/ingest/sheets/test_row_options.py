"""What a request says about columns, and what a row says about its own images."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.ingest_service import Lab

A = "https://a.example/1.jpg"
DEFAULTS = {
    "quality": 50,
    "format": "jpeg",
    "max_width": None,
    "max_height": None,
    "target_bytes": None,
    "metadata": "copyright",
    "background": "#ffffff",
    "animated": "first",
}
OWN = (
    f"Product Name,Input Image Urls,Quality,Format,Max Width\na,{A},,,\nb,{A},80,WebP,\nc,{A},50,jpg,\nd,{A},80,webp,\n"
)


def payloads(lab: Lab, sheet: str, **form: Any) -> list[dict[str, Any]]:
    """Upload a sheet and return what its first claim hands out."""
    answer = lab.upload(sheet, **form)
    assert answer.code == 202, answer.text
    request_id = answer.json["request_id"]
    return list(lab.claim(request_id, lab.start(request_id)))


def faults(lab: Lab, sheet: str, **form: Any) -> list[tuple[Any, Any, str]]:
    """Return what is wrong with a sheet."""
    answer = lab.upload(sheet, **form)
    assert (answer.code, answer.reason) == (400, "SHEET_INVALID")
    problems = answer.json["error"]["details"][-1]["problems"]
    return [(problem["row"], problem["column"], problem["code"]) for problem in problems]


@pytest.mark.feature("12")
def test_a_row_overrides_the_options_of_its_batch(lab: Lab) -> None:
    """An empty cell overrides nothing."""
    sheet = f"Product Name,Input Image Urls,Quality,Format,Max Width,max_height\na,{A},,,,\nb,{A}?2,80,webp,640,480\n"
    first, second = payloads(lab, sheet, quality="30")
    assert first["options"] == DEFAULTS | {"quality": 30}
    assert second["options"] == DEFAULTS | {"quality": 80, "format": "webp", "max_width": 640, "max_height": 480}


@pytest.mark.feature("12")
def test_every_option_can_be_set_for_the_batch_and_for_a_row(lab: Lab) -> None:
    """Words and colours in any case; what a row leaves empty is the batch's."""
    sheet = (
        "Product Name,Input Image Urls,Format,Target Bytes,Image Metadata,Image Background,Image Animated\n"
        f"a,{A},,,,,\nb,{A},AUTO,9000,Keep,#AABBCC,KEEP\n"
    )
    batch = {"format": "avif", "target_bytes": "70000", "metadata": "strip", "background": "#102030"}
    first, second = payloads(lab, sheet, **batch)
    assert first["options"] == DEFAULTS | batch | {"target_bytes": 70000}
    assert second["options"] == DEFAULTS | {
        "format": "auto",
        "target_bytes": 9000,
        "metadata": "keep",
        "background": "#aabbcc",
        "animated": "keep",
    }


def test_a_catalogues_own_columns_are_not_taken_for_options(lab: Lab) -> None:
    """`Background` and `Metadata` are about products, unless the request says otherwise."""
    sheet = f"Product Name,Input Image Urls,Background,Metadata,Animated\na,{A},#102030,keep,no\n"
    [payload] = payloads(lab, sheet)
    assert payload["options"] == DEFAULTS
    [payload] = payloads(lab, sheet, columns='{"background": "Background", "metadata": "Metadata"}')
    assert payload["options"] == DEFAULTS | {"background": "#102030", "metadata": "keep"}


def test_equal_urls_are_compressed_once_for_each_set_of_options(lab: Lab) -> None:
    """What a row says explicitly may be what the batch says anyway."""
    asked = [payload["options"] for payload in payloads(lab, OWN)]
    assert asked == [DEFAULTS, DEFAULTS | {"quality": 80, "format": "webp"}]
    assert lab.upload(OWN, validate_only="true").json["unique_images"] == 2
    found = lab.rows("SELECT id, same_as FROM images ORDER BY row_number")
    assert [row["same_as"] for row in found] == [None, None, found[0]["id"], found[1]["id"]]


@pytest.mark.parametrize(
    ("title", "cell"),
    [
        ("quality", "96"),
        ("quality", "50%"),
        ("format", "bmp"),
        ("max_width", "0"),
        ("Max Height", "70000"),
        ("Target Bytes", "499"),
        ("Image Metadata", "gps"),
        ("image_background", "white"),
        ("Image Animated", "yes"),
    ],
)
def test_a_cell_that_is_no_such_option_is_a_fault(lab: Lab, title: str, cell: str) -> None:
    """It names the row and the column."""
    assert faults(lab, f"Product Name,Input Image Urls,{title}\na,{A},{cell}\n") == [(2, title, "OPTION_INVALID")]


def test_a_column_that_only_looks_like_an_option_can_be_said_to_be_none(lab: Lab) -> None:
    """A shop's own `Format` column need not be renamed."""
    sheet = f"Product Name,Input Image Urls,Format\na,{A},DIN A4\n"
    [payload] = payloads(lab, sheet, columns='{"format": null}')
    assert payload["options"] == DEFAULTS


def test_the_request_may_say_which_column_is_which(lab: Lab) -> None:
    """Titles in any language, in any spelling that reads the same, and several columns of URLs."""
    sheet = f"Nummer;Titel;Bild 1;Bild 2;Güte\n7;Lampe;{A};{A}?2;80\n"
    columns = {"serial": "nummer", "name": "TITEL", "urls": ["Bild 1", "Bild 2"], "quality": "Güte"}
    answer = lab.upload(sheet, columns=json.dumps(columns))

    row = lab.rows("SELECT serial, product_name FROM rows")[0]
    images = lab.rows("SELECT input_url, options FROM images ORDER BY slot")
    assert answer.json["dialect"]["delimiter"] == ";"
    assert (row["serial"], row["product_name"]) == ("7", "Lampe")
    assert [image["input_url"] for image in images] == [A, f"{A}?2"]
    assert images[0]["options"]["quality"] == 80


def test_a_choice_settles_which_columns_hold_the_pictures(lab: Lab) -> None:
    """Without it both do."""
    sheet = f"Product Name,Image,Image URL\na,{A},{A}?2\n"
    assert [payload["url"] for payload in payloads(lab, sheet)] == [A, f"{A}?2"]
    assert payloads(lab, sheet, columns='{"urls": "Image URL"}')[0]["url"] == f"{A}?2"


def test_a_chosen_column_that_is_missing_is_named(lab: Lab) -> None:
    """With the columns that were found."""
    found = faults(lab, f"Product Name,Image\na,{A}\n", columns='{"urls": "Bild"}')
    assert found == [(1, "Bild", "MISSING_COLUMN")]


def test_one_column_cannot_play_two_roles(lab: Lab) -> None:
    """By choice."""
    found = faults(lab, f"Product Name,Image\na,{A}\n", columns='{"serial": "Product Name", "name": "Product Name"}')
    assert found == [(1, "Product Name", "AMBIGUOUS_COLUMN")]


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param("nonsense", id="no JSON"),
        pytest.param("[]", id="no object"),
        pytest.param("[" * 100_000, id="too deep"),
        pytest.param('{"colour": "x"}', id="unknown role"),
        pytest.param('{"urls": null}', id="no URLs"),
        pytest.param('{"name": ["a", "b"]}', id="two names"),
        pytest.param('{"urls": 5}', id="a number"),
        pytest.param('{"urls": ""}', id="no title"),
        pytest.param(json.dumps({"urls": ["x"] * 101}), id="too many"),
    ],
)
def test_a_choice_that_makes_no_sense_is_a_bad_field(lab: Lab, columns: str) -> None:
    """Not a fault of the sheet."""
    answer = lab.upload(f"Product Name,Image\na,{A}\n", columns=columns)
    violation = answer.json["error"]["details"][2]["fieldViolations"][0]
    assert (answer.code, answer.reason, violation["field"]) == (400, "FIELD_INVALID", "columns")
