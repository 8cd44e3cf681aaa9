"""Who works what: locks that end with the connection that holds them. Floor 4.

They only spare wasted work and tell who is alive: whether a save or a claim counts is decided by what it
compares in its transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from broker.errors import StoreError
from broker.store.hot import judged
from broker.store.open import FolderLock, sqlite_path

__all__ = ["DESTINATION", "SLOT", "WORKER", "FolderLocks", "Locks", "PostgresLocks", "key_of", "open_locks"]

# The first of the two numbers of a PostgreSQL advisory lock: what kind of thing is locked.
SLOT, DESTINATION, WORKER = 0x48414E01, 0x48414E02, 0x48414E03

# A holder that says nothing for so long is taken for dead by the server, which ends its session. A lock is
# asked for at every look at the news, far more often.
IDLE_SECS = 60


def key_of(name: str) -> int:
    """The second number of a lock that has a name: 31 bits of a hash."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


class PostgresLocks:
    """Session advisory locks on a connection of their own. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._mutex = Lock()
        self._sessions = self._known = 0

    alone = False

    def take(self, kind: int, keys: Collection[int]) -> set[int]:
        """Takes those of the locks that are free; what this object holds already counts as free."""
        sql = "SELECT k FROM unnest(%s::int[]) AS k WHERE pg_try_advisory_lock(%s, k)"
        return {key for (key,) in self._run(sql, list(keys), kind)}

    def release(self, kind: int, keys: Iterable[int]) -> None:
        """Gives locks back, each as often as it was taken. What a broken connection lost is gone anyway."""
        self._run("SELECT pg_advisory_unlock(%s, k) FROM unnest(%s::int[]) AS k", kind, list(keys))

    def holders(self, kind: int) -> int:
        """How many locks of a kind are held, by anybody."""
        sql = (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            " AND classid = %s::bigint::oid AND database = (SELECT oid FROM pg_database"
            " WHERE datname = current_database())"
        )
        return int(self._run(sql, kind)[0][0])

    def keep(self) -> bool:
        """Shows the server that we live. False, once, when every lock was lost with a connection."""
        self._run("SELECT 1")
        kept, self._known = self._known == self._sessions, self._sessions
        return kept

    def close(self) -> None:
        """Gives everything back."""
        with self._mutex:
            self._drop()

    def _run(self, sql: str, *given: Any) -> Any:
        with self._mutex:
            try:
                if self._connection is None:
                    self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                    self._connection.exec_driver_sql(f"SET idle_session_timeout = '{IDLE_SECS}s'")
                    self._sessions += 1
                    self._known = self._known or 1  # the first one has lost nothing
                return self._connection.exec_driver_sql(sql, given).fetchall()
            except DBAPIError as error:
                self._drop()
                meant = judged(error)
                if isinstance(meant, StoreError):
                    raise meant from None
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            # Not back to the pool: session locks would outlive their holder there.
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


# On SQLite, which process holds all locks of a kind.
PROCESS = {SLOT: "work", DESTINATION: "deliver", WORKER: "work"}


class FolderLocks:
    """SQLite: one process of a kind per data folder, which then holds every lock of that kind."""

    alone = True

    def __init__(self, engine: Engine) -> None:
        path = sqlite_path(str(engine.url))
        if path is None:
            raise ValueError("not SQLite")
        self._folder = path.parent
        self._held: dict[str, FolderLock] = {}

    def take(self, kind: int, keys: Collection[int]) -> set[int]:
        """All of them. Raises `StoreError` ("in_use") where another process of the kind is at work."""
        name = PROCESS[kind]
        if name not in self._held:
            self._held[name] = FolderLock(self._folder, name)
        return set(keys)

    def release(self, kind: int, keys: Iterable[int]) -> None:
        """Nothing: the folder stays this process's."""

    def holders(self, kind: int) -> int:
        """One at most."""
        return int(PROCESS[kind] in self._held)

    def keep(self) -> bool:
        """The operating system keeps it."""
        return True

    def close(self) -> None:
        """Gives everything back."""
        for lock in self._held.values():
            lock.close()
        self._held.clear()


Locks = PostgresLocks | FolderLocks


def open_locks(engine: Engine) -> Locks:
    """The locks of this store; nothing is taken yet."""
    return FolderLocks(engine) if engine.dialect.name == "sqlite" else PostgresLocks(engine)
