"""A receiving broker with a channel of its own, real sockets and a real journal."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from broker.flow.build import IntakeService
from broker.hl7 import Acknowledged, frame, read_acknowledgement
from broker.project import load_project
from broker.store.journal import Reader, Row
from broker.store.open import Stores

ALL_SLOTS = range(-2, 64)


def made_project(folder: Path, receive: str = "", more: str = "", deliver: str = "") -> Path:
    """A project with one channel, `north`, on a free port; its messages are passed on to a file."""
    (folder / "channels" / "sites").mkdir(parents=True)
    (folder / "channels" / "sites" / "north.yaml").write_text("site: North\nzone: America/New_York\n")
    (folder / "channels" / "north.yaml").write_text(
        f"channel: North\nreceive:\n  mllp: {{port: 0{receive}}}\nsites: [north]\n{more}\n"
        f"deliver:\n{deliver or '  copy: {to: file, folder: out}'}\n"
    )
    return folder


class Receiving:
    """The service, and a hospital that sends to it."""

    def __init__(self, service: IntakeService, stores: Stores, failed: list[Any]) -> None:
        self.service, self.stores, self.failed = service, stores, failed

    @property
    def port(self) -> int:
        return self.service.port_numbers["north"]

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def ask(self, stream: bytes, count: int = 1) -> list[bytes]:
        """Sends bytes and reads so many framed answers, or fewer when the line is closed before. Blocks."""
        with self.dial() as wire:
            wire.sendall(stream)
            return answers_from(wire, count)

    async def send(self, *payloads: bytes) -> list[Acknowledged]:
        """Sends messages on one connection, all at once; their answers."""
        got = await deferToThread(self.ask, b"".join(map(frame, payloads)), len(payloads))
        return [read_acknowledgement(answer) for answer in got]

    def rows(self) -> list[Row]:
        """What the journal holds, in the order of its commits."""
        reader = Reader(self.stores.journal_url)
        try:
            return list(reader.read({}, ALL_SLOTS, 10_000, 1 << 30).rows)
        finally:
            reader.close()


def answers_from(wire: socket.socket, count: int) -> list[bytes]:
    got = b""
    while got.count(b"\x1c\r") < count and (piece := wire.recv(65536)):
        got += piece
    return re.findall(rb"\x0b(.*?)\x1c\r", got, re.DOTALL)


@pytest.fixture
def receive(stores: Stores, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a receiving broker; what is given goes to `made_project`, and to the service."""
    running: list[IntakeService] = []

    async def start(receive: str = "", more: str = "", deliver: str = "", **options: Any) -> Receiving:
        project = load_project(made_project(tmp_path / "project", receive, more, deliver))
        service = IntakeService(project, "a-bundle", stores, reactor, registry=CollectorRegistry(), **options)
        failed: list[Any] = []
        service.startService().addErrback(failed.append)
        running.append(service)
        await service.listening
        return Receiving(service, stores, failed)

    yield start
    for service in running:
        pytest_twisted.blockon(service.stopService())


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder of a project with one channel."""
    return made_project(tmp_path / "project")


@pytest.fixture
def made_with(tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a project whose channel's port says more."""
    return lambda receive: made_project(tmp_path / "project", receive)
