"""Reading the journal: runs for workers, rows by key, pages by range. Floor 4; read-only.

No read transaction lasts longer than a chunk: at most 200 rows or 1 MiB of bytes. A longer one would keep
SQLite's log from being taken up, and intake's commits would wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from broker.errors import StoreError
from broker.store import journal_sql as sql
from broker.store.journal_rows import PART_BYTES, SEQ_BITS, SEQ_MASK, Head, Row, key_of
from broker.store.open import open_engine
from broker.store.types import from_micros

__all__ = ["Cursors", "Reader", "Run"]

Cursors = Mapping[tuple[int, int], int]

CHUNK_ROWS = 200
CHUNK_BYTES = PART_BYTES
# How many rows are looked at beyond those asked for, when many are other workers'.
SCAN_FACTOR = 4
SCAN_LEAST = 64
SCAN_MOST = 4000
ALL_SLOTS = 64
# A stream may become visible after one that was numbered later; this many later.
LATE_STREAMS = 64


class Run(NamedTuple):
    """Rows in the order of their places, and how far each (slot, stream) cursor may move with them."""

    rows: Sequence[Row]
    upto: Mapping[tuple[int, int], int]


# What a scan tells of a row: its time as the store has it, its key, its size. The first two are its place.
_Seen = tuple[Any, int, int]


class _Scan(NamedTuple):
    """A run without gaps of one stream: its rows that are ours, and where it ends."""

    stream: int
    ours: list[_Seen]
    last: _Seen
    whole: bool  # nothing comes after it


class Reader:
    """Reads through a read-only engine of role `journal`, or opens one. May be used from several threads.

    Every method raises `StoreError` when the database fails.
    """

    def __init__(self, journal: Engine | str) -> None:
        engine = open_engine(journal, role="journal", read_only=True) if isinstance(journal, str) else journal
        self._engine = engine
        self._sqlite = engine.dialect.name == "sqlite"
        self._reads = sql.SQLITE if self._sqlite else sql.POSTGRES
        self._ended: dict[int, int] = {}
        self._from = 0

    def close(self) -> None:
        """Gives its connections up."""
        self._engine.dispose()

    def greatest(self) -> dict[int, int]:
        """The greatest seq of each stream; 0 where it has no row."""
        with self._snapshot() as store:
            return self._greatest(store)

    def read(self, cursors: Cursors, slots: Collection[int], limit: int, max_bytes: int) -> Run:
        """The next messages of these slots, at most `limit` of them and, from the second on, `max_bytes`.

        From each stream a run without gaps is looked at, from its lowest cursor on, in one snapshot; what is
        not of these slots or is done is stepped over. Nothing is returned that comes after a row which may
        still be unread in another stream.
        """
        wanted = frozenset(slots)
        count = min(limit if len(wanted) >= ALL_SLOTS else limit * SCAN_FACTOR, SCAN_MOST)
        with self._snapshot() as store:
            lows = _lows(cursors, wanted, self._greatest(store))
            scans = [
                scan
                for stream, low in lows.items()
                if (scan := self._scan(store, stream, low, max(count, SCAN_LEAST), wanted, cursors))
            ]
        taken = _merge(scans, limit, max_bytes)
        return Run(self._rows(taken), _upto(scans, taken, wanted, cursors))

    def fetch(self, stream: int, seq: int) -> Row:
        """One row. Raises `StoreError` ("no_such_row"), ("let_go") where its bytes are no longer kept."""
        return self._rows([(None, key_of(stream, seq), 0)])[0]

    def headers(self, stream: int, after: int = 0, before: int | None = None, limit: int = 200) -> list[Head]:
        """Rows without bytes, oldest first, whose seq lies between `after` and `before`."""
        heads: list[Head] = []
        before = SEQ_MASK if before is None else before
        while len(heads) < limit and (found := self._range(stream, after, before, limit - len(heads))):
            heads += map(_head, found)
            after = heads[-1].seq
        return heads

    def bodies(self, parts: Iterable[int], days: Iterable[int]) -> dict[int, bytes]:
        """Bytes by their keys, of days among these; what has been let go is missing."""
        with self._snapshot() as store:
            return self._bodies(store, list(parts), list(days))

    def range(self, stream: int, after: int, limit: int) -> list[Any]:
        """Rows as they stand, for who verifies them: a head's columns, chain, part, more_parts, day."""
        return self._range(stream, after, SEQ_MASK, limit)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, psycopg.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise StoreError(f"the journal could not be read ({type(cause).__name__})") from None

    def _greatest(self, store: Connection) -> dict[int, int]:
        found = store.exec_driver_sql(self._reads.streams, (self._from,)).fetchall()
        greatest = dict(self._ended)
        still_open = None
        for stream, ended, seq in found:
            greatest[stream] = seq
            if ended:
                self._ended[stream] = seq
            elif still_open is None:
                still_open = stream
        if found:
            newest = found[-1][0]
            self._from = max(self._from, min(still_open or newest, newest - LATE_STREAMS))
        return greatest

    def _scan(
        self, store: Connection, stream: int, low: int, count: int, wanted: frozenset[int], cursors: Cursors
    ) -> _Scan | None:
        found = store.exec_driver_sql(
            self._reads.scan, (key_of(stream, low), key_of(stream + 1, 0), count)
        ).fetchall()
        if not found:
            return None
        key, at, _, size = found[-1]
        if (key & SEQ_MASK) - low != len(found):
            self._explain_gap(store, stream, low, [key & SEQ_MASK for key, *_ in found])
        done = {slot: key_of(stream, cursors.get((slot, stream), 0)) for slot in wanted}
        ours = [
            (at, key, size)
            for key, at, slot, size in found
            if key > done.get(slot, key)  # else not wanted
        ]
        return _Scan(stream, ours, (at, key, size), len(found) < count)

    def _explain_gap(self, store: Connection, stream: int, low: int, seqs: Sequence[int]) -> None:
        """A hole above the mark is a loss, and nothing is worked beyond it."""
        mark = store.exec_driver_sql(self._reads.mark, (stream,)).scalar() or 0
        if seqs[0] - 1 > max(low, mark) or seqs[-1] - seqs[0] != len(seqs) - 1:
            raise StoreError(f"stream {stream} has a gap after {low}", code="journal_gap")

    def _rows(self, taken: Sequence[_Seen]) -> list[Row]:
        """The rows, chunk by chunk: rows do not change, so each chunk has a transaction of its own."""
        rows: dict[int, Row] = {}
        for keys in _chunks(taken):
            with self._snapshot() as store:
                found = self._heads(store, keys)
                whole = [fields for fields in found if not fields[-2]]
                bodies = self._bodies(
                    store, [fields[-3] for fields in whole], {fields[-1] for fields in whole}
                )
            times: dict[Any, datetime] = {}
            for fields in found:
                key, at, *told, digest, part, more, _ = fields
                raw = self._long(fields) if more else bodies.get(part)
                stream, seq = key >> SEQ_BITS, key & SEQ_MASK
                if raw is None:
                    raise StoreError(f"the bytes of {stream}.{seq} are no longer kept", code="let_go")
                time = times.get(at) or times.setdefault(at, _time(at))
                rows[key] = Row._make((stream, seq, time, *told, digest.hex(), raw))
        if len(rows) < len(taken):
            missing = next(key for _, key, _ in taken if key not in rows)
            where = f"{missing >> SEQ_BITS}.{missing & SEQ_MASK}"
            raise StoreError(f"there is no row {where}", code="no_such_row")
        return [rows[key] for _, key, _ in taken]

    def _long(self, fields: Any) -> bytes | None:
        """A long frame's bytes, one part a transaction."""
        parts = [fields[-3], *map(int, fields[-2].split(","))]
        pieces = [self.bodies([part], [fields[-1]]).get(part) for part in parts]
        return None if None in pieces else b"".join(piece for piece in pieces if piece is not None)

    def _heads(self, store: Connection, keys: list[int]) -> Sequence[Any]:
        if not _dense(keys):
            return store.exec_driver_sql(self._reads.heads, (self._among(keys),)).fetchall()
        found = store.exec_driver_sql(self._reads.heads_between, (min(keys), max(keys))).fetchall()
        if len(found) == len(keys):
            return found
        wanted = set(keys)
        return [fields for fields in found if fields[0] in wanted]

    def _bodies(self, store: Connection, parts: list[int], days: Collection[int]) -> dict[int, bytes]:
        if not parts:
            return {}
        dense = _dense(parts)
        statement = self._reads.bodies_between if dense else self._reads.bodies
        asked: tuple[Any, ...] = (min(parts), max(parts)) if dense else (self._among(parts),)
        if self._sqlite:
            return dict(store.exec_driver_sql(statement, asked).cursor.fetchall())
        # As text the driver would get each byte as two digits: twice the time a row.
        cursor = store.connection.cursor(binary=True)
        return dict(cursor.execute(statement, (*asked, list(days))).fetchall())

    def _range(self, stream: int, after: int, before: int, limit: int) -> list[Any]:
        with self._snapshot() as store:
            return list(
                store.exec_driver_sql(
                    self._reads.range, (key_of(stream, after), key_of(stream, before), min(limit, CHUNK_ROWS))
                ).fetchall()
            )

    def _among(self, keys: list[int]) -> Any:
        return orjson.dumps(keys).decode() if self._sqlite else keys


def _dense(keys: Sequence[int]) -> bool:
    """Whether a range is shorter than the list; what else lies in it is read for nothing."""
    return max(keys) - min(keys) < 2 * len(keys)


def _head(fields: Any) -> Head:
    key, at, *words = fields[:_HEAD_WIDTH]
    words[-1] = words[-1].hex()
    return Head(key >> SEQ_BITS, key & SEQ_MASK, _time(at), *words)


_HEAD_WIDTH = sql.HEAD_COLUMNS.count(",") + 1


def _time(at: int | datetime) -> datetime:
    return from_micros(at) if isinstance(at, int) else at.astimezone(UTC)


def _lows(cursors: Cursors, wanted: frozenset[int], greatest: Mapping[int, int]) -> dict[int, int]:
    """The lowest cursor of each stream that has something beyond it."""
    lowest: dict[int, int] = {}
    counted: dict[int, int] = {}
    for (slot, stream), seq in cursors.items():
        if slot in wanted:
            counted[stream] = counted.get(stream, 0) + 1
            if seq < lowest.get(stream, seq + 1):
                lowest[stream] = seq
    lows = {stream: lowest[stream] if counted.get(stream, 0) == len(wanted) else 0 for stream in greatest}
    return {stream: low for stream, low in lows.items() if low < greatest[stream]}


def _merge(scans: Sequence[_Scan], limit: int, max_bytes: int) -> list[_Seen]:
    """Ours of all scans in the order of their places, up to where a scan ended before its stream did."""
    ours = [seen for scan in scans for seen in scan.ours]
    horizon = None
    if len(scans) > 1:
        ours.sort()
        horizon = min((scan.last for scan in scans if not scan.whole), default=None)
    taken: list[_Seen] = []
    for seen in ours[:limit]:
        max_bytes -= seen[2]
        if (horizon is not None and seen > horizon) or (max_bytes < 0 and taken):
            break
        taken.append(seen)
    return taken


def _upto(
    scans: Sequence[_Scan], taken: Sequence[_Seen], wanted: frozenset[int], cursors: Cursors
) -> dict[tuple[int, int], int]:
    """Each stream is done up to just before its first row of ours that was not taken."""
    done = set(taken) if len(taken) < sum(len(scan.ours) for scan in scans) else None
    upto: dict[tuple[int, int], int] = {}
    for scan in scans:
        left = None if done is None else next((seen for seen in scan.ours if seen not in done), None)
        seq = (left[1] - 1 if left else scan.last[1]) & SEQ_MASK
        for slot in wanted:
            if seq > cursors.get((slot, scan.stream), 0):
                upto[slot, scan.stream] = seq
    return upto


def _chunks(taken: Sequence[_Seen]) -> Iterator[list[int]]:
    """Keys, so many at a time as one transaction may read."""
    chunk: list[int] = []
    room = CHUNK_BYTES
    for _, key, size in taken:
        room -= size
        if chunk and (room < 0 or len(chunk) == CHUNK_ROWS):
            yield chunk
            chunk, room = [], CHUNK_BYTES - size
        chunk.append(key)
    if chunk:
        yield chunk
