"""`broker run` and the processes that it keeps alive, each of which can be run alone. Floor 12."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.commands.output import failing_well, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home

__all__ = ["deliver", "intake", "migrate", "run", "web", "work"]

Name = Annotated[str, typer.Option(help="What this process is called: one of a name runs on a data folder.")]
WebAt = Annotated[str | None, typer.Option("--web", metavar="HOST:PORT", help="Where pages are answered.")]


def run(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    web: WebAt = None,
) -> None:
    """Run the whole broker: migrate, check the project, then keep its processes alive until stopped."""
    from broker.run import run_all

    with failing_well():
        code = run_all(home(project, data, store, web=web))
    raise typer.Exit(code)


def migrate(project: ProjectFolder = Path("."), data: DataFolder = None, store: StoreUrl = None) -> None:
    """Bring both databases to the newest schema and put the project in force, as `run` does at its start."""
    from broker.run import prepare

    with failing_well():
        _, digest = prepare(home(project, data, store))
    say(f"The databases are at the newest schema; configuration {digest[:12]} is in force.")


def intake(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    name: Name = "intake",
) -> None:
    """Receive, keep and answer messages."""
    from broker.run import run_intake

    with failing_well():
        code = run_intake(home(project, data, store), name)
    raise typer.Exit(code)


def work(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    name: Name = "work-1",
) -> None:
    """Work messages: from the journal to notices, tasks and deliveries."""
    from broker.run import run_work

    with failing_well():
        code = run_work(home(project, data, store), name)
    raise typer.Exit(code)


def deliver(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    name: Name = "deliver-1",
) -> None:
    """Bring deliveries to their destinations."""
    from broker.run import run_deliver

    with failing_well():
        code = run_deliver(home(project, data, store), name)
    raise typer.Exit(code)


def web(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    at: WebAt = None,
    name: Name = "web",
) -> None:
    """Answer the status page and the probes."""
    from broker.run import run_web

    with failing_well():
        code = run_web(home(project, data, store, web=at), name)
    raise typer.Exit(code)
