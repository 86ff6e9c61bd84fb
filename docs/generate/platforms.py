"""Writes what is understood of the exports of shop platforms, and the titles of columns, from their data."""

from __future__ import annotations

from ingest.sheets.platforms import platforms
from ingest.sheets.titles import listed_titles

_MEANINGS = {
    "own": "our own columns of links",
    "picture": "links of pictures",
    "small": "smaller copies, or pictures of something else",
    "link": "links of something",
    "page": "links of pages",
    "name1": "names of products",
    "name2": "names of products",
    "name3": "names of products, where there is nothing better",
    "serial1": "the sender's number of a row",
    "serial2": "the sender's number of a row",
    "group": "rows of one product",
}


def table() -> str:
    """Return a line for each platform: its columns of pictures, its column of names, what is special, the source."""
    lines = ["| platform | pictures | name | what to know | documented at |", "| --- | --- | --- | --- | --- |"]
    for platform in platforms():
        pictures = ", ".join(f"`{title}`" for title in platform.pictures)
        lines.append(f"| {platform.title} | {pictures} | `{platform.name}` | {platform.note} | {platform.seen} |")
    return "\n".join(lines)


def titles() -> str:
    """Return a line for each list of titles: language, what the titles mean, where they are in use, the titles."""
    lines = ["| language | meaning | seen in | titles |", "| --- | --- | --- | --- |"]
    for entry in listed_titles():
        shown = ", ".join(entry.texts).replace("|", "\\|")
        lines.append(f"| {entry.language} | {_MEANINGS[entry.kind]} | {entry.seen} | {shown} |")
    return "\n".join(lines)
