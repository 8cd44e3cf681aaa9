"""`broker status`, `messages`, `tasks`, `deliveries`, `codes`: how things stand. Floor 12."""

from __future__ import annotations

from pathlib import Path

from broker.commands.output import AsJson, failing_well, plain, print_json, print_table, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home
from broker.status import Status
from broker.watch import Watch

__all__ = ["status"]

DELIVERY_STATES = ("queued", "sending", "delivered", "rejected", "doubtful", "given_up")


def status(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show channels, backlog, what was refused or paused, deliveries, tasks and processes."""
    with failing_well():
        found = Watch(home(project, data, store)).status()
    if as_json:
        print_json(found)
    else:
        print_status(found)


def print_status(found: Status) -> None:
    """The whole status as tables."""
    outcomes = ("worked", "repeated", "filtered", "quarantine")
    rows = [
        (
            one.name, one.listens, "paused" if one.paused else one.state,
            *(one.became.get(outcome, 0) for outcome in outcomes),
            one.refused, one.waiting, plain(one.last_at),
        )
        for one in found.channels
    ]  # fmt: skip
    columns = ("channel", "listens", "state", *outcomes, "refused", "paused", "last message")
    print_table("Channels (today, UTC)", columns, rows)
    sent = [
        (name, *(states.get(state, 0) for state in DELIVERY_STATES))
        for name, states in found.deliveries.items()
    ]
    print_table("Deliveries", ("destination", *DELIVERY_STATES), sorted(sent))
    alive = [(one.name, one.pid, f"127.0.0.1:{one.metrics_port}/metrics") for one in found.processes]
    print_table("Processes", ("process", "id", "metrics"), alive)
    say(
        f"{found.backlog} messages wait to be worked; {found.tasks_open} tasks are open, "
        f"{found.tasks_overdue} of them overdue; "
        f"{found.codes} codes have no meaning; configuration {found.bundle[:12]}."
    )
