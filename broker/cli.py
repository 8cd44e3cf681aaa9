"""The command line: `broker COMMAND`. Floor 13."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from broker.commands import acting, benching, demoing, judging, looking, processes, reading, sending, trying

__all__ = ["app", "main"]

app = typer.Typer(
    name="broker",
    help="Handoff: an HL7v2 broker for care transitions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "The broker": (processes.run, looking.status, looking.messages, looking.tasks, looking.deliveries),
    "Channels and mappings": (
        trying.check,
        trying.test,
        trying.try_message,
        looking.codes,
        reading.show,
        reading.explain,
    ),
    "People": (
        acting.pause,
        acting.resume,
        judging.task,
        judging.deliver_again,
        judging.hold,
        judging.let_go,
    ),
    "Trying it out": (demoing.demo, sending.send, benching.bench),
    "Its processes, one at a time": (
        processes.migrate,
        processes.intake,
        processes.work,
        processes.deliver,
        processes.web,
    ),
}
NAMES: dict[Callable[..., None], str] = {trying.try_message: "try"}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(NAMES.get(command), rich_help_panel=panel)(command)
app.add_typer(acting.aside, name="aside", rich_help_panel="People", no_args_is_help=True)
app.add_typer(acting.directory, name="directory", rich_help_panel="People", no_args_is_help=True)


def main() -> None:
    """Runs one command; a reader that has gone (`| head`) is no error."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
