"""Long frames: in parts of at most 1 MiB, one part a group, so that nobody waits behind 30 MiB. Floor 4."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Protocol

from broker.errors import StoreError
from broker.store.journal_rows import PART_BYTES, Entry, Receipt

__all__ = ["Done", "Lane", "LongFrame", "Parts"]

Done = Callable[[Receipt | StoreError], None]


class Lane(Protocol):
    """A sender's connection, whose frames must not overtake each other.

    When a group fails, the lanes of its entries are `broken`: entries of a broken lane are answered with an
    error and not written, until whoever receives has mended it.
    """

    broken: bool


class Parts(Protocol):
    """The writer, as its long frames see it."""

    def queue_part(self, frame: LongFrame, part: bytes | memoryview) -> None: ...

    def queue_last(self, frame: LongFrame, part: bytes | memoryview, entry: Entry, done: Done) -> None: ...

    def forget(self, frame: LongFrame) -> None: ...


class LongFrame:
    """A frame that is written while it is received. Its digest is made part by part.

    `add` what comes; then either `end`, which gives the header row and is answered, or `abandon`, which
    takes away what was written. Used by one thread; the fields without `_` are the writer's.
    """

    def __init__(self, writer: Parts) -> None:
        self._writer = writer
        self._tail = bytearray()
        self.waiting: deque[bytes | memoryview] = deque()
        self.entry: Entry | None = None
        self.done: Done | None = None
        self.digest = sha256()
        self.size = 0
        self.keys: list[int] = []
        self.day = 0
        self.lost: StoreError | None = None

    def add(self, received: bytes) -> None:
        """More of the frame. A whole part is handed over only when it is sure not to be the last."""
        self._tail += received
        while len(self._tail) > PART_BYTES:
            self._writer.queue_part(self, bytes(self._tail[:PART_BYTES]))
            del self._tail[:PART_BYTES]

    def end(self, entry: Entry, done: Done) -> None:
        """That was all. `entry.raw` is not looked at. `done` is called as for `Writer.accept`."""
        self._writer.queue_last(self, bytes(self._tail), entry, done)
        self._tail.clear()

    def abandon(self) -> None:
        """The sender has gone, or is refused: what was written of it is taken away."""
        self._tail.clear()
        self._writer.forget(self)
