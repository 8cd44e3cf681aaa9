"""How the journal is written on SQLite: one connection, one transaction a group. Floor 4."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from broker import crash
from broker.errors import StoreError
from broker.store import journal_sql as sql
from broker.store.journal_rows import DAY_MICROS
from broker.store.journal_sheet import OWN_DAY, Opened, Sheet, StoreDied
from broker.store.open import make_private, pragmas
from broker.store.types import from_micros

__all__ = ["SqlitePen", "connect_sqlite", "wall_micros"]

_INPUT_OUTPUT = sqlite3.SQLITE_IOERR
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def wall_micros() -> int:
    """The database's clock on SQLite is this machine's: microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def connect_sqlite(path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection) -> sqlite3.Connection:
    """A connection for the journal's writer."""
    make_private(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=factory)
    for pragma in pragmas("journal"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


class SqlitePen:
    """Writes groups to a file that is this process's alone (`FolderLock`)."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], clock: Callable[[], int] = wall_micros
    ) -> None:
        self._connect, self._clock = connect, clock
        self._connection: sqlite3.Connection | None = None
        self._latest = 0

    def open(self, by: str) -> Opened:
        with _translated():
            self._connection = connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            # Whoever had a stream here is dead, since the folder's lock is ours.
            connection.execute(sql.SQLITE_END, (self._clock(), "unclean"))
            connection.execute(sql.SQLITE_DROP_LOOSE)
            connection.execute("DELETE FROM loose_part")
            self._latest = connection.execute(sql.SQLITE_LATEST).fetchone()[0] or 0
            stream = connection.execute(sql.SQLITE_OPEN, (self._clock(), by)).lastrowid
            connection.execute("COMMIT")
        assert stream is not None
        return Opened(stream, from_micros(max(self._clock(), self._latest)))

    def write(self, sheet: Sheet) -> datetime:
        connection = self._connection
        assert connection is not None
        with _translated():
            crash.at("journal.before_begin")
            connection.execute("BEGIN IMMEDIATE")
            crash.at("journal.after_begin")
            at = max(self._clock(), self._latest + 1)
            day = at // DAY_MICROS
            connection.executemany(sql.SQLITE_BYTES, [(key, day, body) for key, body in sheet.bodies])
            crash.at("journal.between_inserts")
            connection.executemany(
                sql.SQLITE_MESSAGE,
                [
                    (key, at, slot, *words, size, digest, chain, day if own == OWN_DAY else own, part, more)
                    for key, slot, words, size, digest, chain, own, part, more in sheet.lines
                ],
            )
            if not sheet.plain:
                _write_rare(connection, sheet)
            crash.at("journal.before_commit")
            connection.execute("COMMIT")
            crash.at("journal.after_commit")
        self._latest = at
        return from_micros(at)

    def rest(self) -> None:
        """Nothing to look after."""

    def end(self, how: str) -> None:
        assert self._connection is not None
        with _translated():
            self._connection.execute(sql.SQLITE_END, (self._clock(), how))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with _translated():
                connection.close()  # rolls back what is open

    def hang_up(self) -> bool:
        return False


def _write_rare(connection: sqlite3.Connection, sheet: Sheet) -> None:
    if sheet.loose is not None:
        key, day, body = sheet.loose
        connection.execute(sql.SQLITE_BYTES, (key, day, body))
        connection.execute("INSERT INTO loose_part (key, day) VALUES (?, ?)", (key, day))
        crash.at("journal.long_part")
    connection.executemany("DELETE FROM loose_part WHERE key = ?", [(key,) for key in sheet.tied])
    connection.executemany("DELETE FROM bytes WHERE key = ?", [(key,) for key, _ in sheet.dropped])
    connection.executemany("DELETE FROM loose_part WHERE key = ?", [(key,) for key, _ in sheet.dropped])
    connection.executemany(
        "INSERT INTO unanswered (key) VALUES (?) ON CONFLICT DO NOTHING", [(key,) for key in sheet.unanswered]
    )


@contextmanager
def _translated() -> Iterator[None]:
    """After an I/O error nothing that this process believes about the file is sure: it stops.

    A retried fsync can say yes to what the first one lost. A full disk loses nothing and is waited for.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if code == _INPUT_OUTPUT or code in _CORRUPT:
            raise StoreDied(f"the journal's disk failed ({name})") from error
        raise StoreError(f"the journal could not be written ({name})") from error
    except OSError as error:
        raise StoreError(f"the journal could not be opened ({error.strerror})") from error
