"""What leaves: a notification's content becomes a message, or a text. Pure.

The left side of `fields` is a path of the message that is written, the right side takes words of the
content (`patient.family`, `attending.npi`). Nothing is rendered but values, each escaped when it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as Words
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from broker.conditions import Condition, word_values
from broker.errors import BrokerError, MappingError
from broker.hl7 import Message, compose, format_time
from broker.mapping.apply import Mapping
from broker.mapping.content_words import check_word
from broker.mapping.file import Example, Source, Take, path_of
from broker.mapping.read import check_condition
from broker.mapping.tables import Table
from broker.yaml_files import Wrong, nearest

__all__ = ["Leaving", "Line", "ListLine", "compose_for", "line_of", "run_outbound_example"]

Act = Literal["tell", "correct", "retract"]
Getter = Callable[[Words[str, Any]], str]
TYPE = re.compile(r"[A-Z][A-Z0-9]{2}\^[A-Z][A-Z0-9]{2}(\^[A-Z][A-Z0-9]{2}_[A-Z][A-Z0-9]{2})?")
_TIME_WORD = re.compile(r"(.*_at|.*\.time|(.*\.)?birth_date)")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T.*)?")


@dataclass(frozen=True, slots=True)
class Line:
    """One leaf of what is written."""

    path: str
    get: Getter
    required: bool
    table: str | None = None
    unknown: str = "keep"


@dataclass(frozen=True, slots=True)
class ListLine:
    """One segment for each part of a list of the content."""

    segment: str
    each: str
    lines: tuple[Line, ...]
    when: Condition | None


@dataclass(frozen=True, slots=True)
class Leaving:
    """An outbound mapping, compiled. `types` is MSH-9 by act; None: such a one is not sent."""

    start: str
    is_text: bool
    version: str
    types: Words[str, str | None]
    lines: tuple[Line, ...]
    lists: tuple[ListLine, ...]


def compose_for(
    mapping: Mapping,
    content: Words[str, Any],
    tables: Words[str, Table],
    *,
    control_id: str,
    now: datetime,
    act: Act = "tell",
    version: int = 1,
) -> bytes:
    """The bytes of a notification. Raises `MappingError`: `missing`, `unknown_code`, `no_such_act`, and what
    `compose` raises.

    The content's own words stand beside `message.control_id`, `message.time`, `message.act`
    (tell, correct, retract) and `message.version`.
    """
    leaving: Leaving = mapping.outbound
    message_type = leaving.types.get(act)
    if message_type is None and not leaving.is_text:
        raise MappingError(f"mapping {mapping.name} does not say how to {act}", code="no_such_act")
    own = {"control_id": control_id, "time": now.isoformat(), "act": act, "version": str(version)}
    said = {**content, "message": own}
    if leaving.is_text:
        return _text(leaving, said, tables).encode()
    fields = {
        "MSH-3": "HANDOFF",
        "MSH-7": format_time(now),
        **{f"MSH-9.{n}": part for n, part in enumerate((message_type or "").split("^"), 1)},
        "MSH-10": control_id,
        "MSH-11": "P",
    }
    for line in leaving.lines:
        text = _written(line, said, said, tables)
        if text:
            fields[line.path] = text
    for each in leaving.lists:
        _write_list(each, said, tables, fields)
    return compose(fields, version=leaving.version)


def _text(leaving: Leaving, said: Words[str, Any], tables: Words[str, Table]) -> str:
    return "\n".join(text for line in leaving.lines if (text := _written(line, said, said, tables)))


def _written(line: Line, said: Words[str, Any], content: Words[str, Any], tables: Words[str, Table]) -> str:
    text = line.get(said)
    if text and line.table is not None:
        facility = content.get("facility")
        site = str(facility.get("name", "")) if isinstance(facility, Words) else ""
        code = tables[line.table].code(text, site)
        if code is None:
            if line.unknown == "refuse":
                said_why = f"table {line.table} has no code for this word"
                raise MappingError(said_why, code="unknown_code", where=line.path, value=text)
            code = text if line.unknown == "keep" else line.unknown
        text = code
    if not text and line.required:
        raise MappingError(f"nothing is known for {line.path}", code="missing", where=line.path)
    return text


def _write_list(
    each: ListLine, said: Words[str, Any], tables: Words[str, Table], fields: dict[str, str]
) -> None:
    parts = said.get(each.each.split(".")[0])
    for step in each.each.split(".")[1:]:
        parts = parts.get(step) if isinstance(parts, Words) else None
    number = 0
    for part in parts if isinstance(parts, (list, tuple)) else ():
        if each.when is not None and not each.when.holds(part, tables):
            continue
        number += 1
        inner = {"number": str(number), **part}
        for line in each.lines:
            text = _written(line, inner, said, tables)
            if text:
                segment, dash, rest = line.path.partition("-")
                fields[f"{segment}[{number}]{dash}{rest}"] = text


# From what a file says


def line_of(key: str, take: Take, tables: Words[str, Table], *, is_text: bool, within: str = "") -> Line:
    """One field of a file, compiled; `within` is the list that it belongs to. Raises `Wrong`."""
    if not is_text:
        path = path_of(key)
        if path.conditions or path.segment_conditions or path.anchor:
            raise Wrong("a number says where a value is written, such as DG1[2]-3.1", value=key)
        if path.segment == "MSH" and path.field in (1, 2, 12, 18):
            raise Wrong(f"{key} is written by itself; the version stands at version:", value=key)
    for name in ("all_of", "date_add"):
        if getattr(take, name) is not None:
            raise Wrong(f"{name}: not of what leaves", at=(name,))
    if take.table is not None and take.table not in tables:
        right = nearest(take.table, tables)
        raise Wrong("there is no such table", value=take.table, right=right, at=("table",))
    getter = _getter(take, take.format or "second", within, tables)
    return Line(key, getter, take.required, take.table, take.unknown or "keep")


def _getter(source: Source, exactly: Any, within: str, tables: Words[str, Table]) -> Getter:
    get = _way(source, exactly, within, tables)
    if source.trim:
        get = _then(get, str.strip)
    if source.default is not None:
        get = _or(get, source.default)
    if source.pad is not None:
        width = source.pad
        get = _then(get, lambda text: text.rjust(width, "0"))
    if source.when is not None:
        condition = source.when
        check_condition(condition, tables, "content")
        inner = get
        return lambda said: inner(said) if condition.holds(said, tables) else ""
    return get


def _way(source: Source, exactly: Any, within: str, tables: Words[str, Table]) -> Getter:
    if source.take is not None:
        word = source.take
        check_word(word, within, ("take",))
        read = _read_time(exactly) if _TIME_WORD.fullmatch(word) else str
        return lambda said: read(next(iter(word_values(said, word)), ""))
    if source.join_all is not None:
        every, between = source.join_all, source.separator
        check_word(every, within, ("join_all",))
        return lambda said: between.join(word_values(said, every))
    if source.value is not None:
        fixed = source.value
        return lambda said: fixed
    inner = _each(source, exactly, within, tables)
    if source.first_of is not None:
        return lambda said: next((text for get in inner if (text := get(said))), "")
    separator = source.separator
    return lambda said: separator.join(text for get in inner if (text := get(said)))


def _each(source: Source, exactly: Any, within: str, tables: Words[str, Table]) -> tuple[Getter, ...]:
    name = "first_of" if source.first_of is not None else "join"
    getters = []
    for n, one in enumerate(source.first_of or source.join or ()):
        try:
            getters.append(_getter(one, exactly, within, tables))
        except Wrong as wrong:
            wrong.at = (name, n, *wrong.at)
            raise
    return tuple(getters)


def _then(get: Getter, change: Callable[[str], str]) -> Getter:
    return lambda said: change(text) if (text := get(said)) else ""


def _or(get: Getter, default: str) -> Getter:
    return lambda said: get(said) or default


def _read_time(exactly: Any) -> Callable[[str], str]:
    """A time of the content (ISO) as HL7 writes it; a day stays a day."""

    def read(text: str) -> str:
        if not _ISO.fullmatch(text):
            return text
        try:
            if "T" not in text:
                return f"{date.fromisoformat(text):%Y%m%d}"
            return format_time(datetime.fromisoformat(text), exactly)
        except ValueError:
            return text

    return read


# Examples


def run_outbound_example(
    mapping: Mapping, example: Example, content: Words[str, Any], tables: Words[str, Table]
) -> tuple[list[str], bytes]:
    """What is not as an example says, and the bytes that were made (b"": none)."""
    said = _copied(content)
    for word, value in example.with_.items():
        _put(said, word.split("."), value)
    act: Any = example.act or "tell"
    try:
        made = compose_for(mapping, said, tables, control_id="EXAMPLE1", now=_EXAMPLE_TIME, act=act)
    except BrokerError as error:
        if example.error == error.code:
            return [], b""
        return [f"it fails with {error.code} at {error.where or 'no path'}: {error.text}"], b""
    if example.error is not None:
        return [f"error: {example.error} is expected, and it is written"], made
    wanted = example.expect
    if not isinstance(wanted, Words):
        return ["expect: a mapping of paths to values is expected"], made
    leaving: Leaving = mapping.outbound
    return [*_unlike(made, wanted, is_text=leaving.is_text)], made


_EXAMPLE_TIME = datetime.fromisoformat("2026-03-06T12:00:00+00:00")


def _unlike(made: bytes, wanted: Words[str, Any], *, is_text: bool) -> list[str]:
    if is_text:
        text = made.decode()
        right = wanted.get("text")
        return [] if text == right else [f"text: {right!r} is expected, it is {text!r}"]
    message = Message(made)
    unlike = []
    for path, right in wanted.items():
        try:
            found = message.get(path)
        except BrokerError as error:
            unlike.append(error.text)
            continue
        if found != (right or ""):
            unlike.append(f"{path}: {right!r} is expected, it is {found!r}")
    return unlike


def _put(said: dict[str, Any], steps: list[str], value: str) -> None:
    for step in steps[:-1]:
        said = said.setdefault(step, {})
    said[steps[-1]] = value


def _copied(value: Any) -> Any:
    if isinstance(value, Words):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, (list, tuple)) else value
