"""How fast the journal's writer accepts, alone, and how fast its rows are read.

Prints accepted per second with 1, 8 and 64 senders that wait for their answer, beside what one fsync costs,
and microseconds a row of reading. `python bench/journal.py [--store postgresql://...] [--secs 2]`.
"""

from __future__ import annotations

import argparse
import os
import queue
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from broker.errors import StoreError
from broker.store.journal import Entry, Reader, Receipt, Writer
from broker.store.open import migrate_all, open_engine, store_urls

MESSAGE = (
    b"MSH|^~\\&|ADT|NORTH|HANDOFF|HANDOFF|20260305141000||ADT^A03|C%06d|P|2.5.1\r" + b"PID|1||1234\r" * 160
)[:2000]
ALL_SLOTS = range(-2, 64)


def accepted(url: str, senders: int, secs: float) -> float:
    """Messages a second with so many senders, each of which sends again when it is answered."""
    posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    writer = Writer(url, post=posted.put, on_death=print)
    entry = Entry(
        MESSAGE, 7, "north_adt", "10.1.2.3", "ADT", "A03", "C123456", "ADT|NORTH", "20260305141000", "P",
        "2.5.1", "", "AA", "", "0123456789abcdef",
    )  # fmt: skip
    count = 0
    over = False

    def answered(answer: Receipt | StoreError) -> None:
        nonlocal count
        assert isinstance(answer, Receipt), answer
        count += 1
        if not over:
            writer.accept(entry, answered)

    start = time.perf_counter()
    for _ in range(senders):
        writer.accept(entry, answered)
    while time.perf_counter() - start < secs:
        posted.get()()
    rate = count / (time.perf_counter() - start)
    over = True
    writer.stop(10)
    return rate


def microseconds_to_read(url: str, batch: int) -> float:
    engine = open_engine(url, role="journal", read_only=True)
    reader = Reader(engine)
    cursors: dict[tuple[int, int], int] = {}
    rows, start = 0, time.perf_counter()
    while rows < 20_000 and (run := reader.read(cursors, ALL_SLOTS, batch, 1 << 30)).rows:
        rows += len(run.rows)
        cursors.update(run.upto)
    lasted = time.perf_counter() - start
    engine.dispose()
    return lasted / rows * 1e6


def microseconds_to_sync(folder: Path) -> float:
    """What one write of a page and its fsync cost on this disk."""
    with open(folder / "probe", "wb") as file:
        start = time.perf_counter()
        for _ in range(200):
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
    return (time.perf_counter() - start) / 200 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", help="postgresql://..., a database of its own; without it SQLite")
    parser.add_argument("--secs", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="handoff-bench-", dir=".") as name:
        folder = Path(name)
        stores = store_urls(folder, options.store)
        migrate_all(stores)
        print(f"one fsync: {microseconds_to_sync(folder):.0f} us")
        for senders in (1, 8, 64):
            rate = accepted(stores.journal_url, senders, options.secs)
            print(f"{senders:3} waiting: {rate:7.0f} accepted/s")
        for batch in (200, 500):
            print(f"reading by {batch}: {microseconds_to_read(stores.journal_url, batch):.1f} us a row")


if __name__ == "__main__":
    main()
