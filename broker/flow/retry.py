"""When another attempt follows, and when none does any more. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from broker.channel import Retry

__all__ = ["LONGEST_SECS", "Pause", "next_attempt"]

LONGEST_SECS = 300.0
"""No wait between two attempts is longer: who comes back is noticed within so much."""


def next_attempt(
    retry: Retry, attempts: int, age: timedelta, chance: Callable[[], float]
) -> timedelta | None:
    """How long to wait after the `attempts`-th attempt failed; None: give up.

    `first_secs`, doubled with each attempt, at most `LONGEST_SECS`, and between half and the whole of that
    by `chance` (0 to 1), so that what failed together does not come again together. A single failed
    attempt is never the end, however long the delivery had to wait for it.
    """
    if attempts > 1 and age >= timedelta(hours=retry.give_up_hours):
        return None
    whole = min(retry.first_secs * 2.0 ** min(attempts - 1, 32), LONGEST_SECS)
    return timedelta(seconds=whole * (0.5 + chance() / 2))


@dataclass(slots=True)
class Pause:
    """How a destination rests that fails for everybody: three patients in a row, and it is down.

    Then nothing is claimed for a while, and after that no more than a probe, so that a queue of
    thousands is not tried one after the other on a peer that is not there. One patient's message that
    fails over and over has waits of its own and holds up nobody.
    """

    first_secs: float
    lanes: set[int] = field(default_factory=set)
    level: int = 0

    ENOUGH: ClassVar[int] = 3
    LONGEST_SECS: ClassVar[float] = 60.0

    def answered(self) -> None:
        """They are there."""
        self.lanes.clear()
        self.level = 0

    def failed(self, lane: int) -> None:
        """A patient's delivery failed, or nobody knows."""
        self.lanes.add(lane)
        if self.down:
            self.level += 1

    @property
    def down(self) -> bool:
        return len(self.lanes) >= self.ENOUGH

    def secs(self, chance: Callable[[], float]) -> float:
        """How long to rest now; 0 while it is not down."""
        if not self.down:
            return 0.0
        whole = min(self.first_secs * 2.0 ** min(self.level - 1, 32), self.LONGEST_SECS)
        return whole * (0.5 + chance() / 2)
