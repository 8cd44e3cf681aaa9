"""Parts that are made of a whole field (`attending: PV1-7`), and lists of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from broker.conditions import Condition
from broker.hl7 import NULL, Path, View
from broker.mapping.convert import PARTS, Reading
from broker.mapping.file import Take, path_of
from broker.mapping.read import Found
from broker.mapping.shape import Shape, fields_of
from broker.mapping.steps import Step, Values
from broker.mapping.tables import Table
from broker.notices import Practitioner
from broker.yaml_files import Wrong

__all__ = ["Whole", "listed_parts", "listed_texts", "one_part", "whole_found", "whole_paths"]

Whole = Callable[[View, Reading], "Values | None"]
WORDS = ("take", "first_of", "all_of", "when", "required")


def whole_paths(dotted: str, take: Take) -> tuple[Path, ...]:
    """The paths of whole fields that a part may be made of. Raises `Wrong` at any other word."""
    odd = [name for name in take.model_fields_set if name not in WORDS]
    texts = take.all_of or ((take.take,) if take.take is not None else ())
    if take.first_of is not None:
        texts = tuple(one.take or "" for one in take.first_of if one.model_fields_set == {"take"})
        if len(texts) != len(take.first_of):
            odd.append("first_of with more than paths")
    if odd or not texts:
        raise Wrong(
            f"{dotted} is made of a whole field; what it takes is {', '.join(WORDS)}", value=", ".join(odd)
        )
    paths = tuple(path_of(text) for text in texts)
    for path in paths:
        if path.component:
            right = path.text.rpartition(".")[0]
            raise Wrong(
                f"{dotted} is made of a whole field, not of a component", value=path.text, right=right
            )
    return paths


def whole_found(paths: tuple[Path, ...]) -> Callable[[View], Found]:
    """Which of the paths gives a part, and what stands there."""

    def found(view: View) -> Found:
        for path in paths:
            texts = view.repetitions(path)
            if texts:
                return path.text, view.root.delimiters.marks[0].join(texts)
        return paths[0].text, ""

    return found


def one_part(
    dotted: str,
    shape: Shape,
    paths: tuple[Path, ...],
    condition: Condition | None,
    tables: Mapping[str, Table],
) -> Whole:
    """The first of the paths that says something: what its part is made of. None: it is deleted."""
    read = _reader(dotted, shape)
    picks, merges = dotted == "patient.number", shape.part is Practitioner

    def whole(view: View, reading: Reading) -> Values | None:
        if condition is not None and not condition.holds(view, tables):
            return {}
        deleted = False
        for path in paths:
            found = []
            for text in view.repetitions(path):
                said = read(text, view, reading, path)
                deleted = deleted or said is None
                if said:
                    found.append(said)
            if found:
                chosen = _number(found, reading) if picks else _one_person(found) if merges else found[0]
                if chosen:
                    return chosen
        return None if deleted else {}

    return whole


def listed_parts(
    dotted: str,
    name: str,
    shape: Shape,
    paths: tuple[Path, ...],
    condition: Condition | None,
    tables: Mapping[str, Table],
) -> Step:
    """Every repetition of the paths, each a part."""
    read = _reader(dotted, shape)

    def put(view: View, into: Values, reading: Reading) -> None:
        if condition is not None and not condition.holds(view, tables):
            return
        found, deleted = [], False
        for path in paths:
            for text in view.repetitions(path):
                said = read(text, view, reading, path)
                if said:
                    found.append(said)
                deleted = deleted or said is None
        if found:
            into[name] = tuple(found)
        elif deleted:
            into[name] = None

    return put


def listed_texts(
    name: str, paths: tuple[Path, ...], condition: Condition | None, tables: Mapping[str, Table]
) -> Step:
    """Every value of the paths, as texts."""

    def put(view: View, into: Values, reading: Reading) -> None:
        if condition is not None and not condition.holds(view, tables):
            return
        found = [text for path in paths for text in view.all(path)]
        if found:
            into[name] = tuple(text for text in found if text != NULL) or None

    return put


def _reader(dotted: str, shape: Shape) -> Any:
    assert shape.part is not None
    read = PARTS.get(shape.part)
    if read is None:
        how = (
            "stands in repeats"
            if shape.many
            else "is made of " + ", ".join(f"{dotted}.{name}" for name in fields_of(shape.part))
        )
        raise Wrong(f"no whole field is a {shape.part.__name__}: {dotted} {how}", value=dotted)
    return read


def _number(found: list[Values], reading: Reading) -> Values:
    """The repetition that is the patient's number at this site; {} where none is."""
    picks = reading.site.picks_number
    for said in found:
        if picks(said.get("type", ""), said.get("authority", "")):
            return said
    return {}


def _one_person(found: list[Values]) -> Values:
    """The first repetition; where another one of the same name has the NPI, or the number, that too.

    Hospitals repeat a doctor once with their own number and once with the NPI.
    """
    first = found[0]
    for other in found[1:]:
        if other.get("family") == first.get("family"):
            return {**other, **first}
    return first
