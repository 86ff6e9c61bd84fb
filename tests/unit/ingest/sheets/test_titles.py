"""What titles of columns say, and that the lists of titles and platforms are whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from ingest.sheets.heading import heading_key
from ingest.sheets.platforms import Platform, find_platform, platforms
from ingest.sheets.titles import TitleKind, TitleList, kind_of_title, listed_titles

CASES = Path(__file__).parent / "cases" / "platforms.yaml"


def test_every_platform_has_a_sample() -> None:
    """Each is recognised in at least one."""
    sampled = {case["platform"] for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))}
    assert sampled == {platform.title for platform in platforms()}


@pytest.mark.parametrize("platform", platforms(), ids=lambda platform: platform.title)
def test_the_columns_of_a_platform_are_known_titles(platform: Platform) -> None:
    """Its pictures are recognised without the platform, too."""
    titles = platform.pictures
    assert {kind_of_title(title) for title in titles} <= {TitleKind.PICTURE, TitleKind.LIKE_PICTURE, TitleKind.SMALL}


def test_titles_are_known_in_many_languages() -> None:
    """For names of products and for pictures alike."""
    kinds = Counter({(entry.language, entry.kind) for entry in listed_titles()})
    languages = {language for language, kind in kinds if kind == "picture"} & {
        language for language, kind in kinds if kind == "name2"
    }
    assert len(languages) >= 12
    assert all(entry.seen and entry.texts for entry in listed_titles())


@pytest.mark.parametrize("entry", listed_titles(), ids=lambda entry: f"{entry.language} {entry.kind}")
def test_no_title_means_two_things(entry: TitleList) -> None:
    """A title of pictures is none of names, nor of pages."""
    mine = {heading_key(text) for text in entry.texts}
    kind = entry.kind.rstrip("123")
    for other in listed_titles():
        if other.kind.rstrip("123") not in {kind, "group"} and kind != "group":
            assert not mine & {heading_key(text) for text in other.texts}


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Image Alt Text", TitleKind.DETAIL),
        ("image_position", TitleKind.DETAIL),
        ("imagealt", TitleKind.DETAIL),
        ("Number of images (count)", TitleKind.LIKE_PICTURE),
        ("Rear photo", TitleKind.LIKE_PICTURE),
        ("Category image", TitleKind.SMALL),
        ("Größe", TitleKind.OTHER),
        ("Product URL", TitleKind.PAGE),
        ("", TitleKind.OTHER),
    ],
)
def test_words_of_a_title_tell_its_kind(title: str, kind: TitleKind) -> None:
    """Where it is in no list."""
    assert kind_of_title(title) is kind


def test_common_titles_are_no_platform() -> None:
    """A list made by hand is not taken for an export."""
    assert find_platform(["Title", "Description", "Price", "Quantity", "Tags", "SKU", "Image"]) is None
