"""A message: its bytes, and a way to read them by path. Lazy, split-based. Floor 1."""

from __future__ import annotations

import re
from collections.abc import Sequence

from broker.hl7.charset import decode
from broker.hl7.delimiters import Delimiters
from broker.hl7.grammar import order_ranges, patient_ranges
from broker.hl7.groups import View
from broker.hl7.header import BLANK, Header, header, several_messages
from broker.hl7.paths import Path, leaf_of, repetitions_of
from broker.hl7.unreadable import (
    MAX_COMPONENTS,
    MAX_FIELDS,
    MAX_LINES,
    MAX_REPETITIONS,
    MAX_SEGMENTS,
    MAX_SUBCOMPONENTS,
    Unreadable,
    too_many,
)

__all__ = ["NULL", "Message", "leaf", "parse"]

NULL = '""'
"""What a sender writes to delete a value; an empty field says nothing and keeps what is stored."""

_BLANK = "\x00\t\n\v\f\r\x1a\x1c \ufeff"
_NAME = re.compile("[A-Za-z][A-Za-z0-9]{2}")
_KNOWN: dict[
    str, dict[str, str]
] = {}  # by separator: beginnings of segments that were met ("PID|"), and names
_MOST_KNOWN = 4096


class Message(View):
    """One HL7 v2 message.

    Text is decoded once, before it is split: by MSH-18, then `default_charset`, then UTF-8, then
    Windows-1252. `warnings` are codes to count: those of `charset.Decoded`, `lf_ends` (segments end
    in LF), `lower_case_segment`, `short_msh2`. Raises `Unreadable`: all that `header` raises,
    `no_segment` for a line that is none (a line break inside a field), `too_many`.
    """

    __slots__ = (
        "_lines",
        "_orders",
        "_patients",
        "_split",
        "header",
        "indexes",
        "raw",
        "segment_names",
        "warnings",
    )

    def __init__(self, raw: bytes, *, default_charset: str | None = None) -> None:
        self.raw = raw
        self.header: Header = header(raw)
        self.delimiters = self.header.delimiters
        bare = raw if raw.startswith(b"MSH") else raw.lstrip(BLANK)
        decoded = decode(bare, self.header.charsets, default_charset)
        self.codec = decoded.codec
        self.segment_names: list[str] = []
        self._lines: list[str] = []
        warnings = self._cut(decoded.text)
        if not self.delimiters.subcomponent:
            warnings.append("short_msh2")
        self.warnings: tuple[str, ...] = (*decoded.warnings, *warnings)
        self._split: list[list[str] | None] = [None] * len(self._lines)
        self._orders: list[tuple[int, int]] | None = None
        self._patients: list[tuple[int, int]] | None = None
        self.indexes: dict[tuple[str, int], dict[str, list[int]]] = {}
        # Not View.__init__: a message that referred to itself would wait for the garbage collector.
        self.kind, self.start, self.stop = "", 0, len(self._lines)
        self._first: dict[str, list[str]] = {}
        self._index: dict[str, list[int]] | None = None
        self._parent: View | None = None

    @property
    def root(self) -> Message:
        """The whole message: this one."""
        return self

    @property
    def parent(self) -> View:
        """Nothing is around a message: itself."""
        return self

    @property
    def charset(self) -> str:
        """The Python codec that the text was read with."""
        return self.codec

    @property
    def patients(self) -> list[tuple[int, int]]:
        """Where each patient's segments begin and end."""
        if self._patients is None:
            self._patients = patient_ranges(self.segment_names)
        return self._patients

    @property
    def orders(self) -> list[tuple[int, int]]:
        """Where each order's segments begin and end."""
        if self._orders is None:
            self._orders = order_ranges(self.segment_names)
        return self._orders

    def fields(self, at: int) -> list[str]:
        """A segment's fields as they came, decoded; the index is the field's number, also in MSH."""
        fields = self._split[at]
        if fields is None:
            fields = self._lines[at].split(self.delimiters.field)
            fields[0] = name = self.segment_names[at]
            if name in ("MSH", "FHS", "BHS"):
                fields.insert(1, self.delimiters.field)
            self._split[at] = fields
        return fields

    def _cut(self, text: str) -> list[str]:
        """Text into segments; what was odd about them."""
        warnings = []
        separator = self.delimiters.field
        if "\n" in text:
            text, odd = _with_cr(text, separator)
            if odd:
                warnings.append("lf_ends")
        if len(text) > MAX_SEGMENTS and text.count("\r") > MAX_SEGMENTS:
            raise too_many("segments", "MAX_SEGMENTS", MAX_SEGMENTS, "", self.header)
        lines = text.split("\r")
        if not lines[-1]:
            lines.pop()
        try:
            # Nearly always every line begins with a name and a separator that were met before.
            known = _KNOWN[separator]
            self.segment_names = [known[line[:4]] for line in lines]
            self._lines = lines
        except KeyError:
            warnings += self._cut_with_care(lines)
        if len(text) > MAX_FIELDS and max(map(len, self._lines)) > MAX_FIELDS:
            for name, line in zip(self.segment_names, self._lines, strict=True):
                if len(line) > MAX_FIELDS:
                    _check_counts(line, name, self.delimiters, self.header)
        return warnings

    def _cut_with_care(self, lines: list[str]) -> list[str]:
        """Passes over blank lines, takes names in lower case, and refuses a line that is no segment."""
        warnings, names, kept = [], [], []
        for number, line in enumerate(lines, 1):
            line = line.lstrip(_BLANK)
            if not line:
                continue
            name = self._name_of(line, number)
            if name != line[:3]:
                warnings.append("lower_case_segment")
            names.append(name)
            kept.append(line)
        self.segment_names, self._lines = names, kept
        return warnings

    def _name_of(self, line: str, number: int) -> str:
        written, follows = line[:3], line[3:4]
        if not _NAME.fullmatch(written) or follows not in ("", self.delimiters.field):
            raise Unreadable(
                "this is no segment: it does not begin with a segment's name and the field separator; "
                "a line break inside a field must be sent escaped (X0D or .br)",
                code="no_segment",
                where=f"line {number}",
                value=line[:200],
                ack_code="100",
                partial=self.header,
            )
        name = written.upper()
        known = _KNOWN.setdefault(self.delimiters.field, {})
        if name == "MSH" and self.segment_names:
            raise several_messages(self.header)
        if name == written and len(known) < _MOST_KNOWN:
            known[line[:4]] = name
        return name


def parse(raw: bytes, *, default_charset: str | None = None) -> Message:
    """A message from its bytes. Raises `Unreadable`, see `Message`."""
    return Message(raw, default_charset=default_charset)


def leaf(frame: bytes, header: Header, path: Path, default_charset: str | None = None) -> str:
    """What `Message(frame).get(path)` would say, for one path and without reading the rest.

    For intake, which needs the one field that orders. '' where the message cannot be read.
    """
    return leaves(frame, header, (path,), default_charset)[0]


def leaves(
    frame: bytes, header: Header, paths: Sequence[Path], default_charset: str | None = None
) -> tuple[str, ...]:
    """As `leaf`, for several paths that differ only in component and subcomponent."""
    path = paths[0]
    text = _plain_field(frame, path, header)
    if text is not None:
        for part in repetitions_of(text, path, header.delimiters, "ascii"):
            return tuple(
                leaf_of(part, one.component, one.subcomponent, header.delimiters, "ascii") for one in paths
            )
        return ("",) * len(paths)
    try:
        message = Message(frame, default_charset=default_charset)
        return tuple(message.get(one) for one in paths)
    except Unreadable:
        return ("",) * len(paths)


def _plain_field(frame: bytes, path: Path, header: Header) -> str | None:
    """The field of the first segment of its name, if finding and decoding it needs no thought.

    What follows the field in its segment may be in any character set, since it is not looked at.
    """
    if path.segment_number or path.segment_conditions or path.anchor or path.segment == "MSH":
        return None
    separator = header.delimiters.field
    begin = frame.find(f"\r{path.segment}{separator}".encode())
    if begin < 0:
        return None
    end = frame.find(b"\r", begin + 1)
    line = frame[begin + 1 : end] if end >= 0 else frame[begin + 1 :]
    fields = line.split(separator.encode(), path.field + 1)
    if len(line) > MAX_FIELDS and line.count(separator.encode()) > MAX_FIELDS:
        return None
    looked_at = line[: len(line) - len(fields.pop())] if len(fields) > path.field + 1 else line
    if not looked_at.isascii() or b"\n" in looked_at or b"\0" in looked_at or b"\x1b" in looked_at:
        return None
    if b"\\X" in looked_at:
        return None
    return fields[path.field].decode("ascii") if path.field < len(fields) else ""


def _with_cr(text: str, separator: str) -> tuple[str, bool]:
    """Segment ends as CR. An LF beside CR ends a segment only where another segment or nothing follows."""
    text = text.replace("\r\n", "\r")
    if "\n" not in text:
        return text, False
    if "\r" not in text:
        return text.replace("\n", "\r"), True
    if text.count("\n") > MAX_LINES:
        raise too_many("lines", "MAX_LINES", MAX_LINES, "")
    pieces = text.split("\n")
    ends, odd = True, False  # from the last to the first: a blank piece is as what follows it
    for at in range(len(pieces) - 1, 0, -1):
        begin = pieces[at].lstrip(" \t")[:4]
        if begin:
            ends = begin[0] == "\r" or (_NAME.match(begin) is not None and begin[3:] in (separator, "\r", ""))
        pieces[at] = ("\r" if ends else "\n") + pieces[at]
        odd = odd or ends
    return "".join(pieces), odd


def _check_counts(line: str, name: str, delimiters: Delimiters, header: Header) -> None:
    """Counts before anything is split; only long lines can hold too many."""
    if line.count(delimiters.field) > MAX_FIELDS:
        raise too_many("fields in a segment", "MAX_FIELDS", MAX_FIELDS, name, header)
    repetition, component, subcomponent, _ = delimiters.marks
    for mark, what, limit, bound in (
        (repetition, "repetitions of a field", "MAX_REPETITIONS", MAX_REPETITIONS),
        (component, "components in a field", "MAX_COMPONENTS", MAX_COMPONENTS),
        (subcomponent, "subcomponents in a field", "MAX_SUBCOMPONENTS", MAX_SUBCOMPONENTS),
    ):
        if line.count(mark) > bound:
            for number, text in enumerate(line.split(delimiters.field)):
                if text.count(mark) > bound:
                    raise too_many(what, limit, bound, f"{name}-{number}", header)
