r"""Escape sequences both ways: `\F\ \S\ \T\ \R\ \E\ \P\ \X0D\ \.br\` (HL7 v2, chapter 2.7). Floor 1.

Text is unescaped once, after splitting, and escaped once, when a message is written. A value may
therefore hold any character, also those that end a frame; what is written never does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

__all__ = ["Delimited", "escape", "unescape"]


class Delimited(Protocol):
    """Whatever knows its delimiters: `Delimiters` and `Header`."""

    @property
    def field(self) -> str: ...
    @property
    def component(self) -> str: ...
    @property
    def repetition(self) -> str: ...
    @property
    def escape(self) -> str: ...
    @property
    def subcomponent(self) -> str: ...
    @property
    def truncation(self) -> str: ...


def unescape(text: str, delimiters: Delimited, charset: str = "utf-8") -> str:
    r"""The text that a leaf means.

    `\.br\` is a line feed. Hex is read in `charset` (a Python codec). Kept as they came: highlighting,
    other formatting, other character sets, local (`\Z..\`) and unknown sequences, hex that is no
    whole number of bytes, holds a NUL or is not of the charset, and a lone escape character.
    """
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    means = _meanings(
        mark,
        delimiters.field,
        delimiters.component,
        delimiters.subcomponent,
        delimiters.repetition,
        delimiters.truncation,
    )

    def meant(found: re.Match[str]) -> str:
        word = found[1]
        known = means.get(word)
        if known is not None:
            return known
        if word[0] == "X":
            return _from_hex(word[1:], charset) or found[0]
        return found[0]

    return _sequence(mark).sub(meant, text)


def escape(text: str, delimiters: Delimited) -> str:
    r"""The text as a leaf may hold it; `unescape` gives it back.

    Never emits CR, LF, VT, FS or another control character: they leave as `\X0D\`. Where the
    delimiters have no escape character, what would need one becomes a space.
    """
    # Most texts need nothing; one scan says so.
    pattern, written = _writing(
        delimiters.field,
        delimiters.component,
        delimiters.repetition,
        delimiters.escape,
        delimiters.subcomponent,
        delimiters.truncation,
    )
    return pattern.sub(written, text)


@lru_cache(maxsize=64)
def _sequence(mark: str) -> re.Pattern[str]:
    quoted = re.escape(mark)
    # Sequences that are known are found from the left; so `\b\F\` holds \F\, and in `\H\F\N\` the F is text.
    words = rf"[FSTREPHN]|\.[A-Za-z]{{2}}[+-]?[0-9]*|[XCM][0-9A-Fa-f]+|Z[^{quoted}\s]{{0,64}}"
    return re.compile(rf"{quoted}({words}){quoted}")


@lru_cache(maxsize=256)
def _meanings(
    mark: str, field: str, component: str, subcomponent: str, repetition: str, truncation: str
) -> dict[str, str]:
    means = {"F": field, "S": component, "T": subcomponent, "R": repetition, "P": truncation, "E": mark}
    return {word: text for word, text in means.items() if text} | {".br": "\n"}


def _from_hex(digits: str, charset: str) -> str:
    """The characters that hex digits stand for; '' if they stand for none that we take."""
    try:
        meant = bytes.fromhex(digits)
        return "" if b"\0" in meant else meant.decode(charset)
    except (ValueError, LookupError):
        return ""


@lru_cache(maxsize=256)
def _writing(
    field: str, component: str, repetition: str, mark: str, subcomponent: str, truncation: str
) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    letters = {field: "F", component: "S", repetition: "R", subcomponent: "T", truncation: "P", mark: "E"}
    letters.pop("", None)
    pattern = re.compile(f"[\\x00-\\x1f\\x7f{''.join(re.escape(character) for character in letters)}]")

    def written(found: re.Match[str]) -> str:
        character = found[0]
        if not mark:
            return " "
        letter = letters.get(character)
        return f"{mark}{letter}{mark}" if letter else f"{mark}X{ord(character):02X}{mark}"

    return pattern, written
