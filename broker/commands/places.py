"""The options that say which broker a command means, the same for every command. Floor 12."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from broker.home import Home, home_of

__all__ = ["DataFolder", "ProjectFolder", "StoreUrl", "home"]

ProjectFolder = Annotated[
    Path, typer.Option("--project", help="The project folder: broker.toml, channels/, mappings/, fixtures/.")
]
DataFolder = Annotated[
    Path | None, typer.Option("--data", help="The data folder (mode 0700).", show_default="<project>/data")
]
StoreUrl = Annotated[
    str | None, typer.Option("--store", help="postgresql://...; without: SQLite.", show_default="SQLite")
]


def home(project: Path, data: Path | None = None, store: str | None = None, **flags: Any) -> Home:
    """The broker that the options name."""
    return home_of(project, {"data": data, "store": store, **flags})
