"""broker.toml: what a broker is given beside its project's channels and mappings. Floor 3: pure.

The same keys come from the environment (`HANDOFF_STORE`, `HANDOFF_DRAIN_SECS`, ...) and, the most common of
them, from the command line; the command line wins over the environment, the environment over the file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from broker.errors import ConfigError, ConfigErrors, Place

__all__ = ["ENVIRONMENT", "FILE", "Settings", "read_settings"]

FILE = "broker.toml"
ENVIRONMENT = "HANDOFF_"


def _host_and_port(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 65536):
        raise ValueError("HOST:PORT is expected, such as 127.0.0.1:8080")
    return text


HostPort = Annotated[str, AfterValidator(_host_and_port)]


class Settings(BaseModel):
    """Every key of broker.toml, with its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(
        default=Path("data"),
        description="The data folder (mode 0700): SQLite files, and what the processes note of themselves.",
    )
    store: str | None = Field(
        default=None,
        description="postgresql://... for PostgreSQL. Unset: two SQLite files in the data folder.",
    )
    web: HostPort = Field(
        default="127.0.0.1:8080",
        description="Where the web process listens. Loopback, until people sign in.",
    )
    public_url: str | None = Field(
        default=None,
        description="What links in notifications begin with. Unset: http:// and `web`.",
    )
    log: Literal["console", "json"] = Field(
        default="console", description="How log lines are written: for people, or one JSON object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log lines that are written."
    )
    workers: int = Field(
        default=1, ge=1, le=64, description="How many `work` processes `run` starts. SQLite: one."
    )
    deliverers: int = Field(default=1, ge=1, le=64, description="How many `deliver` processes `run` starts.")
    work_nice: int = Field(
        default=10,
        ge=0,
        le=19,
        description="Niceness of `work`: when intake is busy, the worker falls behind.",
    )
    batch_size: int = Field(default=400, ge=1, le=10_000, description="Messages that a worker takes at once.")
    batch_secs: float = Field(
        default=60, gt=0, description="A worker that makes no progress for so long is ended and started anew."
    )
    drain_secs: float = Field(
        default=20,
        gt=0,
        description="At a stop, the time to finish what is in hand; then processes are killed.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        description="First of the loopback ports for /metrics: the supervisor's, then intake, web, deliver, "
        "work. 0: free ones, named by `broker status`.",
    )

    def web_at(self) -> tuple[str, int]:
        """Host and port of `web`."""
        host, _, port = self.web.rpartition(":")
        return host.strip("[]"), int(port)

    def link(self) -> str:
        """What links to this broker's pages begin with, without a slash at its end."""
        return (self.public_url or f"http://{self.web}").rstrip("/")


def read_settings(
    text: str, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Settings of a broker.toml's text ("": no file), the environment's HANDOFF_ keys and the flags given.

    A flag that is None was not given. Raises `ConfigErrors` with everything that is wrong.
    """
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors([ConfigError(str(error), place=Place(FILE))]) from error
    place = {key: Place(FILE, _line_of(text, key)) for key in found}
    for name, value in (environment or {}).items():
        key = name.removeprefix(ENVIRONMENT).lower()
        if name.startswith(ENVIRONMENT) and key in Settings.model_fields:
            found[key], place[key] = value, Place(name)
    for key, value in (flags or {}).items():
        if value is not None:
            found[key], place[key] = value, Place("--" + key.replace("_", "-"))
    try:
        return Settings.model_validate(found)
    except ValidationError as error:
        raise ConfigErrors([_told(problem, place) for problem in error.errors()]) from error


def _told(problem: Any, place: Mapping[str, Place]) -> ConfigError:
    key = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, Settings.model_fields, 1)
        return ConfigError("no such key", place=place.get(key), value=key, right=near[0] if near else "")
    text = problem["msg"].removeprefix("Value error, ")
    return ConfigError(f"{key}: {text}", place=place.get(key), value=str(problem["input"]))


def _line_of(text: str, key: str) -> int:
    for number, line in enumerate(text.splitlines(), 1):
        if line.split("=")[0].strip(" []\"'") == key:
            return number
    return 0
