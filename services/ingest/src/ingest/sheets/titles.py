"""What the title of a column says about it: by the lists of `data/titles.toml`, else by the words of the title."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from ingest.sheets.heading import MAX_HEADING_CHARS, heading_key, heading_words, plain

_MAX_TITLE_WORDS = 7
_MAX_TITLE_CHARS = 60
_MIN_PART_CHARS = 4
_SENTENCE_MARKS = ";\t|"


class TitleKind(StrEnum):
    """What a title says about the cells below it, as far as links are concerned."""

    OWN = "own"
    PICTURE = "picture"
    LIKE_PICTURE = "like_picture"
    SMALL = "small"
    LINK = "link"
    PAGE = "page"
    DETAIL = "detail"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Words:
    picture: frozenset[str]
    parts: tuple[str, ...]
    link: frozenset[str]
    detail: frozenset[str]
    small: frozenset[str]


def keys_of(kind: str) -> frozenset[str]:
    """Return the keys (`heading_key`) of all titles of a kind of `data/titles.toml`."""
    return _lists()[0].get(kind, frozenset())


@dataclass(frozen=True, slots=True)
class TitleList:
    """Titles of one kind in one language, and where they are in use."""

    kind: str
    language: str
    seen: str
    texts: tuple[str, ...]


def listed_titles() -> tuple[TitleList, ...]:
    """Return the lists of titles in the order of the data."""
    return tuple(
        TitleList(entry["kind"], entry["language"], entry["seen"], tuple(entry["texts"]))
        for entry in _document()["titles"]
    )


def kind_of_title(title: str) -> TitleKind:
    """Return what a title says: first by the lists, then by its words.

    Example:
        >>> kind_of_title("Bild 3"), kind_of_title("Image Alt Text"), kind_of_title("Rear photo")
        (<TitleKind.PICTURE: 'picture'>, <TitleKind.DETAIL: 'detail'>, <TitleKind.LIKE_PICTURE: 'like_picture'>)
    """
    return _kind(title[:MAX_HEADING_CHARS])


@lru_cache(maxsize=8192)
def _kind(title: str) -> TitleKind:
    lists, words = _lists()
    key = heading_key(title)
    if not key:
        return TitleKind.OTHER
    inner = "".join(heading_words(title))
    for kind in (TitleKind.OWN, TitleKind.PICTURE, TitleKind.SMALL, TitleKind.LINK, TitleKind.PAGE):
        if key in lists[kind.value] or inner in lists[kind.value]:
            return kind
    return _by_words(title, words)


def speaks_of_pictures(text: str) -> bool:
    """Return whether a text has a word for pictures or for links, as a line of explanations has."""
    words = _lists()[1]
    found = heading_words(text)
    return any(
        word in words.picture or word in words.link or any(part in word for part in words.parts) for word in found
    )


def _by_words(title: str, known: _Words) -> TitleKind:
    found = heading_words(title)
    if len(title) > _MAX_TITLE_CHARS or len(found) > _MAX_TITLE_WORDS or any(mark in title for mark in _SENTENCE_MARKS):
        return TitleKind.OTHER
    speaks = [word for word in found if word in known.picture or any(part in word for part in known.parts)]
    if not speaks:
        return TitleKind.LINK if known.link.intersection(found) else TitleKind.OTHER
    rest = {word for word in found if word not in known.picture}
    for word in speaks:
        # Words run together: `imagealt` is about an image and holds none.
        rest |= {word.replace(part, "", 1) for part in known.parts if part in word and word != part}
    if rest & known.detail:
        return TitleKind.DETAIL
    return TitleKind.SMALL if rest & known.small else TitleKind.LIKE_PICTURE


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(resources.files("ingest.sheets").joinpath("data/titles.toml").read_text("utf-8"))


@cache
def _lists() -> tuple[dict[str, frozenset[str]], _Words]:
    document = _document()
    keys: dict[str, set[str]] = {}
    for entry in listed_titles():
        keys.setdefault(entry.kind, set()).update(heading_key(text) for text in entry.texts)
    words = {name: frozenset(_word(text) for text in texts) for name, texts in document["words"].items()}
    parts = tuple(sorted(word for word in words["picture"] if len(word) >= _MIN_PART_CHARS or not word.isascii()))
    return (
        {kind: frozenset(found) for kind, found in keys.items()},
        _Words(words["picture"], parts, words["link"], words["detail"], words["small"]),
    )


def _word(text: str) -> str:
    return plain(text).replace(" ", "")
