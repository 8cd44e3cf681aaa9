"""`broker demo`. Floor 12."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from broker.commands.looking import print_tasks
from broker.commands.output import failing_well, print_table, say
from broker.commands.places import ProjectFolder
from broker.demo.expect import Expectation, Found, judge
from broker.demo.run import Stage, staged

__all__ = ["demo"]

ACTS = {"tell": "told", "correct": "corrected", "retract": "retracted"}


def demo(
    project: ProjectFolder = Path("."),
    data: Annotated[
        Path | None, typer.Option(help="Keep the data here.", show_default="a temporary folder")
    ] = None,
    web: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where pages are answered.")
    ] = "127.0.0.1:8080",
    first_port: Annotated[
        int | None, typer.Option(help="Use this port and those after it.", show_default="as the channels say")
    ] = None,
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop at the end; exit 0 if all is as expected.")
    ] = False,
) -> None:
    """Play a day of two made-up hospitals over real MLLP, show what follows, and stay up until stopped."""
    shown = Console(stderr=True).status("")
    with failing_well(), shown, staged(project, data, web, first_port, shown.update) as stage:
        shown.stop()
        found = _played(stage)
        expectations = judge(found)
        _print(found, expectations)
        if not leave:
            _stay(stage)
    if not all(expectation.held for expectation in expectations):
        raise typer.Exit(1)


def _played(stage: Stage) -> Found:
    bar = Progress(
        TextColumn("[bold]{task.fields[hospital]}[/bold]"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("", total=None, hospital="")
        return stage.play(
            lambda step, number, of: bar.update(
                task, completed=number, total=of, description=step.title, hospital=step.hospital
            )
        )


def _print(found: Found, expectations: list[Expectation]) -> None:
    rows = [
        (
            f"{played.step.at.astimezone():%H:%M}", played.step.hospital, played.step.title, played.answered,
            found.became(played),
        )
        for played in found.played
    ]  # fmt: skip
    print_table("What each message became", ("at", "hospital", "what happened", "answer", "became"), rows)
    say("")
    print_tasks(list(found.tasks))
    say("")
    _print_told(found)
    mails, records = len(found.beside.mails.taken), len(found.beside.records.received)
    say(f"{mails} mails and {records} HL7 messages arrived.")
    say("")
    for expectation in expectations:
        mark = "[green]held[/green]  " if expectation.held else "[red]failed[/red]"
        instead = f" ({escape(expectation.instead)})" if not expectation.held else ""
        say(f"{mark} {escape(expectation.words)}{instead}")


def _print_told(found: Found) -> None:
    """Who was told of what: what was sent, how often it was corrected, and the last proof."""
    rows = []
    for told, lines in found.told():
        patient = found.patients[told.patient]
        for recipient in dict.fromkeys(line.recipient for line in lines):
            mine = [line for line in lines if line.recipient == recipient]
            acts = Counter(line.act for line in mine if line.state == "delivered")
            others = sorted({line.state for line in mine} - {"delivered"})
            sent = ", ".join(f"{ACTS[act]}{f' {n}x' if n > 1 else ''}" for act, n in acts.items())
            proof = next((line.proof for line in reversed(mine) if line.state == "delivered"), "")
            who = f"{patient.family}, {patient.given}"
            rows.append((who, told.kind, recipient, mine[0].destination, sent, ", ".join(others), proof))
    columns = ("patient", "what", "who", "by", "sent", "not sent", "proof")
    print_table("Who was told", columns, rows)


def _stay(stage: Stage) -> None:
    """Until Ctrl-C or SIGTERM."""
    say("")
    say(f"The broker is up: http://{stage.trial.web}/, its data in {escape(str(stage.trial.data))}.")
    for hospital, port in stage.ports.items():
        say(f"  broker send fixtures/{hospital}/*.hl7 --to 127.0.0.1:{port}")
    say(
        f"  broker status --project {escape(str(stage.trial.project))} --data {escape(str(stage.trial.data))}"
    )
    say("Ctrl-C stops it.")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5):
        pass
