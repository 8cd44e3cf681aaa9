"""Everything that happens before a sender may forget its message: frame, row, commit, answer. Floor 8.

One `Intake` is one channel's; all of a process share one writer. An answer is composed only when its frame's
row is committed, and leaves in the order of its connection's frames (ARCHITECTURE section 5).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from broker import crash
from broker.channel import Channel
from broker.errors import BrokerError
from broker.flow.answers import Answers
from broker.flow.batches import Batches
from broker.flow.counts import Counts
from broker.flow.judging import QUARANTINE, Judge, Judged, Kind, Ordering, replies
from broker.flow.turns import Asked, BatchTurn, Outbox
from broker.flow.verdict import Verdicts
from broker.hl7 import Header, LongFrame, Unreadable, frame, header
from broker.sources.line import PART, Line
from broker.sources.receiver import Turn
from broker.store.journal import Entry, Writer
from broker.store.journal_long import LongFrame as LongEntry

__all__ = ["Intake"]

log = structlog.get_logger()

STOP_READING_BYTES = 64 * 1024 * 1024  # bytes that wait for the writer; past it, who sends more is not read
R2_ANSWERS = (b"\x06", b"\x15")  # MLLP release 2's own acknowledgements: no messages, and never answered
NO_KIND = Kind("", "", "", "", "", False, (), "", "")


class Intake:
    """Receives, keeps and answers what comes to one channel."""

    def __init__(
        self,
        channel: Channel,
        bundle: str,
        ordering: Ordering,
        writer: Writer,
        answers: Answers,
        outbox: Outbox,
        clock: Any,
        verdicts: Verdicts | None = None,
    ) -> None:
        self.counts = Counts(channel.name)
        self._channel, self.name, self.bundle = channel, channel.name, bundle
        self._judge, self._ordering = Judge(channel), ordering
        self._writer, self._answers, self._outbox = writer, answers, outbox
        self._verdicts = verdicts
        self._batches = Batches(self, writer, answers, outbox, clock)
        self._longs: dict[Line, _Long] = {}

    # What a line brings

    def receive(self, line: Line, frame: bytes) -> None:
        """A whole frame, or the rest of a long one: judged, and handed to the writer."""
        self.counts.received += 1
        if len(frame) > PART or isinstance(frame, LongFrame):
            self._hold_for(line, self._take_long(line, frame))
            return
        try:
            head = header(frame)
        except Unreadable as error:
            self._receive_unreadable(line, frame, error)
            return
        if self._verdicts is None:
            self._admit(line, frame, head)
        else:
            self._hold_for(line, self._admit_by_verdict(line, frame, head, self._verdicts))

    def _receive_unreadable(self, line: Line, frame: bytes, error: Unreadable) -> None:
        if error.code != "batch":
            self.keep_unreadable(line, frame, error)
        elif batch := self._batches.begin(line, frame):
            self._hold_for(line, self._batches.take(batch))

    def _admit(
        self, line: Line, frame: bytes, head: Header, batch: BatchTurn | None = None, number: int = 0
    ) -> None:
        kind = self._judge.kind(head)
        if kind.acknowledges:
            asked = Asked(self, line, head, (), None, batch, number)
            self._accept(asked, self._entry(line, frame, head, kind, self._ordering.without, "", "", batch))
            return
        cause = kind.cause if len(head.fields) > 10 and head.fields[10] else "no_control_id"
        if cause:
            self._quarantine(line, frame, self._judge.negative(cause, head), batch, number)
            return
        asked = Asked(self, line, head, kind.codes, None, batch, number)
        slot = self._slot(line, frame, head)
        self._accept(asked, self._entry(line, frame, head, kind, slot, kind.noted, "", batch))

    async def _admit_by_verdict(
        self,
        line: Line,
        frame: bytes,
        head: Header,
        verdicts: Verdicts,
        batch: BatchTurn | None = None,
        number: int = 0,
    ) -> None:
        """As `_admit`, once a child process has mapped the message."""
        kind = self._judge.kind(head)
        problem = None
        if not (kind.acknowledges or kind.cause or len(head.fields) < 11 or not head.fields[10]):
            problem = await verdicts.ask(self.name, self._whole(line, frame))
        if problem is None:
            self._admit(line, frame, head, batch, number)
            return
        judged = self._judge.unmappable(head, problem)
        elsewhere = self._channel.answer_to is not None
        codes = replies(head, judged.code, elsewhere=elsewhere)
        if judged.code in codes:
            self._quarantine(line, frame, judged, batch, number, codes)
            return
        # Nobody wants the mapping's word on this connection: the worker refuses the message, and shows it.
        noted = " ".join((*codes, f">{judged.code}") if elsewhere else codes)
        asked = Asked(self, line, head, codes, judged, batch, number)
        slot = self._slot(line, frame, head)
        self._accept(asked, self._entry(line, frame, head, kind, slot, noted, "", batch))

    async def admit_in_batch(self, turn: BatchTurn, number: int, message: bytes, head: Header) -> None:
        """One message of a batch."""
        if self._verdicts is None:
            self._admit(turn.line, message, head, turn, number)
        else:
            await self._admit_by_verdict(turn.line, message, head, self._verdicts, turn, number)

    def _hold_for(self, line: Line, work: Coroutine[Any, Any, None]) -> None:
        """Does what takes more than this turn of the reactor; the line's next frames wait behind it."""
        line.hold()
        done = Deferred.fromCoroutine(work)
        done.addErrback(self._fault, line)
        done.addCallback(lambda _: line.release())

    def _fault(self, failure: Failure, line: Line) -> None:
        """A fault of ours: what is unanswered on this line stays so, and its sender sends it again."""
        log.error("intake.fault", channel=self.name, exc_info=failure.value)
        line.cut()

    # To the writer

    def _quarantine(
        self,
        line: Line,
        frame: bytes,
        judged: Judged,
        batch: BatchTurn | None = None,
        number: int = 0,
        codes: tuple[str, ...] | None = None,
    ) -> None:
        """Keeps a frame that is answered negatively where it is counted and shown, and never mapped."""
        head = judged.header
        codes = judged.codes() if codes is None else codes
        kind = self._judge.kind(head) if head is not None and len(head.fields) > 9 else NO_KIND
        asked = Asked(self, line, head, codes, judged, batch, number)
        self._accept(
            asked, self._entry(line, frame, head, kind, QUARANTINE, " ".join(codes), judged.cause, batch)
        )

    def keep_unreadable(
        self, line: Line, frame: bytes, error: Unreadable, batch: BatchTurn | None = None, number: int = 0
    ) -> None:
        """Keeps a frame whose header cannot be read."""
        judged = self._judge.unreadable(error)
        self._quarantine(line, frame, judged, batch, number, () if frame in R2_ANSWERS else None)

    def _entry(
        self,
        line: Line,
        frame: bytes,
        head: Header | None,
        kind: Kind,
        slot: int,
        noted: str,
        cause: str,
        batch: BatchTurn | None = None,
    ) -> Entry:
        fields = head.fields if head is not None else ()
        count = len(fields)
        return Entry(
            frame,
            slot,
            self.name,
            line.peer,
            kind.message_type,
            kind.event,
            fields[10] if count > 10 else "",
            f"{fields[3]}|{fields[4]}" if count > 4 else "",
            fields[7] if count > 7 else "",
            kind.processing_id,
            kind.version,
            kind.charset,
            noted,
            cause,
            self.bundle,
            batch.envelope if batch is not None else "",
        )

    def _slot(self, line: Line, frame: bytes, head: Header) -> int:
        long = self._longs.get(line) if self._longs else None
        return self._ordering.slot(frame if long is None else long.first, head)

    def _whole(self, line: Line, frame: bytes) -> bytes:
        long = self._longs.get(line)
        return frame if long is None else b"".join((long.first, *long.more, frame))

    def _accept(self, asked: Asked, entry: Entry) -> None:
        line = asked.line
        long = self._longs.pop(line, None) if self._longs and asked.batch is None else None
        if long is None:
            self._writer.accept(entry, asked.settled, line)
        else:
            long.kept.add(bytes(entry.raw))
            long.kept.end(entry, asked.settled)
        self._stop_reading_when_full(line)

    def _stop_reading_when_full(self, line: Line) -> None:
        if self._writer.waiting_bytes > STOP_READING_BYTES:
            self._outbox.stop_reading(line)

    # From the writer

    def stored(self, asked: Asked) -> None:
        """The row of this frame is committed: it is answered."""
        crash.at("intake.before_answer")
        judged = asked.judged
        self.counts.answered(asked.codes, self._outbox.now - asked.arrived)
        if judged is not None and asked.receipt is not None:
            self.counts.negative(judged.cause, f"{asked.receipt.stream}.{asked.receipt.seq}")
        self._give(asked)

    def not_stored(self, asked: Asked, error: BrokerError) -> None:
        """Its group failed: it may be stored or not, and its sender is asked to send it again.

        A line that has sent more is closed with what it holds, so that nothing overtakes this one; so is one
        whose sender wants no such answer, since it cannot be told.
        """
        asked.judged = self._judge.negative("store_failed", asked.header)
        asked.codes = asked.judged.codes()
        self.counts.answered(asked.codes, self._outbox.now - asked.arrived)
        self.counts.negative("store_failed", error.code)
        if asked.batch is not None:
            asked.batch.failed = True
        self._give(asked)
        line = asked.line
        if asked.batch is None:
            if line.has_sent_more or not asked.codes:
                line.cut()
            else:
                line.broken = False

    def _give(self, asked: Asked) -> None:
        line = asked.line
        if asked.batch is not None:
            asked.batch.collect(asked.number, b"".join(self._payloads(asked)), asked.receipt)
            return
        if asked.judged is None and asked.header is not None:
            line.give(asked, self._answers.accept(asked.header, asked.codes))
        else:
            line.give(asked, b"".join(map(frame, self._payloads(asked))))
        self._outbox.add(line)

    def _payloads(self, asked: Asked) -> list[bytes]:
        problems = asked.judged.problems if asked.judged is not None else ()
        return [
            self._answers.payload(asked.header, code, problems if code[1] != "A" else ())
            for code in asked.codes
        ]

    def unanswered(self, turn: Turn) -> None:
        """The sender of this frame was gone before its answer: noted, since it will send it again."""
        if turn.answer == b"":
            return
        self.counts.unanswered += 1
        receipts = turn.receipts if isinstance(turn, BatchTurn) else [getattr(turn, "receipt", None)]
        for receipt in receipts:
            if receipt is not None:
                self._writer.note_unanswered(receipt)

    # Long frames, and those that never became whole

    def part(self, line: Line, part: bytes) -> None:
        """The next part of a long frame: written at once, under no header yet."""
        long = self._longs.get(line)
        if long is None:
            long = self._longs[line] = _Long(self._writer.begin_long(), part)
        elif self._verdicts is not None:
            long.more.append(part)
        long.kept.add(part)
        self._stop_reading_when_full(line)

    def part_lost(self, line: Line) -> None:
        """The rest will not come: what was written of it is taken away."""
        if (long := self._longs.pop(line, None)) is not None:
            long.kept.abandon()

    async def _take_long(self, line: Line, rest: bytes) -> None:
        """A long frame is committed over several groups, so nothing of its line is in hand beside it."""
        long = self._longs.get(line)
        await line.quiet()
        beginning = rest if long is None else long.first
        try:
            head = header(beginning)
        except Unreadable as error:
            if error.code == "batch" and (batch := self._batches.begin(line, rest)):
                await self._batches.take(batch)
            elif error.code != "batch":
                self.keep_unreadable(line, rest, error)
        else:
            if isinstance(rest, LongFrame) and rest.messages:
                self._quarantine(line, rest, self._judge.negative("several_messages", head))
            elif self._verdicts is None:
                self._admit(line, rest, head)
            else:
                await self._admit_by_verdict(line, rest, head, self._verdicts)
        await line.quiet()

    def broken(self, line: Line, cause: str, beginning: bytes) -> None:
        """Nothing of this frame is kept: nobody knows what it was to be. Its sender is told, if it can be."""
        if (long := self._longs.pop(line, None)) is not None:
            beginning = long.first
            long.kept.abandon()
        try:
            head: Header | None = header(beginning)
        except Unreadable as error:
            head = error.partial
        judged = self._judge.negative(cause, head)
        asked = Asked(self, line, head, judged.codes(), judged)
        self.counts.answered(asked.codes, 0.0)
        self.counts.negative(cause, line.peer)
        self._give(asked)


class _Long:
    """A long frame of which parts have come. All of it is held only where the mapping is to see it."""

    def __init__(self, kept: LongEntry, first: bytes) -> None:
        self.kept, self.first = kept, first
        self.more: list[bytes] = []
