"""Paths: how people name a place in a message, `PID-3[5=MR,4.1=NORTH].1`. Floor 1.

    [ANCHOR/]SEGMENT[pick]-FIELD[pick][.COMPONENT[.SUBCOMPONENT]]

A pick is a number (`[2]`), conditions that must all hold (`[5=MR,4.1=NORTH]`), or both, one after
the other (`[5=MR][2]`: the second of those). Of a segment, conditions begin with a field's number.
`PV1/ROL` are the ROL that follow a PV1, before the next segment that others hang on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from broker.errors import Hl7Error
from broker.hl7.delimiters import Delimiters
from broker.hl7.escape import unescape

__all__ = ["Condition", "Path", "leaf_of", "repetitions_of", "segment_fits"]

_SEGMENT = r"[A-Z][A-Z0-9]{2}"
_PICKS = r'(?:\[(?:"(?:[^"]|"")*"|[^\]"])*\])*'
_PATH = re.compile(
    rf"(?:({_SEGMENT})/)?({_SEGMENT})({_PICKS})-([0-9]+)({_PICKS})(?:\.([0-9]+)(?:\.([0-9]+))?)?"
)
_PICK = re.compile(r'\[((?:"(?:[^"]|"")*"|[^\]"])*)\]')
_CONDITION = re.compile(r'\s*([0-9]+(?:\.[0-9]+){0,2})\s*=\s*("(?:[^"]|"")*"|[^,"]*)\s*(?:,|$)')
_NEARLY = re.compile(r"([A-Za-z][A-Za-z0-9]{2})[-. _]?([0-9]+)((?:[-.][0-9]+){0,2})")


@dataclass(frozen=True, slots=True)
class Condition:
    """One leaf that must have one value. In a segment any repetition of `field` may have it."""

    field: int
    component: int
    subcomponent: int
    value: str


@dataclass(frozen=True, slots=True)
class Path:
    """One place in a message. Numbers are HL7's, from 1; 0 is "not said", which means the first."""

    text: str
    segment: str
    field: int
    component: int = 0
    subcomponent: int = 0
    repetition: int = 0
    conditions: tuple[Condition, ...] = ()
    segment_number: int = 0
    segment_conditions: tuple[Condition, ...] = ()
    anchor: str = ""
    plain: bool = True
    """Whether it is the first segment's first or numbered repetition: no search is needed."""

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def parse(text: str) -> Path:
        """A path from its text; what was parsed before is given again.

        Raises `Hl7Error` ("bad_path") that says what would be right.
        """
        return _parse(text)


def repetitions_of(text: str, path: Path, delimiters: Delimiters, codec: str) -> list[str]:
    """The repetitions of a field that the path's field pick lets through, in order, as they came."""
    repetition = delimiters.marks[0]
    parts = text.split(repetition)
    if path.conditions:
        parts = [part for part in parts if _all_hold(part, path.conditions, delimiters, codec)]
    if path.repetition:
        return parts[path.repetition - 1 : path.repetition]
    return parts


def segment_fits(fields: list[str], path: Path, delimiters: Delimiters, codec: str) -> bool:
    """Whether a segment's fields satisfy the path's segment conditions."""
    for wanted in path.segment_conditions:
        text = fields[wanted.field] if wanted.field < len(fields) else ""
        parts = text.split(delimiters.marks[0])
        if not any(_all_hold(part, (wanted,), delimiters, codec) for part in parts):
            return False
    return True


def leaf_of(part: str, component: int, subcomponent: int, delimiters: Delimiters, codec: str) -> str:
    """One leaf of one repetition, unescaped; component and subcomponent from 1, 0 is the first."""
    _, mark, sub, escape = delimiters.marks
    if mark in part:
        parts = part.split(mark, component or 1)
        number = component - 1 if component else 0
        if number >= len(parts):
            return ""
        part = parts[number]
    elif component > 1:
        return ""
    if sub in part:
        parts = part.split(sub, subcomponent or 1)
        number = subcomponent - 1 if subcomponent else 0
        if number >= len(parts):
            return ""
        part = parts[number]
    elif subcomponent > 1:
        return ""
    return unescape(part, delimiters, codec) if escape in part else part


def _all_hold(part: str, conditions: tuple[Condition, ...], delimiters: Delimiters, codec: str) -> bool:
    return all(
        leaf_of(part, wanted.component, wanted.subcomponent, delimiters, codec) == wanted.value
        for wanted in conditions
    )


@lru_cache(maxsize=8192)
def _parse(text: str) -> Path:
    found = _PATH.fullmatch(text)
    if not found:
        raise _bad(text, "")
    anchor, segment, segment_picks, field, picks, component, subcomponent = found.groups()
    segment_number, segment_conditions = _read_picks(segment_picks, text, in_segment=True)
    repetition, conditions = _read_picks(picks, text, in_segment=False)
    numbers = [_number(part, text) for part in (field, component, subcomponent) if part]
    plain = not (anchor or segment_number or segment_conditions or conditions)
    return Path(
        text,
        segment,
        numbers[0],
        numbers[1] if component else 0,
        numbers[2] if subcomponent else 0,
        repetition,
        conditions,
        segment_number,
        segment_conditions,
        anchor or "",
        plain,
    )


def _read_picks(text: str, path: str, *, in_segment: bool) -> tuple[int, tuple[Condition, ...]]:
    number = 0
    conditions: tuple[Condition, ...] = ()
    for pick in _PICK.findall(text):
        if pick.isdecimal():
            if number:
                raise _bad(path, "two numbers pick the same thing")
            number = _number(pick, path)
        elif conditions or number:
            raise _bad(path, "conditions stand in one pair of brackets, before a number: [5=MR,4.1=NORTH][2]")
        else:
            conditions = _read_conditions(pick, path, in_segment)
    return number, conditions


def _read_conditions(text: str, path: str, in_segment: bool) -> tuple[Condition, ...]:
    conditions: list[Condition] = []
    at = 0
    while at < len(text) or not conditions:
        found = _CONDITION.match(text, at)
        if not found or found.end() == at:
            raise _bad(path, f"a pick is a number or conditions such as {'3.1=AT' if in_segment else '5=MR'}")
        place, value = found.groups()
        numbers = [_number(part, path) for part in place.split(".")]
        if len(numbers) > (3 if in_segment else 2):
            raise _bad(path, "a condition in a field names a component and perhaps a subcomponent")
        numbers = [*numbers, 0, 0] if in_segment else [0, *numbers, 0]
        value = value[1:-1].replace('""', '"') if value[:1] == '"' else value.strip()
        conditions.append(Condition(numbers[0], numbers[1], numbers[2], value))
        at = found.end()
    return tuple(conditions)


def _number(text: str, path: str) -> int:
    if len(text) > 5 or int(text) == 0:
        raise _bad(path, "numbers begin with 1")
    return int(text)


def _bad(text: str, why: str) -> Hl7Error:
    right = "a path is SEGMENT-FIELD, such as PID-5.1, PID-3[2].4.1, PID-3[5=MR].1 or ROL[3.1=PP]-4"
    nearly = _NEARLY.fullmatch(text)
    if nearly and not why:
        suggestion = f"{nearly[1].upper()}-{nearly[2]}{nearly[3].replace('-', '.')}"
        if suggestion != text:
            right = f"right would be {suggestion}"
    return Hl7Error(f"{text!r} is no path: {why + '; ' if why else ''}{right}", code="bad_path", value=text)
