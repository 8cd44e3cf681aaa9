"""The journal's writer: one thread, group commit, and nobody waits for nothing. Floor 4.

The thread drains whatever waits into one transaction, commits, and then answers all of it. When a commit
ends in any way but a clean success, nothing of its group is acknowledged, the stream ends and a new one
begins with the next group.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog

from broker.errors import StoreError
from broker.store.journal_group import Group, Numbering
from broker.store.journal_long import Done, Lane, LongFrame
from broker.store.journal_postgres import PostgresPen, connect_postgres
from broker.store.journal_queue import Queue
from broker.store.journal_rows import Entry, Receipt, key_of
from broker.store.journal_sheet import Pen, StoreDied
from broker.store.journal_sqlite import SqlitePen, connect_sqlite, wall_micros
from broker.store.open import FolderLock, sqlite_path

__all__ = ["Writer"]

log = structlog.get_logger()

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
        self._queue = Queue(post)
        self._on_death, self._commit_secs = on_death, commit_secs
        self._by = f"{by} {socket.gethostname()} {os.getpid()}"
        self._numbering: Numbering | None = None  # of the present stream, if there is one

        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="journal-watchdog", daemon=True)
        self._thread.start()
        self._watchdog.start()

    @property
    def waiting_bytes(self) -> int:
        """What is not yet answered. Whoever receives pauses while this is high."""
        return self._queue.bytes

    def accept(self, entry: Entry, done: Done, lane: Lane | None = None) -> None:
        """Writes one frame. `done` gets its receipt once it is on disk, or `StoreError`: ask again.

        When one fails, what came behind it on the same `lane` fails too, though it may be in a later group.
        Returns at once; may be called from any thread.
        """
        self._queue.put(entry, done, lane)

    def begin_long(self) -> LongFrame:
        """For a frame that is known to be long before it is whole."""
        return LongFrame(self._queue)

    def note_unanswered(self, receipt: Receipt) -> None:
        """The sender was gone before the answer could be written. Kept with the next group."""
        self._queue.note_unanswered(key_of(receipt.stream, receipt.seq))

    def stop(self, drain_secs: float) -> bool:
        """Takes no more, writes what waits, ends the stream. False: not all could be written in that time."""
        self._queue.close(StoreError("the broker is stopping", code="stopping"))
        self._thread.join(drain_secs)
        drained = not self._thread.is_alive()
        if not drained:
            self._queue.fail_everything(StoreError("the broker stopped before this could be stored"))
        self._over.set()
        return drained

    # The writing thread

    def _run(self) -> None:
        try:
            self._rest()
            while (group := self._queue.next(REST_SECS if self._numbering else RETRY_SECS)) is not None:
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
            self._queue.stream_lost(error)

    def _open(self) -> Numbering:
        opened = self._pen.open(self._by)
        log.info("journal.stream_opened", stream=opened.stream)
        self._numbering = Numbering(opened.stream, opened.now)
        return self._numbering

    def _write(self, group: Group) -> None:
        try:
            numbering = self._numbering or self._open()
            self._queue.begin_write()
            sheet = numbering.sheet(group)
            at = self._pen.write(sheet)
        except StoreError as error:
            log.error("journal.group_failed", code=error.code, why=error.text, rows=len(group.entries))
            self._numbering = None
            self._close_pen()
            self._queue.failed(group, error)
            if isinstance(error, StoreDied):
                raise
        else:
            numbering.written(at)
            self._queue.written(group, group.receipts(sheet.lines, numbering.stream, at))

    def _end(self) -> None:
        if self._numbering is not None:
            try:
                self._pen.end("clean")
            except StoreError as error:
                log.warning("journal.not_ended", why=error.text)

    def _close_pen(self) -> None:
        try:
            self._pen.close()
        except StoreError as error:
            log.warning("journal.close_failed", why=error.text)

    # The end of everything

    def _die(self, error: BaseException) -> None:
        log.error("journal.writer_died", error=type(error).__name__)
        try:
            self._queue.fail_everything(StoreError("the journal's writer has ended", code="writer_dead"))
        finally:
            self._on_death(error)

    def _watch(self) -> None:
        """Gives up a commit that never returns: first its connection, then, if that is of no use, all."""
        hung_up: Group | None = None
        while not self._over.wait(min(1.0, self._commit_secs / 4)):
            group, lasted = self._queue.in_hand()
            if group is None or lasted < self._commit_secs:
                continue
            if group is not hung_up and self._pen.hang_up():
                log.error("journal.hung_up", lasted_secs=round(lasted))
                hung_up = group
            elif group is not hung_up or lasted > 2 * self._commit_secs:
                self._die(StoreDied("a commit does not return", code="store_stuck"))
                return
