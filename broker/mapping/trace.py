"""Which path gave each field of a notice, and what stood there: for `try` and for pages. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from broker.hl7 import View
from broker.mapping.apply import Mapping
from broker.mapping.compile import Origin
from broker.notices import Notice, Unknown

__all__ = ["Traced", "trace"]


class Traced(NamedTuple):
    """One value of a notice. `path` is "" where no path gave it (a Python door, a site's own word)."""

    name: str
    value: Any
    path: str
    text: str


def trace(mapping: Mapping, view: View, notice: Notice) -> tuple[Traced, ...]:
    """Every value that the notice states, in the order of its fields, with what gave it."""
    return tuple(_values("", notice, mapping.origins, view))


def _values(before: str, part: BaseModel, origins: Sequence[Origin], view: View) -> Iterator[Traced]:
    for name in type(part).model_fields:
        if name in part.model_fields_set:
            yield from _value(before + name, getattr(part, name), origins, view)


def _value(dotted: str, value: Any, origins: Sequence[Origin], view: View) -> Iterator[Traced]:
    origin = _nearest(dotted, origins)
    if isinstance(value, BaseModel) and not isinstance(value, Unknown):
        yield from _values(f"{dotted}.", value, origins, view)
    elif origin is not None and origin.each and isinstance(value, tuple):
        yield from _list(dotted, value, origin, view)
    else:
        path, text = origin.found(view) if origin is not None else ("", "")
        yield Traced(dotted, _plain(value), path, text)


def _list(dotted: str, value: tuple[Any, ...], origin: Origin, view: View) -> Iterator[Traced]:
    """Each part of a list from its own segment, where there are as many segments as parts."""
    views = view.each(origin.each)
    for n, one in enumerate(value, 1):
        # A list of fewer parts than segments left some out: then it is not said which gave which.
        inner, within = (origin.inner, views[n - 1]) if len(views) == len(value) else ((), view)
        for found in _values("", one, inner, within):
            yield found._replace(name=f"{dotted}[{n}].{found.name}")


def _nearest(dotted: str, origins: Sequence[Origin]) -> Origin | None:
    """What gave a field: its own origin, or that of a part that it belongs to."""
    known = {origin.name: origin for origin in origins}
    while dotted and dotted not in known:
        dotted = dotted.rpartition(".")[0]
    return known.get(dotted)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
