"""What a notice's fields are: the kind of value that each dotted name stands for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from broker.notices import Part, Unknown
from broker.yaml_files import Wrong, nearest

__all__ = ["Shape", "leaves", "shape_of"]

Kind = Literal["text", "time", "date", "flag", "number", "decimal", "word", "part"]
_KINDS: dict[Any, Kind] = {
    str: "text", datetime: "time", date: "date", bool: "flag", int: "number", Decimal: "decimal",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """One field: its kind of value, our words for a coded one, the class of a part."""

    name: str
    kind: Kind
    many: bool = False
    words: frozenset[str] = frozenset()
    keeps_unknown: bool = False
    part: type[Part] | None = None
    required: bool = False


@cache
def fields_of(model: type[BaseModel]) -> dict[str, Shape]:
    """A model's own fields."""
    return {
        name: _shape(name, field.annotation, field.is_required())
        for name, field in model.model_fields.items()
    }


def shape_of(model: type[BaseModel], dotted: str) -> Shape:
    """The field that a dotted name stands for. Raises `Wrong` with the nearest right name."""
    here: type[BaseModel] | None = model
    shape: Shape | None = None
    steps = dotted.split(".")
    for n, step in enumerate(steps):
        if here is None:
            raise Wrong(f"{'.'.join(steps[:n])} has no parts", value=dotted)
        known = fields_of(here)
        if step not in known:
            before = "".join(f"{part}." for part in steps[:n])
            near = nearest(step, known)
            names = [one for one, _ in leaves(model)]
            right = before + near if near else nearest(dotted, names) or ", ".join(known)
            raise Wrong(f"{here.__name__} has no such field", value=dotted, right=right)
        shape = known[step]
        if shape.many and n < len(steps) - 1:
            raise Wrong(f"{step} is a list: its parts stand in repeats", value=dotted)
        here = shape.part
    assert shape is not None
    return shape


def leaves(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Shape]]:
    """Every dotted name of a model, parts before what is in them."""
    for name, shape in fields_of(model).items():
        yield before + name, shape
        if shape.part is not None and not shape.many:
            yield from leaves(shape.part, f"{before}{name}.")


def _shape(name: str, annotation: Any, required: bool) -> Shape:
    options = [one for one in _options(annotation) if one is not type(None)]
    keeps = Unknown in options
    options = [one for one in options if one is not Unknown]
    (one,) = options
    if get_origin(one) is tuple:
        inner = _shape(name, get_args(one)[0], required)
        return Shape(name, inner.kind, True, inner.words, inner.keeps_unknown, inner.part, required)
    if get_origin(one) is Literal:
        return Shape(name, "word", words=frozenset(get_args(one)), keeps_unknown=keeps, required=required)
    if isinstance(one, type) and issubclass(one, Part):
        return Shape(name, "part", part=one, required=required)
    return Shape(name, _KINDS[one], required=required)


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return tuple(option for arg in get_args(annotation) for option in _options(arg))
    return (annotation,)
