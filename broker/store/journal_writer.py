"""The journal's writer: one thread, group commit, and nobody waits for nothing. Floor 4.

The thread drains whatever waits into one transaction, commits, and then answers all of it. When a commit
ends in any way but a clean success, nothing of its group is acknowledged, the stream ends and a new one
begins with the next group.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from broker.errors import StoreError
from broker.store.journal_group import Group, Numbering
from broker.store.journal_long import Done, Lane, LongFrame
from broker.store.journal_postgres import PostgresPen, connect_postgres
from broker.store.journal_rows import PART_BYTES, Entry, Receipt, key_of
from broker.store.journal_sheet import Pen, StoreDied
from broker.store.journal_sqlite import SqlitePen, connect_sqlite, wall_micros
from broker.store.open import FolderLock, sqlite_path

__all__ = ["Writer"]

log = structlog.get_logger()

GROUP_ROWS = 1000
GROUP_BYTES = 4 << 20
# What a waiting entry costs beside its bytes.
ENTRY_BYTES = 1000
# How often an idle writer looks after its connection; how often it tries for a new one.
REST_SECS = 10.0
RETRY_SECS = 1.0


class Writer:
    """Everything that intake keeps goes through one of these.

    `post` brings a function to the caller's thread (`reactor.callFromThread`); it is called once a group.
    `on_death` is called, in some other thread, when nothing can be written any more and the process must
    stop. `connect` opens the driver's connection. A commit that lasts longer than `commit_secs` is given up
    by closing the connection, never by cancelling it.

    Raises `StoreError` ("in_use") where another intake has the SQLite folder. A database that cannot be
    opened is no error: entries are answered with one, and it is tried again.
    """

    def __init__(
        self,
        url: str,
        *,
        post: Callable[[Callable[[], None]], None],
        on_death: Callable[[BaseException], None],
        by: str = "intake",
        connect: Callable[[], Any] | None = None,
        clock: Callable[[], int] = wall_micros,
        commit_secs: float = 20.0,
    ) -> None:
        path = sqlite_path(url)
        self._lock = FolderLock(path.parent, "intake") if path else None
        self._pen: Pen = (
            SqlitePen(connect or (lambda: connect_sqlite(path)), clock)
            if path
            else PostgresPen(connect or (lambda: connect_postgres(url)))
        )
        self._post, self._on_death, self._commit_secs = post, on_death, commit_secs
        self._by = f"{by} {socket.gethostname()} {os.getpid()}"

        # Everything below is guarded by `_news`, but `_numbering`, which is the thread's.
        self._news = threading.Condition()
        self._idle = False
        self._stopping = False
        self._ended: StoreError | None = None
        self._waiting: deque[tuple[Entry, Done, Lane | None]] = deque()
        self._long: deque[LongFrame] = deque()
        self._begun: set[LongFrame] = set()
        self._unanswered: list[int] = []
        self._dropped: list[tuple[int, int]] = []
        self._bytes = 0
        self._in_hand: Group | None = None
        self._since = 0.0
        self._numbering: Numbering | None = None

        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="journal-watchdog", daemon=True)
        self._thread.start()
        self._watchdog.start()

    @property
    def waiting_bytes(self) -> int:
        """What is not yet answered. Whoever receives pauses while this is high."""
        return self._bytes

    def accept(self, entry: Entry, done: Done, lane: Lane | None = None) -> None:
        """Writes one frame. `done` gets its receipt once it is on disk, or `StoreError`: ask again.

        When one fails, what came behind it on the same `lane` fails too, though it may be in a later group.

        Returns at once; may be called from any thread.
        """
        if len(entry.raw) > PART_BYTES:
            self._accept_long(entry, done)
            return
        with self._news:
            refused = self._ended
            if refused is None:
                self._waiting.append((entry, done, lane))
                self._bytes += len(entry.raw) + ENTRY_BYTES
                if self._idle:
                    self._news.notify()
        if refused is not None:
            self._post_results([(done, refused)])

    def begin_long(self) -> LongFrame:
        """For a frame that is known to be long before it is whole."""
        return LongFrame(self)

    def note_unanswered(self, receipt: Receipt) -> None:
        """The sender was gone before the answer could be written. Kept with the next group."""
        with self._news:
            self._unanswered.append(key_of(receipt.stream, receipt.seq))
            self._news.notify()

    def stop(self, drain_secs: float) -> bool:
        """Takes no more, writes what waits, ends the stream. False: not all could be written in that time."""
        with self._news:
            self._stopping = True
            if self._ended is None:
                self._ended = StoreError("the broker is stopping", code="stopping")
            self._news.notify_all()
        self._thread.join(drain_secs)
        drained = not self._thread.is_alive()
        if not drained:
            self._fail_everything(StoreError("the broker stopped before this could be stored"))
        self._over.set()
        return drained

    # What long frames ask for.

    def _accept_long(self, entry: Entry, done: Done) -> None:
        frame, raw = LongFrame(self), memoryview(entry.raw)
        cuts = range(0, len(raw), PART_BYTES)
        for start in cuts[:-1]:
            self.queue_part(frame, raw[start : start + PART_BYTES])
        self.queue_last(frame, raw[cuts[-1] :], entry, done)

    def queue_part(self, frame: LongFrame, part: bytes | memoryview) -> None:
        with self._news:
            if self._ended is None and frame.lost is None:
                self._queue(frame, part)

    def queue_last(self, frame: LongFrame, part: bytes | memoryview, entry: Entry, done: Done) -> None:
        with self._news:
            refused = self._ended or frame.lost
            if refused is None:
                frame.entry, frame.done = entry._replace(raw=b""), done
                self._queue(frame, part)
        if refused is not None:
            self._post_results([(done, refused)])

    def _queue(self, frame: LongFrame, part: bytes | memoryview) -> None:
        if not frame.waiting:
            self._long.append(frame)
        frame.waiting.append(part)
        self._bytes += len(part)
        self._news.notify()

    def forget(self, frame: LongFrame) -> None:
        with self._news:
            if frame.lost is None and frame.entry is None:
                self._lose(frame, StoreError("the frame was abandoned", code="abandoned"))
                if self._in_hand is None or self._in_hand.frame is not frame:
                    self._drop(frame)
                self._news.notify()

    def _lose(self, frame: LongFrame, why: StoreError) -> None:
        frame.lost = why
        if frame.waiting:
            self._long.remove(frame)
            self._bytes -= sum(map(len, frame.waiting))
            frame.waiting.clear()

    def _drop_unfinished(self) -> None:
        for frame in list(self._begun):
            self._lose(frame, StoreError("the broker is stopping", code="stopping"))
            self._drop(frame)

    def _drop(self, frame: LongFrame) -> None:
        if frame in self._begun:
            self._begun.remove(frame)
            self._dropped += [(key, frame.day) for key in frame.keys]

    # The thread.

    def _run(self) -> None:
        try:
            self._rest()
            while (group := self._next()) is not None:
                if group.empty:
                    self._rest()
                else:
                    self._write(group)
            self._end()
        except BaseException as error:
            self._die(error)
        finally:
            self._over.set()
            self._close_pen()
            if self._lock is not None:
                self._lock.close()

    def _next(self) -> Group | None:
        """Whatever waits, within bounds; an empty group when it was quiet for long; None when it is over."""
        with self._news:
            while not (self._waiting or self._long or self._unanswered or self._dropped):
                if self._stopping:
                    self._drop_unfinished()
                    if self._dropped:
                        break
                    return None
                self._idle = True
                heard = self._news.wait(REST_SECS if self._numbering else RETRY_SECS)
                self._idle = False
                if not heard:
                    return Group()
            group = self._gather()
            self._in_hand, self._since = None if group.empty else group, time.monotonic()
            self._bytes -= sum(len(entry.raw) + ENTRY_BYTES for entry, _ in group.refused)
        if group.refused:
            why = StoreError("an earlier frame of its line could not be stored", code="behind_a_failure")
            self._post_results([(done, why) for _, done in group.refused])
        return group

    def _gather(self) -> Group:
        group, room = Group(), GROUP_BYTES
        while self._waiting and room > 0 and len(group.entries) < GROUP_ROWS:
            entry, done, lane = self._waiting.popleft()
            group.add(entry, done, lane)
            room -= len(entry.raw)
        if self._long:
            frame = self._long.popleft()
            group.take_part(frame)
            if frame.waiting:
                self._long.append(frame)
        group.unanswered, self._unanswered = self._unanswered, []
        group.dropped, self._dropped = self._dropped, []
        return group

    def _rest(self) -> None:
        """Nothing waits: there is time to open a stream, or to look after it."""
        try:
            if self._numbering is None:
                self._open()
            else:
                self._pen.rest()
        except StoreDied:
            raise
        except StoreError as error:
            log.warning("journal.not_open", code=error.code, why=error.text)
            self._numbering = None
            self._close_pen()

    def _open(self) -> Numbering:
        opened = self._pen.open(self._by)
        log.info("journal.stream_opened", stream=opened.stream)
        self._numbering = Numbering(opened.stream, opened.now)
        return self._numbering

    def _end(self) -> None:
        if self._numbering is not None:
            try:
                self._pen.end("clean")
            except StoreError as error:
                log.warning("journal.not_ended", why=error.text)

    def _write(self, group: Group) -> None:
        try:
            numbering = self._numbering or self._open()
            self._since = time.monotonic()
            sheet = numbering.sheet(group)
            at = self._pen.write(sheet)
        except StoreError as error:
            log.error("journal.group_failed", code=error.code, why=error.text, rows=len(group.entries))
            self._numbering = None
            self._close_pen()
            self._settle(group, group.failures(error), error)
            if isinstance(error, StoreDied):
                raise
        else:
            numbering.written(at)
            self._settle(group, group.receipts(sheet.lines, numbering.stream, at), None)

    def _close_pen(self) -> None:
        try:
            self._pen.close()
        except StoreError as error:
            log.warning("journal.close_failed", why=error.text)

    def _settle(
        self, group: Group, results: list[tuple[Done, Receipt | StoreError]], failed: StoreError | None
    ) -> None:
        with self._news:
            if self._in_hand is not group:
                return  # given up meanwhile: answered already
            self._in_hand = None
            self._bytes -= group.size + ENTRY_BYTES * len(group.entries)
            if failed is not None:
                group.break_lanes()
                self._unanswered = group.unanswered + self._unanswered
                results += self._lose_begun(group, failed)
            elif group.frame is not None:
                self._frame_written(group.frame)
        self._post_results(results)

    def _frame_written(self, frame: LongFrame) -> None:
        self._begun.add(frame)
        if frame.lost is not None:
            self._drop(frame)
        elif frame.entry is not None and not frame.waiting:
            self._begun.remove(frame)

    def _lose_begun(self, group: Group | None, why: StoreError) -> list[tuple[Done, Receipt | StoreError]]:
        """Long frames whose parts stand in a stream that has ended are lost with it."""
        results: list[tuple[Done, Receipt | StoreError]] = []
        if group is not None and group.frame is not None:
            self._begun.add(group.frame)
            if group.ending is not None:
                group.frame.lost = why  # its answer is among the group's
        for frame in self._begun:
            if frame.lost is None:
                self._lose(frame, why)
                if frame.done is not None:
                    results.append((frame.done, why))
        self._begun.clear()
        return results

    def _post_results(self, results: list[tuple[Done, Receipt | StoreError]]) -> None:
        if not results:
            return

        def settle() -> None:
            for done, result in results:
                try:
                    done(result)
                except Exception as error:
                    log.error("journal.done_failed", error=type(error).__name__)

        self._post(settle)

    # The end of everything.

    def _die(self, error: BaseException) -> None:
        log.error("journal.writer_died", error=type(error).__name__)
        try:
            self._fail_everything(StoreError("the journal's writer has ended", code="writer_dead"))
        finally:
            self._on_death(error)

    def _fail_everything(self, why: StoreError) -> None:
        with self._news:
            self._ended = self._ended or why
            self._stopping = True
            results: list[tuple[Done, Receipt | StoreError]] = []
            group, self._in_hand = self._in_hand, None
            if group is not None:
                results += group.failures(why)
            results += self._lose_begun(group, why)
            results += [(done, why) for _, done, _ in self._waiting]
            self._waiting.clear()
            for frame in list(self._long):
                self._lose(frame, why)
                if frame.done is not None:
                    results.append((frame.done, why))
            self._unanswered, self._dropped, self._bytes = [], [], 0
            self._news.notify_all()
        self._post_results(results)

    def _watch(self) -> None:
        """Gives up a commit that never returns: first its connection, then, if that is of no use, all."""
        hung_up: Group | None = None
        while not self._over.wait(min(1.0, self._commit_secs / 4)):
            with self._news:
                group, lasted = self._in_hand, time.monotonic() - self._since
            if group is None or lasted < self._commit_secs:
                continue
            if group is not hung_up and self._pen.hang_up():
                log.error("journal.hung_up", lasted_secs=round(lasted))
                hung_up = group
            elif group is not hung_up or lasted > 2 * self._commit_secs:
                self._die(StoreDied("a commit does not return", code="store_stuck"))
                return
