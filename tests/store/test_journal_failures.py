"""When the store fails: nothing of the group is acknowledged, and nobody waits for nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from broker.errors import StoreError
from broker.store.journal import Entry, Reader, Receipt, Writer
from broker.store.journal_postgres import connect_postgres
from broker.store.journal_sqlite import connect_sqlite
from broker.store.open import Stores, sqlite_path

ALL_SLOTS = range(-2, 64)


def entries(*names: str) -> list[Entry]:
    return [Entry(name.encode(), n % 64, "c", control_id=name) for n, name in enumerate(names)]


def everything(reader: Reader) -> list[bytes]:
    return [row.raw for row in reader.read({}, ALL_SLOTS, 10_000, 1 << 30).rows]


class Failing(sqlite3.Connection):
    """Runs `fail(statement)` before each statement."""

    fail: Callable[[str], None] = staticmethod(lambda statement: None)

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self.fail(statement)
        return super().execute(statement, *parameters)

    def executemany(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        self.fail(statement)
        return super().executemany(statement, *parameters)


def sqlite_error(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


class Faults:
    """Makes the writer's store fail at an instant, "insert" or "commit", as the store itself would."""

    def __init__(self, stores: Stores, engine_of: Callable[..., Any]) -> None:
        self._url = stores.journal_url
        self._path = sqlite_path(stores.journal_url)
        self._engine = None if self._path else engine_of("journal")
        self._armed: tuple[str, sqlite3.OperationalError] | None = None

    def connect(self) -> Any:
        if self._path is None:
            return connect_postgres(self._url)
        connection = connect_sqlite(self._path, factory=Failing)
        connection.fail = self._fail
        return connection

    def _fail(self, statement: str) -> None:
        if self._armed and statement.startswith(self._armed[0]):
            raise self._armed[1]

    def arm(self, instant: str, state: str = "53100", code: int = sqlite3.SQLITE_FULL) -> None:
        """From now on, until `disarm`. The default is a full disk."""
        if self._engine is None:
            at = {"insert": "INSERT INTO message", "commit": "COMMIT"}[instant]
            self._armed = (at, sqlite_error(code, "SQLITE_FULL"))
            return
        deferred = "DEFERRABLE INITIALLY DEFERRED" if instant == "commit" else ""
        kind = "CONSTRAINT TRIGGER" if instant == "commit" else "TRIGGER"
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
                    f"$$ BEGIN RAISE 'armed' USING ERRCODE = '{state}'; END $$"
                )
            )
            connection.execute(
                text(
                    f"CREATE {kind} fail AFTER INSERT ON message {deferred} "
                    "FOR EACH ROW EXECUTE FUNCTION fail()"
                )
            )

    def disarm(self) -> None:
        self._armed = None
        if self._engine is not None:
            with self._engine.begin() as connection:
                connection.execute(text("DROP TRIGGER fail ON message"))


@pytest.fixture
def faults(stores: Stores, engine_of) -> Faults:
    return Faults(stores, engine_of)


@pytest.mark.parametrize("instant", ["insert", "commit"])
def test_when_the_disk_is_full_nothing_is_acknowledged_and_it_goes_on_when_there_is_room(
    open_journal, reader, faults, instant
):
    journal = open_journal(connect=faults.connect)
    first = journal.accept(*entries("before"))
    faults.arm(instant)
    failed = journal.ask(entries("a", "b"))
    assert all(isinstance(answer, StoreError) for answer in failed)
    assert "armed" not in str(failed)
    faults.disarm()
    last = journal.accept(*entries("after"))
    assert last.stream > first.stream and last.seq == 1
    assert everything(reader) == [b"before", b"after"]
    assert journal.deaths.empty()


def test_a_stream_that_failed_is_ended_by_the_next(open_journal, engine_of, faults):
    journal = open_journal(connect=faults.connect)
    first = journal.accept(*entries("before"))
    faults.arm("commit")
    journal.ask(entries("lost"))
    faults.disarm()
    last = journal.accept(*entries("after"))
    journal.stop()
    with engine_of("journal").connect() as connection:
        found = connection.execute(text("SELECT id, how, last_seq FROM stream ORDER BY id")).fetchall()
    assert found[0] == (first.stream, "unclean", 1)
    assert found[-1] == (last.stream, "clean", 1)


def test_what_waits_behind_a_failed_frame_of_its_connection_is_not_kept(open_journal, reader, faults):
    class Lane:
        broken = False

    journal = open_journal(connect=faults.connect)
    lane = Lane()
    answers: list[Receipt | StoreError] = []
    faults.arm("commit")
    journal.writer.accept(*entries("a"), answers.append, lane)
    journal.wait_until(lambda: len(answers) == 1)
    faults.disarm()
    journal.writer.accept(*entries("b"), answers.append, lane)
    journal.wait_until(lambda: len(answers) == 2)
    assert [isinstance(answer, StoreError) for answer in answers] == [True, True]
    lane.broken = False
    journal.writer.accept(*entries("c"), answers.append, lane)
    journal.wait_until(lambda: len(answers) == 3)
    assert everything(reader) == [b"c"]


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_CORRUPT,
    ],
)
def test_after_an_io_error_on_sqlite_the_process_is_told_to_stop(sqlite_stores, open_journal_at, code):
    faults = Faults(sqlite_stores, None)
    journal = open_journal_at(sqlite_stores.journal_url, connect=faults.connect)
    journal.accept(*entries("before"))
    faults.arm("commit", code=code)
    (failed,) = journal.ask(entries("lost"))
    assert isinstance(failed, StoreError)
    assert journal.deaths.get(timeout=30).code == "store_died"
    (late,) = journal.ask(entries("late"))
    assert late.code == "writer_dead"
    assert journal.stop()


def test_a_thread_that_dies_answers_all_that_waits_and_says_so(open_journal, faults, monkeypatch):
    journal = open_journal(connect=faults.connect)
    journal.accept(*entries("before"))
    began, go = threading.Event(), threading.Event()

    def die(*_: object) -> None:
        began.set()
        go.wait(30)
        raise MemoryError

    monkeypatch.setattr(journal.writer._pen, "write", die)
    answers: list[Receipt | StoreError] = []
    journal.writer.accept(*entries("in hand"), answers.append)
    began.wait(30)
    for entry in entries("a", "b"):
        journal.writer.accept(entry, answers.append)
    frame = journal.writer.begin_long()
    frame.add(bytes(3 << 20))
    frame.end(*entries("long"), answers.append)
    go.set()
    journal.wait_until(lambda: len(answers) == 4)
    assert [answer.code for answer in answers] == ["writer_dead"] * 4
    assert isinstance(journal.deaths.get(timeout=30), MemoryError)
    assert journal.writer.waiting_bytes == 0
    (late,) = journal.ask(entries("late"))
    assert late.code == "writer_dead"


def test_a_database_that_is_not_there_is_no_reason_to_die(stores: Stores, open_journal, faults, reader):
    away = True

    def connect() -> Any:
        if away:
            raise (
                psycopg.OperationalError("away")
                if not sqlite_path(stores.journal_url)
                else OSError(5, "away")
            )
        return faults.connect()

    journal = open_journal(connect=connect)
    (failed,) = journal.ask(entries("a"))
    assert isinstance(failed, StoreError)
    away = False
    journal.accept(*entries("b"))
    assert everything(reader) == [b"b"]


def test_a_commit_that_never_returns_is_given_up_and_cancels_nothing(open_journal, engine_of, stores, reader):
    """On PostgreSQL its connection is closed; on SQLite nothing helps but to start anew."""
    if sqlite_path(stores.journal_url):
        faults = Faults(stores, engine_of)
        stuck, go = threading.Event(), threading.Event()

        def connect() -> Any:
            connection = faults.connect()
            connection.fail = lambda statement: statement == "COMMIT" and stuck.is_set() and go.wait(30)
            return connection

        journal = open_journal(connect=connect, commit_secs=0.2)
        journal.accept(*entries("before"))
        stuck.set()
        (failed,) = journal.ask(entries("stuck"))
        assert isinstance(failed, StoreError)
        assert journal.deaths.get(timeout=30).code == "store_stuck"
        go.set()
        return
    journal = open_journal(commit_secs=0.5)
    journal.accept(*entries("before"))
    with engine_of("journal").begin() as connection:
        connection.execute(text("LOCK TABLE message IN EXCLUSIVE MODE"))
        (failed,) = journal.ask(entries("stuck"))
        assert isinstance(failed, StoreError)
        # The server has not noticed yet: it must not stay in the way of the next ones.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            )
        )
    journal.accept(*entries("after"))
    assert everything(reader) == [b"before", b"after"]
    assert journal.deaths.empty()


def test_a_killed_connection_ends_its_stream(postgres_stores, postgres_server, open_journal_at):
    journal = open_journal_at(postgres_stores.journal_url)
    first = journal.accept(*entries("before"))
    postgres_server.execute(
        f"SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity "
        f"WHERE datname = '{postgres_stores.journal_url.rpartition('/')[2]}'"
    )
    (failed,) = journal.ask(entries("lost"))
    assert isinstance(failed, StoreError)
    last = journal.accept(*entries("after"))
    assert last.stream == first.stream + 1
    reader = Reader(postgres_stores.journal_url)
    assert everything(reader) == [b"before", b"after"]
    reader.close()
    assert journal.stop()


@pytest.mark.parametrize("rare", [False, True])
def test_a_cancelled_commit_is_not_acknowledged(postgres_stores, postgres_server, open_journal_at, rare):
    """PostgreSQL ends it with success and a WARNING, though no standby has it (RELIABILITY 1.1)."""
    connections: list[psycopg.Connection] = []

    def connect() -> psycopg.Connection:
        connections.append(connect_postgres(postgres_stores.journal_url))
        return connections[-1]

    journal = open_journal_at(postgres_stores.journal_url, connect=connect)
    before = journal.accept(*entries("before"))
    # From here on a commit waits for a standby, and there is none.
    connections[-1].execute("SET synchronous_commit = on")
    answers: list[Receipt | StoreError] = []
    if rare:
        journal.writer.note_unanswered(before)
    journal.writer.accept(*entries("doubtful"), answers.append)
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = %s"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as other:
        pid = connections[-1].info.backend_pid
        while not answers:
            other.execute(cancel, (pid,))
            journal.run_posted(0.05)
    assert isinstance(answers[0], StoreError) and answers[0].code == "doubtful_commit"
    after = journal.accept(*entries("after"))
    assert after.stream > before.stream


def test_one_intake_writes_a_folder(sqlite_stores: Stores, open_journal_at):
    first = open_journal_at(sqlite_stores.journal_url)
    with pytest.raises(StoreError) as caught:
        Writer(sqlite_stores.journal_url, post=lambda run: run(), on_death=lambda error: None)
    assert caught.value.code == "in_use"
    first.stop()
    open_journal_at(sqlite_stores.journal_url)


def test_stopping_writes_what_waits_and_takes_no_more(open_journal, reader):
    journal = open_journal()
    answers: list[Receipt | StoreError] = []
    for entry in entries(*map(str, range(50))):
        journal.writer.accept(entry, answers.append)
    assert journal.stop()
    journal.wait_until(lambda: len(answers) == 50)
    assert all(isinstance(answer, Receipt) for answer in answers)
    (late,) = journal.ask(entries("late"))
    assert late.code == "stopping"
    assert len(everything(reader)) == 50
