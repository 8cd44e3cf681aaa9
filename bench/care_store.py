"""What loading and saving cost a message: on an empty and on a filled care store.

    python bench/care_store.py [--patients 200000] [--store postgresql://...] [--folder DIR]

A message stands for what a hospital sends most: one `handled`, one `seen`, one notice, one record with one
stay, and four changes (encounter, task, notification, delivery) with their lines of the timeline.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from broker.care.facts import FactId
from broker.care.rows import Cause, Change, DeliveryPut, EncounterPut, NotificationPut, TaskPut
from broker.store.care import (
    Batch,
    CareStore,
    CursorMove,
    HandledPut,
    LoadedRecords,
    NoticePut,
    Overtaken,
    RecordPut,
    SeenKey,
    SeenPut,
)
from broker.store.open import migrate, open_engine, store_urls

BATCH = 300
START = datetime(2026, 1, 1, tzinfo=UTC)
HEAD, STAY, NOTICE = b"h" * 400, b"s" * 1500, b"n" * 700
CONTENT: dict[str, object] = {f"field_{n}": "some words of a discharge" for n in range(12)}


def digest(n: int) -> str:
    return hashlib.sha256(b"%d" % n).hexdigest()


def changes(patient: int, n: int, seq: int, at: datetime) -> list[Change]:
    """Encounter, task, notification and delivery, as a discharge makes them."""
    name = UUID(int=seq)
    cause = Cause(FactId(1, seq, "Discharge", 0), "post_discharge_call", "0123456789ab")
    return [
        EncounterPut(
            patient=patient, n=n, name=name, site="north", visit_id=f"V{seq}", status="discharged",
            patient_class="inpatient", admitted_at=at, discharged_at=at, disposition="home",
            location="4W^12^A", attending="Miller, Ann", reason="pneumonia", verb="discharged", cause=cause,
        ),
        TaskPut(
            patient=patient, n=n, name=name, encounter=n, kind="post_discharge_call",
            title="Call the patient", state="open", owner="coordinator", assignee="", urgency="routine",
            due_at=at + timedelta(days=2),
            opened_at=at, closed_at=None, verify=False, note="", verb="opened", cause=cause,
        ),
        NotificationPut(
            patient=patient, n=n, name=name, version=1, encounter=n, kind="discharge", state="standing",
            urgency="routine", about="1001", occurred_at=at, content=CONTENT, verb="told", cause=cause,
        ),
        DeliveryPut(
            name=name, patient=patient, notification=n, version=1, act="tell", recipient="pcp",
            destination="westside/ehr", address="1234567893", not_before=at, cause=cause,
        ),
    ]  # fmt: skip


def message(batch: Batch, record: RecordPut, seq: int, n: int) -> None:
    """Adds one message about one record to a batch."""
    at = START + timedelta(seconds=seq)
    key = SeenKey("north_adt", "NORTH|ADT", f"{seq:012d}", digest(seq))
    batch.handled.append(
        HandledPut(1, seq, at, "north_adt", "ADT^A03", key.control_id, record.patient, "worked", "", 1)
    )
    batch.seen.append(SeenPut(key, 1, seq, at))
    batch.notices.append(NoticePut(1, seq, "Discharge", 0, record.patient, NOTICE))
    batch.records.append(record)
    batch.changes += changes(record.patient, n, seq, at)


def fill(care: CareStore, patients: int) -> None:
    """Made-up patients with one message each, in large batches."""
    for start in range(1, patients + 1, 5000):
        batch = Batch(cursors=[CursorMove(0, 1, start - 1, start + 4999)])
        for patient in care.reserve(5000):
            new = RecordPut(
                patient, 0, patient, HEAD, {0: STAY}, [("north", f"P{patient}")], [("north", f"V{patient}")]
            )
            message(batch, new, patient, 0)
        saved = care.save(batch)
        assert not isinstance(saved, Overtaken), saved
    with care.engine.begin() as connection:
        connection.execute(text("UPDATE delivery SET state = 'delivered'"))


def whom(chance: random.Random, known: int) -> tuple[list[tuple[str, str]], int]:
    """Whom a batch's messages are about; one in five is about somebody new.

    All others are as likely as one another, which is harder than life, where it is who is in hospital now.
    """
    numbers: dict[tuple[str, str], None] = {}
    while len(numbers) < BATCH:
        if known == 0 or chance.random() < 0.2:
            known += 1
            numbers["north", f"P{known}"] = None
        else:
            numbers["north", f"P{chance.randint(1, known)}"] = None
    return list(numbers), known


def measure(care: CareStore, first: int, known: int, count: int) -> str:
    """Microseconds a message of records_of, seen and save: by the clock, and of this process's CPU."""
    chance = random.Random(7)
    spent = dict.fromkeys(("load", "seen", "save"), (0.0, 0.0))
    for seq in range(first, first + count * BATCH, BATCH):
        numbers, known = whom(chance, known)
        visits = [("north", "V" + number[1:]) for _, number in numbers]
        keys = [SeenKey("north_adt", "NORTH|ADT", f"{seq + i:012d}", digest(seq + i)) for i in range(BATCH)]
        with timed(spent, "load"):
            loaded = care.records_of(numbers, visits)
        with timed(spent, "seen"):
            care.seen(keys)
        batch = decided(care, loaded, seq, numbers)
        with timed(spent, "save"):
            saved = care.save(batch)
        assert not isinstance(saved, Overtaken), saved
    scale = 1e6 / (count * BATCH)
    return "  ".join(f"{name} {a * scale:.0f} ({b * scale:.0f} CPU)" for name, (a, b) in spent.items())


@contextmanager
def timed(spent: dict[str, tuple[float, float]], name: str) -> Iterator[None]:
    clock, cpu = time.perf_counter(), time.process_time()
    yield
    a, b = spent[name]
    spent[name] = (a + time.perf_counter() - clock, b + time.process_time() - cpu)


def decided(care: CareStore, loaded: LoadedRecords, seq: int, numbers: list[tuple[str, str]]) -> Batch:
    """What a worker would have decided: each record with one more stay's worth of change."""
    batch = Batch(cursors=[CursorMove(0, 1, seq - 1, seq + BATCH - 1)])
    fresh = iter(care.reserve(BATCH))
    for i, pair in enumerate(numbers):
        if (patient := loaded.by_number.get(pair)) is None:
            patient = next(fresh)
            record = RecordPut(patient, 0, patient, HEAD, {0: STAY}, [pair], [("north", "V" + pair[1][1:])])
            message(batch, record, seq + i, 0)
        else:
            read = loaded.records[patient]
            record = RecordPut(patient, read.version, read.person, HEAD, {0: STAY})
            message(batch, record, seq + i, read.version)
    return batch


@contextmanager
def fresh(given: argparse.Namespace) -> Iterator[CareStore]:
    """A migrated store: SQLite in a new folder, or the database that was named, which must be empty."""
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        url = store_urls(Path(folder), given.store).care_url
        migrate(url, "care")
        engine = open_engine(url, role="care")
        yield CareStore(engine)
        engine.dispose()


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--patients", type=int, default=200_000, help="in steps of 5000")
    options.add_argument("--batches", type=int, default=20)
    options.add_argument("--store", help="postgresql://...; without: SQLite")
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    if not given.store:
        with fresh(given) as care:
            print("us a message, empty store:", measure(care, 1, 0, given.batches))
    with fresh(given) as care:
        started = time.perf_counter()
        fill(care, given.patients)
        print(f"filled with {given.patients} patients in {time.perf_counter() - started:.1f} s")
        print("us a message, filled store:", measure(care, given.patients + 1, given.patients, given.batches))


if __name__ == "__main__":
    main()
