"""A whole broker under load whose processes are killed: who sends, who is told, who dies."""

from __future__ import annotations

import os
import re
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from broker import operations
from broker.hl7 import Answer, Deframer, acknowledge, frame, header
from broker.presence import present
from broker.project import Project, load_project
from broker.store.care import CareStore
from broker.store.care_tables import AsideRow
from broker.store.directory import DirectoryEntry
from broker.store.open import Stores, migrate_all, open_engine, store_urls
from broker.trial import Trial, copy_project, free_ports
from tests.proof.hospital import Sender, histories
from tests.proof.house import ROOT
from tests.proof.standing import rows_of

NORTH = 2575
PROVER = operations.Who("prover", "test")
PRACTICE = "proof/copy"
LABORATORY = "north/lab"
OUTBOUND = """channel: What a practice is told, as files
receive: {notifications: [Admission, Discharge]}
deliver:
  copy: {to: file, folder: told, connections: 2, claim_secs: 5, retry: {first_secs: 0.2}}
"""
FORWARD = """
  lab: {to: mllp, host: 127.0.0.1, port: %d, connections: 4, claim_secs: 5, retry: {first_secs: 0.2}}
"""
OKAFOR = DirectoryEntry("practitioner", "npi", "1512873401", "Grace Okafor", "Westside", PRACTICE, "okafor")


def until(holds: Callable[[], Any], secs: float, what: str) -> Any:
    """Looks every 20 ms until something holds, and returns it."""
    end = time.monotonic() + secs
    while not (found := holds()):
        assert time.monotonic() < end, f"not within {secs} s: {what}"
        time.sleep(0.02)
    return found


class Catcher(socketserver.ThreadingTCPServer):
    """A system that is sent messages over MLLP, and answers each when it has it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Caught)
        self.taken: list[bytes] = []
        self.port = int(self.server_address[1])


class _Caught(socketserver.BaseRequestHandler):
    server: Catcher

    def handle(self) -> None:
        deframer = Deframer()
        try:
            while received := self.request.recv(65536):
                for message in deframer.feed(received):
                    self.server.taken.append(message)
                    now = datetime.now(UTC)
                    answer = acknowledge(header(message), Answer("AA"), control_id="1", now=now)
                    self.request.sendall(frame(answer))
        except OSError:
            return  # the one who sent was killed


@contextmanager
def catching() -> Iterator[Catcher]:
    with Catcher() as catcher:
        thread = threading.Thread(target=catcher.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield catcher
        catcher.shutdown()
        thread.join()


class Onslaught:
    """A broker on trial with what stands around it. `slow` tells every fsync how long to take, in ms."""

    def __init__(
        self, folder: Path, catcher: Catcher, control: Path, shim: Path, store: str | None, **more: str
    ) -> None:
        ports = copy_project(ROOT, folder / "project")
        self.port, self.catcher, self._control = ports[NORTH], catcher, control
        self.data = folder / "data"
        self.told = self.data / "told"
        self.stores: Stores = store_urls(self.data, store)
        self.project = self._prepared(folder / "project")
        self.crash = folder / "crash"
        environment = {
            # After a kill a worker goes one at a time for so many messages (in each slot, where there may be
            # several workers): small, so that this has an end soon.
            "HANDOFF_BATCH_SIZE": "5" if store else "20",
            "HANDOFF_WORK_NICE": "0",
            "BROKER_CRASH": f"@{self.crash}",
            "LD_PRELOAD": str(shim),
            "FSYNC_SHIM": str(control),
            **more,
        }
        if store:
            environment["HANDOFF_STORE"] = store
        web = f"127.0.0.1:{free_ports(1)[0]}"
        self.trial = Trial(folder / "project", self.data, web, environment)
        self.senders: list[Sender] = []
        self.released: set[tuple[int, int]] = set()
        self.crashes = 0

    def _prepared(self, folder: Path) -> Project:
        """The shipped project; a practice is told at once, a laboratory is passed every message."""
        policy = folder / "channels" / "policy.yaml"
        policy.write_text(re.sub(r"settle_secs:.*", "settle_secs: {}", policy.read_text()))
        (folder / "channels" / "proof.yaml").write_text(OUTBOUND)
        with (folder / "channels" / "north.yaml").open("a") as channel:
            channel.write(FORWARD % self.catcher.port)
        self.data.mkdir(mode=0o700)
        migrate_all(self.stores)
        engine = open_engine(self.stores.care_url, role="care")
        operations.import_directory(CareStore(engine), PROVER, [OKAFOR], True)
        engine.dispose()
        return load_project(folder)

    def slow(self, ms: int) -> None:
        self._control.write_text(str(ms))

    # Load

    def load(self, windows: Sequence[int]) -> None:
        """Starts a sender for each window."""
        self.senders += [
            Sender(self.port, histories(chr(65 + n)), window)
            for n, window in enumerate(windows, len(self.senders))
        ]
        for sender in self.senders[-len(windows) :]:
            sender.start()

    def finish(self, secs: float = 400) -> None:
        """Senders come to their ends, with a fast disk; then everything that follows is worked and told."""
        self.slow(0)
        for sender in self.senders:
            sender.finish()
        for sender in self.senders:
            sender.join(secs)
            assert not sender.is_alive(), f"{sender.name} does not come to its end"
            if sender.fault is not None:
                raise sender.fault
        self.settle(secs)

    def settle(self, secs: float = 400) -> None:
        self.trial.wait_ready()
        until(self._worked, secs, "no backlog")
        # A message that was in hand, alone, at two deaths is refused and shown: a person releases it.
        engine = open_engine(self.stores.care_url, role="care")
        found = rows_of(engine, AsideRow.stream, AsideRow.seq, AsideRow.code)
        killed = [(row.stream, row.seq) for row in found if row.code == "killed_worker"]
        if killed:
            operations.release(CareStore(engine), PROVER, killed, "it was the prover who killed")
            self.released.update(killed)
        until(lambda: not rows_of(engine, AsideRow.seq), secs, "what was released is worked")
        engine.dispose()
        until(self._told, secs, "everything is told")

    def _worked(self) -> bool:
        status = self._status()
        return bool(status) and not status["backlog"]

    def _told(self) -> bool:
        status = self._status()
        states = status.get("deliveries", {}).values()
        return bool(status) and not any(of.get("queued") or of.get("sending") for of in states)

    def _status(self) -> dict[str, Any]:
        try:
            return self.trial.status()
        except OSError:
            return {}

    # Death

    def pids(self) -> dict[str, int]:
        return {noted.name: noted.pid for noted in present(self.data / "run")}

    def kill(self, name: str) -> None:
        """Kills one process, whom its supervisor starts again; or all of them, and starts anew."""
        if name == "all":
            assert self.trial.process is not None
            self.trial.process.kill()
            for pid in self.pids().values():
                _kill(pid)
            self.trial.process.wait()
            until(lambda: not self.pids(), 10, "everybody is dead")
            self.trial.start()
            return
        _kill(until(lambda: self.pids().get(name), 60, f"{name} lives"))

    def kill_at_random(self, cycles: int, random: Random, between: tuple[float, float] = (0.3, 1.5)) -> None:
        """So often, at a random instant, one of them."""
        turns = ["intake", "work-1", "deliver-1", "all"]
        for cycle in range(cycles):
            if cycle % len(turns) == 0:
                random.shuffle(turns)
            time.sleep(random.uniform(*between))
            self.kill(turns[cycle % len(turns)])

    def die_at(self, point: str, times: int) -> None:
        """Waits until some process has died at this point, for as long as it takes it to come there."""
        self.crashes += 1
        passing = self.crash.with_suffix(".part")
        passing.write_text(f"{point}:{times}:{self.crashes}")
        passing.rename(self.crash)
        until(lambda: not self.crash.exists(), 60, f"a death at {point}")
        self.trial.wait_ready()


def acknowledged(attacked: Onslaught, more: int) -> None:
    """Waits until so many more messages are."""
    count = sum(len(sender.acknowledged) for sender in attacked.senders)
    until(
        lambda: sum(len(sender.acknowledged) for sender in attacked.senders) >= count + more,
        60,
        f"{more} more messages are acknowledged",
    )


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
