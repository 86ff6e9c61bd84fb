"""Links that lead to a page and not to a picture: shared files of drives, pages of galleries and shops.

Google Drive and Dropbox publish how the file behind a shared link is fetched, so that is done, with a note. Of the
others the note says what the link is and what to do. Forms seen in the help pages of the services, November 2025:
https://help.dropbox.com/share/force-download, https://developers.google.com/workspace/drive/api/guides/manage-sharing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import parse_qsl, urlencode, urlsplit

from ingest.sheets.model import ProblemCode


@dataclass(frozen=True, slots=True)
class KnownLink:
    """What a link is, and the link that is fetched in its place; the same one where there is none better."""

    url: str
    code: ProblemCode
    note: str


_ID = re.compile(r"[A-Za-z0-9_-]{5,200}")
_OF_DRIVES = {
    "1drv.ms": "OneDrive",
    "onedrive.live.com": "OneDrive",
    "sharepoint.com": "SharePoint",
    "icloud.com": "iCloud",
    "we.tl": "WeTransfer",
    "wetransfer.com": "WeTransfer",
    "box.com": "Box",
    "mega.nz": "MEGA",
    "mega.io": "MEGA",
    "pcloud.com": "pCloud",
    "pcloud.link": "pCloud",
    "disk.yandex.ru": "Yandex Disk",
    "disk.yandex.com": "Yandex Disk",
    "disk.360.yandex.ru": "Yandex Disk",
    "yadi.sk": "Yandex Disk",
    "cloud.mail.ru": "Mail.ru Cloud",
    "mediafire.com": "MediaFire",
    "smash.gg": "Smash",
    "fromsmash.com": "Smash",
    "swisstransfer.com": "SwissTransfer",
    "sendspace.com": "Sendspace",
    "terabox.com": "TeraBox",
    "pan.baidu.com": "Baidu Pan",
    "photos.app.goo.gl": "Google Photos",
    "photos.google.com": "Google Photos",
    "share.google": "Google",
    "docs.google.com": "Google Docs",
    "drive.google.com": "Google Drive",
    "dropbox.com": "Dropbox",
    "db.tt": "Dropbox",
    "proton.me": "Proton Drive",
    "workdrive.zoho.com": "Zoho WorkDrive",
    "notion.so": "Notion",
    "figma.com": "Figma",
    "canva.com": "Canva",
}
_SERVING_DRIVES = ("dl.dropbox.com", "dl.dropboxusercontent.com", "download.mediafire.com")
_GALLERIES = {
    "imgur.com": "Imgur",
    "ibb.co": "ImgBB",
    "postimg.cc": "Postimages",
    "flickr.com": "Flickr",
    "flic.kr": "Flickr",
    "instagram.com": "Instagram",
    "facebook.com": "Facebook",
    "pinterest.com": "Pinterest",
    "pin.it": "Pinterest",
    "prnt.sc": "Lightshot",
    "unsplash.com": "Unsplash",
    "pexels.com": "Pexels",
    "pixabay.com": "Pixabay",
    "shutterstock.com": "Shutterstock",
    "tiktok.com": "TikTok",
    "youtube.com": "YouTube",
    "youtu.be": "YouTube",
}
# Names of servers that serve the pictures of those services themselves.
_SERVING_NAMES = re.compile(r"(?:i|img|images?|cdn|static|dl|download|content|media|farm\d{1,4}|scontent)[\d-]{0,8}\.")
_PAGE_NAME = re.compile(r"\.(?:html?|xhtml|shtml|aspx?|jsp)$", re.IGNORECASE)
_PICTURE_NAME = re.compile(r"\.(?:jpe?g|jpe|jfif|png|gif|webp|avif|bmp|tiff?|svg|heic|heif)$", re.IGNORECASE)
_BLOB = re.compile(r"^/[^/]+/[^/]+/(?:-/)?blob/")
_MAX_FIELDS = 50
_PAGE_ADVICE = "Open it, choose 'Copy image address' on the picture, and use that link."
_DRIVE_ADVICE = "Put the pictures on a web server, or take links that download the file at once."


def known_link(url: str) -> KnownLink | None:
    """Return what a repaired link without fault is known to be, or None.

    Example:
        >>> known_link("https://www.dropbox.com/s/abc/chair.jpg?dl=0").url
        'https://www.dropbox.com/s/abc/chair.jpg?raw=1'
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    if host == "drive.google.com" or (host == "docs.google.com" and parts.path == "/uc"):
        return _of_google_drive(url)
    if host == "dropbox.com":
        return _of_dropbox(url)
    drive = _service(host, _OF_DRIVES)
    if drive is not None and not host.startswith(_SERVING_DRIVES) and not _downloads(parts.path, parts.query):
        return _page_of_drive(url, drive)
    gallery = _service(host, _GALLERIES)
    if gallery is not None and not _SERVING_NAMES.match(host) and not _PICTURE_NAME.search(parts.path[-6:]):
        return _page(url, f"This link leads to a page of {gallery}, not to a picture.")
    return _of_others(url, host, parts.path, parts.query)


def _service(host: str, services: dict[str, str]) -> str | None:
    """Return the service that a host belongs to: `files.box.com` is Box's, `mybox.com` is not."""
    while host:
        if host in services:
            return services[host]
        host = host.partition(".")[2]
    return None


def _downloads(path: str, query: str) -> bool:
    return path.startswith(("/download", "/embed", "/shared/static/")) or "download=1" in query


def _fields(query: str) -> list[tuple[str, str]]:
    """Return the fields of a query; none of one that has more than any share link."""
    return parse_qsl(query, keep_blank_values=True) if query.count("&") < _MAX_FIELDS else []


def _of_google_drive(url: str) -> KnownLink | None:
    parts = urlsplit(url)
    query = dict(_fields(parts.query))
    steps = [step for step in parts.path.split("/")[:8] if step]
    if steps[:1] in (["thumbnail"], ["uc"]) and "id" in query:
        return None
    found = next((after for step, after in pairwise(steps) if step == "d"), query.get("id", ""))
    if "folders" in steps or "folderview" in steps or not _ID.fullmatch(found):
        return _page_of_drive(url, "Google Drive")
    asked = {"export": "download", "id": found}
    if "resourcekey" in query:
        asked["resourcekey"] = query["resourcekey"]
    return KnownLink(
        f"https://drive.google.com/uc?{urlencode(asked)}",
        ProblemCode.SHARE_LINK,
        "This is a share link of Google Drive; the file is fetched by its direct download link. It must be shared with"
        " anyone who has the link.",
    )


def _of_dropbox(url: str) -> KnownLink | None:
    parts = urlsplit(url)
    if parts.path.startswith(("/scl/fo/", "/sh/", "/home", "/work", "/request/", "/preview")):
        return _page_of_drive(url, "Dropbox")
    query = _fields(parts.query)
    if ("raw", "1") in query or ("dl", "1") in query or not parts.path.startswith(("/s/", "/scl/fi/")):
        return None
    kept = [(name, value) for name, value in query if name not in {"dl", "raw"}]
    direct = parts._replace(query=urlencode([*kept, ("raw", "1")]), fragment="").geturl()
    return KnownLink(
        direct,
        ProblemCode.SHARE_LINK,
        "This is a share link of Dropbox; the file is fetched by its direct link (raw=1).",
    )


def _of_others(url: str, host: str, path: str, query: str) -> KnownLink | None:
    if host in {"github.com", "gitlab.com"} and _BLOB.match(path) and "raw=" not in query:
        return _page(url, "This link leads to the page of a file in a repository, not to the file.")
    if host.startswith(("google.", "images.google.")) and path in {"/imgres", "/search", "/url"}:
        return _page(url, "This link leads to a search page of Google, not to a picture.")
    if host.endswith(("wikipedia.org", "wikimedia.org")) and path.startswith("/wiki/"):
        return _page(url, "This link leads to a page of a wiki, not to a picture.")
    if path in {"", "/"} and not query and "." in host:
        return _page(url, "This link leads to the first page of a web site, not to a picture.")
    if _PAGE_NAME.search(path[-8:]):
        return _page(url, f"This link ends as a web page does ('{path[-40:]}'), not as a picture.")
    steps = path.split("/", 12)
    of_product = "products" in steps[:-1] or "product" in steps[:-1]
    if of_product and "." not in steps[-1] and (not query or query.startswith("variant=")):
        return _page(url, "This link looks like the page of a product, not like a picture.")
    return None


def _page_of_drive(url: str, drive: str) -> KnownLink:
    note = f"This is a share link of {drive}: it leads to a web page, not to the picture. {_DRIVE_ADVICE}"
    return KnownLink(url, ProblemCode.SHARE_LINK, note)


def _page(url: str, note: str) -> KnownLink:
    return KnownLink(url, ProblemCode.PAGE_LINK, f"{note} {_PAGE_ADVICE}")
