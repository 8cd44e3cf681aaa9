"""Commands with which a person ends what only a person can: tasks, doubtful deliveries. Floor 12."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker import operations
from broker.commands.acting import me, opened_care, place_of
from broker.commands.output import failing_well, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home
from broker.project import load_project

__all__ = ["deliver_again", "hold", "let_go", "task"]

Why = Annotated[str, typer.Option(help="The reason, for the audit.")]


def task(
    number: Annotated[str, typer.Argument(help="As `broker tasks` shows it: 12.3.")],
    act: Annotated[str, typer.Argument(help=", ".join(operations.TASK_ACTS))],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    note: Annotated[str, typer.Option(help="What is to be remembered of it.")] = "",
    to: Annotated[str, typer.Option(help="Whom it is given to, with `assign`.")] = "",
) -> None:
    """Begin, attempt, finish, reopen, assign or dismiss a task."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        operations.act_on_task(care, load_project(project), me(), place_of(number), act, note, to)
        say(f"task {number}: {act}")


def deliver_again(
    delivery: Annotated[int, typer.Argument(help="As `broker deliveries` shows it.")],
    verdict: Annotated[str, typer.Argument(help=", ".join(operations.VERDICTS))] = "again",
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    why: Why = "",
) -> None:
    """End a delivery that is doubtful, rejected or given up: send it again, or say what became of it."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        operations.judge_delivery(care, me(), delivery, verdict, why)
        say(f"delivery {delivery}: {verdict}")


def hold(
    destination: Annotated[str, typer.Argument(help="channel/destination.")],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    why: Why = "",
) -> None:
    """Hold a destination: nothing more is sent there until it is let go."""
    _hold(destination, project, data, store, why, held=True)


def let_go(
    destination: Annotated[str, typer.Argument(help="channel/destination.")],
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    why: Why = "",
) -> None:
    """Let a destination go again: what waited is sent."""
    _hold(destination, project, data, store, why, held=False)


def _hold(
    destination: str, project: Path, data: Path | None, store: str | None, why: str, *, held: bool
) -> None:
    with failing_well(), opened_care(home(project, data, store)) as care:
        known = load_project(project).destinations()
        if destination not in known:
            raise typer.BadParameter(f"there are {', '.join(known)}", param_hint="destination")
        operations.hold_destination(care, me(), destination, held, why)
        say(f"{destination} is {'held' if held else 'let go'}.")
