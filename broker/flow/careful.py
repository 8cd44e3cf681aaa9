"""One message at a time, after a worker ended uncleanly. Floor 8.

A message that kills its worker must not stop its neighbours. After an unclean end each message is
committed as "in hand" before it is worked, until in every slot a whole batch's length is worked, or all that
had come before; what was in hand, alone, at two deaths is refused (ARCHITECTURE section 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import structlog

from broker.crash import at as crash_at
from broker.mapped import Refusal
from broker.store.care import CareStore
from broker.store.journal import Row

__all__ = ["DEATHS", "Careful"]

log = structlog.get_logger()

DEATHS = 2
KILLED = Refusal("killed_worker", "", f"a worker died {DEATHS} times with this message alone in hand")
ALONE = -9  # a worker that has all slots reads them in one order: one count is enough for all


class Careful:
    """Whether to go one at a time, and which messages have been in hand at a death."""

    def __init__(self, care: CareStore, owner: str, length: int, slots: Collection[int]) -> None:
        marks = care.worker_started(owner)
        self._care, self._owner, self._deaths = care, owner, Counter(marks.deaths)
        counted = {ALONE} if care.alone else slots
        self._left = dict.fromkeys(counted, length) if marks.unclean else {}
        self._since = care.now()
        if self.on:
            log.warning("worker.careful", suspects=[f"{stream}.{seq}" for stream, seq in self._deaths])

    @property
    def on(self) -> bool:
        """Whether something is still to be worked one by one."""
        return bool(self._left)

    def take(self, row: Row) -> Refusal | None:
        """Commits that this message is in hand; the refusal instead, where it was so at too many deaths."""
        if self._deaths[row.stream, row.seq] >= DEATHS:
            return KILLED
        self._care.take_in_hand(self._owner, row.stream, row.seq)
        crash_at("worker.in_hand")
        return None

    def worked(self, slot: int) -> None:
        """One message of `slot` is worked, alone."""
        counted = ALONE if self._care.alone else slot
        if (left := self._left.get(counted)) is not None:
            if left > 1:
                self._left[counted] = left - 1
            else:
                self._trust((counted,))

    def next_is(self, row: Row | None, slots: Collection[int]) -> None:
        """The first of what is left in these slots, if anything is.

        What came since we started was in no dead worker's hands, and neither was anything after it.
        """
        if self.on and (row is None or row.at > self._since):
            self._trust((ALONE,) if self._care.alone else slots)

    def _trust(self, counted: Collection[int]) -> None:
        for slot in counted:
            self._left.pop(slot, None)
        if not self.on:
            self._care.put_down(self._owner)
            log.info("worker.careful_ended")

    def end(self) -> None:
        """A clean end: nothing of this worker is in hand."""
        self._care.worker_ended(self._owner)
