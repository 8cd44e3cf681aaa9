"""Where one broker lives: its project folder, its data folder, its databases, its settings. Floor 9."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.errors import OperationError
from broker.settings import ENVIRONMENT, FILE, Settings, read_settings
from broker.store.open import Stores, store_urls

__all__ = ["Home", "home_of"]


@dataclass(frozen=True, slots=True)
class Home:
    """Folders are absolute."""

    project: Path
    settings: Settings

    @property
    def data(self) -> Path:
        return self.settings.data

    @property
    def notes(self) -> Path:
        """The folder where processes note that they live."""
        return self.settings.data / "run"

    @property
    def stores(self) -> Stores:
        return store_urls(self.data, self.settings.store)

    def make_data_folder(self) -> None:
        """The data folder, closed to everybody else, also where it was there already."""
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.data.chmod(0o700)
        except OSError as error:
            raise OperationError(f"{self.data}: {error.strerror}", code="no_data_folder") from error

    def environment(self) -> dict[str, str]:
        """What a child process is given so that it has the same settings, secrets not on its command line."""
        told = self.settings.model_dump(mode="json", exclude_none=True)
        return {**os.environ, **{f"{ENVIRONMENT}{key.upper()}": str(value) for key, value in told.items()}}


def home_of(
    project: Path, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ
) -> Home:
    """The home of a project folder with its broker.toml, the environment and the flags that were given.

    A relative data folder starts at the project when broker.toml names it, else where we are.
    """
    folder = project.absolute()
    if not folder.is_dir():
        raise OperationError(f"{project} is no folder", code="no_project")
    file = folder / FILE
    settings = read_settings(file.read_text("utf-8") if file.exists() else "", environment, flags)
    named_here = (flags or {}).get("data") or environment.get(f"{ENVIRONMENT}DATA")
    data = settings.data.absolute() if named_here else folder / settings.data
    return Home(folder, settings.model_copy(update={"data": data}))
