"""Any history of accepting, failing, restarting and reading, against a model of what must be."""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from broker.errors import StoreError
from broker.store.journal import Entry, Reader, Receipt, Writer, verify
from broker.store.journal_rows import PART_BYTES
from broker.store.journal_sqlite import SqlitePen
from broker.store.open import store_urls

ALL_SLOTS = range(-2, 64)
SIZE = st.sampled_from([0, 1, 50, 3000, PART_BYTES, PART_BYTES + 1])
SLOT = st.integers(-2, 5)


class History(RuleBasedStateMachine):
    """What was acknowledged is there, in the order of commits, with its bytes; runs leave nothing out."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="handoff-history-"))
        shutil.copy(self.template / "journal.db", self.folder / "journal.db")
        self.url = store_urls(self.folder).journal_url
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.reader = Reader(self.url)
        self.acknowledged: dict[tuple[int, int], tuple[Any, bytes, int]] = {}
        self.cursors: dict[tuple[int, int], int] = {}
        self.worked: list[tuple[int, int]] = []
        self.fail_next = False
        self.micros = 1_000_000
        self.writer: Writer | None = None

    @initialize()
    def start(self) -> None:
        self.writer = Writer(
            self.url, post=self.posted.put, on_death=lambda error: None, clock=lambda: self.micros
        )
        pen = self.writer._pen
        assert isinstance(pen, SqlitePen)
        write = pen.write

        def sometimes(sheet: Any) -> Any:
            if self.fail_next:
                self.fail_next = False
                raise StoreError("full")
            return write(sheet)

        pen.write = sometimes  # type: ignore[method-assign]

    @rule(told=st.lists(st.tuples(SIZE, SLOT), min_size=1, max_size=12))
    def accept(self, told: list[tuple[int, int]]) -> None:
        assert self.writer is not None
        answers: list[tuple[bytes, int, Receipt | StoreError]] = []
        for size, slot in told:
            raw = bytes([len(self.acknowledged) % 256]) * size
            self.writer.accept(
                Entry(raw, slot, "c"), lambda answer, raw=raw, slot=slot: answers.append((raw, slot, answer))
            )
        while len(answers) < len(told):
            self.posted.get(timeout=30)()
        for raw, slot, answer in answers:
            if isinstance(answer, Receipt):
                assert (answer.stream, answer.seq) not in self.acknowledged
                self.acknowledged[answer.stream, answer.seq] = (answer.at, raw, slot)

    @rule()
    def fail(self) -> None:
        self.fail_next = True

    @rule(step=st.integers(-5_000_000, 5_000_000))
    def set_the_clock(self, step: int) -> None:
        self.micros += step

    @rule()
    def restart(self) -> None:
        assert self.writer is not None and self.writer.stop(30)
        self.fail_next = False
        self.start()

    @rule(slots=st.sets(SLOT, min_size=1), limit=st.integers(1, 20))
    def work(self, slots: set[int], limit: int) -> None:
        run = self.reader.read(self.cursors, slots, limit, 3 * PART_BYTES)
        for row in run.rows:
            assert (row.at, row.raw, row.slot) == self.acknowledged[row.stream, row.seq]
            assert row.slot in slots
        self.worked += [(row.stream, row.seq) for row in run.rows]
        self.cursors.update(run.upto)

    @precondition(lambda self: self.writer is not None)
    @invariant()
    def times_and_numbers_grow_together(self) -> None:
        in_order = sorted(self.acknowledged)
        times = [self.acknowledged[place][0] for place in in_order]
        assert times == sorted(times)

    def teardown(self) -> None:
        if self.writer is not None:
            assert self.writer.stop(30)
        while self.reader.read(self.cursors, ALL_SLOTS, 50, 1 << 30).upto:
            self.work(set(ALL_SLOTS), 50)
        assert sorted(self.worked) == sorted(self.acknowledged)
        for slot in {slot for _, _, slot in self.acknowledged.values()}:
            of_slot = [place for place in self.worked if self.acknowledged[place][2] == slot]
            assert of_slot == sorted(of_slot, key=lambda place: (self.acknowledged[place][0], *place))
        assert list(verify(self.reader)) == []
        self.reader.close()
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_whatever_happens_what_was_acknowledged_is_worked_once_and_in_order(sqlite_template: Path):
    History.template = sqlite_template
    run_state_machine_as_test(
        History, settings=settings(max_examples=40, stateful_step_count=20, deadline=None)
    )
