"""What a person does: set-aside messages, paused channels, the directory. Floor 12."""

from __future__ import annotations

import csv
import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from broker import operations
from broker.commands.output import AsJson, failing_well, plain, print_json, print_table, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home
from broker.errors import OperationError
from broker.home import Home
from broker.operations import Who
from broker.project import load_project
from broker.store.aside import AsideShelf, SetAside
from broker.store.care import CareStore
from broker.store.directory import DirectoryBook, read_rows
from broker.store.open import open_engine, require_newest

__all__ = ["aside", "directory", "opened_care", "pause", "place_of", "resume"]

aside = typer.Typer(help="Messages that were set aside: refused ones, and those of a paused channel.")
directory = typer.Typer(help="Who is reached where.")

Why = Annotated[str, typer.Option("--why", help="The reason, for the audit.")]
Messages = Annotated[list[str], typer.Argument(help="Messages by their numbers, such as 3.17.")]


@contextmanager
def opened_care(at: Home) -> Iterator[CareStore]:
    """The care store of a broker, for one command."""
    if at.settings.store is None and not (at.data / "care.db").exists():
        raise OperationError(f"{at.data} holds no broker's data: see --data", code="no_data")
    engine = open_engine(at.stores.care_url, role="care")
    try:
        require_newest(engine, "care")
        yield CareStore(engine)
    finally:
        engine.dispose()


def place_of(text: str) -> tuple[int, int]:
    """Stream and number of a message named as 3.17."""
    stream, dot, seq = text.partition(".")
    if not (dot and stream.isdigit() and seq.isdigit()):
        raise OperationError(
            "a message is named by stream and number, such as 3.17", code="bad_option", value=text
        )
    return int(stream), int(seq)


def me() -> Who:
    """Who runs this command."""
    return Who(getpass.getuser(), f"cli {socket.gethostname()}")


def pause(
    channel: Annotated[str, typer.Argument(help="A channel's name.")],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    why: Why = "",
) -> None:
    """Pause a channel: its messages are answered and kept, and wait until it is resumed."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        _known_channel(project, channel)
        operations.pause(care, me(), channel, why)
        say(f"{channel} is paused.")


def resume(
    channel: Annotated[str, typer.Argument(help="A channel's name.")],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    why: Why = "",
) -> None:
    """Resume a paused channel: what waited is worked first, in its order."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        operations.resume(care, me(), channel, why)
        say(f"{channel} is resumed.")


def _known_channel(project: Path, channel: str) -> None:
    known = load_project(project).channels
    if channel not in known:
        raise OperationError(
            f"there is no channel {channel}; there are {', '.join(known)}", code="no_channel"
        )


@aside.command("list")
def list_aside(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel's.")] = None,
    state: Annotated[str | None, typer.Option(help="refused, paused, released or dismissed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what was set aside, grouped by cause, the most frequent first."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        causes = AsideShelf(care.engine).causes(state=state, channel=channel)
    if as_json:
        print_json(causes)
        return
    rows = [
        (one.count, one.state, one.channel, one.code, one.where, _number(one.first), _number(one.last))
        for one in causes
    ]
    print_table("Set aside", ("count", "state", "channel", "cause", "where", "first", "last"), rows)


@aside.command("show")
def show_aside(
    messages: Messages,
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show why messages were set aside, with what stood there. What is shown may be a patient's."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        found = [_one(AsideShelf(care.engine), text) for text in messages]
    if as_json:
        print_json(found)
        return
    for one in found:
        fields = ("at", "channel", "event", "state", "code", "where", "text", "value", "by", "by_at", "why")
        rows = [(field, plain(getattr(one, field))) for field in fields if getattr(one, field)]
        print_table(f"Message {one.stream}.{one.seq}", ("", ""), rows)


def _one(shelf: AsideShelf, text: str) -> SetAside:
    found = shelf.one(*place_of(text))
    if found is None:
        raise OperationError(f"message {text} was not set aside", code="not_aside")
    return found


@aside.command("release")
def release_aside(
    messages: Annotated[list[str] | None, typer.Argument(help="Messages, such as 3.17.")] = None,
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    code: Annotated[str | None, typer.Option(help="All that were refused for this cause.")] = None,
    channel: Annotated[str | None, typer.Option(help="With --code: only this channel's.")] = None,
    why: Why = "",
) -> None:
    """Release refused messages: they are worked once more, as late arrivals."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        places = _chosen(AsideShelf(care.engine), messages or [], code, channel)
        say(f"{operations.release(care, me(), places, why)} released.")


@aside.command("dismiss")
def dismiss_aside(
    why: Annotated[str, typer.Option("--why", help="The reason; it stays with the message.")],
    messages: Annotated[list[str] | None, typer.Argument(help="Messages, such as 3.17.")] = None,
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    code: Annotated[str | None, typer.Option(help="All that were refused for this cause.")] = None,
    channel: Annotated[str | None, typer.Option(help="With --code: only this channel's.")] = None,
) -> None:
    """Dismiss refused messages for good, with a reason."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        places = _chosen(AsideShelf(care.engine), messages or [], code, channel)
        say(f"{operations.dismiss(care, me(), places, why)} dismissed.")


def _chosen(
    shelf: AsideShelf, messages: list[str], code: str | None, channel: str | None
) -> list[tuple[int, int]]:
    """The messages that were named, or every refused one of a cause."""
    if bool(messages) == bool(code):
        raise OperationError("name messages (3.17), or a cause with --code", code="bad_option")
    places = [place_of(text) for text in messages]
    for cause in shelf.causes(state="refused", channel=channel) if code else ():
        if cause.code == code:
            places += _all_of(shelf, cause.channel, cause.code, cause.where)
    return places


def _all_of(shelf: AsideShelf, channel: str, code: str, where: str) -> Iterator[tuple[int, int]]:
    after = (-1, 0)
    while page := shelf.of_cause("refused", channel, code, where, after=after, limit=500):
        yield from ((one.stream, one.seq) for one in page)
        after = (page[-1].stream, page[-1].seq)


def _number(place: tuple[int, int]) -> str:
    return f"{place[0]}.{place[1]}"


@directory.command("import")
def import_directory(
    file: Annotated[
        Path, typer.Argument(help="CSV: npi, authority, id, kind, name, practice, destination, ...")
    ],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    whole: Annotated[bool, typer.Option("--whole", help="Whoever is not in the file is taken out.")] = False,
) -> None:
    """Import who is reached where; every mistake is told with its line, and then nothing was imported."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                rows = list(csv.DictReader(lines))
        except OSError as error:
            raise OperationError(f"{file}: {error.strerror}", code="no_file") from error
        entries = read_rows(rows, frozenset(load_project(project).destinations()))
        say(f"{operations.import_directory(care, me(), entries, whole)} entries imported.")


@directory.command("list")
def list_directory(
    search: Annotated[str, typer.Argument(help="In name, practice or number.")] = "",
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """List who is reached where."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        entries = DirectoryBook(care.engine).entries(search=search, limit=10_000)
    if as_json:
        print_json(entries)
        return
    columns = ("kind", "authority", "number", "name", "practice", "destination", "address", "kinds")
    print_table("Directory", columns, [[getattr(one, column) for column in columns] for one in entries])
