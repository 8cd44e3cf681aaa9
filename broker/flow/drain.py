"""One destination: claim what is queued for it, send it, settle what became of it. Floor 8.

What is claimed is committed as an attempt before its first byte leaves; database calls run in threads.
(ARCHITECTURE section 4, Sender.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList

from broker import crash
from broker.destinations import Destination, Parcel
from broker.errors import BrokerError
from broker.flow.delivery_counts import DeliveryCounts
from broker.flow.retry import Pause
from broker.flow.settling import Attempt, Settling, Terms, settlement
from broker.outcome import Delivered, Failed, Outcome, Rejected, Unclear
from broker.store.deliveries import Claimed, Deliveries, Lost, Paused

__all__ = ["Drain", "World"]

log = structlog.get_logger()

LEAST, MOST = 4, 256
"""Deliveries that are claimed together: for each connection at least, in all at most."""
LOOK_SECS, IDLE_SECS = 2.0, 10.0
AGAIN_SECS = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """What all destinations of a process share. `alone`: who owned one before can live no more."""

    clock: Any
    now: Callable[[], datetime]
    in_thread: Callable[..., Deferred[Any]]
    chance: Callable[[], float]
    counts: DeliveryCounts
    owner: str
    alone: bool
    drain_secs: float


_Untyped: Any = Service  # Twisted's services are not annotated


@dataclass(slots=True)
class _Group:
    """What was claimed together."""

    send_before: float
    settling: Settling[Attempt]
    held: set[int] = field(default_factory=set)
    """Lanes (patients) whose later ones go back unsent, since one was not delivered."""
    unsent: int = 0
    failed: set[int] = field(default_factory=set)
    """Lanes that failed in a row: with some of them, the destination is not there."""


class Drain(_Untyped):  # type: ignore[misc]
    """Sends to one destination for as long as it is the destination's owner.

    `render` makes the parcel of what was claimed, in a thread, or says what became of it without one (None:
    it is not for this destination).
    `now` is the database's time; `clock` the reactor's, for waits.
    """

    name: str

    def __init__(
        self,
        name: str,
        terms: Terms,
        open_destination: Callable[[], Destination],
        deliveries: Deliveries,
        render: Callable[[Claimed, float], Parcel | Outcome | None],
        world: World,
    ) -> None:
        self.name, self._terms, self._open_destination = name, terms, open_destination
        self._deliveries, self._render, self._world = deliveries, render, world
        self._clock, self._in_thread = world.clock, world.in_thread
        self._destination: Destination | None = None
        self._epoch: int | None = None
        self._sweep_at: float | None = None
        self._size = LEAST * terms.connections
        self._pause = Pause(terms.retry.first_secs)
        self._sleeping: Deferred[None] | None = None
        self._resting = self._told = False
        self._in_vain = 0
        self._rest_until = 0.0
        self._over: Deferred[None] = Deferred()

    def startService(self) -> None:
        super().startService()
        self._over = Deferred.fromCoroutine(self._run())

    def stopService(self) -> Deferred[None]:
        """Sends nothing new, waits `drain_secs` for what is under way, and cuts it off then."""
        super().stopService()
        self.wake()
        return Deferred.fromCoroutine(self._stop())

    @property
    def owns(self) -> bool:
        """Whether it is we who send there."""
        return self._epoch is not None

    @property
    def listens(self) -> bool:
        """Whether `news` would change anything now."""
        return self.owns and self._sleeping is not None and not self._resting

    def news(self) -> None:
        """Something is queued. A destination that rests is left to rest."""
        if self.listens:
            self._told = True
            self.wake()

    def wake(self) -> None:
        """Ends whatever rest there is."""
        sleeping, self._sleeping = self._sleeping, None
        if sleeping is not None:
            sleeping.callback(None)

    def disowned(self) -> None:
        """Another may send there now; what we claimed is theirs to judge."""
        if self._epoch is not None:
            log.warning("delivery.disowned", destination=self.name, epoch=self._epoch)
        self._epoch = None
        self._world.counts.owned(self.name, False)

    async def _stop(self) -> None:
        cutting = self._clock.callLater(self._world.drain_secs, self._close)
        await self._over
        if cutting.active():
            cutting.cancel()
        await self._close()

    def _close(self) -> Deferred[None]:
        if self._destination is not None:
            return self._destination.close()
        closed: Deferred[None] = Deferred()
        closed.callback(None)
        return closed

    async def _run(self) -> None:
        troubles = 0
        while self.running:
            try:
                await self._turn()
                troubles = 0
            except Exception as error:  # nothing may end this destination for good
                troubles += 1
                self._tell(error)
                await self._sleep(min(2.0**troubles, AGAIN_SECS), resting=True)
        try:
            await self._let_go()
        except Exception as error:  # the lock ends with our connection
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if isinstance(error, BrokerError):
            log.warning("delivery.trouble", destination=self.name, code=error.code)
        else:
            log.error("delivery.fault", destination=self.name, exc_info=error)

    async def _turn(self) -> None:
        """One group, or one rest."""
        if self._epoch is None and not await self._own():
            return await self._sleep(LOOK_SECS, resting=True)
        if self._sweep_at is not None and self._clock.seconds() >= self._sweep_at:
            self._sweep_at = None
            await self._in_thread(self._take_over)
        rest = self._rest_until - self._clock.seconds()
        if rest > 0:
            log.info("delivery.rests", destination=self.name, secs=round(rest, 1))
            await self._sleep(rest, resting=True)
        if self.running:
            try:
                await self._group()
            except Paused:
                await self._sleep(LOOK_SECS, resting=True)
            except Lost:
                await self._let_go()

    async def _sleep(self, secs: float, *, resting: bool = False) -> None:
        if not self.running:
            return
        self._resting, self._sleeping = resting, Deferred()
        timer = self._clock.callLater(secs, self.wake)
        await self._sleeping
        if timer.active():
            timer.cancel()

    async def _own(self) -> bool:
        self._epoch = await self._in_thread(self._deliveries.own, self.name, self._world.owner)
        self._world.counts.owned(self.name, self.owns)
        if self._epoch is None:
            return False
        log.info("delivery.owns", destination=self.name, epoch=self._epoch)
        await self._in_thread(self._take_over)
        if not self._world.alone:  # who owned it before may be alive still, and send until then
            self._sweep_at = self._clock.seconds() + self._terms.claim_secs
        return True

    def _take_over(self) -> None:
        """In a thread: what others claimed and can send no more is unclear."""
        if self._epoch is None:
            return
        now = self._world.now()
        before = now - timedelta(seconds=self._terms.claim_secs)
        if self._world.alone:  # whenever it was, by whatever clock
            before = now + timedelta(days=1)
        safe = self._terms.safe_to_repeat
        count = self._deliveries.take_over(self.name, self._epoch, before, now, safe_to_repeat=safe)
        if count:
            log.warning("delivery.taken_over", destination=self.name, count=count)

    async def _let_go(self) -> None:
        owned = self.owns
        self.disowned()
        if owned:
            await self._in_thread(self._deliveries.disown, self.name)

    async def _group(self) -> None:
        """Claims, sends and settles a group, or waits for news."""
        if self._destination is None:
            self._destination = self._open_destination()
        terms, began = self._terms, self._clock.seconds()
        claimed: Sequence[Claimed] = await self._in_thread(self._claim)
        if not claimed:
            return await self._idle()
        self._told, self._in_vain = False, 0
        group = _Group(began + terms.claim_secs, Settling(self._write, self._rest))
        lanes: dict[int, list[Claimed]] = {}
        for one in claimed:
            lanes.setdefault(one.lane % terms.connections, []).append(one)
        sending = (self._send_lane(self._destination, n, lane, group) for n, lane in lanes.items())
        ended: Any = await DeferredList([Deferred.fromCoroutine(one) for one in sending], consumeErrors=True)
        for failure in (result for well, result in ended if not well):
            log.error("delivery.fault", destination=self.name, exc_info=failure.value)
        ours = await group.settling.done()
        if not ours or not all(well for well, _ in ended):
            await self._let_go()  # what is not settled is unclear, as it is after a death
        self._rest_until = self._clock.seconds() + self._pause.secs(self._world.chance)
        self._fit_size(group, self._clock.seconds() - began)

    async def _idle(self) -> None:
        """Waits for news. News in vain (what is due waits behind a doubtful one) are heard more rarely."""
        self._in_vain = self._in_vain + 1 if self._told else 0
        self._told = False
        if self._in_vain:
            await self._sleep(min(0.1 * 2.0**self._in_vain, LOOK_SECS), resting=True)
        await self._sleep(IDLE_SECS)

    def _claim(self) -> list[Claimed]:
        """In a thread. While the destination is down, no more than a probe."""
        if self._epoch is None:
            raise Lost(self.name)
        most = self._terms.connections if self._pause.down else self._size
        one_a_lane = not self._terms.safe_to_repeat
        crash.at("sender.before_claim")
        claimed = self._deliveries.claim(
            self.name, self._epoch, most, self._world.now(), one_a_lane=one_a_lane
        )
        if claimed:
            crash.at("sender.after_claim")
        return claimed

    async def _write(self, batch: list[Attempt]) -> bool:
        return bool(await self._in_thread(self._settle_batch, batch))

    def _settle_batch(self, batch: list[Attempt]) -> bool:
        """In a thread. False when another owns the destination now."""
        if self._epoch is None:
            return False
        now = self._world.now()
        settled = [settlement(one, self._terms, now, self._world.chance) for one in batch]
        crash.at("sender.before_settle")
        try:
            strangers = set(self._deliveries.settle(self.name, self._epoch, settled, now))
        except Lost:
            return False
        crash.at("sender.after_settle")
        for one, written in zip(batch, settled, strict=True):
            if one.outcome is not None:
                log.info(
                    "delivery.settled" if written.delivery not in strangers else "delivery.judged_by_another",
                    destination=self.name,
                    delivery=one.claimed.name,
                    state=written.state,
                    attempts=one.claimed.attempts + 1,
                    code=getattr(one.outcome, "code", ""),
                )
        return True

    async def _rest(self) -> bool:
        await self._sleep(1.0, resting=True)
        return bool(self.running)

    def _fit_size(self, group: _Group, secs: float) -> None:
        """So many are claimed together as leave well within `claim_secs`."""
        if group.unsent and secs >= self._terms.claim_secs / 2:
            self._size = max(self._size // 2, self._terms.connections)
        elif not group.unsent and secs < self._terms.claim_secs / 8:
            self._size = min(self._size * 2, MOST)

    async def _send_lane(self, to: Destination, lane: int, waiting: list[Claimed], group: _Group) -> None:
        for one in waiting:
            late = self._clock.seconds() >= group.send_before
            if late or one.lane in group.held or len(group.failed) >= Pause.ENOUGH or not self.running:
                group.unsent += 1
                group.settling.add(Attempt(one))
                continue
            attempt = await self._attempt(to, lane, one, group.send_before)
            if attempt.withheld:
                group.settling.add(attempt)
                continue
            if not isinstance(attempt.outcome, Delivered):
                group.held.add(one.lane)
            if isinstance(attempt.outcome, Delivered | Rejected):
                group.failed.clear()
                self._pause.answered()
            else:
                group.failed.add(one.lane)
                self._pause.failed(one.lane)
            group.settling.add(attempt)

    async def _attempt(self, to: Destination, lane: int, one: Claimed, send_before: float) -> Attempt:
        """One attempt. Nothing that goes wrong here is an exception any more."""
        began, parcel = self._clock.seconds(), None
        try:
            made: Parcel | Outcome | None = await self._in_thread(self._render, one, send_before)
            if made is None:
                return Attempt(one, withheld=True)
            if isinstance(made, Parcel):
                parcel = replace(made, lane=lane)
                crash.at("sender.before_send")
                made = await to.deliver(parcel)
                crash.at("sender.after_send")
            outcome: Outcome = made
        except Exception as error:  # a destination from outside that breaks its word, or a fault of ours
            log.error("delivery.fault", destination=self.name, delivery=one.name, exc_info=error)
            outcome = Unclear("fault") if parcel is not None else Failed("fault")
        secs = self._clock.seconds() - began
        self._world.counts.attempted(self.name, type(outcome).__name__.lower(), secs)
        return Attempt(one, outcome, parcel)
