"""A journal, a care store and a worker in this process, of a project, on stores that stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from broker.flow.worker import Pace, Worker
from broker.hl7 import Message, header
from broker.project import Project
from broker.site import patient_key
from broker.slots import slot_of
from broker.store.bundles import Bundles
from broker.store.care import CareStore
from broker.store.journal import Entry, Reader, Receipt, Row, Writer
from broker.store.open import Stores, open_engine

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
ALL_SLOTS = range(-2, 64)


def recent(raw: bytes) -> bytes:
    """A message of the fixtures as if its 5 March were yesterday: old news calls for no outreach."""

    def this_week(found: re.Match[bytes]) -> bytes:
        return (datetime.now(UTC) - timedelta(days=6 - int(found[1]))).strftime("%Y%m%d").encode()

    return re.sub(rb"202603(\d\d)", this_week, raw).replace(b"\r\n", b"\r").replace(b"\n", b"\r")


def all_rows(reader: Reader) -> list[Row]:
    """Everything that the journal holds, in the order of places."""
    rows: list[Row] = []
    cursors: dict[tuple[int, int], int] = {}
    while (run := reader.read(cursors, ALL_SLOTS, 10_000, 1 << 30)).rows:
        rows += run.rows
        cursors |= run.upto
    return rows


class House:
    """Puts messages into the journal as intake does, and works them."""

    def __init__(self, stores: Stores, project: Project, batch_size: int = 400) -> None:
        self.stores, self.project, self.batch_size = stores, project, batch_size
        self.engine = open_engine(stores.care_url, role="care")
        self.care = CareStore(self.engine)
        self.reader = Reader(open_engine(stores.journal_url, role="journal", read_only=True))
        self.bundle = Bundles(self.engine).put(project.files())
        self.writer = Writer(stores.journal_url, post=lambda call: call(), on_death=lambda error: None)

    def worker(self, care: CareStore | None = None) -> Worker:
        pace = Pace(self.batch_size, timers_secs=0, directory_secs=0)
        return Worker(self.project, self.bundle, self.reader, care or self.care, pace)

    def work(self) -> None:
        """Until nothing is left."""
        worker = self.worker()
        while worker.work_once():
            pass
        worker.end()

    def receive(self, messages: Iterable[bytes], channel: str = "north") -> list[Receipt]:
        """All of them, in their order; returns when they are stored."""
        return self.keep([self.entry(raw, channel) for raw in messages])

    def keep(self, entries: Sequence[Entry]) -> list[Receipt]:
        got: list[object] = []
        came = Event()

        def done(answer: object) -> None:
            got.append(answer)
            if len(got) == len(entries):
                came.set()

        for entry in entries:
            self.writer.accept(entry, done)
        assert not entries or came.wait(60)
        assert all(isinstance(answer, Receipt) for answer in got), got
        return got  # type: ignore[return-value]

    def entry(self, raw: bytes, channel: str = "north") -> Entry:
        head = header(raw)
        said = self.project.channels[channel]
        message = Message(raw, default_charset=said.default_charset)
        key = patient_key(message, self.project.site_of(said, message))
        return Entry(
            raw, slot_of(*(key or ("channel", channel))), channel, "test", head.message_type,
            head.event, head.control_id, f"{head.sending_application}|{head.sending_facility}", answer="AA",
        )  # fmt: skip

    def close(self) -> None:
        self.writer.stop(10)
        self.care.close()
        self.reader.close()
        self.engine.dispose()


@contextmanager
def house(stores: Stores, project: Project, batch_size: int = 400) -> Iterator[House]:
    """A house that is closed at the end."""
    built = House(stores, project, batch_size)
    try:
        yield built
    finally:
        built.close()
