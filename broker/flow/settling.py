"""Outcomes to the store, in batches, without holding up who sends. Floor 8."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import orjson
import structlog
from twisted.internet.defer import Deferred

from broker.channel import Retry
from broker.destinations import Parcel
from broker.errors import StoreError
from broker.flow.retry import next_attempt
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.deliveries import Claimed, Settlement, State

__all__ = ["Attempt", "Settling", "Terms", "settlement"]

log = structlog.get_logger()
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
MAX_TEXT = 500
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a destination's file says of how it is sent to."""

    connections: int
    safe_to_repeat: bool
    claim_secs: float
    retry: Retry


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was claimed and what became of it.

    `outcome` None: nothing. Then it goes back as it was, or, `withheld`, is not for this destination.
    """

    claimed: Claimed
    outcome: Outcome | None = None
    sent: Parcel | None = None
    withheld: bool = False


def settlement(attempt: Attempt, terms: Terms, now: datetime, chance: Callable[[], float]) -> Settlement:
    """What an attempt makes of its delivery, as of `now`. What was sent is kept where they may have it."""
    one, outcome = attempt.claimed, storable(attempt.outcome)
    body = None if attempt.sent is None else what_was_sent(attempt.sent)
    state: State = "withdrawn" if attempt.withheld else "queued"
    not_before = None
    match outcome:
        case Delivered():
            state = "delivered"
        case Rejected():
            state = "rejected"
        case Unclear() if not terms.safe_to_repeat:
            state = "doubtful"
        case Failed() | Unclear():
            wait = next_attempt(terms.retry, one.attempts + 1, now - one.asked_at, chance)
            state, not_before = ("queued", now + wait) if wait is not None else ("given_up", None)
            body = None if isinstance(outcome, Failed) else body
    return Settlement(
        delivery=one.delivery,
        number=one.number,
        outcome=outcome,
        state=state,
        not_before=not_before,
        body=body,
    )


def storable(outcome: Outcome | None) -> Outcome | None:
    """The outcome with texts of one line that every store can hold, whatever a peer put into them."""
    if outcome is None:
        return None
    texts: dict[str, Any] = {
        name: UNPRINTABLE.sub(" ", getattr(outcome, name))[:MAX_TEXT] for name in outcome.__slots__
    }
    plain: Outcome = type(outcome)(**texts)
    return plain


def what_was_sent(parcel: Parcel) -> bytes | None:
    """What an attempt keeps: what was composed, or told. What is passed on stands in the journal."""
    if parcel.act == "forward":
        return None
    if parcel.payload is not None:
        return parcel.payload
    return orjson.dumps(dict(parcel.content), option=orjson.OPT_SORT_KEYS)


class Settling(Generic[T]):
    """What is added while a batch is being written goes with the next one.

    `write` stores a batch; False says that it is not ours to settle any more. When the store fails, it
    is tried again after `rest`, until that says no: then what is not written stays as it was claimed,
    and whoever owns the destination next takes it for unclear.
    """

    def __init__(
        self, write: Callable[[list[T]], Awaitable[bool]], rest: Callable[[], Awaitable[bool]]
    ) -> None:
        self._write, self._rest = write, rest
        self._waiting: list[T] = []
        self._busy: Deferred[None] | None = None
        self.ours = True

    def add(self, one: T) -> None:
        """To be stored soon."""
        self._waiting.append(one)
        if self._busy is None:
            self._busy = Deferred()
            Deferred.fromCoroutine(self._write_all())

    async def done(self) -> bool:
        """Waits until everything is stored; False when it was not ours any more, or the store is gone."""
        while self._busy is not None:
            ended: Deferred[None] = Deferred()
            self._busy.chainDeferred(ended)
            await ended
        return self.ours

    async def _write_all(self) -> None:
        while self._waiting and self.ours:
            batch, self._waiting = self._waiting, []
            try:
                self.ours = await self._write(batch)
            except StoreError as error:
                log.warning("delivery.unsettled", count=len(batch), code=error.code)
                self._waiting = batch + self._waiting
                self.ours = await self._rest()
            except Exception as error:  # a fault of ours: what was sent must not look as if it was not
                log.error("delivery.fault", count=len(batch), exc_info=error)
                self.ours = False
        busy, self._busy = self._busy, None
        if busy is not None:
            busy.callback(None)
