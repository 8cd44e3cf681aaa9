"""The right-hand side, compiled: from a source as a file says it to a function of a message. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from broker.conditions import Condition
from broker.hl7 import NULL, Path, View
from broker.mapping.file import Source, path_of
from broker.mapping.tables import Table
from broker.yaml_files import Wrong

__all__ = ["Found", "Reader", "check_condition", "reader_of", "with_condition"]

Found = tuple[str, str]  # the path that gave it, and the text
Tables = Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Reader:
    """`get` gives the text ("": nothing is said), `found` also the path, for errors and for `try`."""

    get: Callable[[View], str]
    found: Callable[[View], Found]
    paths: tuple[Path, ...]


def reader_of(source: Source, tables: Tables) -> Reader:
    """The compiled source. Raises `Wrong` at what is no path or no table."""
    reader = _way(source, tables)
    if source.trim:
        reader = _changed(reader, str.strip)
    if source.default is not None:
        reader = _with_default(reader, source.default)
    if source.pad is not None:
        width = source.pad
        reader = _changed(reader, lambda text: text.rjust(width, "0"))
    if source.when is not None:
        reader = with_condition(reader, source.when, tables)
    return reader


def check_condition(condition: Condition, tables: Tables, asks: str = "message", at: str = "when") -> None:
    """Whether a condition asks what it can ask here. Raises `Wrong`."""
    for test in condition.each():
        if (test.path is None) != (asks == "content"):
            right = "a word of ours, such as patient_class" if asks == "content" else "a path, such as PV1-2"
            raise Wrong(f"{at}: {right} is expected", value=test.key, at=(at, test.key))
        if test.table and test.table not in tables:
            raise Wrong("there is no such table", value=test.table, at=(at, test.key))


def with_condition(reader: Reader, condition: Condition, tables: Tables) -> Reader:
    """The same where the condition holds; else nothing."""
    check_condition(condition, tables)
    get, found, holds = reader.get, reader.found, condition.holds
    return Reader(
        lambda view: get(view) if holds(view, tables) else "",
        lambda view: found(view) if holds(view, tables) else ("", ""),
        reader.paths,
    )


def _way(source: Source, tables: Tables) -> Reader:
    if source.take is not None:
        return _path(source.take, ("take",))
    if source.first_of is not None:
        return _first_of(_each(source.first_of, "first_of", tables))
    if source.join is not None:
        return _join(_each(source.join, "join", tables), source.separator)
    if source.join_all is not None:
        return _join_all(source.join_all, source.separator)
    fixed = source.value or ""
    return Reader(lambda view: fixed, lambda view: ("value", fixed), ())


def _each(sources: Iterable[Source], word: str, tables: Tables) -> tuple[Reader, ...]:
    readers = []
    for n, one in enumerate(sources):
        try:
            readers.append(reader_of(one, tables))
        except Wrong as wrong:
            wrong.at = (word, n, *wrong.at)
            raise
    return tuple(readers)


def _path(text: str, at: tuple[str | int, ...]) -> Reader:
    try:
        path = path_of(text)
    except Wrong as wrong:
        wrong.at = at
        raise
    return Reader(lambda view: view.get(path), lambda view: (text, view.get(path)), (path,))


def _first_of(readers: tuple[Reader, ...]) -> Reader:
    gets = tuple(reader.get for reader in readers)

    def get(view: View) -> str:
        null = ""
        for one in gets:
            text = one(view)
            if text and text != NULL:
                return text
            null = text or null
        return null

    def found(view: View) -> Found:
        null = readers[0].found(view)[0], ""
        for reader in readers:
            path, text = reader.found(view)
            if text and text != NULL:
                return path, text
            if text:
                null = path, text
        return null

    return Reader(get, found, tuple(path for reader in readers for path in reader.paths))


def _join(readers: tuple[Reader, ...], separator: str) -> Reader:
    gets = tuple(reader.get for reader in readers)

    def get(view: View) -> str:
        return separator.join(text for one in gets if (text := one(view)) and text != NULL)

    def found(view: View) -> Found:
        told = [
            (path, text)
            for reader in readers
            for path, text in (reader.found(view),)
            if text and text != NULL
        ]
        return " ".join(path for path, _ in told), separator.join(text for _, text in told)

    return Reader(get, found, tuple(path for reader in readers for path in reader.paths))


def _join_all(text: str, separator: str) -> Reader:
    try:
        path = path_of(text)
    except Wrong as wrong:
        wrong.at = ("join_all",)
        raise

    def get(view: View) -> str:
        return separator.join(value for value in view.all(path) if value != NULL)

    return Reader(get, lambda view: (text, get(view)), (path,))


def _changed(reader: Reader, change: Callable[[str], str]) -> Reader:
    get, found = reader.get, reader.found

    def changed(view: View) -> str:
        text = get(view)
        return change(text) if text and text != NULL else text

    return Reader(changed, lambda view: (found(view)[0], changed(view)), reader.paths)


def _with_default(reader: Reader, default: str) -> Reader:
    get, found = reader.get, reader.found

    def found_or_default(view: View) -> Found:
        path, text = found(view)
        return (path, text) if text else ("default", default)

    return Reader(lambda view: get(view) or default, found_or_default, reader.paths)
