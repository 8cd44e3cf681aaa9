"""`broker bench`. Floor 11."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from broker.commands.output import AsJson, failing_well, print_json, print_table, say
from broker.commands.places import ProjectFolder, StoreUrl

__all__ = ["bench"]


def bench(
    project: ProjectFolder = Path("."),
    store: StoreUrl = None,
    secs: Annotated[float, typer.Option(help="How long each load lasts.")] = 5,
    keep: Annotated[Path | None, typer.Option(help="Keep the figures as JSON in this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a broker of its own: accepted a second at 1, 8 and 64 connections, end to end, reading."""
    from broker.bench.run import bench as measured
    from broker.bench.run import save

    with failing_well(), Console(stderr=True).status("") as shown:
        figures = measured(project, store, secs, shown.update)
    if keep is not None:
        say(f"kept as {save(figures, keep)}")
    if as_json:
        print_json(figures.as_json())
        return
    rows = [
        (one.connections, f"{one.per_second:,}", one.p50_ms, one.p99_ms, f"{one.messages:,}")
        for one in figures.accepted
    ]
    columns = ("connections", "accepted a second", "p50 ms", "p99 ms", "messages")
    print_table(
        f"Accepted, synced before each answer ({figures.store}, {figures.cores} cores)", columns, rows
    )
    if (worked := figures.end_to_end) is not None:
        rate = f"{worked.messages:,} messages worked in {worked.secs} s, {worked.per_second:,} a second"
        say(f"End to end, all processes at once: {rate}.")
        rate = f"{worked.left:,} in {worked.left_secs} s, {worked.left_per_second:,} a second"
        say(f"The backlog that was left, the worker alone: {rate}.")
    say(f"Reading: {figures.us_per_header} us a header, {figures.us_per_15_paths} us 15 paths of a message.")
    say("The senders run on the same cores as the broker.")
