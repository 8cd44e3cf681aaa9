"""FHS and BHS batches: a row and an answer a message, a row for the envelope, a batch of answers. Floor 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from broker.errors import BrokerError, StoreError
from broker.flow.answers import Answers
from broker.flow.judging import ENVELOPE
from broker.flow.turns import Asked, BatchTurn, Outbox
from broker.hl7 import Batch, Header, Unreadable, compose_batch, frame, header, split_batch
from broker.sources.line import Line
from broker.store.journal import Entry, Receipt, Writer

if TYPE_CHECKING:
    from broker.flow.intake import Intake

__all__ = ["Batches"]

SLICE = 50  # messages that are taken in one turn of the reactor


class Batches:
    """Takes batches apart for an intake, whose ways with single messages it uses."""

    def __init__(self, intake: Intake, writer: Writer, answers: Answers, outbox: Outbox, clock: Any) -> None:
        self._intake, self._writer, self._answers, self._outbox = intake, writer, answers, outbox
        self._clock = clock

    def begin(self, line: Line, frame: bytes) -> BatchTurn | None:
        """A batch's place on its line; None where its header cannot be read, and it is kept as one frame."""
        try:
            batch = split_batch(frame)
        except Unreadable as error:
            self._intake.keep_unreadable(line, frame, error)
            return None
        assert batch is not None, "the header's reader has found a batch"
        return BatchTurn(self._answered, line, batch)

    async def take(self, turn: BatchTurn) -> None:
        """The envelope first, so that each message's row can name it; then the messages, in slices."""
        receipt = await self._keep_envelope(turn.line, turn.batch)
        if isinstance(receipt, BrokerError):
            turn.failed = True
        else:
            turn.envelope = f"{receipt.stream}.{receipt.seq}"
            turn.receipts.append(receipt)
        for number, message in enumerate(turn.batch.messages):
            if number % SLICE == SLICE - 1:
                await deferLater(self._clock, 0)
            await self._take_one(turn, number, message)
        turn.close()
        self._outbox.flush()

    async def _take_one(self, turn: BatchTurn, number: int, message: bytes) -> None:
        try:
            head = header(message)
        except Unreadable as error:
            if turn.failed:
                self._not_taken(turn, number, error.partial)
            else:
                self._intake.keep_unreadable(turn.line, message, error, turn, number)
            return
        if turn.failed:
            self._not_taken(turn, number, head)
        else:
            await self._intake.admit_in_batch(turn, number, message, head)

    def _not_taken(self, turn: BatchTurn, number: int, head: Header | None) -> None:
        """A message behind one that could not be stored: it must not overtake it."""
        asked = Asked(self._intake, turn.line, head, (), None, turn, number)
        why = StoreError("an earlier message of its batch failed", code="behind_a_failure")
        self._intake.not_stored(asked, why)

    async def _keep_envelope(self, line: Line, batch: Batch) -> Receipt | StoreError:
        kept: Deferred[Receipt | StoreError] = Deferred()
        fields = (*batch.fields, *("",) * 12)
        entry = Entry(
            batch.envelope,
            ENVELOPE,
            self._intake.name,
            line.peer,
            message_type=fields[0],
            control_id=batch.control_id,
            sender=f"{fields[3]}|{fields[4]}",
            sent_at=fields[7],
            cause="" if batch.complete else "incomplete",
            bundle=self._intake.bundle,
        )
        self._writer.accept(entry, kept.callback, line)
        return await kept

    def _answered(self, turn: BatchTurn) -> None:
        """All answers of a batch are known: they leave as a batch."""
        line = turn.line
        acks = [payload for payload in turn.payloads if payload]
        answer = b""
        if acks or not turn.batch.messages:
            now, control_id = self._answers.now(), self._answers.next_id()
            answer = frame(compose_batch(turn.batch, acks, control_id=control_id, now=now))
        line.give(turn, answer)
        self._outbox.add(line)
        if turn.failed and line.has_sent_more:
            line.cut()
        line.broken = False
