"""Intake killed at any instant, over and over, under load: what was answered yes is in the journal."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from broker.hl7 import frame
from broker.store.journal import Reader, verify
from broker.store.open import Stores

ALL_SLOTS = range(-2, 64)
CYCLES = 6
PROCESS = """
import sys, time
from pathlib import Path
from twisted.internet import reactor
from broker.flow.build import IntakeService
from broker.project import load_project
from broker.store.open import Stores

reactor.seconds = time.monotonic
service = IntakeService(load_project(Path(sys.argv[1])), "b", Stores(sys.argv[2], sys.argv[2]), reactor)
service.listening.addCallback(lambda _: print(service.port_numbers["north"], flush=True))
reactor.callWhenRunning(lambda: service.startService().addErrback(lambda failure: failure.printTraceback()))
reactor.run()
"""


class Sender(threading.Thread):
    """Sends one message after another, a few of them unanswered at a time, until its line breaks."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__()
        self._port, self._name = port, name
        self.accepted: list[str] = []
        self.some = threading.Event()

    def run(self) -> None:
        sent, got = 0, b""
        try:
            with socket.create_connection(("127.0.0.1", self._port), 20) as wire:
                while True:
                    while sent - len(self.accepted) < 4:
                        wire.sendall(
                            frame(f"MSH|^~\\&|A|B|||2026||ADT^A01|{self._name}.{sent}|P|2.5\r".encode())
                        )
                        sent += 1
                    piece = wire.recv(65536)
                    if not piece:
                        return
                    *whole, got = (got + piece).split(b"\x1c\r")
                    self.accepted += [answer.split(b"MSA|AA|")[1].strip().decode() for answer in whole]
                    if len(self.accepted) > 20:
                        self.some.set()
        except OSError:
            return
        finally:
            self.some.set()


@pytest.mark.slow
def test_what_was_answered_yes_is_in_the_journal_whenever_intake_was_killed(
    sqlite_stores: Stores, tmp_path: Path, made
):
    accepted: list[str] = []
    chance = random.Random(7)
    for cycle in range(CYCLES):
        # At a named point, that it comes to after some groups, or at any instant.
        point = chance.choice(["journal.before_commit", "journal.after_commit", "intake.before_answer", ""])
        told = (
            {**os.environ, "BROKER_CRASH": f"{point}:{chance.randint(5, 60)}"} if point else dict(os.environ)
        )
        arguments = [sys.executable, "-c", PROCESS, str(made), sqlite_stores.journal_url]
        with subprocess.Popen(arguments, env=told, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(next(line for line in process.stdout if line.strip().isdigit()))
            senders = [Sender(port, f"{cycle}.{n}") for n in range(4)]
            for sender in senders:
                sender.start()
            if not point:
                for sender in senders:
                    assert sender.some.wait(60)
                process.send_signal(signal.SIGKILL)
            assert process.wait(60) == -signal.SIGKILL
            for sender in senders:
                sender.join(60)
                accepted += sender.accepted
    reader = Reader(sqlite_stores.journal_url)
    kept = {row.control_id for row in reader.read({}, ALL_SLOTS, 1_000_000, 1 << 30).rows}
    assert len(accepted) > 100
    assert set(accepted) <= kept
    assert list(verify(reader)) == []
    reader.close()
