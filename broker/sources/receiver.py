"""Who takes what a connection brings, and the place of an answer among a connection's answers. Floor 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.sources.line import Line

__all__ = ["Receiver", "Turn"]


class Turn:
    """The place of one answer among a connection's answers. `answer` is None until it is known; empty bytes
    are the answer of a frame that is to have none."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: bytes | None = None


class Receiver(Protocol):
    """Who takes what a connection brings."""

    def receive(self, line: Line, frame: bytes) -> None:
        """A whole frame, or the rest of one whose parts came before (`LongFrame`)."""

    def part(self, line: Line, part: bytes) -> None:
        """The next part of a long frame; the first one holds its header."""

    def broken(self, line: Line, cause: str, beginning: bytes) -> None:
        """An unfinished frame is given up (`too_long`, `never_ending`); the line is hung up afterwards."""

    def part_lost(self, line: Line) -> None:
        """The rest of a long frame, of which parts came, will not come."""

    def unanswered(self, turn: Turn) -> None:
        """The answer of this turn did not leave: its sender was gone."""
