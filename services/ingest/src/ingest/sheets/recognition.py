"""Which encoding a text that is not Unicode has: the one in which its words are words of some language.

A candidate is judged by its letters beyond ASCII: each stands between two neighbours, and the pairs that it makes with
them are common, rare or unknown in the languages that are written in that encoding. A sign within a word (`krzes³o`),
a capital behind a small letter and letters of two scripts side by side are in no language. Chinese, Japanese and Korean
are judged by their characters. Only a sample of the file's words is looked at, so the time does not grow with it.

`data/letters.tsv` has a line a language: common pairs of letters without parting, a tab, rare ones; of the last three
languages the frequent characters. They were counted in the word lists of wordfreq 3.1.1 (https://pypi.org/project/
wordfreq/): pairs of two words or more, common those that make 97 % of all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

from ingest.sheets.encodings import codec_of

SAMPLED_BYTES = 262_144
"""Most bytes of a file in which words are looked for."""

_MAX_SAMPLED_WORDS = 300
"""Most different words that are judged."""

LONGEST_WORD_BYTES = 60
"""Most bytes of a word that is judged."""

_MAX_ASCII = 20
_SURE = 0.62
_SURE_OF_WEST = 0.7  # although another encoding reads as well
_LIKELY = 0.4  # of the western encoding, in which names from anywhere are written
_CLEAR = 0.12
_ONLY_SIGNS = 0.95
_WESTERN_BONUS = 0.05  # of equals, what Excel writes in most countries
_COMMON, _RARE, _UNKNOWN = 1.0, 0.45, 0.0
_MIXED = 0.6  # small Latin letters within a word of another script
_CAPITALS = 0.85  # in KOI8, capitals and small letters are where the others have the other ones

_WEST = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "ca")
_EAST = ("cs", "sk", "pl", "hu", "sh", "sl", "ro")
_LANGUAGES: dict[str, tuple[str, ...]] = {
    "windows-1252": _WEST,
    "windows-1250": _EAST,
    "windows-1251": ("ru", "uk", "bg", "mk"),
    "windows-1253": ("el",),
    "windows-1254": ("tr",),
    "windows-1255": ("he",),
    "windows-1256": ("ar", "fa"),
    "windows-1257": ("lt", "lv"),
    "iso-8859-2": _EAST,
    "koi8-r": ("ru", "bg"),
    "koi8-u": ("uk",),
    "ibm866": ("ru", "uk"),
    "x-mac-cyrillic": ("ru", "uk", "bg"),
    "macintosh": _WEST,
    "x-mac-ce": _EAST,
    "cp850": _WEST,
    "cp852": _EAST,
    "gb18030": ("zh",),
    "big5": ("zh-hant",),
    "shift_jis": ("ja",),
    "euc-jp": ("ja",),
    "euc-kr": ("ko",),
}
_SELDOM = {"koi8-r": 0.12, "koi8-u": 0.12, "ibm866": 0.25, "cp850": 0.25, "cp852": 0.25} | dict.fromkeys(
    ("iso-8859-2", "x-mac-cyrillic", "macintosh", "x-mac-ce", "windows-1257"), 0.14
)
"""How much better the others must be before an encoding is taken that programs of today seldom write."""

_ASCII_LETTER = re.compile(r"[A-Za-z]")
_NOT_LATIN = frozenset(
    ("windows-1251", "windows-1253", "windows-1255", "windows-1256", "koi8-r", "koi8-u", "ibm866", "x-mac-cyrillic")
)
_EAST_ASIAN = frozenset({"gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"})
_WORD_WITH_HIGH_BYTES = re.compile(rb"[^\x00-\x20\",;|<>=/:?&]+")
_HIGH = re.compile(rb"[\x80-\xff]")
# They join words or stand at their ends: no letters, and no sign of a wrong encoding.
_PIECE = re.compile(r"[^\W\d_ªºµ]+|(?:[^\w\x00-\x7f]|[ªºµ])+")
_JOINING = frozenset("’'´·-\u00ad\u00a0×®™")
_ENDING = frozenset("×®™")
_MODIFIERS = frozenset("ˆ˜¨¸ˇ˘˙˛˝¯")
"""Accents without a letter: no keyboard writes them alone, other encodings have letters in their place."""
_OPENING = frozenset("“„«»‹›‘‚¿¡•©…µ°€")
_QUOTES = frozenset("“”„‘‚’‹›…—–†‡•\u00a0")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file reads in one encoding: how much of it is language, 0 to 1, and some words of it."""

    encoding: str
    score: float
    words: tuple[str, ...]


def recognise(sample: bytes) -> tuple[Reading | None, tuple[Reading, ...]]:
    """Return the reading that surely is the right one, or None, and the best ones that differ, best first.

    `sample` is the part of a file in which its first words with bytes beyond ASCII are.
    """
    words = _words(sample)
    readings = sorted(
        (reading for encoding in _LANGUAGES if (reading := _read(words, encoding)) is not None),
        key=lambda reading: reading.score,
        reverse=True,
    )
    western_words = next((reading.words for reading in readings if reading.encoding == "windows-1252"), ())
    different: list[Reading] = []
    for reading in readings:
        if all(reading.words != other.words for other in different):
            alike = reading.words == western_words
            different.append(replace(reading, encoding="windows-1252") if alike else reading)
    if not different:
        return None, ()
    first = different[0]
    western_one = next((reading for reading in different if reading.encoding == "windows-1252"), None)
    if western_one is not None and western_one.score >= _SURE_OF_WEST and first.score - western_one.score < _CLEAR:
        return western_one, tuple(different)
    clear = len(different) == 1 or first.score - different[1].score >= _CLEAR
    western = first.encoding == "windows-1252"
    sure = first.score >= _SURE and (clear or western)
    return (first if sure or (western and clear and first.score >= _LIKELY) else None), tuple(different)


def _words(sample: bytes) -> tuple[bytes, ...]:
    """Return the first different words that have bytes beyond ASCII."""
    found: dict[bytes, None] = {}
    for word in _WORD_WITH_HIGH_BYTES.finditer(sample):
        if len(found) >= _MAX_SAMPLED_WORDS:
            break
        high = _HIGH.search(word[0])
        if high is not None:
            found[_cut(word[0], high.start())] = None
    return tuple(found)


def _cut(word: bytes, high_at: int) -> bytes:
    """Return a word, or of a long one what stands around its first byte beyond ASCII.

    It does not end within a character of two bytes, as far as can be told.
    """
    if len(word) <= LONGEST_WORD_BYTES:
        return word
    word = word[max(0, high_at - _MAX_ASCII) :][: LONGEST_WORD_BYTES + 1]
    end = min(LONGEST_WORD_BYTES, len(word))
    while end > 1 and word[end - 1] >= 0x80:
        end -= 1
    high = word[end:LONGEST_WORD_BYTES]
    return word[: end + len(high) // 2 * 2]


def _read(words: tuple[bytes, ...], encoding: str) -> Reading | None:
    decoded: list[str] = []
    for word in words:
        try:
            decoded.append(word.decode(codec_of(encoding)))
        except UnicodeDecodeError:
            # One word may be cut in the middle of a character; more are no accident.
            if encoding not in _EAST_ASIAN or len(word) < LONGEST_WORD_BYTES - 1:
                return None
    judge = _of_characters if encoding in _EAST_ASIAN else _of_letters
    scores = [score for text in decoded if (score := judge(text, encoding)) is not None]
    if not scores:
        # Nothing but signs such as the euro: elsewhere, the bytes of letters would not all be signs.
        signs = not any(char.isalpha() and char > "\u00bf" for text in decoded for char in text)
        score = 0.0 if encoding != "windows-1252" else _ONLY_SIGNS if signs else _SURE
    else:
        score = sum(scores) / len(scores) - _SELDOM.get(encoding, 0)
        score += _WESTERN_BONUS if encoding == "windows-1252" else 0
        if encoding == "euc-jp" and not any("\u3041" <= char <= "\u30ff" for text in decoded for char in text):
            return None  # without a syllable it may be any text of two bytes a character
    return Reading(encoding, score, tuple(decoded))


def _of_letters(text: str, encoding: str) -> float | None:
    """Return how usual the pairs of a word's letters are in the best language; None when it tells nothing.

    Signs part a word. A word with one between two letters, or before a letter where no sign is written, is unknown.
    """
    pieces = _PIECE.findall(text)
    latin = encoding not in _NOT_LATIN
    scores = []
    for number, piece in enumerate(pieces):
        if not piece[0].isalpha() or piece[0] in "ªºµ":
            followed = number + 1 < len(pieces)
            within = followed and number > 0 and piece[-1] not in _JOINING
            begins = number == 0 and piece[-1] in _ENDING
            before = followed and piece[-1] not in _OPENING and (begins or piece[-1] not in _JOINING)
            glued = number == 0 and piece[-1] in _QUOTES and len(pieces) == 2 and pieces[1][0].islower()
            if within or before or glued or not _MODIFIERS.isdisjoint(piece):
                return _UNKNOWN
        elif len(piece) > 1 and not piece.isascii():
            if not latin and _ASCII_LETTER.search(piece):
                scores.append(_UNKNOWN)  # two scripts in one word
                continue
            scores.append(max(_of_piece(piece, language) for language in _LANGUAGES[encoding]))
    return sum(scores) / len(scores) if scores else None


def _of_piece(word: str, language: str) -> float:
    common, rare = _pairs()[language]
    capitals = word.isupper()
    total = count = 0.0
    for before, after in pairwise(f" {word} "):
        if before.isascii() and after.isascii():
            continue
        count += 1
        pair = (before + after).lower().replace("ς", "σ")
        if before.islower() and after.isupper() and not capitals:
            continue
        total += _COMMON if pair in common else _RARE if pair in rare else _UNKNOWN
    return total / count * (_CAPITALS if capitals and len(word) > 2 else 1)


def _of_characters(text: str, encoding: str) -> float | None:
    """Return how usual a word's East Asian characters are; None when it has none and no letters beyond ASCII."""
    total = count = 0.0
    frequent = _pairs()[_LANGUAGES[encoding][0]][0]
    mixed = any(char.islower() and char.isascii() for char in text)
    for char in text:
        if char.isascii() or "\u3000" <= char <= "\u303f" or "\uff01" <= char <= "\uff5e":
            continue
        count += 1
        total += _of_character(char, encoding, frequent)
    return total / count * (_MIXED if mixed else 1) if count else None


def _of_character(char: str, encoding: str, frequent: frozenset[str]) -> float:
    if "\u3041" <= char <= "\u30ff":
        return 1.0 if encoding in {"shift_jis", "euc-jp"} else 0.3
    if char in frequent:
        return 1.0
    if "\uac00" <= char <= "\ud7a3":
        return 0.5 if encoding == "euc-kr" else 0.0
    if "\u4e00" <= char <= "\u9fff" and encoding != "euc-kr":
        return 0.65 if _is_of_first_level(char, encoding) else 0.1
    return 0.0


def _is_of_first_level(char: str, encoding: str) -> bool:
    """Return whether a standard counts a character among the frequent ones, by its first byte."""
    lead = char.encode(codec_of(encoding), "replace")[0]
    if encoding == "gb18030":
        raw = char.encode("gb18030")
        return 0xB0 <= lead <= 0xD7 and len(raw) == 2 and raw[1] >= 0xA1
    if encoding == "big5":
        return 0xA4 <= lead <= 0xC6
    if encoding == "shift_jis":
        return 0x88 <= lead <= 0x98
    return 0xB0 <= lead <= 0xCF


@lru_cache(maxsize=1)
def _pairs() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Return the common and the rare pairs of letters of each language, or the frequent characters."""
    found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    text = files("ingest.sheets").joinpath("data/letters.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        language, common, rare = line.split("\t")
        size = 1 if language in {"zh", "zh-hant", "ja", "ko"} else 2
        found[language] = (_parted(common, size), _parted(rare, size))
    return found


def _parted(text: str, size: int) -> frozenset[str]:
    return frozenset(text[at : at + size] for at in range(0, len(text), size))
