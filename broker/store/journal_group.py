"""One group, and how a stream numbers and chains what is in it. Floor 4; no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from broker.errors import StoreError
from broker.store.journal_long import Done, Lane, LongFrame
from broker.store.journal_rows import DAY_MICROS, NO_CHAIN, SEQ_MASK, Entry, Receipt, key_of, link, words_of
from broker.store.journal_sheet import OWN_DAY, Line, Sheet
from broker.store.types import to_micros

__all__ = ["Group", "Numbering", "Result"]

Result = tuple[Done, Receipt | StoreError]


@dataclass(slots=True, eq=False)
class Group:
    """What goes into one transaction: entries, at most one part of a long frame, and small notes."""

    entries: list[tuple[Entry, Done]] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    refused: list[tuple[Entry, Done]] = field(default_factory=list)
    frame: LongFrame | None = None
    part: bytes | memoryview = b""
    unanswered: list[int] = field(default_factory=list)
    dropped: list[tuple[int, int]] = field(default_factory=list)

    def take_part(self, frame: LongFrame) -> None:
        self.frame, self.part = frame, frame.waiting.popleft()

    @property
    def empty(self) -> bool:
        return not (self.entries or self.frame or self.unanswered or self.dropped)

    def add(self, entry: Entry, done: Done, lane: Lane | None) -> None:
        """An entry of a broken lane is not written: it would overtake the one that was lost."""
        if lane is not None:
            if lane.broken:
                self.refused.append((entry, done))
                return
            self.lanes.append(lane)
        self.entries.append((entry, done))

    def break_lanes(self) -> None:
        for lane in self.lanes:
            lane.broken = True

    @property
    def size(self) -> int:
        return sum(len(entry.raw) for entry, _ in self.entries) + len(self.part)

    @property
    def ending(self) -> tuple[LongFrame, Entry, Done] | None:
        """The long frame whose last part this is, with its header."""
        frame = self.frame
        if frame is None or frame.waiting or frame.entry is None or frame.done is None:
            return None
        return frame, frame.entry, frame.done

    def failures(self, why: StoreError) -> list[Result]:
        return [(done, why) for done in self._dones()]

    def receipts(self, lines: Sequence[Line], stream: int, at: datetime) -> list[Result]:
        return [
            (done, Receipt(stream, line.key & SEQ_MASK, at))
            for done, line in zip(self._dones(), lines, strict=True)
        ]

    def _dones(self) -> list[Done]:
        ending = [self.ending[2]] if self.ending else []
        return [*(done for _, done in self.entries), *ending]


class Numbering:
    """A stream's own numbers: of rows, of parts, and the chain so far. Given up with the stream."""

    def __init__(self, stream: int, now: datetime) -> None:
        self.stream = stream
        self._seq = self._part = key_of(stream, 0)
        self._chain = NO_CHAIN
        self._before = 0
        self._day = to_micros(now) // DAY_MICROS
        self._numbered = False

    def sheet(self, group: Group) -> Sheet:
        """Numbers a group. Nothing of it counts if it is not written: then the stream is given up."""
        lines: list[Line] = []
        bodies: list[tuple[int, bytes | memoryview]] = []
        for entry, _ in group.entries:
            raw = entry.raw
            self._part += 1
            bodies.append((self._part, raw))
            lines.append(self._line(entry, len(raw), sha256(raw).digest(), OWN_DAY, self._part, ""))
        sheet = Sheet(lines, bodies, dropped=group.dropped, unanswered=group.unanswered)
        if group.frame is not None:
            self._add_part(group, group.frame, sheet, lines)
        return sheet

    def written(self, at: datetime) -> None:
        """The last sheet is on disk, under this time."""
        self._day = to_micros(at) // DAY_MICROS
        if self._numbered:
            self._before = to_micros(at)
        self._numbered = False

    def _add_part(self, group: Group, frame: LongFrame, sheet: Sheet, lines: list[Line]) -> None:
        if not frame.keys:
            frame.day = self._day
        self._part += 1
        frame.keys.append(self._part)
        frame.digest.update(group.part)
        frame.size += len(group.part)
        sheet.loose = (self._part, frame.day, group.part)
        if group.ending is not None:
            first, *more = frame.keys
            lines.append(
                self._line(
                    group.ending[1],
                    frame.size,
                    frame.digest.digest(),
                    frame.day,
                    first,
                    ",".join(map(str, more)),
                )
            )
            sheet.tied = frame.keys

    def _line(self, entry: Entry, size: int, digest: bytes, day: int, part: int, more: str) -> Line:
        self._seq += 1
        self._numbered = True
        words, joined = words_of(entry)
        self._chain = link(self._chain, self._before, self._seq, entry.slot, digest, joined)
        return Line(self._seq, entry.slot, words, size, digest, self._chain, day, part, more)
