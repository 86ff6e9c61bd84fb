"""The first directory of a TIFF: what a decoder needs of it, and what no decoder of ours reads right.

The decoder gets a new directory, behind the file's own data, of the tags that draw. So texts, XMP and makers' blocks
are never parsed, and what is odd about some writers' tags is put right. Source: TIFF 6.0.
"""

from __future__ import annotations

from compressor.images.ifd import BrokenDirectoryError, Directory, Entry, Order, block, first_directory
from compressor.images.model import CodecError, Note, OutcomeCode
from compressor.images.source import Source

_KIND, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_PLACES, _SAMPLES, _STRIP_SIZES, _PLANES, _COLOUR_MAP = 273, 277, 279, 284, 320
_TILE_PLACES, _TILE_SIZES, _CHILDREN, _EXTRA, _SAMPLE_FORMAT = 324, 325, 330, 338, 339
_PROFILE, _DNG_VERSION = 34675, 50706
_DRAWING = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIP_PLACES, _SAMPLES, 278, _STRIP_SIZES, _PLANES, 292}
    | {293, 317, _COLOUR_MAP, 322, 323, _TILE_PLACES, _TILE_SIZES, 332, _EXTRA, _SAMPLE_FORMAT, 340, 341, 347}
    | {*range(512, 522), 529, 530, 531, 532, _PROFILE}
)
_OF_EACH_SAMPLE = frozenset({_BITS, _SAMPLE_FORMAT, 340, 341})
_MAX_ENTRY_BYTES = 8 * 1024 * 1024
_MAX_DIRECTORIES = 16
_REDUCED = 1
_RAW_COLOURS = frozenset({32803, 34892})  # of a sensor, with and without its mosaic
_SHORT, _LONG = 3, 4
_PLANE_MODES = {2: ("RGB", 3), 5: ("CMYK", 4)}
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32771, 32946, 34925, 50000, 50001})
_HINT = "convert it to JPEG, PNG or WebP"


def readable(data: bytes) -> Source:
    """Return what a decoder needs of a TIFF.

    Raises:
        CodecError: UNSUPPORTED_FORMAT, a camera's raw data or a layout that is not read.
    """
    try:
        directories = _directories(data)
    except BrokenDirectoryError:
        return Source("TIFF", data)  # also BigTIFF: it is the decoder's to judge
    first = directories[0]
    _refuse_raw(data, first)
    own = [found for found in directories if not found.number(_KIND, 0) & _REDUCED]
    chosen = own[0] if own else first
    source = Source("TIFF", data, exif=data)
    if len(directories) > 1:
        source.notes.append(Note.FIRST_FRAME)
    _refuse_unread(chosen)
    entries = {tag: entry for tag in _DRAWING if (entry := chosen.entry(tag, _MAX_ENTRY_BYTES)) is not None}
    if chosen.number(_PHOTOMETRIC, 1) == 3 and (table := entries.get(_COLOUR_MAP)) is not None:
        entries[_COLOUR_MAP] = _full_range(table, chosen.order)
    samples = chosen.number(_SAMPLES, 1)
    if chosen.number(_PLANES, 1) == 2 and samples > 1 and max(chosen.numbers(_BITS), default=8) > 8:
        source.planes_mode, count = _PLANE_MODES[chosen.number(_PHOTOMETRIC, 1)]
        profile = entries.pop(_PROFILE, None)
        source.profile = None if profile is None else profile.value
        planes = [_of_plane(entries, number, samples, chosen.order) for number in range(count)]
        source.data, *source.further_planes = [_with_directory(data, plane, chosen.order) for plane in planes]
    else:
        source.data = _with_directory(data, entries, chosen.order)
    return source


def _directories(data: bytes) -> list[Directory]:
    found = [first_directory(data)]
    seen = set()
    while found[-1].following and found[-1].following not in seen and len(found) < _MAX_DIRECTORIES:
        seen.add(found[-1].following)
        try:
            found.append(Directory(data, found[-1].following, found[0].order))
        except BrokenDirectoryError:
            break
    return found


def _refuse_raw(data: bytes, first: Directory) -> None:
    is_preview = bool(first.number(_KIND, 0) & _REDUCED) and _CHILDREN in first
    if _DNG_VERSION in first or first.number(_PHOTOMETRIC, 1) in _RAW_COLOURS or is_preview or data[8:10] == b"CR":
        raise CodecError(
            OutcomeCode.UNSUPPORTED_FORMAT, "camera raw (DNG and its like) is not supported: export it as JPEG"
        )


def _refuse_unread(directory: Directory) -> None:
    compression = directory.number(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise _unsupported(f"compressed by method {compression}")
    samples, photometric = directory.number(_SAMPLES, 1), directory.number(_PHOTOMETRIC, 1)
    bits = directory.numbers(_BITS)
    if directory.number(_PLANES, 1) == 2 and samples > 1 and max(bits, default=8) > 8:
        is_read = photometric in _PLANE_MODES and samples >= _PLANE_MODES[photometric][1] and set(bits) == {16}
        if not is_read or directory.number(_SAMPLE_FORMAT, 1) != 1:
            raise _unsupported(f"with {samples} planes of {max(bits)} bits")


def _unsupported(layout: str) -> CodecError:
    return CodecError(OutcomeCode.UNSUPPORTED_FORMAT, f"TIFF {layout} is not supported: {_HINT}")


def _full_range(table: Entry, order: Order) -> Entry:
    """Return a colour map of 16 bits: some programs write bytes into its two-byte places."""
    values = [int.from_bytes(table.value[at : at + 2], order) for at in range(0, len(table.value), 2)]
    if table.kind != _SHORT or max(values, default=256) > 255:
        return table
    return Entry(_SHORT, table.count, b"".join((value * 257).to_bytes(2, order) for value in values))


def _of_plane(entries: dict[int, Entry], number: int, samples: int, order: Order) -> dict[int, Entry]:
    """Return the tags of one plane as a gray picture of its own."""
    plane = {tag: entry for tag, entry in entries.items() if tag not in {_EXTRA, 332}}
    for tag in _OF_EACH_SAMPLE & set(plane):
        size = len(plane[tag].value) // plane[tag].count
        plane[tag] = Entry(plane[tag].kind, 1, plane[tag].value[:size])
    for tag in {_STRIP_PLACES, _STRIP_SIZES, _TILE_PLACES, _TILE_SIZES} & set(plane):
        entry = plane[tag]
        count, size = entry.count // samples, len(entry.value) // entry.count
        plane[tag] = Entry(entry.kind, count, entry.value[number * count * size : (number + 1) * count * size])
    for tag, value in ((_PHOTOMETRIC, 1), (_SAMPLES, 1), (_PLANES, 1)):
        plane[tag] = Entry(_SHORT, 1, value.to_bytes(2, order))
    return plane


def _with_directory(data: bytes, entries: dict[int, Entry], order: Order) -> bytes:
    padded = data + bytes(len(data) % 2)
    directory = block(order, entries, {}, at=len(padded))
    return data[:4] + len(padded).to_bytes(4, order) + padded[8:] + directory
