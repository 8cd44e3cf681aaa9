"""Bytes to text by MSH-18 (HL7 table 0211), and back. Nothing is dropped for its character set. Floor 1."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

__all__ = ["Decoded", "codec_of", "decode"]

_CODECS = {
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISOIR6": "ascii",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "ISOIR192": "utf-8",
    "GB180302000": "gb18030",
    "GB18030": "gb18030",
    "GB2312": "gb18030",
    "GBK": "gb18030",
    "KSX1001": "cp949",
    "EUCKR": "cp949",
    "BIG5": "big5hkscs",
    "ISOIR14": "shift_jis",
    "ISOIR13": "shift_jis",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "JAS2020": "iso2022_jp_ext",
    "JISX0202": "iso2022_jp_ext",
    "ISOIR100": "iso8859-1",
    "LATIN1": "iso8859-1",
    "WINDOWS1252": "cp1252",
    "CP1252": "cp1252",
    "ANSI": "cp1252",
    "WINDOWS1250": "cp1250",
    "WINDOWS1251": "cp1251",
}
_CODECS |= {
    spelled.format(part): f"iso8859-{part}"
    for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)
    for spelled in ("8859{}", "ISO8859{}")
}
_NOT_IN_A_NAME = re.compile(r"[\s_/.-]+")
_NONE: tuple[str, ...] = ()
_JAPANESE = "iso2022_jp_ext"
_SHIFTING = frozenset({_JAPANESE, "cp949", "shift_jis"})
_C1 = re.compile(rb"[\x80-\x9f]")
_SHIFT = re.compile(rb"\x1b(\$\(D|\$\)C|\$[@B]|\([A-Z])")
_SHIFTED = {b"$B": b"\x1b$B", b"$@": b"\x1b$@", b"$(D": b"\x1b$(D", b"(I": b"\x1b(I"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the Python codec that read it, and what had to be assumed.

    Warnings: `charset_unknown` (MSH-18 names none that we know), `charset_wrong` (the bytes are not
    what MSH-18 says), `charset_guessed` (nothing fitted: read as Windows-1252), `nul_removed`.
    """

    text: str
    codec: str
    warnings: tuple[str, ...] = ()


def codec_of(name: str) -> str | None:
    """The Python codec for a character set as MSH-18 or a channel names it; None for one unknown."""
    return _CODECS.get(_NOT_IN_A_NAME.sub("", name).upper())


def decode(raw: bytes, declared: tuple[str, ...], default: str | None = None) -> Decoded:
    """Reads bytes by MSH-18, then by the channel's default, then as UTF-8, then as Windows-1252.

    Text is decoded before it is split: in ISO-2022-JP, GB 18030 and BIG-5 the second byte of a
    character may look like a delimiter.
    """
    if raw.isascii() and b"\x1b" not in raw:
        text, codec, warnings = raw.decode("ascii"), "ascii", _NONE
        if declared:
            codec = codec_of(declared[0]) or "ascii"
    else:
        text, codec, warnings = _decode(raw, declared, default)
    if "\0" in text:
        text, warnings = text.replace("\0", ""), (*warnings, "nul_removed")
    return Decoded(text, codec, warnings)


def _decode(raw: bytes, declared: tuple[str, ...], default: str | None) -> tuple[str, str, tuple[str, ...]]:
    named = [codec_of(name) for name in declared if name]
    unknown = ("charset_unknown",) if None in named else _NONE
    first = codec_of(declared[0]) if declared and declared[0] else None
    other = codec_of(default) if default else None
    if b"\x1b" in raw and not _SHIFTING.isdisjoint(named):
        text, warnings = _decode_shifted(raw, None if first == _JAPANESE else first, other)
        return text, _JAPANESE, unknown + warnings
    text, codec, warnings = _decode_by_turns(raw, first, other)
    return text, codec, unknown + warnings


def _decode_by_turns(raw: bytes, first: str | None, other: str | None) -> tuple[str, str, tuple[str, ...]]:
    """The declared codec, the channel's, UTF-8, Windows-1252: the first that fits."""
    warnings = _NONE
    for codec in dict.fromkeys((first, other, "utf-8")):
        if codec is None:
            continue
        if codec == "iso8859-1" and _C1.search(raw):
            codec = "cp1252"  # what calls itself Latin 1 and holds 0x80-0x9F comes from Windows
        try:
            return raw.decode(codec, "keep_the_byte" if codec == "cp1252" else "strict"), codec, warnings
        except UnicodeDecodeError:
            if codec == first:
                warnings = ("charset_wrong",)
    return raw.decode("cp1252", "keep_the_byte"), "cp1252", (*warnings, "charset_guessed")


def _decode_shifted(raw: bytes, first: str | None, other: str | None) -> tuple[str, tuple[str, ...]]:
    """ISO 2022: an escape sequence switches the set, and each line begins anew in the first one."""
    pieces = _SHIFT.split(raw)
    texts, warnings = [], dict[str, None]()
    for shift, piece in zip([b"", *pieces[1::2]], pieces[0::2], strict=True):
        begin, end = _SHIFTED.get(shift), 0
        if begin is not None:
            end = min((at for at in (piece.find(b"\r"), piece.find(b"\n")) if at >= 0), default=len(piece))
            try:
                texts.append((begin + piece[:end] + b"\x1b(B").decode(_JAPANESE))
            except UnicodeDecodeError:
                texts.append(piece[:end].decode("latin-1"))
                warnings["charset_wrong"] = None
        text, _, odd = _decode_by_turns(piece[end:], "cp949" if shift == b"$)C" else first, other)
        texts.append(text)
        warnings.update(dict.fromkeys(odd))
    return "".join(texts), tuple(warnings)


def _keep_the_byte(error: UnicodeError) -> tuple[str, int]:
    # Windows-1252 leaves five bytes without a character; they stay what they are in Latin 1.
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("keep_the_byte", _keep_the_byte)
