"""What must hold for any bytes at all: one function a parser that strangers feed, each with seeds to start from.

The same functions are driven briefly by Hypothesis in the suite (`tests/contract/test_fuzz_targets.py`) and for as long
as one likes by a coverage-guided fuzzer (`make fuzz`). A target returns for good input and for input that is refused
in the documented way; anything else it raises is a finding.
"""

from __future__ import annotations

import csv
import io
import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from chassis.clock import SystemClock
from chassis.egress.address_policy import is_public
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from compressor.images.codec import compress
from compressor.images.model import Animated, CodecError, Metadata, Options, OutputFormat
from ingest.sheets.corrected import corrected_csv
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import OnInvalid, SheetError, SheetLimits
from localcloud.workflows.loader import load_program
from localcloud.workflows.source.errors import SourceError
from support import pictures

_SHEET_LIMITS = SheetLimits(max_bytes=100_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=200)


def _numeric(host: str, port: int, *_: Any) -> list[Any]:
    """Resolve what the C library takes for an address, and no name: nothing leaves the machine."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


_EGRESS = Egress(EgressPolicy(), user_agent="fuzz", clock=SystemClock(), resolve=_numeric)


def _hold(truth: bool, otherwise: str) -> None:
    if not truth:
        raise AssertionError(otherwise)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser with its truth (`check` raises when it is broken) and inputs that reach its depths.

    `examples` is how many damaged seeds the suite tries.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    packages: tuple[str, ...]
    examples: int = 600


def check_sheet(data: bytes) -> None:
    """A sheet is read or refused with problems, and its corrected copy is strict CSV of the same cells."""
    try:
        sheet = read_sheet(data, _SHEET_LIMITS, SheetRequest(on_invalid=OnInvalid.SKIP))
    except SheetError as error:
        _hold(error.problems.count > 0, "a refusal without a problem")
        return
    rows = list(sheet.rows)
    assert sheet.facts.rows == len(rows)
    assert sheet.facts.images == sum(len(row.urls) for row in rows)
    copy = b"".join(corrected_csv(sheet)).decode("utf-8-sig")
    cells = list(csv.reader(io.StringIO(copy, newline=""), strict=True))
    assert [tuple(row[:-1]) for row in cells] == [sheet.header, *(row.cells for row in rows)]


def sheet_seeds() -> Sequence[bytes]:
    """Return small sheets in the dialects that exist."""
    plain = 'S. No.,Product Name,Input Image Urls\r\n1,Lämp,"https://a.example/1.jpg, https://a.example/x(1,0).jpg"\r\n'
    return [
        plain.encode(),
        plain.encode("utf-16"),
        plain.encode("cp1252"),
        plain.replace(",", ";").encode(),
        b"Product Name\tInput Image Urls\tquality\nLamp\thttps://a.example/1.jpg\t80\n",
        b'"1,SKU1,https://a/b"\n' * 2,
        b"|Name|Images|\n|---|---|\n|Lamp|https://a/b|\n",
        b"1,SKU1,https://a/b,https://c/d\n",
        b'Name,Images\n"Lamp\n"",https://a/b\n',
    ]


_REPEATED_BYTES = 3_000
_SLOW_S = 0.05
_MAX_GROWTH = 3.2
_SLOW_LIMITS = SheetLimits(
    max_bytes=10**7, max_rows=10**6, max_images=10**6, max_urls_per_cell=10**6, max_columns=10**6
)


def check_slow_sheet(data: bytes) -> None:
    """A piece of a sheet that is repeated takes as much longer to read as there is more of it.

    The input is `begin ~~ piece ~~ end`; the piece is repeated to some 3 k, 6 k and 12 k bytes.
    """
    begin, piece, end = (*data.split(b"~~", 2), b"", b"")[:3]
    if not piece:
        return
    count = -(-_REPEATED_BYTES // len(piece))
    bodies = [begin + piece * (count * factor) + end for factor in (1, 2, 4)]
    if _seconds(bodies[-1]) < _SLOW_S:
        return
    first, second, third = (min(_seconds(body) for _ in range(3)) for body in bodies)
    _hold(min(second / first, third / second) < _MAX_GROWTH, f"{first:.3f} s, {second:.3f} s, {third:.3f} s")


def _seconds(body: bytes) -> float:
    begun = time.process_time()
    with suppress(SheetError):
        read_sheet(body, _SLOW_LIMITS, SheetRequest(on_invalid=OnInvalid.SKIP))
    return time.process_time() - begun


def slow_sheet_seeds() -> Sequence[bytes]:
    """Return pieces that once took time that grew with the square of their number, and plain ones."""
    link = b"https://a.example/1.jpg"
    return [
        b"Name,Image\n~~Lamp," + link + b"\n~~",
        b"Name,Image\nLamp," + link + b"~~,~~x",
        b"|Name|Image|\n~~--|~~ x\n",
        "Name,Image~~\u0300\u0316~~\nLamp,".encode() + link,
        b"Name,Image\nLamp,http://a/~~?~~, http://b",
        b'"Name,Image"\n~~"Lamp,' + link + b'"\n~~',
        b"Name,Image\n~~END\n~~",
        b"Name,~~Image,~~\nLamp," + link,
        "A,B,Image\n~~“a,~~b”,".encode() + link,
        b"Name,Image\n~~a~~\xe9,",
        "Name,Image\n~~Стол ~~,".encode("cp1251") + link,
        b"Name,Image\nLamp,~~" + link + b"<br>~~",
    ]


GPS_TAG = 0x8825
IMAGE_OPTIONS = (
    Options(),
    Options(output=OutputFormat.WEBP, animated=Animated.KEEP, metadata=Metadata.KEEP, max_width=20),
    Options(output=OutputFormat.KEEP, metadata=Metadata.KEEP, quality=95),
    Options(output=OutputFormat.AUTO, metadata=Metadata.STRIP, target_bytes=500, background="#102030"),
)


def check_image(data: bytes) -> None:
    """A picture becomes a rendition that decodes with the sizes told, or an outcome with a code; no place gets out."""
    for options in IMAGE_OPTIONS:
        try:
            rendition = compress(data, options)
        except CodecError:
            return
        with Image.open(io.BytesIO(rendition.data)) as stored:
            stored.load()
            assert (rendition.width, rendition.height) == stored.size
            assert not stored.getexif().get_ifd(GPS_TAG)


def image_seeds() -> Sequence[bytes]:
    """Return small pictures of every format and colour type that is read."""
    photo = pictures.photo(48, 32)
    return [
        *(pictures.encoded(photo, name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")),
        pictures.encoded(photo, "JPEG", progressive=True),
        pictures.encoded(photo.convert("P"), "PNG"),
        pictures.oriented_jpeg(6),
        pictures.located_jpeg(pictures.quadrants(32, 16)),
        pictures.cmyk_jpeg((10, 20, 30, 40), size=(16, 16)),
        pictures.ycck_jpeg((10, 20, 30, 40), size=(16, 16)),
        pictures.sixteen_bit_png(16, 4),
        pictures.encoded(pictures.alpha_ramp(16, 4), "PNG"),
        pictures.animation("GIF", size=(16, 8)),
        pictures.animation("WEBP", size=(16, 8)),
        pictures.polyglot_jpeg(),
    ]


def check_workflow(data: bytes) -> None:
    """A workflow's source is built or refused with its place."""
    text = data.decode("utf-8", "replace")
    try:
        load_program(text)
    except SourceError as error:
        _hold(bool(error.rendered), "a refusal without its text")


def workflow_seeds() -> Sequence[bytes]:
    """Return Pressroom's own workflow, and a small one for each kind of step that it does without."""
    own = (Path(__file__).resolve().parents[2] / "workflows/batch.yaml").read_bytes()
    return [own[:3000], *_WORKFLOWS.encode().split(b"===\n")]


_WORKFLOWS = """\
- a:
    assign:
      - x: ${1 + 2 * len([1, 2])}
- b:
    return: ${x}
===
main:
  params: [args]
  steps:
    - s:
        switch:
          - condition: ${args.a > 1 and not (args.b)}
            next: end
        next: s
===
main:
  steps:
    - p:
        parallel:
          for:
            value: v
            range: [1, 3]
            steps:
              - c:
                  call: sys.log
                  args: {text: '${v}'}
===
main:
  steps:
    - t:
        try:
          call: http.get
          args: {url: 'https://a.example'}
          result: r
        retry: ${http.default_retry}
        except:
          as: e
          steps:
            - r:
                raise: ${e}
===
{"main": {"steps": [{"f": {"call": "sub", "args": {"x": 1}}}]},
 "sub": {"params": ["x", {"y": 2}], "steps": [{"r": {"return": "${x + y}"}}]}}
"""


def check_url(data: bytes) -> None:
    """A URL that may be dialled is http or https, without a user, on a public address or a name yet to be looked up."""
    text = data.decode("utf-8", "replace")
    try:
        parsed = _EGRESS.check_url(text)
    except EgressError as error:
        _hold(error.fault in {EgressFault.URL_INVALID, EgressFault.URL_FORBIDDEN}, error.fault)
        return
    assert parsed.scheme in {"http", "https"}
    assert parsed.auth is None
    assert parsed.host
    try:
        _EGRESS.check_target(text)
    except EgressError:
        return
    for *_, place in _numeric(str(parsed.host).strip("[]"), 80):
        assert is_public(ipaddress.ip_address(place[0])), f"{text!r} would be dialled at {place[0]}"


def url_seeds() -> Sequence[bytes]:
    """Return URLs of the kinds that parsers disagree about."""
    return [
        b"https://cdn.example/a,b;c.jpg?x=1#y",
        b"http://user:pass@a.example/",
        b"http://[::ffff:10.0.0.1]:8080/",
        b"http://2130706433/",
        b"http://0x7f.1/",
        b"http://a.example\\@127.0.0.1/",
        "http://①②⑦.⓪.⓪.①/".encode(),
        b"http://metadata.google.internal./",
        b"https://8.8.8.8:443/x",
    ]


TARGETS: dict[str, Target] = {
    "sheet": Target(check_sheet, sheet_seeds, ("ingest.sheets", "ingest.sheets.corrected")),
    "slow-sheet": Target(check_slow_sheet, slow_sheet_seeds, ("ingest.sheets",), examples=100),
    "image": Target(check_image, image_seeds, ("compressor",)),
    "workflow": Target(check_workflow, workflow_seeds, ("localcloud.workflows.source", "localcloud.workflows.expr")),
    "url": Target(check_url, url_seeds, ("chassis.egress.client", "chassis.egress.address_policy")),
}
