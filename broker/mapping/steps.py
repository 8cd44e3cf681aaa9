"""Steps: functions that put one value into what a notice is made of. Made once, called for each message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from broker.errors import Hl7Error, MappingError
from broker.hl7 import NULL, Path, View
from broker.mapping.convert import CONVERTERS, Reading, UnknownCode
from broker.mapping.read import Reader
from broker.mapping.shape import Shape

__all__ = ["Step", "Values", "at_segments", "coded", "missing", "missing_part", "moved", "plain"]

Values = dict[str, Any]
Step = Callable[[View, Values, Reading], None]


def plain(dotted: str, name: str, shape: Shape, reader: Reader, must: bool) -> Step:
    """A text, or what becomes of one. What cannot be read is left unset with a warning, unless it must be."""
    get = reader.get
    if shape.kind == "text" and not must:
        authority = name == "authority"

        def put_text(view: View, into: Values, reading: Reading) -> None:
            text = get(view)
            if text:
                if text == NULL:
                    into[name] = None
                else:
                    into[name] = reading.site.resolve_authority(text) if authority else text

        return put_text
    convert = CONVERTERS[shape.kind]

    def put(view: View, into: Values, reading: Reading) -> None:
        text = get(view)
        if not text or text == NULL:
            if must:
                raise missing(dotted, reader.paths, view)
            if text:
                into[name] = None
            return
        try:
            into[name] = convert(text, reading, dotted)
        except Hl7Error as error:
            where = reader.found(view)[0]
            if must:
                said = f"{dotted}: {error.text}"
                raise MappingError(said, code=error.code, where=where, value=text) from error
            reading.warnings.append(f"{error.code} at {where}")

    return put


def coded(
    dotted: str, name: str, shape: Shape, reader: Reader, must: bool, table: str | None, unknown: str
) -> Step:
    """Our word for their code. `unknown`: keep, refuse, or the word for a code without a row."""
    words, kind, convert = shape.words, shape.kind, CONVERTERS.get(shape.kind)

    def put(view: View, into: Values, reading: Reading) -> None:
        code = reader.get(view)
        if not code or code == NULL:
            if must:
                raise missing(dotted, reader.paths, view)
            if code:
                into[name] = None
            return
        word = reading.word(table, code) if table is not None else code if code in words else None
        if word is None:
            where = reader.found(view)[0]
            if unknown == "refuse":
                said = f"{dotted}: not in table {table}"
                raise MappingError(said, code="unknown_code", where=where, value=code)
            if kind != "flag":
                reading.unknown.append(UnknownCode(table or dotted, code, where))
            if unknown != "keep":
                word = unknown
            elif kind == "word":
                into[name] = {"unknown": code}
                return
            elif kind == "text":
                word = code
            else:
                return
        into[name] = word if convert is None else convert(word, reading, dotted)

    return put


def moved(step: Step, name: str, length: timedelta) -> Step:
    """The same, and the time moved by so much."""

    def put(view: View, into: Values, reading: Reading) -> None:
        step(view, into, reading)
        if into.get(name) is not None:
            into[name] += length

    return put


def at_segments(steps: list[tuple[Path | None, Step]]) -> tuple[Step, ...]:
    """Steps, those that read one field of a segment gathered: an empty field then costs next to nothing.

    A step with a path does nothing where that path's field is empty.
    """
    together: dict[str, list[tuple[int, Step]]] = {}
    made: list[Step] = []
    for path, step in steps:
        if path is None:
            made.append(step)
            continue
        if path.segment not in together:
            together[path.segment] = []
            made.append(_segment(path.segment, together[path.segment]))
        together[path.segment].append((path.field, step))
    return tuple(made)


def _segment(segment: str, steps: list[tuple[int, Step]]) -> Step:
    def put(view: View, into: Values, reading: Reading) -> None:
        fields = view.first(segment)
        end = len(fields)
        for number, step in steps:
            if number < end and fields[number]:
                step(view, into, reading)

    return put


def missing(dotted: str, paths: tuple[Path, ...], view: View) -> MappingError:
    """Nothing stands where something must: in words that name every path that was looked at."""
    names = view.root.segment_names
    if paths and all(path.segment not in names for path in paths):
        segment = paths[0].segment
        said = f"{dotted} needs {segment}: there is none"
        return MappingError(said, code="missing_segment", where=segment)
    if not paths:
        return MappingError(f"{dotted} is not said", code="missing")
    looked = f"one of {', '.join(map(str, paths))}" if len(paths) > 1 else str(paths[0])
    return MappingError(f"{dotted} needs {looked}: nothing stands there", code="missing", where=paths[0].text)


def missing_part(dotted: str, paths: tuple[Path, ...], view: View, reading: Reading) -> MappingError:
    """A part must be there and is not; of the patient's number it is said why none of several was taken."""
    for path in paths:
        texts = view.repetitions(path)
        if texts and dotted == "patient.number":
            said = (
                f"{dotted}: no number in {path} is of the kind that is the patient's at {reading.site.name}"
            )
            value = view.root.delimiters.marks[0].join(texts)
            return MappingError(said, code="missing", where=path.text, value=value)
    return missing(dotted, paths, view)
