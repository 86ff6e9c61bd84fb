"""Headings as people read them: what two of them are compared by, and the words that one is made of."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Annotated

from chassis.limited import Limited

MAX_HEADING_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "the beginning is compared",
        "Longest title of a column that is compared whole",
        name="max_heading_characters",
    ),
] = 200
"""Most characters of a heading that are compared; NFKC of thousands of combining marks costs their square."""

_OPENING = "([{（［【〔<"
_CLOSING = ")]}）］】〕>"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DIGITS = "0123456789"


def heading_key(title: str) -> str:
    """Return letters and digits in NFKC and lower case, without remarks in brackets and numbers at the end.

    Example:
        >>> heading_key("S. No."), heading_key("Image URLs (x,y,z...)"), heading_key("Bild_3"), heading_key("Größe")
        ('sno', 'imageurls', 'bild', 'größe')
    """
    return _key(title[:MAX_HEADING_CHARS])


def heading_words(title: str) -> tuple[str, ...]:
    """Return the words of a heading in lower case, numbers left out; `imageSrc` is two words.

    Example:
        >>> heading_words("ImageSrc"), heading_words("Product Image File - 1")
        (('image', 'src'), ('product', 'image', 'file'))
    """
    return _words(title[:MAX_HEADING_CHARS])


def heading_as_read(title: str) -> str:
    """Return a heading with its symbols in lower case, blanks evened out: equal ones are read as the same."""
    return _as_read(title[:MAX_HEADING_CHARS])


def plain(text: str) -> str:
    """Return lower case letters, digits and blanks of a text; marks that stand on their own are left out."""
    return "".join(char for char in _folded(text[:MAX_HEADING_CHARS]) if char.isalnum() or char == " ")


def without_remarks(title: str) -> str:
    """Return a heading without what stands in brackets; all of it where nothing else is left."""
    short = title[:MAX_HEADING_CHARS]
    depth, kept = 0, []
    for char in short:
        if char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(char)
    bare = "".join(kept)
    return bare if any(char.isalnum() for char in bare) else short


# What is kept is cut before, so that the caches stay small whatever they are asked.


@lru_cache(maxsize=8192)
def _key(title: str) -> str:
    key = "".join(char for char in _folded(without_remarks(title)) if char.isalnum())
    return key.rstrip(_DIGITS) or key


@lru_cache(maxsize=8192)
def _words(title: str) -> tuple[str, ...]:
    apart = _CAMEL.sub(" ", unicodedata.normalize("NFKC", without_remarks(title)))
    spaced = "".join(char if char.isalnum() or unicodedata.combining(char) else " " for char in apart)
    words = (word.rstrip(_DIGITS) for word in plain(spaced).split())
    return tuple(word for word in words if word)


@lru_cache(maxsize=8192)
def _as_read(title: str) -> str:
    return " ".join(_folded(title).split())


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
