"""What waits between a frame's arrival and its answer: a frame, a batch, a group of answers. Floor 8."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from broker import crash
from broker.errors import BrokerError
from broker.flow.judging import Judged
from broker.hl7 import Batch, Header
from broker.sources.line import Line
from broker.sources.receiver import Turn

if TYPE_CHECKING:
    from broker.store.journal import Receipt

__all__ = ["Asked", "BatchTurn", "Outbox", "Settles"]

READ_AGAIN_BYTES = 16 * 1024 * 1024  # when fewer wait for the writer, who was not read is read again


class Settles(Protocol):
    """Who answers when the store has spoken."""

    def stored(self, asked: Asked) -> None: ...

    def not_stored(self, asked: Asked, error: BrokerError) -> None: ...


class Asked(Turn):
    """A frame that was handed to the writer: it waits for its receipt, then for its answer to leave."""

    __slots__ = ("arrived", "batch", "codes", "header", "intake", "judged", "line", "number", "receipt")

    def __init__(
        self,
        intake: Settles,
        line: Line,
        header: Header | None,
        codes: tuple[str, ...],
        judged: Judged | None,
        batch: BatchTurn | None = None,
        number: int = 0,
    ) -> None:
        self.answer = None
        self.intake, self.line, self.header, self.codes, self.judged = intake, line, header, codes, judged
        self.batch, self.number = batch, number
        self.receipt: Receipt | None = None
        self.arrived = line.heard
        if batch is None:
            line.expect(self)

    def settled(self, outcome: Receipt | BrokerError) -> None:
        """Called on the reactor when this frame's group has ended, one way or the other."""
        if isinstance(outcome, BrokerError):
            self.intake.not_stored(self, outcome)
        else:
            self.receipt = outcome
            self.intake.stored(self)


class BatchTurn(Turn):
    """A batch's place among the answers of its line: answered by a batch, when its last message is."""

    __slots__ = ("_answered", "_open", "batch", "envelope", "failed", "line", "payloads", "receipts")

    def __init__(self, answered: Callable[[BatchTurn], None], line: Line, batch: Batch) -> None:
        self.answer = None
        self._answered, self.line, self.batch = answered, line, batch
        self.envelope = ""  # its row, as the rows of its messages name it
        self.failed = False  # something of it could not be stored: nothing after that is kept
        self.payloads: list[bytes] = [b""] * len(batch.messages)
        self.receipts: list[Receipt] = []
        self._open = len(batch.messages) + 1
        line.expect(self)

    def collect(self, number: int, payload: bytes, receipt: Receipt | None) -> None:
        """The answer to one of its messages, perhaps empty."""
        self.payloads[number] = payload
        if receipt is not None:
            self.receipts.append(receipt)
        self.close()

    def close(self) -> None:
        """One answer fewer is open; the last one is that all messages have been taken."""
        self._open -= 1
        if not self._open:
            self._answered(self)


class Outbox:
    """Sends the answers of a whole group, each line's in one piece, and reads again who was not read."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.now = seconds()
        self._seconds = seconds
        self._dirty: list[Line] = []
        self._unread: set[Line] = set()
        self.waiting_bytes: Callable[[], int] = lambda: 0

    def settle(self, run: Callable[[], None]) -> None:
        """Runs what the writer posts: the outcomes of one group."""
        self.now = self._seconds()
        try:
            run()
        finally:
            self.flush()
        crash.at("intake.after_answer")
        if self._unread and self.waiting_bytes() < READ_AGAIN_BYTES:
            unread, self._unread = self._unread, set()
            for line in unread:
                line.go_on_reading("store")

    def add(self, line: Line) -> None:
        """This line has an answer to send."""
        if not line.dirty:
            line.dirty = True
            self._dirty.append(line)

    def flush(self) -> None:
        """Sends what there is."""
        dirty, self._dirty = self._dirty, []
        for line in dirty:
            line.flush()

    def stop_reading(self, line: Line) -> None:
        """Too much waits for the writer: this line is read again when it has caught up."""
        line.stop_reading("store")
        self._unread.add(line)
