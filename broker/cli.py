"""The command line: `broker COMMAND`. Floor 10."""

from __future__ import annotations

import os
import sys

import typer

from broker.commands.reading import explain, show
from broker.commands.sending import send

__all__ = ["app", "main"]

app = typer.Typer(
    name="broker",
    help="Handoff: an HL7v2 broker for care transitions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for command in (show, explain, send):
    app.command()(command)


def main() -> None:
    """Runs one command; a reader that has gone (`| head`) is no error."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
