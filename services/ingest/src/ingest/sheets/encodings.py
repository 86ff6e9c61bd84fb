"""The encodings of sheets: their names, the labels under which people know them, and the codecs that read them.

Labels are those of the web (https://encoding.spec.whatwg.org/#names-and-labels), Python's, and the numbers of code
pages that Excel uses for DOS and Macintosh. A label that is not here is refused by name, with the usual ones.
"""

from __future__ import annotations

import codecs

CODECS: dict[str, str] = {
    "utf-8": "utf-8",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "windows-1252": "cp1252",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1253": "cp1253",
    "windows-1254": "cp1254",
    "windows-1255": "cp1255",
    "windows-1256": "cp1256",
    "windows-1257": "cp1257",
    "windows-1258": "cp1258",
    "windows-874": "cp874",
    "iso-8859-1": "iso8859-1",
    "iso-8859-2": "iso8859-2",
    "iso-8859-3": "iso8859-3",
    "iso-8859-4": "iso8859-4",
    "iso-8859-5": "iso8859-5",
    "iso-8859-6": "iso8859-6",
    "iso-8859-7": "iso8859-7",
    "iso-8859-8": "iso8859-8",
    "iso-8859-9": "iso8859-9",
    "iso-8859-10": "iso8859-10",
    "iso-8859-13": "iso8859-13",
    "iso-8859-14": "iso8859-14",
    "iso-8859-15": "iso8859-15",
    "iso-8859-16": "iso8859-16",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-ce": "mac-latin2",
    "x-mac-greek": "mac-greek",
    "x-mac-turkish": "mac-turkish",
    "cp437": "cp437",
    "cp850": "cp850",
    "cp852": "cp852",
    "ibm866": "cp866",
    "gb18030": "gb18030",
    "gbk": "gbk",
    "big5": "cp950",
    "big5-hkscs": "big5hkscs",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "euc-kr": "cp949",
}
"""Name in our answers to Python's codec. Windows' supersets stand for the plain standards, as on the web."""

USUAL = ("utf-8", "windows-1250", "windows-1251", "windows-1252", "gb18030", "big5", "shift_jis", "euc-kr")
"""Those that a message shows as examples."""

_MAX_LABEL_CHARS = 40

_LABELS: dict[str, str] = {
    "utf8": "utf-8",
    "unicode": "utf-16-le",
    "utf-16": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "unicodefffe": "utf-16-be",
    "iso-10646-ucs-2": "utf-16-le",
    # The web takes Latin-1 and ASCII for Windows-1252, and Latin-5 for Windows-1254: Windows wrote under their names.
    "iso-8859-1": "windows-1252",
    "iso-8859-9": "windows-1254",
    "ascii": "windows-1252",
    "ansi": "windows-1252",
    "x-cp1250": "windows-1250",
    "x-cp1251": "windows-1251",
    "x-cp1252": "windows-1252",
    "x-cp1253": "windows-1253",
    "x-cp1254": "windows-1254",
    "win1250": "windows-1250",
    "win1251": "windows-1251",
    "win1252": "windows-1252",
    "dos-874": "windows-874",
    "tis-620": "windows-874",
    "iso-8859-11": "windows-874",
    "koi": "koi8-r",
    "koi8": "koi8-r",
    "koi8-ru": "koi8-u",
    "mac": "macintosh",
    "x-mac-roman": "macintosh",
    "x-mac-ukrainian": "x-mac-cyrillic",
    "mac-ce": "x-mac-ce",
    "mac-latin2": "x-mac-ce",
    "ibm437": "cp437",
    "ibm850": "cp850",
    "ibm852": "cp852",
    "chinese": "gbk",
    "gb2312": "gbk",
    "gb-2312": "gbk",
    "gb_2312-80": "gbk",
    "x-gbk": "gbk",
    "cp936": "gbk",
    "ms936": "gbk",
    "windows-936": "gbk",
    "cn-big5": "big5",
    "x-x-big5": "big5",
    "csbig5": "big5",
    "windows-950": "big5",
    "ms950": "big5",
    "csshiftjis": "shift_jis",
    "ms_kanji": "shift_jis",
    "ms932": "shift_jis",
    "shift-jis": "shift_jis",
    "sjis": "shift_jis",
    "x-sjis": "shift_jis",
    "windows-31j": "shift_jis",
    "windows-932": "shift_jis",
    "x-euc-jp": "euc-jp",
    "korean": "euc-kr",
    "ks_c_5601-1987": "euc-kr",
    "ks_c_5601-1989": "euc-kr",
    "ksc5601": "euc-kr",
    "ksc_5601": "euc-kr",
    "windows-949": "euc-kr",
    "uhc": "euc-kr",
}
_OF_CODECS = {codecs.lookup(codec).name: name for name, codec in reversed(CODECS.items())} | {
    # Python's standards of which we read the superset.
    "ascii": "windows-1252",
    "gb2312": "gbk",
    "big5": "big5",
    "shift_jis": "shift_jis",
    "euc_kr": "euc-kr",
    "tis-620": "windows-874",
}


def encoding_of_label(label: str) -> str | None:
    """Return the name of the encoding that a label means; None when there is none that is read.

    Example:
        >>> encoding_of_label("CP1251"), encoding_of_label("latin1"), encoding_of_label("GB2312")
        ('windows-1251', 'windows-1252', 'gbk')
    """
    wanted = label.strip().lower()
    if len(wanted) > _MAX_LABEL_CHARS or not wanted.isascii():
        return None
    if wanted in _LABELS:
        return _LABELS[wanted]
    if wanted in CODECS:
        return wanted
    try:
        found = codecs.lookup(wanted.replace(" ", "-")).name
    except (LookupError, ValueError):
        return None
    name = _OF_CODECS.get(found)
    return _LABELS.get(name, name) if name is not None else None


def codec_of(encoding: str) -> str:
    """Return Python's codec of one of our names."""
    return CODECS[encoding]
