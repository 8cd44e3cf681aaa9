"""The care store as the worker uses it: read what a decision needs, save what was decided. Floor 4.

One public method is one transaction; it blocks; nothing is decided under a lock.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from broker import crash
from broker.care.given import Directory
from broker.store.aside import incomplete_patients, ready_aside
from broker.store.audit import append_entries
from broker.store.batch import (
    ActPut,
    Aside,
    AsidePut,
    AuditPut,
    Batch,
    CodePut,
    CursorMove,
    ForwardPut,
    HandledPut,
    Loaded,
    LoadedRecords,
    NoticePut,
    RecordPut,
    SeenKey,
    SeenPut,
)
from broker.store.care_save import BeenOvertaken, save_batch
from broker.store.care_sql import FORGET_SEEN, LOADS
from broker.store.directory import read_directory
from broker.store.hot import Hot, Overtaken, Refusable, database_time, judged, storable, translating
from broker.store.locks import SLOT, WORKER, open_locks
from broker.store.marks import Marks, WorkerMarks
from broker.store.open import reading
from broker.store.types import from_micros

__all__ = [
    "ActPut",
    "Aside",
    "AsidePut",
    "AuditPut",
    "Batch",
    "CareStore",
    "CodePut",
    "CursorMove",
    "DueTimer",
    "ForwardPut",
    "HandledPut",
    "Loaded",
    "LoadedRecords",
    "Marks",
    "NoticePut",
    "Overtaken",
    "RecordPut",
    "Refusable",
    "Saved",
    "SeenKey",
    "SeenPut",
]

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything is stored, at this time of the database's clock."""

    at: datetime


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A patient to be looked at again."""

    patient: int
    n: int
    kind: str
    due_at: datetime


class CareStore:
    """Everything in `care` that a batch reads and writes. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)
        self._locks = open_locks(engine)
        self._marks = WorkerMarks(engine, self._locks)
        self._bundles: dict[str, int] = {"": 0}
        self._secret: bytes | None = None
        self._workers, self._counted_at = 1, float("-inf")

    @property
    def engine(self) -> Engine:
        """The engine, for the other files of this store."""
        return self._engine

    @property
    def alone(self) -> bool:
        """Whether there is one worker at most: on SQLite."""
        return self._locks.alone

    @contextmanager
    def slots_taken(self, slots: Collection[int]) -> Iterator[set[int]]:
        """Those of the slots that were free, and are this worker's until the block ends.

        With several workers, each takes its share at most. Raises `StoreError` ("in_use") on SQLite when
        another process works in this data folder.
        """
        if self._locks.alone:
            yield self._locks.take(SLOT, slots)
            return
        if time.monotonic() >= self._counted_at + 1:
            if not self._locks.keep():
                self._marks.lock_again()
            self._workers, self._counted_at = max(1, self._locks.holders(WORKER)), time.monotonic()
        share = -(-len(slots) // self._workers)
        wanted = random.sample(sorted(slots), share)
        taken = self._locks.take(SLOT, wanted)
        try:
            yield taken
        finally:
            self._locks.release(SLOT, taken)

    def worker_started(self, owner: str) -> Marks:
        """See `WorkerMarks.started`."""
        return self._marks.started(owner)

    def worker_ended(self, owner: str) -> None:
        """See `WorkerMarks.ended`."""
        self._marks.ended(owner)

    def take_in_hand(self, owner: str, stream: int, seq: int) -> None:
        """See `WorkerMarks.take_in_hand`."""
        self._marks.take_in_hand(owner, stream, seq)

    def put_down(self, owner: str) -> None:
        """See `WorkerMarks.put_down`."""
        self._marks.put_down(owner)

    def close(self) -> None:
        """Gives locks back. The engine stays open."""
        self._locks.close()

    def now(self) -> datetime:
        """The time by the database's clock; SQLite lives in this process and has this machine's."""
        with self._read() as hot:
            return database_time(hot)

    def secret(self) -> bytes:
        """The installation's secret, 32 bytes, made at the first call ever."""
        if self._secret is None:
            with translating(), self._engine.begin() as connection:
                hot = Hot(connection)
                mark = "?, ?" if hot.lite else "%s, %s"
                hot.run(
                    f"INSERT INTO installation (id, secret, made_at) VALUES (1, {mark})"
                    " ON CONFLICT (id) DO NOTHING",
                    secrets.token_bytes(32),
                    hot.at(database_time(hot)),
                )
                self._secret = bytes(hot.run("SELECT secret FROM installation WHERE id = 1").scalar_one())
        return self._secret

    def cursors(self, slots: Collection[int]) -> dict[tuple[int, int], int]:
        """(slot, stream) -> how far it is worked; what is not there is worked up to 0."""
        with self._read() as hot:
            rows = hot.read(LOADS.CURSORS, [(slot,) for slot in slots])
        return {(slot, stream): seq for slot, stream, seq in rows}

    def seen(self, keys: Iterable[SeenKey]) -> dict[SeenKey, tuple[int, int]]:
        """Of these keys, those that stand for a row of the journal already: (stream, seq)."""
        asked = {key for key in keys if storable(*key)}
        with self._read() as hot:
            rows = hot.read(LOADS.SEEN, [tuple(key) for key in asked])
        return {SeenKey(*row[:4]): (row[4], row[5]) for row in rows}

    def ready_aside(self, slots: Collection[int], *, limit: int = 500) -> list[Aside]:
        """What was set aside in these slots and may be worked, in the order of the journal.

        Released ones, and paused ones whose channel is not paused any more.
        """
        with self._read() as hot:
            return ready_aside(hot, slots, limit)

    def incomplete(self, patients: Collection[int]) -> set[int]:
        """Of these patients, those who have a message that is set aside: what is told of them says so."""
        with self._read() as hot:
            return incomplete_patients(hot, patients)

    def records_of(self, patients: Pairs, visits: Pairs) -> LoadedRecords:
        """The records of these numbers (authority, number) and visits (site, visit number), links followed.

        A number or visit that no record has is missing from the answer. One snapshot.
        """
        loaded = LoadedRecords()
        with self._read() as hot:
            for authority, number, patient in hot.read(LOADS.BY_NUMBER, _keys(patients)):
                loaded.by_number[authority, number] = patient
            for site, visit, patient in hot.read(LOADS.BY_VISIT, _keys(visits)):
                loaded.by_visit[site, visit] = patient
            _load(hot, {*loaded.by_number.values(), *loaded.by_visit.values()}, loaded)
        return loaded

    def records(self, patients: Iterable[int]) -> LoadedRecords:
        """The records of these patients, links followed: for timers and for what people do."""
        loaded = LoadedRecords()
        with self._read() as hot:
            _load(hot, set(patients), loaded)
        return loaded

    def reserve(self, count: int) -> range:
        """New patients' numbers; those that are not used are lost, which does no harm."""
        return self._reserve("patient", count)

    def reserve_acts(self, count: int) -> range:
        """New numbers for what people do."""
        return self._reserve("act", count)

    def directory(self) -> Directory:
        """Who is reached where."""
        with self._read() as hot:
            return read_directory(hot)

    def paused(self) -> set[str]:
        """The channels that people have paused."""
        with self._read() as hot:
            return {channel for (channel,) in hot.run("SELECT channel FROM channel_state WHERE paused")}

    def due_timers(self, now: datetime, slots: Collection[int], limit: int) -> list[DueTimer]:
        """What is due, the oldest first; a patient's timers go by patient modulo 64 to a worker's slots."""
        sql = (
            "SELECT patient, n, kind, due_at FROM timer WHERE due_at <= ? AND patient % 64 IN"
            " (SELECT value FROM json_each(?)) ORDER BY due_at, patient, n LIMIT ?"
        )
        with self._read() as hot:
            if hot.lite:
                rows = hot.run(sql, hot.at(now), str(sorted(slots)), limit)
                return [DueTimer(patient, n, kind, from_micros(due)) for patient, n, kind, due in rows]
            sql = sql.replace("(SELECT value FROM json_each(?))", "(SELECT unnest(%s::int[]))").replace(
                "?", "%s"
            )
            rows = hot.run(sql.replace(" % 64", " %% 64"), now, sorted(slots), limit)
            return [DueTimer(*row) for row in rows]

    def forget_seen(self, older_than: datetime, limit: int = 10_000) -> int:
        """Forgets the keys of messages that came before a time (30 days ago); returns how many."""
        with translating(), self._engine.begin() as connection:
            hot = Hot(connection)
            return int(hot.change(FORGET_SEEN, at=hot.at(older_than), limit=limit))

    def save(self, batch: Batch) -> Saved | Overtaken:
        """Writes what a batch decided and moves its cursors: all or nothing.

        Returns `Overtaken` when a cursor, a row set aside or a record is no longer as the batch read it, or
        when a unique key, a deadlock or a serialization failure says that somebody else was faster. Raises
        `Refusable` when the database refuses a value of the batch, `StoreError` when it failed: what was
        being written may or may not be stored, and the cursors say which.
        """
        try:
            with self._engine.begin() as connection:
                hot = Hot(connection)
                now = database_time(hot)
                self._learn_bundles(hot, batch)
                save_batch(hot, batch, now, self._bundles)
                append_entries(hot, batch.audit, now)
                crash.at("care.before_commit")
            crash.at("care.after_commit")
        except BeenOvertaken as error:
            return Overtaken(error.what)
        except (OverflowError, UnicodeEncodeError):
            raise Refusable("the database refuses a value") from None
        except DBAPIError as error:
            meant = judged(error)
            if meant is None:
                raise
            if isinstance(meant, Overtaken):
                return meant
            raise meant from None
        return Saved(now)

    @contextmanager
    def _read(self) -> Iterator[Hot]:
        with translating(), self._reading.begin() as connection:
            yield Hot(connection)

    def _reserve(self, name: str, count: int) -> range:
        with translating(), self._engine.begin() as connection:
            hot = Hot(connection)
            last = hot.run(
                f"INSERT INTO counter (name, value) VALUES ('{name}', {count:d}) ON CONFLICT (name)"
                f" DO UPDATE SET value = counter.value + {count:d} RETURNING value"
            ).scalar_one()
        return range(last - count + 1, last + 1)

    def _learn_bundles(self, hot: Hot, batch: Batch) -> None:
        if all(put.bundle in self._bundles for put in batch.handled):
            return
        self._bundles.update((digest, n) for n, digest in hot.run("SELECT id, digest FROM bundle"))
        for put in batch.handled:
            if put.bundle not in self._bundles:
                raise ValueError(f"the bundle {put.bundle[:12]} is not stored")


def _keys(pairs: Pairs) -> set[tuple[str, str]]:
    return {pair for pair in pairs if storable(*pair)}


def _load(hot: Hot, asked: set[int], loaded: LoadedRecords) -> None:
    """Fills `loaded.records` with these and with all that are linked to them."""
    records = loaded.records
    _take(records, hot.read(LOADS.RECORDS, [(patient,) for patient in asked]))
    persons = {record.person for record in records.values()}
    linked = {row[0] for row in hot.read(LOADS.LINKED, [(person,) for person in persons])}
    _take(records, hot.read(LOADS.RECORDS, [(patient,) for patient in (persons | linked) - records.keys()]))


def _take(records: dict[int, Loaded], rows: Iterable[Any]) -> None:
    """Sorts rows of `record` into records: heads (with a version) and stays, in any order."""
    stays: list[tuple[int, bytes]] = []
    for key, person, version, body in rows:
        if version is None:
            stays.append((key, bytes(body)))
        else:
            patient = key >> 16
            records[patient] = Loaded(patient, person, version, bytes(body))
    for key, body in stays:
        records[key >> 16].stays[(key & 65535) - 1] = body
