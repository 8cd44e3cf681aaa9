"""The command line: `broker COMMAND`. Floor 13."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping

import typer

from broker.commands import processes

__all__ = ["main", "whole"]

Command = Callable[..., None]

PROCESSES: Mapping[str, Command] = {
    "migrate": processes.migrate,
    "intake": processes.intake,
    "work": processes.work,
    "deliver": processes.deliver,
    "web": processes.web,
}


def whole() -> typer.Typer:
    """Every command. Loading them all takes a second, which who starts a process need not wait for."""
    from broker.commands import acting, benching, demoing, judging, looking, reading, sending, trying

    app = _empty()
    _add(app, "The broker", {"run": processes.run, "status": looking.status, "messages": looking.messages})
    _add(app, "The broker", {"tasks": looking.tasks, "deliveries": looking.deliveries})
    _add(
        app, "Channels and mappings", {"check": trying.check, "test": trying.test, "try": trying.try_message}
    )
    _add(
        app,
        "Channels and mappings",
        {"codes": looking.codes, "show": reading.show, "explain": reading.explain},
    )
    _add(app, "People", {"pause": acting.pause, "resume": acting.resume, "task": judging.task})
    _add(
        app,
        "People",
        {"deliver-again": judging.deliver_again, "hold": judging.hold, "let-go": judging.let_go},
    )
    app.add_typer(acting.aside, name="aside", rich_help_panel="People", no_args_is_help=True)
    app.add_typer(acting.directory, name="directory", rich_help_panel="People", no_args_is_help=True)
    _add(app, "Trying it out", {"demo": demoing.demo, "send": sending.send, "bench": benching.bench})
    _add(app, "Its processes, one at a time", PROCESSES)
    return app


def _empty() -> typer.Typer:
    return typer.Typer(
        name="broker",
        help="Handoff: an HL7v2 broker for care transitions.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )


def _add(app: typer.Typer, panel: str, commands: Mapping[str, Command]) -> None:
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def _brief() -> typer.Typer:
    """The commands that start processes."""
    app = _empty()
    _add(app, "The broker", {"run": processes.run})
    _add(app, "Its processes, one at a time", PROCESSES)
    return app


def main() -> None:
    """Runs one command; a reader that has gone (`| head`) is no error."""
    try:
        (_brief() if sys.argv[1:2] and sys.argv[1] in {"run", *PROCESSES} else whole())()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
