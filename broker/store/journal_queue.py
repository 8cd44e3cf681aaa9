"""What waits for the journal's writer, who has been answered, and what is in hand. Floor 4; no database."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from broker.errors import StoreError
from broker.store.journal_group import Group, Result
from broker.store.journal_long import Done, Lane, LongFrame
from broker.store.journal_rows import PART_BYTES, Entry

__all__ = ["Queue"]

log = structlog.get_logger()

GROUP_ROWS = 1000
GROUP_BYTES = 4 << 20
# What a waiting entry costs beside its bytes.
ENTRY_BYTES = 1000


class Queue:
    """Between many who hand over and one who writes. Everybody who hands over is answered exactly once.

    `post` brings a function that answers a whole group to the thread that may do so.
    """

    def __init__(self, post: Callable[[Callable[[], None]], None]) -> None:
        self._post = post
        self._news = threading.Condition()  # guards all that follows
        self._idle = False
        self._closed: StoreError | None = None
        self._waiting: deque[tuple[Entry, Done, Lane | None]] = deque()
        self._long: deque[LongFrame] = deque()
        self._begun: set[LongFrame] = set()  # parts of them stand in the present stream
        self._unanswered: list[int] = []
        self._dropped: list[tuple[int, int]] = []
        self._in_hand: Group | None = None
        self._since = 0.0
        self.bytes = 0

    # Handing over

    def put(self, entry: Entry, done: Done, lane: Lane | None) -> None:
        if len(entry.raw) > PART_BYTES:
            self._put_long(entry, done)
            return
        with self._news:
            refused = self._closed
            if refused is None:
                self._waiting.append((entry, done, lane))
                self.bytes += len(entry.raw) + ENTRY_BYTES
                if self._idle:
                    self._news.notify()
        if refused is not None:
            self._answer([(done, refused)])

    def note_unanswered(self, key: int) -> None:
        with self._news:
            self._unanswered.append(key)
            self._news.notify()

    def close(self, why: StoreError) -> None:
        """Takes no more; what waits is still to be written."""
        with self._news:
            self._closed = self._closed or why
            self._news.notify_all()

    # Long frames

    def _put_long(self, entry: Entry, done: Done) -> None:
        frame, raw = LongFrame(self), memoryview(entry.raw)
        cuts = range(0, len(raw), PART_BYTES)
        for start in cuts[:-1]:
            self.queue_part(frame, raw[start : start + PART_BYTES])
        self.queue_last(frame, raw[cuts[-1] :], entry, done)

    def queue_part(self, frame: LongFrame, part: bytes | memoryview) -> None:
        with self._news:
            if self._closed is None and frame.lost is None:
                self._queue(frame, part)

    def queue_last(self, frame: LongFrame, part: bytes | memoryview, entry: Entry, done: Done) -> None:
        with self._news:
            refused = self._closed or frame.lost
            if refused is None:
                frame.entry, frame.done = entry._replace(raw=b""), done
                self._queue(frame, part)
        if refused is not None:
            self._answer([(done, refused)])

    def _queue(self, frame: LongFrame, part: bytes | memoryview) -> None:
        if not frame.waiting:
            self._long.append(frame)
        frame.waiting.append(part)
        self.bytes += len(part)
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
            self.bytes -= sum(map(len, frame.waiting))
            frame.waiting.clear()

    def _drop(self, frame: LongFrame) -> None:
        if frame in self._begun:
            self._begun.remove(frame)
            self._dropped += [(key, frame.day) for key in frame.keys]

    def _drop_unfinished(self) -> None:
        for frame in list(self._begun):
            self._lose(frame, StoreError("the broker is stopping", code="stopping"))
            self._drop(frame)

    # Writing

    def next(self, quiet_secs: float) -> Group | None:
        """Whatever waits, within bounds; an empty group when it was quiet so long; None when it is over."""
        with self._news:
            while not (self._waiting or self._long or self._unanswered or self._dropped):
                if self._closed is not None:
                    self._drop_unfinished()
                    if self._dropped:
                        break
                    return None
                self._idle = True
                heard = self._news.wait(quiet_secs)
                self._idle = False
                if not heard:
                    return Group()
            group = self._gather()
            self._in_hand, self._since = None if group.empty else group, time.monotonic()
            self.bytes -= sum(len(entry.raw) + ENTRY_BYTES for entry, _ in group.refused)
        if group.refused:
            why = StoreError("an earlier frame of its line could not be stored", code="behind_a_failure")
            self._answer([(done, why) for _, done in group.refused])
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

    def in_hand(self) -> tuple[Group | None, float]:
        """The group that is being written, and for how many seconds."""
        with self._news:
            return self._in_hand, time.monotonic() - self._since

    def begin_write(self) -> None:
        """From now on the time counts: a stream may have had to be opened first."""
        self._since = time.monotonic()

    # Answering

    def written(self, group: Group, results: list[Result]) -> None:
        with self._news:
            if not self._taken_back(group):
                return
            if group.frame is not None:
                self._part_written(group.frame)
        self._answer(results)

    def failed(self, group: Group, why: StoreError) -> None:
        """Nothing of the group is acknowledged; long frames with parts in its stream are lost with it."""
        with self._news:
            if not self._taken_back(group):
                return
            group.break_lanes()
            self._unanswered = group.unanswered + self._unanswered
            results = group.failures(why) + self._lose_begun(group, why)
        self._answer(results)

    def stream_lost(self, why: StoreError) -> None:
        """The stream has ended while nothing was being written."""
        with self._news:
            results = self._lose_begun(None, why)
        self._answer(results)

    def fail_everything(self, why: StoreError) -> None:
        """Nothing will be written any more: all who wait are told so, and all who come."""
        with self._news:
            self._closed = self._closed or why
            group, self._in_hand = self._in_hand, None
            results = group.failures(why) if group is not None else []
            results += self._lose_begun(group, why)
            results += [(done, why) for _, done, _ in self._waiting]
            self._waiting.clear()
            for frame in list(self._long):
                self._lose(frame, why)
                if frame.done is not None:
                    results.append((frame.done, why))
            self._unanswered, self._dropped, self.bytes = [], [], 0
            self._news.notify_all()
        self._answer(results)

    def _taken_back(self, group: Group) -> bool:
        """Whether it was still in hand; if not, it was given up meanwhile and is answered."""
        if self._in_hand is not group:
            return False
        self._in_hand = None
        self.bytes -= group.size + ENTRY_BYTES * len(group.entries)
        return True

    def _part_written(self, frame: LongFrame) -> None:
        self._begun.add(frame)
        if frame.lost is not None:
            self._drop(frame)
        elif frame.entry is not None and not frame.waiting:
            self._begun.remove(frame)

    def _lose_begun(self, group: Group | None, why: StoreError) -> list[Result]:
        results: list[Result] = []
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

    def _answer(self, results: list[Result]) -> None:
        if not results:
            return

        def answer_all() -> None:
            for done, result in results:
                try:
                    done(result)
                except Exception as error:
                    log.error("journal.done_failed", error=type(error).__name__)

        self._post(answer_all)
