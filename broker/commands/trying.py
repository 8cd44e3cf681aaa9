"""`broker check`, `test` and `try`: what an analyst sees before a mapping is live. Floor 12."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from broker.care.given import Directory
from broker.care.rows import Change, DeliveryPut, NotificationPut, PatientPut, TaskPut
from broker.commands.acting import opened_care
from broker.commands.files import messages_of
from broker.commands.output import AsJson, failing_well, plain, print_json, print_table, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home
from broker.decide import given_of, narrowed
from broker.errors import OperationError
from broker.ids import Names
from broker.preview import NOTHING, Preview, Stored, previews
from broker.project import load_project
from broker.project_examples import run_examples

__all__ = ["check", "test", "try_message"]

UNUSED = 10**15  # patients' numbers from here on are nobody's


def check(project: ProjectFolder = Path("."), as_json: AsJson = False) -> None:
    """Read every channel, site, mapping and table; opens no socket. Exit 1 when anything is wrong."""
    with failing_well():
        found = load_project(project)
    if as_json:
        print_json(
            {
                "digest": found.digest,
                "channels": list(found.channels),
                "sites": list(found.sites),
                "mappings": list(found.mappings),
                "tables": list(found.tables),
                "warnings": list(found.warnings),
            }
        )
        return
    for warning in found.warnings:
        say(f"[yellow]{escape(warning)}[/yellow]")
    say(
        f"{len(found.channels)} channels, {len(found.sites)} sites, {len(found.mappings)} mappings, "
        f"{len(found.tables)} tables, {len(found.rules) + len(found.tells)} rules: "
        + (f"{len(found.warnings)} warnings." if found.warnings else "all well.")
    )


def test(
    mapping: Annotated[list[str] | None, typer.Argument(help="Only these mappings' examples.")] = None,
    project: ProjectFolder = Path("."),
    as_json: AsJson = False,
) -> None:
    """Run the examples that stand with the mappings. Exit 1 when one is not as it says."""
    with failing_well():
        found = load_project(project)
        for name in mapping or ():
            if name not in found.mappings:
                raise OperationError(f"there is no mapping {name}", code="no_mapping")
        runs = run_examples(found, project, lambda name: not mapping or name in mapping)
    wrong = [one for one in runs if one.problems]
    if as_json:
        print_json(runs)
    else:
        for one in wrong:
            say(f"[red]{escape(str(one.place))}: {escape(one.mapping)}: {escape(one.name)}[/red]")
            for problem in one.problems:
                say(f"  {escape(problem)}")
        say(f"{len(runs)} examples: " + (f"{len(wrong)} are not as they say." if wrong else "all well."))
    if wrong:
        raise typer.Exit(1)


def try_message(
    channel: Annotated[str, typer.Argument(help="The channel that it would come to.")],
    file: Annotated[str, typer.Argument(help="A file of messages; - is standard input.")],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    live: Annotated[
        bool, typer.Option("--live", help="Decide on the records and the directory of the running broker.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what messages would cause: fields with their paths, changes, deliveries. Delivers nothing."""
    with failing_well():
        found = load_project(project)
        if channel not in found.channels:
            known = ", ".join(found.channels)
            raise OperationError(f"there is no channel {channel}; there are {known}", code="no_channel")
        messages = list(messages_of(file))
        tried = found.channels[channel]
        if live:
            with opened_care(home(project, data, store)) as care:
                numbers = count(UNUSED)
                stored = Stored(care.records_of, care.records, lambda: next(numbers))
                given = given_of(found, narrowed(care.directory(), found), care.now(), Names(care.secret()))
                shown = previews(messages, found, tried, stored, given)
        else:
            given = given_of(found, Directory(), datetime.now(UTC), Names(b"nothing is kept of a try"))
            shown = previews(messages, found, tried, NOTHING, given)
    if as_json:
        print_json(shown)
        return
    for number, one in enumerate(shown, 1):
        _print(one, f"{file}, message {number} of {len(shown)}")


def _print(one: Preview, title: str) -> None:
    became = one.became
    why = one.refused or became.why
    reason = escape(f": {why}") if why else ""
    say(f"\n[bold]{escape(title)}[/bold]: {became.event} is {became.outcome}{reason}")
    if one.value:
        say(f"  found there: {escape(repr(one.value))}")
    for notice in one.notices:
        rows = [(seen.name, plain(seen.value), seen.path, seen.raw) for seen in notice.fields]
        heading = f"{notice.kind} of {notice.site}, by mapping {notice.mapping}"
        print_table(heading, ("field", "value", "from", "as it came"), rows)
        for warning in notice.warnings:
            say(f"  [yellow]{escape(warning)}[/yellow]")
    for code in one.codes:
        say(f"  [yellow]no meaning for {escape(repr(code.code))} ({code.path}, table {code.table})[/yellow]")
    print_table("Changes", ("what", "verb", "which", "because of"), [_change(put) for put in one.changes])
    deliveries: list[tuple[str, ...]] = [
        (put.act, put.recipient, put.destination, put.address)
        for put in one.changes
        if isinstance(put, DeliveryPut)
    ]
    deliveries += [(put.act, "", put.destination, "") for put in one.forwards]
    print_table("Deliveries", ("act", "recipient", "destination", "address"), deliveries)


def _change(put: Change) -> tuple[str, str, str, str]:
    what = type(put).__name__.removesuffix("Put")
    match put:
        case TaskPut():
            which = f"{put.title}, {put.owner}, due {plain(put.due_at) or 'at no time'}, {put.state}"
        case NotificationPut():
            which = f"{put.kind}, version {put.version}, {put.state}"
        case PatientPut():
            which = f"{put.family}, {put.given} ({put.authority} {put.number})"
        case _:
            words = put._asdict()
            told = (
                "kind",
                "section",
                "key",
                "status",
                "act",
                "recipient",
                "destination",
                "text",
                "state",
                "due_at",
            )
            which = ", ".join(plain(words[name]) for name in told if words.get(name))
    return what, getattr(put, "verb", ""), which, put.cause.rule
