"""How a connection takes the constants of `care_sql.py`, and what a database's refusal means. Floor 4."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from broker.errors import BrokerError, StoreError
from broker.store.care_sql import Load, Put
from broker.store.types import to_micros

__all__ = ["Hot", "Overtaken", "Refusable", "database_time", "judged", "storable", "translating", "worded"]


_PLACE = re.compile(r"\{(\w+)\}")


class Refusable(BrokerError):
    """The database refuses a value. Saved message by message, the one that fails is refused."""

    code = "value_refused"


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Somebody else was faster: nothing was saved. Read anew, decide anew. `what` says what had moved."""

    what: str


def judged(error: DBAPIError) -> Overtaken | BrokerError | None:
    """What it means: somebody was faster, a value is refused, the store failed; None: our own fault."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return _judged_sqlite(str(name))
    state = getattr(error.orig, "sqlstate", None)
    if type(error.orig).__module__.startswith("psycopg"):
        return _judged_postgres(state, type(error.orig).__name__)
    return None if not error.connection_invalidated else StoreError("the database is gone")


def _judged_sqlite(name: str) -> Overtaken | BrokerError | None:
    if name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_ROWID"):
        return Overtaken("unique")
    if name.startswith("SQLITE_CONSTRAINT") or name in ("SQLITE_TOOBIG", "SQLITE_MISMATCH"):
        return Refusable("the database refuses a value", code="value_refused")
    if name.startswith("SQLITE_IOERR"):
        return StoreError("the disk failed", code="disk_failed")
    if name in ("SQLITE_ERROR", "SQLITE_MISUSE", "SQLITE_RANGE"):
        return None
    return StoreError(f"the database failed ({name})")


def _judged_postgres(state: str | None, kind: str) -> Overtaken | BrokerError | None:
    if state in ("23505", "40001", "40P01", "55P03"):
        return Overtaken({"23505": "unique", "40P01": "deadlock"}.get(state, "serialization"))
    if state == "21000" or (state or "").startswith("42") or kind == "ProgrammingError":
        return None
    if kind == "DataError" or (state or "")[:2] in ("22", "23", "54"):
        return Refusable("the database refuses a value", code="value_refused")
    return StoreError(f"the database failed ({state or kind})")


@contextmanager
def translating() -> Iterator[None]:
    """Raises `StoreError` where the driver says that the database failed, `Refusable` for a value."""
    try:
        yield
    except DBAPIError as error:
        meant = judged(error)
        if meant is None:
            raise
        if isinstance(meant, Overtaken):
            raise StoreError("the database is contended", code="contended") from None
        raise meant from None


def storable(*texts: str) -> bool:
    """Whether a text can be a key on both stores: no NUL, no half of a surrogate pair."""
    for text in texts:
        if "\0" in text:
            return False
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                return False
    return True


def database_time(hot: Hot) -> datetime:
    """The time by the database's clock; SQLite lives in this process and has this machine's."""
    if hot.lite:
        return datetime.now(UTC)
    at: datetime = hot.run("SELECT clock_timestamp()").scalar_one()
    return at.astimezone(UTC)


def _same(at: datetime) -> datetime:
    return at


class Hot:
    """One open transaction, for constant SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lite = connection.dialect.name == "sqlite"
        self.at: Callable[[datetime], Any] = to_micros if self._lite else _same

    @property
    def lite(self) -> bool:
        """Whether this is SQLite."""
        return self._lite

    def run(self, sql: str, *given: Any) -> Any:
        """Runs one statement of this store's own."""
        return self._connection.exec_driver_sql(sql, tuple(given))

    def numbers(self, table: str) -> Iterator[int]:
        """New keys of a table whose keys grow with arrival, for as many rows as are wanted."""
        if self._lite:  # nobody else writes while this transaction is open
            yield from count(self.run(f'SELECT coalesce(max(id), 0) + 1 FROM "{table}"').scalar_one())
        while True:
            block = self.run(f"SELECT nextval('{table}_id_seq') FROM generate_series(1, 500)")
            yield from [number for (number,) in block]

    def ask(self, sql: str, **given: Any) -> Sequence[Any]:
        """The rows of a query that both stores understand; its places are `{name}`."""
        return self._connection.exec_driver_sql(worded(sql, self._lite), given).fetchall()

    def change(self, sql: str, **given: Any) -> int:
        """Runs a statement that both stores understand; returns how many rows it changed."""
        return self._connection.exec_driver_sql(worded(sql, self._lite), given).rowcount

    def put(self, put: Put, rows: Sequence[tuple[Any, ...]]) -> int:
        """Puts rows, all of them or an error; returns how many were put."""
        if not rows:
            return 0
        if self._lite:
            return self._connection.exec_driver_sql(put.sqlite, list(rows)).rowcount
        return self._connection.exec_driver_sql(put.postgres, _columns(rows)).rowcount

    def move(self, load: Load, rows: Sequence[tuple[Any, ...]]) -> int:
        """Runs an UPDATE or DELETE for each row; returns how many rows were hit."""
        if not rows:
            return 0
        if self._lite:
            return self._connection.exec_driver_sql(load.sqlite, list(rows)).rowcount
        return self._connection.exec_driver_sql(load.postgres, _columns(rows)).rowcount

    def read(self, load: Load, keys: Collection[tuple[Any, ...]]) -> Sequence[Any]:
        """The rows of these keys; a key is a tuple as wide as the statement's columns of keys."""
        if not keys:
            return ()
        if self._lite:
            wide = len(next(iter(keys))) > 1
            text = orjson.dumps(list(keys) if wide else [key[0] for key in keys]).decode()
            return self._connection.exec_driver_sql(load.sqlite, (text,)).fetchall()
        return self._connection.exec_driver_sql(load.postgres, _columns(keys)).fetchall()


@cache
def worded(sql: str, lite: bool) -> str:
    """A query with places `{name}` in the words of one store's driver."""
    return _PLACE.sub(r":\1" if lite else r"%(\1)s", sql)


def _columns(rows: Collection[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))
