"""`broker status`, `messages`, `tasks`, `deliveries`, `codes`: how things stand. Floor 12."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from broker.commands.acting import opened_care
from broker.commands.output import AsJson, failing_well, plain, print_json, print_table, say
from broker.commands.places import DataFolder, ProjectFolder, StoreUrl, home
from broker.status import Status
from broker.store.reads import DeliveryLine, MessageLine, Reads, TaskLine
from broker.watch import Watch

__all__ = [
    "codes",
    "deliveries",
    "messages",
    "print_deliveries",
    "print_messages",
    "print_tasks",
    "status",
    "tasks",
]

Channel = Annotated[str | None, typer.Option(help="Only this channel's.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]

DELIVERY_STATES = ("queued", "sending", "delivered", "rejected", "doubtful", "given_up")


def status(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show channels, backlog, what was refused or paused, deliveries, tasks and processes."""
    with failing_well():
        at = home(project, data, store)
        with opened_care(at):
            found = Watch(at).status()
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


def messages(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    channel: Channel = None,
    event: Annotated[str | None, typer.Option(help="Such as A03.")] = None,
    became: Annotated[
        str | None, typer.Option(help="worked, repeated, filtered, refused, paused or quarantine.")
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List what became of messages, the newest first."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        found = Reads(care.engine).messages(channel=channel, event=event, outcome=became, limit=limit)
    if as_json:
        print_json(found)
    else:
        print_messages(found)


def print_messages(found: list[MessageLine]) -> None:
    """Messages as a table."""
    rows = [
        (
            f"{one.stream}.{one.seq}",
            one.at,
            one.channel,
            one.event,
            one.control_id,
            one.outcome,
            one.why,
            one.mute,
        )
        for one in found
    ]
    columns = ("message", "came", "channel", "event", "control id", "became", "why", "mute")
    print_table("Messages", columns, [[*row[:-1], "mute" if row[-1] else ""] for row in rows])


def tasks(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this role.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only those of this kind.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List open tasks, the most urgent first. Names of patients are shown."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        found = Reads(care.engine).tasks(owner=owner, kind=kind, limit=limit)
    if as_json:
        print_json(found)
    else:
        print_tasks(found)


def print_tasks(found: list[TaskLine]) -> None:
    """Tasks as a table."""
    rows = [
        (
            f"{one.patient}.{one.n}", one.due_at, one.title, f"{one.family}, {one.given}", one.owner,
            one.state, one.urgency, "to be verified" if one.verify else "",
        )
        for one in found
    ]  # fmt: skip
    columns = ("task", "due", "what", "whose", "owner", "state", "urgency", "")
    print_table("Open tasks", columns, rows)


def deliveries(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    state: Annotated[str | None, typer.Option(help=", ".join(DELIVERY_STATES))] = None,
    destination: Annotated[str | None, typer.Option(help="Only this one: channel/name.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who was told and the proof, what waits and what nobody could be told; the newest first."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        found = Reads(care.engine).deliveries(state=state, destination=destination, limit=limit)
    if as_json:
        print_json(found)
    else:
        print_deliveries(found)


def print_deliveries(found: list[DeliveryLine]) -> None:
    """Deliveries as a table."""
    rows = [
        (
            one.id, one.asked_at, one.act, one.recipient, one.destination, one.address, one.state,
            one.attempts, one.proof or one.code,
        )
        for one in found
    ]  # fmt: skip
    columns = (
        "delivery",
        "asked",
        "act",
        "recipient",
        "destination",
        "address",
        "state",
        "attempts",
        "proof",
    )
    print_table("Deliveries", columns, rows)


def codes(
    project: ProjectFolder = Path("."),
    data: DataFolder = None,
    store: StoreUrl = None,
    channel: Channel = None,
    as_json: AsJson = False,
) -> None:
    """List codes that a table lacks: each is to be given a meaning in mappings/tables/."""
    with failing_well(), opened_care(home(project, data, store)) as care:
        found = Reads(care.engine).codes(channel=channel)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.count, one.channel, one.table, one.code, one.path, f"{one.last[0]}.{one.last[1]}")
        for one in found
    ]
    columns = ("count", "channel", "table", "code", "from", "last message")
    print_table("Codes without a meaning", columns, rows)
