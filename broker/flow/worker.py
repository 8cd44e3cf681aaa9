"""The worker: from the journal to notices, tasks and deliveries. Floor 8; a plain blocking loop.

A batch is read, mapped, loaded, decided and saved (ARCHITECTURE section 4), and its cursors move in the
transaction that saves its effects: exactly once, whatever dies and when. Safety rests on the compare-and-set
of `CareStore.save`; whoever was slower begins again.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from os import getpid
from socket import gethostname
from threading import Event
from uuid import uuid4

import structlog

from broker.care.given import Directory, Given
from broker.crash import at as crash_at
from broker.decide import decide, decide_due, given_of, narrowed
from broker.errors import StoreError
from broker.flow.careful import Careful
from broker.flow.structure import StructureCheck
from broker.ids import Names
from broker.mapped import Mapped, Refusal, map_row, named, seen_key
from broker.project import Project
from broker.records import Records, Remembered
from broker.store.batch import Aside, Batch, CursorMove
from broker.store.care import CareStore, Overtaken, Refusable
from broker.store.journal import Reader, Row, Run

log = structlog.get_logger()

ALL_SLOTS = frozenset(range(-2, 64))
MOVED_BY_OTHERS = frozenset({"cursor", "aside", "record", "deadlock", "serialization"})
CONFLICTS = 4  # of one kind, in a row, over the same messages, with nothing moved
SEEN_FOR = timedelta(days=30)
FORGET_AT_ONCE, FORGET_SECS = 2_000, 600
COLLECT_SECS = 60.0  # between looks for garbage in circles, each some tenths of a second
Cursors = dict[tuple[int, int], int]
Asides = dict[tuple[int, int], Aside]


@dataclass(frozen=True, slots=True)
class Pace:
    """How the worker goes: messages and bytes a batch, seconds between looks at news, timers, directory."""

    batch_size: int = 400
    batch_bytes: int = 16 * 1024 * 1024
    idle_secs: float = 0.05
    timers_secs: float = 1.0
    directory_secs: float = 2.0


AT_EASE = Pace()


@contextmanager
def calm_collector() -> Iterator[None]:
    """Garbage in circles is looked for only when that is asked for.

    A batch's many objects live until it is saved and make no circles; looking through them again and again
    was a quarter of the worker's time. What is there already (project, modules) is looked through no more.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Worker:
    """Works the slots that are free until it is asked to stop.

    `beat` is called at the begin of every batch, so that a supervisor can tell a worker that is stuck.
    """

    def __init__(
        self,
        project: Project,
        bundle: str,
        reader: Reader,
        care: CareStore,
        pace: Pace = AT_EASE,
        beat: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project, self._bundle, self._reader, self._care = project, bundle, reader, care
        self._pace, self._beat, self._monotonic = pace, beat, monotonic
        self._names = Names(care.secret())
        self._directory, self._directory_at = Directory(), float("-inf")
        self._timers_at = float("-inf")
        self._numbers: list[int] = []
        self._remembered = Remembered()
        self._cursors: Cursors | None = None
        self._careful: Careful | None = None
        self._conflicts: Counter[tuple[int, int, bool]] = Counter()
        self._structure = StructureCheck()
        self._forget_at = float("-inf")

    def run(self, stop: Event) -> None:
        """Works until `stop` is set, then marks a clean end. A database that is gone is waited for."""
        with calm_collector():
            self._run(stop)
        self.end()

    def _run(self, stop: Event) -> None:
        collect_at = self._monotonic() + COLLECT_SECS
        wait = 0.2
        while not stop.is_set():
            self._beat()
            try:
                worked = self.work_once()
                wait = 0.2
            except StoreError as error:
                log.error("worker.store_failed", code=error.code, wait_secs=wait)
                self._cursors = None
                stop.wait(wait)
                wait = min(wait * 2, 5.0)
                continue
            if not worked:
                stop.wait(self._pace.idle_secs)
            if self._monotonic() >= collect_at:
                gc.collect()
                collect_at = self._monotonic() + COLLECT_SECS

    def end(self) -> None:
        """Marks a clean end; a later batch is a new start."""
        self._structure.close()
        if self._careful is not None:
            self._careful.end()
            self._careful = None

    def work_once(self) -> int:
        """One batch over all slots that are free, and what fell due. Returns how much was worked."""
        if self._careful is None:
            owner = f"{gethostname()}:{getpid()}:{uuid4().hex[:8]}"
            self._careful = Careful(self._care, owner, self._pace.batch_size, ALL_SLOTS)
        with self._care.slots_taken(ALL_SLOTS) as slots:
            return self._work_timers(slots) + self._work_slots(slots, self._careful) if slots else 0

    def _work_slots(self, slots: Collection[int], careful: Careful) -> int:
        if self._cursors is None or not self._care.alone:
            self._cursors = self._care.cursors(slots)
        limit = 1 if careful.on else self._pace.batch_size
        ready = self._care.ready_aside(slots, limit=limit)
        asides = {(aside.stream, aside.seq): aside for aside in ready}
        run = self._reader.read(self._cursors, slots, limit, self._pace.batch_bytes)
        if careful.on and asides:
            run = Run((), {})
        rows = [self._reader.fetch(stream, seq) for stream, seq in asides] + list(run.rows)
        rows.sort(key=lambda row: (row.at, row.stream, row.seq))
        careful.next_is(rows[0] if rows else None, slots)
        paused = frozenset(self._care.paused())
        if len(ready) == limit:  # there may be more: what comes later in their channels waits behind them
            paused |= {aside.channel for aside in ready if aside.state == "paused"}
        doomed = careful.take(rows[0]) if careful.on and rows else None
        alone = careful.on
        self._save(rows, asides, run.upto, paused, doomed)
        if alone and rows and self._cursors is not None:
            careful.worked(rows[0].slot)
        return len(rows)

    def _save(
        self,
        rows: Sequence[Row],
        asides: Asides,
        upto: Mapping[tuple[int, int], int],
        paused: frozenset[str],
        doomed: Refusal | None = None,
    ) -> None:
        """Maps, decides and saves. When somebody was faster the batch is given up, to be read anew."""
        assert self._cursors is not None
        moves = [
            CursorMove(slot, stream, was, now)
            for (slot, stream), now in upto.items()
            if now != (was := self._cursors.get((slot, stream), 0))
        ]
        if not rows and not moves:
            return
        mapped = [self._map(row, paused, asides.get((row.stream, row.seq)), doomed) for row in rows]
        batch, records = self._decide(mapped)
        batch.cursors += moves
        crash_at("worker.before_save")
        try:
            saved = self._care.save(batch)
        except Refusable as error:
            self._apart(
                rows, asides, paused, Refusal("not_storable", "", f"the database refuses it: {error.code}")
            )
            return
        crash_at("worker.after_save")
        if not isinstance(saved, Overtaken):
            self._conflicts.clear()
            records.saved()
            for move in moves:
                self._cursors[move.slot, move.stream] = move.now
        elif rows and self._is_its_own(rows, saved.what, moves):
            self._apart(
                rows, asides, paused, Refusal("conflict", "", f"it conflicts with itself: {saved.what}")
            )
        else:
            self._cursors = None

    def _is_its_own(self, rows: Sequence[Row], what: str, moves: Sequence[CursorMove]) -> bool:
        """Whether a conflict is the messages' own: it came again and again, and nothing else had moved.

        Another worker, or a person, may be faster several times in a row: that is nobody's fault.
        """
        if what in MOVED_BY_OTHERS or not self._stands(moves):
            self._conflicts.clear()
            return False
        batch = (rows[0].stream, rows[0].seq, len(rows) == 1)
        self._conflicts[batch] += 1
        if self._conflicts[batch] < CONFLICTS:
            return False
        del self._conflicts[batch]
        return True

    def _stands(self, moves: Sequence[CursorMove]) -> bool:
        """Whether the cursors are still where the batch found them, so that a conflict is its own."""
        found = self._care.cursors({move.slot for move in moves}) if moves else {}
        return all(found.get((move.slot, move.stream), 0) == move.was for move in moves)

    def _apart(self, rows: Sequence[Row], asides: Asides, paused: frozenset[str], refusal: Refusal) -> None:
        """Saves the messages of a batch that failed one by one; the one that fails alone is refused."""
        alone = refusal if len(rows) == 1 else None
        for row in rows:
            if self._cursors is None:  # somebody was faster meanwhile
                return
            upto = {} if (row.stream, row.seq) in asides else {(row.slot, row.stream): row.seq}
            self._save([row], asides, upto, paused, alone)

    def _map(self, row: Row, paused: frozenset[str], aside: Aside | None, doomed: Refusal | None) -> Mapped:
        if doomed is not None:
            return Mapped(row, "refused", doomed.code, refusal=doomed, aside=aside)
        # What is ready to be worked is so whatever waits behind it.
        mapped = map_row(row, self._project, frozenset() if aside else paused, aside)
        if mapped.outcome == "worked" and self._project.channels[row.channel].validate:
            return self._validated(mapped)
        return mapped

    def _validated(self, mapped: Mapped) -> Mapped:
        """The same, refused where its channel asks for hl7apy's judgement of its structure and that is no."""
        charset = self._project.channels[mapped.row.channel].default_charset
        problem = self._structure.problem(mapped.row.raw, charset)
        if problem is None:
            return mapped
        refusal = Refusal("structure", problem.where, problem.text)
        return Mapped(mapped.row, "refused", refusal.code, refusal=refusal, aside=mapped.aside)

    def _decide(self, mapped: Sequence[Mapped]) -> tuple[Batch, Records]:
        patients, visits = named(mapped)
        seen = self._care.seen(
            {seen_key(one.row) for one in mapped if one.row.slot >= 0 and one.row.control_id}
        )
        loaded = self._care.records_of(patients, visits)
        records = Records(loaded, self._care.records, self._reserve, self._remembered)
        crash_at("worker.after_load")
        return decide(mapped, seen, records, self._given(), self._bundle), records

    def _work_timers(self, slots: Collection[int]) -> int:
        """What fell due by the database's clock, looked at once a second at most."""
        if self._monotonic() < self._timers_at:
            return 0
        self._forget_repeats()
        due = self._care.due_timers(self._care.now(), slots, self._pace.batch_size)
        if len(due) < self._pace.batch_size:
            self._timers_at = self._monotonic() + self._pace.timers_secs
        if due:
            records = Records(
                self._care.records({timer.patient for timer in due}), self._care.records, self._reserve
            )
            batch = decide_due([(timer.patient, timer.n) for timer in due], records, self._given())
            crash_at("worker.before_timers")
            self._care.save(batch)  # overtaken: they are still due, and looked at again
        return len(due)

    def _forget_repeats(self) -> None:
        """A message that comes again after so long is a new one; a slice of what is that old goes."""
        if self._monotonic() >= self._forget_at:
            gone = self._care.forget_seen(self._care.now() - SEEN_FOR, FORGET_AT_ONCE)
            self._forget_at = self._monotonic() + (FORGET_SECS if gone < FORGET_AT_ONCE else 1)

    def _given(self) -> Given:
        if self._monotonic() >= self._directory_at:
            directory = narrowed(self._care.directory(), self._project)
            if directory != self._directory:  # what was worked out by the same one still holds
                self._directory = directory
            self._directory_at = self._monotonic() + self._pace.directory_secs
        return given_of(self._project, self._directory, self._care.now(), self._names)

    def _reserve(self) -> int:
        """A number for a new patient, from a block of our own; a number not used is a gap."""
        if not self._numbers:
            self._numbers = list(reversed(self._care.reserve(500)))
        return self._numbers.pop()
