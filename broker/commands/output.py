"""How commands speak: tables for people, JSON for programs, errors on standard error. Floor 10."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from broker.errors import BrokerError, ConfigErrors

__all__ = ["AsJson", "failing_well", "plain", "print_error", "print_json", "print_table", "say"]

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]


def _console(stderr: bool = False) -> Console:
    """A console of the moment. What goes to a file or a program is never cut or wrapped."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, emoji=False, width=None if stream.isatty() else 10_000)


def say(text: str) -> None:
    """One line for people; [bold] and the like are markup, so what may hold brackets is escaped first."""
    _console().print(text)


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "none"
) -> None:
    """A table, or one line where there is nothing to show."""
    lines = [[plain(value) for value in row] for row in rows]
    if not lines:
        say(f"[bold]{escape(title)}[/bold]: {escape(empty)}")
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", header_style="dim")
    for line in lines:
        table.add_row(*map(escape, line))
    _console().print(table)


def plain(value: Any) -> str:
    """A value as people read it: times in their own zone to the second, nothing for None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone():%Y-%m-%d %H:%M:%S}"
        case tuple() | list():
            return ", ".join(map(plain, value))
        case dict():
            return ", ".join(f"{key}={plain(one)}" for key, one in value.items())
    return str(value)


def print_json(found: Any) -> None:
    """Any of our values as one JSON document; times as ISO 8601."""
    out = orjson.dumps(found, default=_for_json, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    sys.stdout.write(out.decode() + "\n")


def _for_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "_asdict"):
        return value._asdict()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (UUID, date)):
        return str(value)
    return str(value)


def print_error(error: BrokerError) -> None:
    """What went wrong, on standard error: every mistake of a project folder on a line of its own."""
    console = _console(stderr=True)
    for one in error.errors if isinstance(error, ConfigErrors) else [error]:
        console.print(f"[red]{escape(str(one))}[/red]")
        if one.value and not isinstance(error, ConfigErrors):
            console.print(f"  found: {escape(repr(one.value))}")


@contextmanager
def failing_well() -> Iterator[None]:
    """Turns what a person can act on into words and exit 1."""
    try:
        yield
    except BrokerError as error:
        print_error(error)
        raise typer.Exit(1) from error
