"""What a sender is told when the store fails, and that nothing overtakes what was lost."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from broker.hl7 import Message, frame
from broker.store.journal import Writer
from broker.store.journal_sqlite import connect_sqlite
from broker.store.open import sqlite_path


def message(control_id: bytes, msh: bytes = b"") -> bytes:
    return b"MSH|^~\\&|EHR|NORTH|||20260305||ADT^A01|" + control_id + b"|P|2.5.1" + msh + b"\rPID|1||MR1\r"


class Disk:
    """A writer whose commits wait for the test, and fail as a disk would."""

    def __init__(self) -> None:
        self.fails: str = ""
        self.fails_at = b""  # the group that holds these bytes finds the disk full, once
        self.free = threading.Event()
        self.free.set()
        self.committing = threading.Event()

    def open_writer(self, url: str, **options: Any) -> Writer:
        path = sqlite_path(url)
        assert path is not None
        return Writer(url, connect=lambda: self._connect(path), **options)

    def _connect(self, path: Any) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:
                disk.committing.set()
                assert disk.free.wait(20)
                fails = disk.fails
                if "INTO bytes" in statement and disk.fails_at:
                    rows = list(rows)
                    if any(disk.fails_at in bytes(field) for row in rows for field in row if _is_raw(field)):
                        fails, disk.fails_at = "SQLITE_FULL", b""
                if fails:
                    error = sqlite3.OperationalError("as the disk says")
                    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, fails), fails
                    raise error
                return super().executemany(statement, rows)

        return connect_sqlite(path, factory=Connection)


def _is_raw(field: Any) -> bool:
    return isinstance(field, (bytes, bytearray, memoryview))


@pytest.fixture
def stores(sqlite_stores):
    return sqlite_stores


@pytest.fixture
def disk():
    return Disk()


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_answered_rejected_and_intake_lives(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.fails = "SQLITE_FULL"
    (answer,) = await hub.send(message(b"C1"))
    assert (answer.code, answer.control_id) == ("AR", "C1")
    assert answer.problems[0].code == "207"
    disk.fails = ""
    (answer,) = await hub.send(message(b"C1"))
    assert answer.code == "AA"
    assert [row.control_id for row in hub.rows()] == ["C1"]
    assert not hub.failed


@pytest_twisted.ensureDeferred
async def test_in_enhanced_mode_a_full_disk_is_a_commit_error(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.fails = "SQLITE_FULL"
    (answer,) = await hub.send(message(b"C1", b"|||AL|AL"))
    assert answer.code == "CE"


@pytest_twisted.ensureDeferred
async def test_who_wants_no_answer_is_hung_up_when_the_disk_is_full(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.fails = "SQLITE_FULL"
    assert await deferToThread(hub.ask, frame(message(b"C1", b"|||NE|NE")), 1) == []


@pytest_twisted.ensureDeferred
async def test_what_was_sent_behind_a_lost_frame_does_not_overtake_it(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.free.clear()
    disk.fails = "SQLITE_FULL"
    wire = hub.dial()
    wire.sendall(frame(message(b"C1")))
    assert await deferToThread(disk.committing.wait, 20)
    # C1's group is being written; what comes now will be in the next, which would succeed.
    wire.sendall(frame(message(b"C2")) + frame(message(b"C3")))
    counts = hub.service.intakes["north"].counts
    while counts.received < 3:
        await deferLater(reactor, 0)
    disk.free.set()

    def rest() -> bytes:
        got = wire.recv(65536)
        disk.fails = ""
        while piece := wire.recv(65536):
            got += piece
        wire.close()
        return got

    got = await deferToThread(rest)
    assert got.count(b"MSA|AR|C1") == 1
    assert b"C2" not in got
    assert hub.rows() == []


@pytest_twisted.ensureDeferred
async def test_another_connection_is_not_hung_up_for_it(receive, disk):
    hub = await receive(open_writer=disk.open_writer)

    def peer() -> list[str]:
        with hub.dial() as wire:
            disk.fails = "SQLITE_FULL"
            wire.sendall(frame(message(b"C1")))
            first = wire.recv(65536)
            disk.fails = ""
            wire.sendall(frame(message(b"C1")))
            return [Message(got[1:-2]).get("MSA-1") for got in (first, wire.recv(65536))]

    assert await deferToThread(peer) == ["AR", "AA"]


@pytest_twisted.ensureDeferred
async def test_after_an_io_error_nobody_is_left_waiting_and_the_process_is_to_end(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.fails = "SQLITE_IOERR"
    got = await deferToThread(hub.ask, frame(message(b"C1")) + frame(message(b"C2")), 2)
    assert {Message(answer).get("MSA-1") for answer in got} <= {"AR"}
    while not hub.failed:
        await deferLater(reactor, 0.01)
    assert hub.failed[0].value.code == "store_died"
    with pytest.raises(OSError):
        await deferToThread(hub.dial)


@pytest_twisted.ensureDeferred
async def test_a_second_intake_on_the_same_folder_does_not_start(receive, stores, tmp_path):
    await receive()
    from broker.flow.build import IntakeService
    from broker.project import load_project

    project = load_project(tmp_path / "project")
    failed: Deferred[Any] = IntakeService(project, "b", stores, reactor, registry=None).startService()
    with pytest.raises(Exception, match="another intake"):
        await failed


@pytest_twisted.ensureDeferred
async def test_reading_stops_while_too_much_waits_for_the_disk(receive, disk, monkeypatch):
    monkeypatch.setattr("broker.flow.intake.STOP_READING_BYTES", 200_000)
    hub = await receive(open_writer=disk.open_writer)
    disk.free.clear()
    stream = frame(message(b"C1") + b"NTE|1||" + b"x" * 4000) * 5_000
    sent = threading.Event()

    def peer() -> int:
        with hub.dial() as wire:
            threading.Thread(target=lambda: (wire.sendall(stream), sent.set())).start()
            got = b""
            while got.count(b"\x1c\r") < 5_000:
                got += wire.recv(1 << 20)
            return got.count(b"MSA|AA|C1")

    answered = deferToThread(peer)
    lines = hub.service.listeners["north"].lines
    while not any(line.unread_because for line in lines):
        await deferLater(reactor, 0)
    assert not sent.is_set()
    assert hub.service.intakes["north"].counts.received < 1000
    disk.free.set()
    assert await answered == 5_000


@pytest_twisted.ensureDeferred
async def test_what_stands_behind_a_lost_message_of_a_batch_is_not_kept_either(receive, disk):
    hub = await receive(open_writer=disk.open_writer)
    disk.fails_at = b"|C120|"
    body = b"".join(message(b"C%d" % n) for n in range(200))
    (answer,) = await deferToThread(hub.ask, frame(b"BHS|^~\\&|A|B\r" + body + b"BTS|200\r"), 1)
    told = [line.split(b"|")[1] for line in answer.split(b"\r") if line.startswith(b"MSA")]
    kept = [row.control_id for row in hub.rows() if row.slot >= 0]
    assert len(told) == 200 and len(kept) <= 120
    assert told == [b"AA"] * len(kept) + [b"AR"] * (200 - len(kept))
    assert kept == [f"C{n}" for n in range(len(kept))]
