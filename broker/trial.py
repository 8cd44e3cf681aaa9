"""A whole broker on trial: a child process with a data folder, ports and a copy of a project of its own.

For the demo, the bench and the tests; it imports nothing of what it starts. Floor 10.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from broker.errors import OperationError
from broker.presence import PARENT

__all__ = ["Trial", "copy_project", "free_ports"]

_PORT = re.compile(rb"(?<=port:)(\s*)(\d+)")
PARTS = ("broker.toml", "channels", "mappings", "fixtures")


_candidates = cycle(range(10_000 + os.getpid() * 37 % 20_000, 32_000))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now, below those that the kernel gives to clients.

    No two calls in a process give the same ones.
    """
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as taken:
            candidate = next(_candidates)
            try:
                taken.bind(("127.0.0.1", candidate))
            except OSError:
                continue
        found.append(candidate)
    return found


def copy_project(
    source: Path, target: Path, ports: Callable[[int], Sequence[int]] | None = free_ports
) -> dict[int, int]:
    """Copies a project folder; its channels' ports become those that `ports` gives (None: stay as they are).

    Returns each port and what it became. Channels that are joined by a port stay joined.
    """
    for part in PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
        elif (source / part).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / part, target / part)
    files = sorted((target / "channels").glob("*.yaml"))
    was = sorted({int(found[2]) for file in files for found in _PORT.finditer(file.read_bytes())})
    moved = dict(zip(was, was if ports is None else ports(len(was)), strict=True))
    for file in files:
        file.write_bytes(
            _PORT.sub(lambda found: found[1] + str(moved[int(found[2])]).encode(), file.read_bytes())
        )
    return moved


class Trial:
    """`broker run` as a child process. Its log lines go to `<data>/broker.log`."""

    def __init__(
        self, project: Path, data: Path, web: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.project, self.data, self.web = project, data, web
        self._environment = {**os.environ, **(environment or {}), PARENT: str(os.getpid())}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.data / "broker.log"

    def start(self, wait_secs: float = 120) -> None:
        """Starts it and waits until it is ready. Raises `OperationError` with its last words if it is not."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "broker", "run", "--project", str(self.project)]
        command += ["--data", str(self.data), "--web", self.web]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        self.wait_ready(wait_secs)

    def wait_ready(self, wait_secs: float = 120) -> None:
        """Waits until /readyz says that messages can be taken, worked and delivered."""
        until = time.monotonic() + wait_secs
        while not self.readiness().get("ready"):
            if self.process is not None and self.process.poll() is not None:
                raise OperationError(f"the broker did not start:\n{self.last_words()}", code="not_started")
            if time.monotonic() > until:
                amiss = self.readiness().get("amiss", "no answer")
                raise OperationError(
                    f"the broker is not ready: {amiss}\n{self.last_words()}", code="not_ready"
                )
            time.sleep(0.05)

    def readiness(self) -> dict[str, object]:
        """What /readyz answers; nothing where it does not."""
        try:
            with urlopen(f"http://{self.web}/readyz", timeout=5) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            return dict(json.load(error))
        except (URLError, OSError):
            return {}

    def status(self) -> dict[str, Any]:
        """What the status page says, as numbers. Raises `OSError` where nobody answers."""
        with urlopen(f"http://{self.web}/status.json", timeout=30) as answer:
            return dict(json.load(answer))

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def stop(self, wait_secs: float = 40) -> int:
        """Asks it to end and waits; returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(wait_secs)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    @contextmanager
    def running(self) -> Iterator[Trial]:
        """Started, and stopped at the end whatever happens."""
        try:
            self.start()
            yield self
        finally:
            self.stop()
