"""A message made from paths and values: `{"PID-5.1": "DOE"}`. Floor 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.errors import Hl7Error
from broker.hl7.charset import codec_of
from broker.hl7.delimiters import STANDARD, Delimiters
from broker.hl7.escape import escape
from broker.hl7.paths import Path
from broker.hl7.unreadable import MAX_FIELDS, MAX_REPETITIONS, MAX_SEGMENTS

__all__ = ["compose"]

_Repetition = dict[tuple[int, int], str]
_Segment = dict[int, dict[int, _Repetition]]


def compose(
    fields: Mapping[str, str | Sequence[str]],
    *,
    version: str,
    charset: str = "UNICODE UTF-8",
    delimiters: Delimiters = STANDARD,
) -> bytes:
    """A message with these leaves; the same bytes for the same input.

    Paths may number segments (`DG1[2]-3.1`) and repetitions (`PID-3[2].4.1`); a list is the repetitions
    of a field. Segments stand in the order in which they are first named, MSH first; one without any
    value is left out. Every value is escaped; `""` (null) stays. MSH-1, MSH-2, MSH-12 and MSH-18 are
    set here. Raises `Hl7Error`: `bad_path`, `too_many`, `charset` (a value does not fit it).
    """
    codec = codec_of(charset)
    if codec is None:
        raise Hl7Error("the character set is none of HL7 table 0211", code="charset", value=charset)
    segments: dict[tuple[str, int], _Segment] = {("MSH", 1): {}}
    for text, value in fields.items():
        path = _checked(Path.parse(text))
        values = [value] if isinstance(value, str) else value
        for number, one in enumerate(values, path.repetition or 1):
            _put(segments, path, number, one)
    msh = segments[("MSH", 1)]
    msh.setdefault(12, {1: {(1, 1): version}})
    if codec != "ascii":
        msh[18] = {1: {(1, 1): charset}}
    lines = [
        _segment(name, segment, delimiters)
        for (name, _), segment in segments.items()
        if name == "MSH"
        or any(leaf for field in segment.values() for part in field.values() for leaf in part.values())
    ]
    try:
        return "".join(line + "\r" for line in lines).encode(codec)
    except UnicodeEncodeError as error:
        raise Hl7Error(f"a value does not fit the character set {charset}", code="charset") from error


def _checked(path: Path) -> Path:
    if path.conditions or path.segment_conditions or path.anchor:
        raise Hl7Error(
            f"{path} finds something; where something is written, a number says where: DG1[2]-3.1",
            code="bad_path",
            value=path.text,
        )
    if path.segment == "MSH" and (path.field <= 2 or path.segment_number > 1):
        raise Hl7Error(f"{path} cannot be set", code="bad_path", value=path.text)
    if path.field > MAX_FIELDS or path.segment_number > MAX_SEGMENTS or path.repetition > MAX_REPETITIONS:
        raise Hl7Error(f"{path} is past what is read", code="too_many", value=path.text)
    return path


def _put(segments: dict[tuple[str, int], _Segment], path: Path, repetition: int, value: str) -> None:
    segment = segments.setdefault((path.segment, path.segment_number or 1), {})
    leaves = segment.setdefault(path.field, {}).setdefault(repetition, {})
    leaves[path.component or 1, path.subcomponent or 1] = value


def _segment(name: str, segment: _Segment, delimiters: Delimiters) -> str:
    texts = {number: _field(field, delimiters) for number, field in segment.items()}
    if name == "MSH":
        texts[2] = delimiters.encoding
        begin, first = name, 2
    else:
        begin, first = name, 1
    last = max((number for number, text in texts.items() if text), default=0)
    return delimiters.field.join([begin, *(texts.get(number, "") for number in range(first, last + 1))])


def _field(field: Mapping[int, _Repetition], delimiters: Delimiters) -> str:
    parts = [_repetition(field.get(number, {}), delimiters) for number in range(1, max(field) + 1)]
    return delimiters.repetition.join(parts).rstrip(delimiters.repetition)


def _repetition(leaves: _Repetition, delimiters: Delimiters) -> str:
    components: dict[int, dict[int, str]] = {}
    for (component, subcomponent), value in leaves.items():
        components.setdefault(component, {})[subcomponent] = escape(value, delimiters)
    pieces = []
    for number in range(1, max(components, default=0) + 1):
        subs = components.get(number, {})
        written = [subs.get(sub, "") for sub in range(1, max(subs, default=0) + 1)]
        pieces.append(delimiters.subcomponent.join(written).rstrip(delimiters.subcomponent))
    return delimiters.component.join(pieces).rstrip(delimiters.component)
