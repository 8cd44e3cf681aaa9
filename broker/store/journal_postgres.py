"""How the journal is written on PostgreSQL: one prepared statement a group. Floor 4."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain
from struct import pack
from typing import Any, cast

import psycopg
import structlog
from psycopg import pq
from sqlalchemy import make_url

from broker import crash
from broker.errors import StoreError
from broker.store import journal_sql as sql
from broker.store.journal_rows import DAY_MICROS, SEQ_BITS
from broker.store.journal_sheet import Opened, Sheet
from broker.store.open import DEAD_PEER, postgres_options
from broker.store.types import EPOCH, from_micros, to_micros

__all__ = ["STREAM_LOCKS", "PostgresPen", "connect_postgres"]

log = structlog.get_logger()

# pg_advisory_lock(STREAM_LOCKS, stream) is held by the connection that writes the stream, while it lives.
STREAM_LOCKS = 0x53545245
OPENING_LOCK = 0x4F50454E
PARTITION_LOCK = 0x44415953
DAYS_AHEAD = 7

_TEXT, _BYTEA, _INT2, _INT4, _INT8 = 25, 17, 21, 23, 20
_STATEMENT = b"accept"
_BINARY = 1
_ALL_BINARY = [_BINARY] * (sql.WORD_COUNT + 12)
_COMMITTED = pq.ExecStatus.TUPLES_OK


def connect_postgres(url: str) -> psycopg.Connection:
    """A connection for the journal's writer."""
    uri = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(
        uri,
        autocommit=True,
        prepare_threshold=None,  # the driver's own prepared statements go with all others after an ALTER
        options=f"{make_url(url).query.get('options', '')} {postgres_options('journal')}",
        **cast(Any, DEAD_PEER),
    )


class PostgresPen:
    """Writes groups over one connection, whose life is the stream's.

    A COMMIT is never cancelled: on a synchronous standby a cancelled one reports success with no more than
    a WARNING, though nothing is on the standby. So a notice of any kind while committing is a failure.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection | None = None
        self._stream = 0
        self._latest = 0
        self._lowest_open = 0
        self._days_until = 0
        self._noticed = ""

    def open(self, by: str) -> Opened:
        with _translated():
            self._connection = connection = self._connect()
            connection.add_notice_handler(self._notice)
            connection.execute("BEGIN")
            # One at a time: a stream with a lower id that became visible later would be overlooked for good.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (OPENING_LOCK,))
            self._stream = stream = _one(connection, "SELECT nextval('stream_id_seq')")
            if not _one(connection, "SELECT pg_try_advisory_lock(%s, %s)", STREAM_LOCKS, stream):
                raise StoreError("the new stream's lock is taken: is the journal a copy that is in use?")
            connection.execute(
                "INSERT INTO stream (id, opened_at, opened_by, how) VALUES (%s, clock_timestamp(), %s, '')",
                (stream, by),
            )
            self._end_the_dead(connection)
            self._lowest_open = _one(connection, "SELECT min(id) FROM stream WHERE ended_at IS NULL")
            latest = _one(connection, sql.POSTGRES_LATEST) or EPOCH
            self._latest = to_micros(latest)
            self._commit(connection)
            prepared = connection.pgconn.prepare(_STATEMENT, sql.POSTGRES_ACCEPT.encode())
            if prepared.status != pq.ExecStatus.COMMAND_OK:
                raise _failure(prepared)
            now = max(_one(connection, "SELECT clock_timestamp()"), latest)
            self._days_until = 0
            self._make_days(now)
        return Opened(stream, now)

    def write(self, sheet: Sheet) -> datetime:
        connection = self._connection
        assert connection is not None
        self._noticed = ""
        with _translated():
            crash.at("journal.before_begin")
            if not sheet.plain:
                connection.execute("BEGIN")
                crash.at("journal.after_begin")
                _write_rare(connection, sheet)
            crash.at("journal.between_inserts")
            crash.at("journal.before_commit")
            result = connection.pgconn.exec_prepared(
                _STATEMENT, self._parameters(sheet), _ALL_BINARY, _BINARY
            )
            if result.status != _COMMITTED:
                raise _failure(result)
            at = int.from_bytes(result.get_value(0, 0) or b"", signed=True)
            if not sheet.plain:
                self._commit(connection)
            elif self._noticed:
                raise StoreError(f"the commit came with a notice ({self._noticed})", code="doubtful_commit")
            crash.at("journal.after_commit")
        self._latest = at
        if at // DAY_MICROS + 2 > self._days_until:
            self.rest()
        return from_micros(at)

    def rest(self) -> None:
        """Makes the coming days' partitions, and notices a connection that has gone."""
        assert self._connection is not None
        with _translated():
            now = max(_one(self._connection, "SELECT clock_timestamp()"), from_micros(self._latest))
            if to_micros(now) // DAY_MICROS + DAYS_AHEAD > self._days_until:
                self._make_days(now)

    def end(self, how: str) -> None:
        assert self._connection is not None
        with _translated():
            self._noticed = ""
            self._connection.execute(sql.POSTGRES_END, (how, self._stream))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def hang_up(self) -> bool:
        connection = self._connection
        if connection is not None:
            with (
                contextlib.suppress(psycopg.Error, OSError),
                socket.socket(fileno=os.dup(connection.fileno())) as wire,
            ):
                wire.shutdown(socket.SHUT_RDWR)
        return True

    def _commit(self, connection: psycopg.Connection) -> None:
        """A clean COMMIT or `StoreError`: of a transaction that has failed it says ROLLBACK, and no error."""
        self._noticed = ""
        said = connection.execute("COMMIT").statusmessage
        if said != "COMMIT" or self._noticed:
            raise StoreError(f"the commit was not clean ({self._noticed or said})", code="doubtful_commit")

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._noticed = diagnostic.sqlstate or "notice"

    def _parameters(self, sheet: Sheet) -> list[bytes]:
        lines = sheet.lines
        bodies = sheet.bodies
        return [
            _int8(self._latest),
            pack(">i", self._lowest_open),
            _integers(_INT8, [key for key, _ in bodies]),
            _array(_BYTEA, [body for _, body in bodies]),
            _integers(_INT8, [line.key for line in lines]),
            _integers(_INT2, [line.slot for line in lines]),
            *(_array(_TEXT, [line.words[n].encode() for line in lines]) for n in range(sql.WORD_COUNT)),
            _integers(_INT4, [line.size for line in lines]),
            _array(_BYTEA, [line.digest for line in lines]),
            _array(_BYTEA, [line.chain for line in lines]),
            _integers(_INT4, [line.day for line in lines]),
            _integers(_INT8, [line.part for line in lines]),
            _array(_TEXT, [line.more_parts.encode() for line in lines]),
        ]

    def _end_the_dead(self, connection: psycopg.Connection) -> None:
        """Ends the streams whose connections are gone, told by their locks, and takes their loose parts away.

        A connection that we have given up may still be committing: then its lock is still held, and its
        stream is ended by whoever opens one later.
        """
        found = connection.execute(
            "SELECT id FROM stream WHERE ended_at IS NULL AND id <> %s ORDER BY id", (self._stream,)
        ).fetchall()
        for (stream,) in found:
            if not _one(connection, "SELECT pg_try_advisory_lock(%s, %s)", STREAM_LOCKS, stream):
                continue
            within = {"low": stream << SEQ_BITS, "high": (stream + 1) << SEQ_BITS}
            connection.execute(sql.POSTGRES_END, ("unclean", stream))
            connection.execute(sql.POSTGRES_DROP_LOOSE, within)
            connection.execute("DELETE FROM loose_part WHERE key > %(low)s AND key < %(high)s", within)
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", (STREAM_LOCKS, stream))

    def _make_days(self, now: datetime) -> None:
        """Partitions for yesterday to a week ahead, so that a commit never waits for one.

        Attaching takes a lock that stops nobody who reads or writes; making it in place would.
        """
        connection = self._connection
        assert connection is not None
        today = to_micros(now) // DAY_MICROS
        for day in range(today - 1, today + DAYS_AHEAD + 1):
            name = f"bytes_{(EPOCH + timedelta(days=day)):%Y%m%d}"
            connection.execute("BEGIN")
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (PARTITION_LOCK,))
            if _one(connection, "SELECT to_regclass(%s) IS NULL", name):
                # Most messages have 1-4 kB: in the row and uncompressed they cost one insert and no CPU.
                connection.execute(f"CREATE TABLE {name} (LIKE bytes) WITH (toast_tuple_target = 8160)")
                connection.execute(f"ALTER TABLE {name} ALTER body SET STORAGE EXTERNAL")
                connection.execute(
                    f"ALTER TABLE bytes ATTACH PARTITION {name} FOR VALUES FROM ({day}) TO ({day + 1})"
                )
            self._commit(connection)
        self._days_until = today + DAYS_AHEAD


def _write_rare(connection: psycopg.Connection, sheet: Sheet) -> None:
    if sheet.loose is not None:
        key, day, body = sheet.loose
        connection.execute("INSERT INTO bytes (key, day, body) VALUES (%s, %s, %s)", (key, day, body))
        connection.execute("INSERT INTO loose_part (key, day) VALUES (%s, %s)", (key, day))
        crash.at("journal.long_part")
    gone = [key for key, _ in sheet.dropped]
    if gone:
        days = sorted({day for _, day in sheet.dropped})
        connection.execute("DELETE FROM bytes WHERE key = ANY(%s) AND day = ANY(%s)", (gone, days))
    if gone or sheet.tied:
        connection.execute("DELETE FROM loose_part WHERE key = ANY(%s)", ([*gone, *sheet.tied],))
    if sheet.unanswered:
        connection.execute(
            "INSERT INTO unanswered (key) SELECT unnest(%s::bigint[]) ON CONFLICT DO NOTHING",
            (list(sheet.unanswered),),
        )


def _one(connection: psycopg.Connection, statement: str, *parameters: object) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    return row[0] if row else None


def _int8(value: int) -> bytes:
    return pack(">q", value)


_WIDTHS = {_INT2: (2, "h"), _INT4: (4, "i"), _INT8: (8, "q")}


def _integers(oid: int, values: Sequence[int]) -> bytes:
    """An array of integers as the wire wants it in binary."""
    width, code = _WIDTHS[oid]
    spread = chain.from_iterable((width, value) for value in values)
    return _array_head(oid, len(values)) + pack(f">{f'i{code}' * len(values)}", *spread)


def _array(oid: int, values: Sequence[bytes | memoryview]) -> bytes:
    """An array of texts or bytes as the wire wants it in binary."""
    pieces: list[bytes | memoryview] = [_array_head(oid, len(values))]
    for value in values:
        pieces.append(len(value).to_bytes(4))
        pieces.append(value)
    return b"".join(pieces)


def _array_head(oid: int, length: int) -> bytes:
    return pack(">iiiii", 1, 0, oid, length, 1)


def _failure(result: pq.abc.PGresult) -> StoreError:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"connection lost").decode()
    return StoreError(f"the journal could not be written ({state})")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or type(error).__name__
        # The driver's text may quote the row that failed, a patient's: it goes no further.
        raise StoreError(f"the journal could not be written ({state})") from None
