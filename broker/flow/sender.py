"""The deliver process: one drain a destination, and one look at the news for all of them. Floor 8."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import structlog
from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from broker.channel import Outbound
from broker.destinations import Tools, secret_from
from broker.errors import BrokerError
from broker.flow.delivery_counts import DeliveryCounts
from broker.flow.drain import Drain, World
from broker.flow.parcels import Rendering, control_id_of
from broker.flow.settling import Terms
from broker.hl7 import Answer, acknowledge, header
from broker.mapping import compose_for
from broker.project import Project
from broker.settings import Settings
from broker.store.care import CareStore
from broker.store.deliveries import Claimed, Deliveries
from broker.store.journal import Reader, Row
from broker.store.locks import Locks, open_locks
from broker.store.open import Stores, open_engine

__all__ = ["SenderService", "build_sender"]

log = structlog.get_logger()

NEWS_SECS = 0.1
KEEP_SECS = 10.0
THREADS = 4


class Whereabouts(Protocol):
    """Where this broker lives."""

    @property
    def project(self) -> Path: ...
    @property
    def data(self) -> Path: ...
    @property
    def stores(self) -> Stores: ...
    @property
    def settings(self) -> Settings: ...


def build_sender(
    project: Project,
    bundle: str,
    home: Whereabouts,
    reactor: Any,
    *,
    registry: CollectorRegistry | None = REGISTRY,
    chance: Callable[[], float] = random.random,
) -> SenderService:
    """The service that sends to every destination of a project, from start to stop."""
    tools = Tools(
        reactor=reactor,
        now=lambda: datetime.now(UTC),
        folder=home.project,
        out_folder=home.data,
        secret=lambda place: secret_from(place, home.project),
    )
    return SenderService(
        project,
        CareStore(open_engine(home.stores.care_url, role="care")),
        Reader(home.stores.journal_url),
        tools,
        link=home.settings.link(),
        counts=DeliveryCounts(registry),
        chance=chance,
        drain_secs=home.settings.drain_secs * 0.8,
    )


_Untyped: Any = MultiService  # Twisted's services are not annotated


class SenderService(_Untyped):  # type: ignore[misc]
    """A `Drain` for each destination. Nothing outside is opened before the first delivery for it.

    Every database call runs in a thread of this service's own pool.
    """

    def __init__(
        self,
        project: Project,
        care: CareStore,
        journal: Reader,
        tools: Tools,
        *,
        link: str,
        counts: DeliveryCounts,
        chance: Callable[[], float],
        drain_secs: float,
    ) -> None:
        super().__init__()
        self._project, self._care, self._journal, self._tools = project, care, journal, tools
        self._link, self._counts, self._clock = link, counts, tools.reactor
        self._locks: Locks = open_locks(care.engine)
        self._deliveries = Deliveries(care.engine, self._locks)
        self._pool = ThreadPool(0, THREADS, name="deliveries")
        self._world = World(
            clock=self._clock,
            now=care.now,
            in_thread=self._in_thread,
            chance=chance,
            counts=counts,
            owner=f"{socket.gethostname()}:{os.getpid()}",
            alone=self._locks.alone,
            drain_secs=drain_secs,
        )
        self.drains = {name: self._drain(name, one) for name, one in project.destinations().items()}
        self._loops: list[tuple[LoopingCall, Deferred[Any]]] = []
        self._blind = False

    def startService(self) -> None:
        self._pool.start()
        super().startService()
        for work, secs in ((self._look, NEWS_SECS), (self._keep, KEEP_SECS)):
            loop = LoopingCall(lambda work=work: Deferred.fromCoroutine(work()))
            loop.clock = self._clock
            self._loops.append((loop, loop.start(secs, now=False)))

    def stopService(self) -> Deferred[None]:
        """Drains every destination, then gives everything back."""
        return Deferred.fromCoroutine(self._stop(super().stopService()))

    async def _stop(self, drained: Any) -> None:
        await drained
        for loop, ended in self._loops:
            if loop.running:
                loop.stop()
            await ended
        self._pool.stop()
        self._locks.close()
        self._care.engine.dispose()
        self._journal.close()

    def _in_thread(self, work: Callable[..., Any], *given: Any) -> Deferred[Any]:
        return deferToThreadPool(self._clock, self._pool, work, *given)

    def _drain(self, name: str, outbound: Outbound) -> Drain:
        options = outbound.options
        terms = Terms(options.connections, options.safe_to_repeat, outbound.claim_secs, outbound.retry)
        render = Rendering(
            outbound,
            self._compose,
            self._project.tables,
            self._link,
            self._journal.fetch,
            self._answer_of,
            self._care.incomplete,
        )
        drain = Drain(name, terms, lambda: options.open(self._tools), self._deliveries, render, self._world)
        drain.setServiceParent(self)
        return drain

    def _compose(self, mapping: str, one: Claimed) -> bytes:
        """The bytes that a mapping makes of what a notification says."""
        acts: dict[str, Any] = {"tell": "tell", "correct": "correct", "retract": "retract"}
        return compose_for(
            self._project.mappings[mapping],
            one.content,
            self._project.tables,
            control_id=control_id_of(one.name),
            now=self._care.now(),
            act=acts[one.act],
            version=one.version,
        )

    def _answer_of(self, row: Row, delivery: str) -> bytes:
        """The application's answer that goes elsewhere (`answer_to`): what the journal notes as `>AA`."""
        code: Any = next((word[1:] for word in row.answer.split() if word.startswith(">")), "AA")
        return acknowledge(
            header(row.raw), Answer(code), control_id=control_id_of(delivery), now=self._care.now()
        )

    async def _look(self) -> None:
        """Wakes the drains for which something is due. One transaction for all, only for those who wait."""
        waiting = [name for name, drain in self.drains.items() if drain.listens]
        if not waiting:
            return
        try:
            due = await self._in_thread(lambda: self._deliveries.due(waiting, self._care.now()))
        except BrokerError as error:
            if not self._blind:
                log.warning("delivery.blind", code=error.code)
            self._blind = True
            return
        self._blind = False
        for name in due:
            self.drains[name].news()

    async def _keep(self) -> None:
        """Shows the database that we live, and what is queued to /metrics."""
        try:
            kept = await self._in_thread(self._deliveries.keep)
            queued = await self._in_thread(self._deliveries.queued)
        except BrokerError as error:
            log.warning("delivery.trouble", code=error.code)
            return
        if not kept:
            for drain in self.drains.values():
                drain.disowned()
        for name in self.drains:
            self._counts.queued(name, queued.get(name, 0))
