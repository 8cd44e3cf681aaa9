"""Examples: a message and what a mapping must make of it. Pure: the fixture's bytes come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as Words
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel

from broker.errors import BrokerError, ConfigError
from broker.hl7 import Message
from broker.mapping.apply import Applied, Mapping, apply
from broker.mapping.convert import Facility
from broker.mapping.file import Example
from broker.mapping.shape import fields_of, leaves
from broker.mapping.substitute import substitute
from broker.mapping.tables import Table
from broker.notices import Notice
from broker.yaml_files import Wrong, nearest

__all__ = ["differences", "run_example"]


def run_example(
    mapping: Mapping,
    example: Example,
    raw: bytes,
    site_of: Callable[[Message], Facility],
    tables: Words[str, Table],
) -> list[str]:
    """What is not as the example says; empty where all is well."""
    try:
        message = Message(substitute(raw, example.with_))
    except (Wrong, BrokerError) as error:
        return [f"with: {error}"]
    site = site_of(message)
    groups = message.each(example.for_each) if example.for_each else (message,)
    notices: list[Notice] = []
    warnings: list[str] = []
    try:
        for view in groups:
            applied: Applied = apply(mapping, view, site, tables)
            notices += applied.notices
            warnings += applied.warnings
    except ConfigError as error:
        return [str(error)]
    except BrokerError as error:
        if example.error is None:
            return [f"refused: {error.code} at {error.where or 'no path'}: {error.text}"]
        same = example.error == error.code
        return [] if same else [f"error: {example.error} is expected, it is refused with {error.code}"]
    if example.error is not None:
        return [f"error: {example.error} is expected, and it makes {_count(notices)}"]
    return [*_compared(example, notices), *_warned(example, warnings)]


def _warned(example: Example, warnings: list[str]) -> Iterator[str]:
    for wanted in example.warnings or ():
        if not any(wanted in warning for warning in warnings):
            yield f"warnings: {wanted} is expected, there are: {', '.join(warnings) or 'none'}"


def _compared(example: Example, notices: list[Notice]) -> Iterator[str]:
    if example.notices is not None and len(notices) != example.notices:
        yield f"notices: {example.notices} are expected, there are {len(notices)}"
    expect = example.expect
    if expect is None:
        return
    several = isinstance(expect, list)
    wanted = expect if several else [expect]
    if len(wanted) != len(notices):
        yield f"{len(wanted)} notices are expected, it makes {_count(notices)}"
        return
    for n, (one, notice) in enumerate(zip(wanted, notices, strict=True), 1):
        for difference in differences(notice, one):
            yield f"notice {n}: {difference}" if several else difference


def _count(notices: list[Notice]) -> str:
    return ", ".join(type(notice).__name__ for notice in notices) or "no notice"


def differences(model: BaseModel, wanted: Any, before: str = "") -> Iterator[str]:
    """Where a notice is not as expected, a line each. Only what is expected is looked at.

    null: it is deleted (`""` was sent). "" : nothing is said of it. A key may be dotted.
    """
    if not isinstance(wanted, Words):
        yield f"{before or 'expect'}: a mapping is expected"
        return
    for key, right in wanted.items():
        name, _, rest = key.partition(".")
        dotted = before + name
        if name not in type(model).model_fields:
            known = [*fields_of(type(model)), *(one for one, _ in leaves(type(model)))]
            right = nearest(key, known) or ", ".join(known)
            yield f"{dotted}: there is no such field; right would be {right}"
            continue
        inner = {rest: right} if rest else right
        found = getattr(model, name) if name in model.model_fields_set else _UNSET
        yield from _difference(dotted, found, inner)


_UNSET = object()


def _difference(dotted: str, found: Any, wanted: Any) -> Iterator[str]:
    if wanted == "" or found is _UNSET:
        if not (wanted == "" and found is _UNSET):
            said = "nothing is said" if found is _UNSET else f"it is {_told(found)}"
            yield f"{dotted}: {_told(wanted)} is expected, {said}"
    elif isinstance(wanted, Words) and isinstance(found, BaseModel):
        yield from differences(found, wanted, f"{dotted}.")
    elif isinstance(wanted, list) and isinstance(found, tuple):
        if len(wanted) != len(found):
            yield f"{dotted}: {len(wanted)} are expected, there are {len(found)}: {_told(found)}"
            return
        for n, (one, inner) in enumerate(zip(found, wanted, strict=True), 1):
            yield from _difference(f"{dotted}[{n}]", one, inner)
    elif not _same(found, wanted):
        yield f"{dotted}: {_told(wanted)} is expected, it is {_told(found)}"


def _same(found: Any, wanted: Any) -> bool:
    if wanted is None or found is None or not isinstance(wanted, str):
        return wanted is None and found is None
    try:
        if isinstance(found, datetime):
            return found == datetime.fromisoformat(wanted)
        if isinstance(found, date):
            return found == date.fromisoformat(wanted)
    except (ValueError, TypeError):
        return False
    if isinstance(found, bool):
        return wanted.lower() in (("yes", "true") if found else ("no", "false"))
    return str(found) == wanted


def _told(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, BaseModel):
        return str(value.model_dump(mode="json", exclude_unset=True))
    if isinstance(value, tuple):
        return f"[{', '.join(_told(one) for one in value)}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat()
    return repr(value) if value == "" else str(value)
