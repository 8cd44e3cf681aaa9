"""`broker show` and `broker explain`: a message and the words, for people. Floor 10."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape

from broker.commands.files import messages_of
from broker.commands.output import AsJson, failing_well, print_json, print_table, say
from broker.commands.words import ANSWERS, CODES, STATES, WORDS
from broker.destinations import REGISTRY
from broker.errors import OperationError
from broker.file_words import file_words
from broker.hl7 import Message
from broker.hl7_names import Place, named, parts_of, segment_fields
from broker.notices import NOTICES
from broker.settings import ENVIRONMENT, FILE, Settings

__all__ = ["explain", "show"]

_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:-(\d+(?:\.\d+){0,2}))?")
_PICKS = re.compile(r"\[[^\]]*\]")


def show(
    file: Annotated[str, typer.Argument(help="A file of messages, plain or framed; - is standard input.")],
    as_json: AsJson = False,
) -> None:
    """Show every value of a message: its path, the value, and what HL7 calls the field."""
    with failing_well():
        found = [list(_values(Message(raw))) for raw in messages_of(file)]
    if as_json:
        print_json(
            [[{"path": path, "value": value, "name": name} for path, value, name in one] for one in found]
        )
        return
    for number, values in enumerate(found, 1):
        print_table(f"{file}, message {number} of {len(found)}", ("path", "value", "name"), values)


def _values(message: Message) -> Iterator[tuple[str, str, str]]:
    version = message.get("MSH-12")
    for path, value in message.path_values():
        place = named(_PICKS.sub("", path), version)
        yield path, value, place.name if place else ""


def explain(
    word: Annotated[
        str, typer.Argument(help="A path, a segment, a key, an error code, a word of the broker.")
    ],
    version: Annotated[str, typer.Option(help="The HL7 version whose names are told.")] = "2.5.1",
    as_json: AsJson = False,
) -> None:
    """Explain a path (PV1-36), segment, configuration key, notice, destination type, code or word."""
    told = list(_explained(word, version))
    with failing_well():
        if not told:
            near = difflib.get_close_matches(word, _known_words(), 3)
            other = f"; perhaps {' or '.join(near)}" if near else ""
            raise OperationError(f"nothing is known of {word!r}{other}", code="unknown_word")
    if as_json:
        print_json([{"what": what, "text": text, "parts": parts} for what, text, parts in told])
        return
    for what, text, parts in told:
        say(f"[bold]{escape(what)}[/bold]  {escape(text)}")
        if parts:
            print_table("", tuple(parts[0]), [tuple(part.values()) for part in parts])


Explained = tuple[str, str, list[dict[str, Any]]]


def _explained(word: str, version: str) -> Iterator[Explained]:
    if found := _PATH.fullmatch(_PICKS.sub("", word.upper())):
        yield from _of_path(found[0], found[2], version)
    for family, words in (("word", WORDS), ("state", STATES), ("answer", ANSWERS), ("code", CODES)):
        if text := words.get(word) or words.get(word.upper() if family == "answer" else word):
            yield f"{word} ({family})", text, []
    yield from _of_settings(word)
    for file, text in file_words().get(word, ()):
        yield f"{word} (key of {file})", text, []
    if (notice := NOTICES.get(word)) is not None:
        yield f"{word} (notice)", _first_words(notice), _fields(notice)
    if (options := REGISTRY.get(word)) is not None:
        yield f"to: {word} (destination type)", _first_words(options), _fields(options)


def _of_path(path: str, field: str | None, version: str) -> Iterator[Explained]:
    if field is None:
        fields = [
            {
                "path": place.path,
                "name": place.name,
                "type": place.kind,
                "table": place.table,
                "stands": often,
            }
            for place, often in segment_fields(path, version)
        ]
        if fields:
            yield f"{path} (segment, HL7 {version})", "", fields
        return
    if (place := named(path, version)) is not None:
        parts = [
            {"path": part.path, "name": part.name, "type": part.kind, "table": part.table}
            for part in parts_of(path, version)
        ]
        yield f"{path} (HL7 {version})", _in_words(place), parts


def _in_words(place: Place) -> str:
    kind = f", type {place.kind}" if place.kind else ""
    return place.name + kind + (f", HL7 table {place.table}" if place.table else "")


def _of_settings(word: str) -> Iterator[Explained]:
    key = word.removeprefix(ENVIRONMENT).lower() if word.startswith(ENVIRONMENT) else word
    if (field := Settings.model_fields.get(key)) is not None:
        default = "unset" if field.default is None else field.default
        yield (
            f"{key} ({FILE}, or {ENVIRONMENT}{key.upper()} in the environment)",
            f"{field.description} Default: {default}.",
            [],
        )


def _first_words(thing: Any) -> str:
    return " ".join((thing.__doc__ or "").split())


def _fields(model: Any) -> list[dict[str, Any]]:
    return [
        {
            "key": name,
            "needed": "yes" if field.is_required() else "",
            "what": " ".join((field.description or "").split()),
        }
        for name, field in model.model_fields.items()
    ]


def _known_words() -> list[str]:
    return [*WORDS, *STATES, *ANSWERS, *CODES, *Settings.model_fields, *NOTICES, *REGISTRY, *file_words()]
