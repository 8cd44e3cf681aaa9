"""What HL7 calls its fields: names, types and tables from hl7apy's copies of the standard. Floor 2.

Only for people's eyes (`show`, `explain`, pages): loading a version takes some ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

__all__ = ["Place", "named", "parts_of", "segment_fields", "version_of"]

_VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")


@dataclass(frozen=True, slots=True)
class Place:
    """One field, component or subcomponent: what it is called, its data type, and its HL7 table or ""."""

    path: str
    name: str
    kind: str
    table: str = ""


def version_of(text: str) -> str:
    """The nearest version that is known: "2.5.1" for an empty or unknown one, 2.8.2 for 2.9."""
    if text in _VERSIONS:
        return text
    return "2.8.2" if text.startswith("2.9") else "2.5.1"


def named(path: str, version: str) -> Place | None:
    """What stands at `PID-3.4.1`, in the words of the standard; None for a Z segment or beyond its fields.

    A path that names no component of a field that has some is the whole field.
    """
    segment, _, rest = path.partition("-")
    numbers = rest.split(".")
    found = _field(segment, numbers[0], version_of(version))
    names: list[str] = []
    for depth, number in enumerate(numbers):
        if depth and (found := _part(found, number)) is None:
            return _last(path, names) if number == "1" else None
        if found is None:
            return None
        names.append(_words(found[3]))
    assert found is not None
    return Place(path, ", ".join(names), found[2] or "", _table(found[4]))


def _last(path: str, names: list[str]) -> Place:
    """A first component of what has none: the whole."""
    return Place(path, ", ".join(names), "")


def parts_of(path: str, version: str) -> Iterator[Place]:
    """The components of a field or component, each with its path."""
    segment, _, rest = path.partition("-")
    numbers = rest.split(".")
    found = _field(segment, numbers[0], version_of(version))
    for number in numbers[1:]:
        found = _part(found, number)
    if found is not None and found[0] == "sequence":
        for n, part in enumerate(found[1], 1):
            yield Place(f"{path}.{n}", _words(part[1][3]), part[1][2] or "", _table(part[1][4]))


def segment_fields(segment: str, version: str) -> Iterator[tuple[Place, str]]:
    """The fields of a segment, each with how often it stands: "1", "0..1", "0..*"."""
    known = _library(version_of(version), "segments").SEGMENTS.get(segment)
    for name, field, (least, most), _ in known[1] if known else ():
        often = str(least) if least == most else f"{least}..{'*' if most == -1 else most}"
        yield Place(name.replace("_", "-"), _words(field[3]), field[2] or "", _table(field[4])), often


@cache
def _library(version: str, part: str) -> Any:
    return import_module(f"hl7apy.v{version.replace('.', '_')}.{part}")


def _field(segment: str, number: str, version: str) -> Any:
    return _library(version, "fields").FIELDS.get(f"{segment}_{number}")


def _part(found: Any, number: str) -> Any:
    if found is None or found[0] != "sequence" or not 1 <= int(number) <= len(found[1]):
        return None
    return found[1][int(number) - 1][1]


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ").capitalize()


def _table(name: str | None) -> str:
    return name.replace("HL7", "") if name else ""
