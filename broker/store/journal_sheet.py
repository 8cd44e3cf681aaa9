"""What the writer asks a store to write in one transaction, and what a store answers. Floor 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from broker.errors import StoreError

__all__ = ["OWN_DAY", "Line", "Opened", "Pen", "Sheet", "StoreDied"]

OWN_DAY = -1


class StoreDied(StoreError):
    """The disk failed: what was written before may be gone too. The process stops and starts anew."""

    code = "store_died"


class Line(NamedTuple):
    """A header row but for its time. `day` is `OWN_DAY` where the bytes are written with it."""

    key: int
    slot: int
    words: tuple[str, ...]
    size: int
    digest: bytes
    chain: bytes
    day: int
    part: int
    more_parts: str


@dataclass(slots=True)
class Sheet:
    """One group. `bodies` are (key, bytes); all but lines and bodies is rare."""

    lines: Sequence[Line]
    bodies: Sequence[tuple[int, bytes | memoryview]]
    loose: tuple[int, int, bytes | memoryview] | None = None  # key, day, body of a long frame's part
    tied: Sequence[int] = field(default_factory=tuple)  # keys of parts that now have a header, or go
    dropped: Sequence[tuple[int, int]] = field(default_factory=tuple)  # (key, day) of parts that go
    unanswered: Sequence[int] = field(default_factory=tuple)

    @property
    def plain(self) -> bool:
        """Nothing but lines and bodies."""
        return not (self.loose or self.tied or self.dropped or self.unanswered)


class Opened(NamedTuple):
    """A new stream, and the time: the database's, or the latest in the journal if that is later."""

    stream: int
    now: datetime


class Pen(Protocol):
    """One store's way of writing. Used by one thread, but for `hang_up`.

    Raises `StoreError` when the store fails (nothing is known about what was being written), `StoreDied`
    when the process must stop.
    """

    def open(self, by: str) -> Opened:
        """Begins a stream on a new connection; ends those that are found dead."""
        ...

    def write(self, sheet: Sheet) -> datetime:
        """Writes and commits; the rows' time. Returns only after a clean success."""
        ...

    def rest(self) -> None:
        """Called now and then while nothing waits."""
        ...

    def end(self, how: str) -> None:
        """Ends the stream for good."""
        ...

    def close(self) -> None:
        """Gives the connection up."""
        ...

    def hang_up(self) -> bool:
        """From another thread: makes a stuck write fail, cancelling nothing. False: it cannot."""
        ...
