"""An intake process: one writer, and a listener for each channel that hospitals send to. Floor 8."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from broker.channel import Channel, Mllp
from broker.flow.answers import Answers
from broker.flow.counts import IntakeCollector
from broker.flow.intake import Intake
from broker.flow.judging import Ordering
from broker.flow.turns import Outbox
from broker.flow.verdict import Verdicts
from broker.hl7 import Header
from broker.project import Project
from broker.site import Site
from broker.sources.listen import ServerTls, listen
from broker.sources.mllp import Limits, Listener
from broker.store.journal import Writer
from broker.store.open import Stores

__all__ = ["IntakeService", "build_intake"]

log = structlog.get_logger()

SWEEP_SECS = 1.0
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def build_intake(
    project: Project, bundle: str, stores: Stores, reactor: Any, **options: Any
) -> IntakeService:
    """The service that receives for every channel of a project; see `IntakeService`."""
    return IntakeService(project, bundle, stores, reactor, **options)


class IntakeService(Service):
    """Listens, keeps and answers from `startService` to `stopService`.

    What `startService` returns does not fire while all is well: it fails when a port cannot be bound, the
    folder is another's, or nothing can be written any more and the process must end (and start anew).
    Files of certificates are named from `folder`, the project's.
    """

    def __init__(
        self,
        project: Project,
        bundle: str,
        stores: Stores,
        reactor: Any,
        *,
        folder: Path = Path(),
        drain_secs: float = 15.0,
        verdict_secs: float = 10.0,
        verdict_children: int = 2,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        registry: CollectorRegistry | None = REGISTRY,
        open_writer: Callable[..., Writer] = Writer,
    ) -> None:
        self.listeners: dict[str, Listener] = {}
        self.intakes: dict[str, Intake] = {}
        self.ports: dict[str, Any] = {}
        self.port_numbers: dict[str, int] = {}  # by channel, once `listening` has fired
        self.listening: Deferred[None] = Deferred()
        self._project, self._bundle, self._stores, self._reactor = project, bundle, stores, reactor
        self._folder, self._drain_secs, self._now = folder, drain_secs, now
        self.registry, self._open_writer = registry, open_writer
        self._make_verdicts = partial(
            Verdicts, project.files(), reactor, children=verdict_children, limit_secs=verdict_secs
        )
        self._outbox = Outbox(reactor.seconds)
        self._writer: Writer | None = None
        self._verdicts: Verdicts | None = None
        self._collector: IntakeCollector | None = None
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._over: Deferred[None] = Deferred()

    def startService(self) -> Deferred[None]:
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._open()
        except Exception as error:
            self._fail(error)
            return self._over
        binding = Deferred.fromCoroutine(self._listen())
        binding.addErrback(self._not_bound)
        return self._over

    def _not_bound(self, failure: Failure) -> None:
        self._fail(failure.value or RuntimeError())

    def _open(self) -> None:
        _allow_connections()
        writer = self._writer = self._open_writer(
            self._stores.journal_url, post=self._post, on_death=self._writer_died, by="intake"
        )
        self._outbox.waiting_bytes = lambda: writer.waiting_bytes
        channels = [(one, one.mllp) for one in self._project.channels.values() if one.mllp is not None]
        if any(channel.acknowledge == "mapped" for channel, _ in channels):
            self._verdicts = self._make_verdicts()
            self._verdicts.startService()
        answers = Answers(_own_name(), self._now, self._reactor.seconds)
        for channel, receive in channels:
            self._add(channel, receive, writer, answers)
        if self.registry is not None:
            counts = [intake.counts for intake in self.intakes.values()]
            self._collector = IntakeCollector(counts, [*self.listeners.values()], self._outbox.waiting_bytes)
            self.registry.register(self._collector)
        self._sweeping.start(SWEEP_SECS, now=False)

    def _add(self, channel: Channel, receive: Mllp, writer: Writer, answers: Answers) -> None:
        def site_for(header: Header) -> Site:
            return self._project.site_for_order(channel, header)

        ordering = Ordering(channel, site_for if channel.sites else None)
        intake = Intake(
            channel,
            self._bundle,
            ordering,
            writer,
            answers,
            self._outbox,
            self._reactor,
            self._verdicts if channel.acknowledge == "mapped" else None,
        )
        self.intakes[channel.name] = intake
        self.listeners[channel.name] = Listener(channel.name, intake, _limits(receive), self._reactor)

    async def _listen(self) -> None:
        for name, listener in self.listeners.items():
            receive = self._project.channels[name].mllp
            assert receive is not None
            tls = _tls(receive, self._folder)
            port = await listen(self._reactor, listener, receive.host, receive.port, tls)
            host: Any = port.getHost()
            self.ports[name], self.port_numbers[name] = port, int(host.port)
            log.info("intake.listens", channel=name, host=receive.host, port=self.port_numbers[name])
        self.listening.callback(None)

    def _post(self, run: Callable[[], None]) -> None:
        self._reactor.callFromThread(self._outbox.settle, run)

    def _sweep(self) -> None:
        for listener in self.listeners.values():
            listener.sweep()
        for intake in self.intakes.values():
            intake.counts.flush()

    # The end

    def _writer_died(self, error: BaseException) -> None:
        """Called from the writer's threads."""
        self._reactor.callFromThread(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        """Nothing can be kept any more: nobody is left waiting, and the process is to end."""
        for port in self.ports.values():
            port.stopListening()
        for listener in self.listeners.values():
            for line in tuple(listener.lines):
                line.cut()
        if not self._over.called:
            self._over.errback(Failure(error))

    async def _stop(self) -> None:
        for port in self.ports.values():
            await maybeDeferred(port.stopListening)
        for listener in self.listeners.values():
            listener.hang_up()
        until = self._reactor.seconds() + self._drain_secs
        while any(line.owes for one in self.listeners.values() for line in one.lines):
            if self._reactor.seconds() >= until:
                break
            await deferLater(self._reactor, 0.02)
        if self._verdicts is not None:
            await maybeDeferred(self._verdicts.stopService)
        if self._writer is not None:
            left = max(0.5, until - self._reactor.seconds())
            await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._writer.stop, left)
        self._outbox.flush()
        for listener in self.listeners.values():
            for line in tuple(listener.lines):
                line.cut()
        if self._sweeping.running:
            self._sweeping.stop()
        self._sweep()
        if self.registry is not None and self._collector is not None:
            self.registry.unregister(self._collector)
            self._collector = None

    def stopService(self) -> Deferred[None]:
        if not self.running:
            return succeed(None)
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())


def _limits(receive: Mllp) -> Limits:
    networks = tuple(ip_network(network) for network in receive.allow)
    return Limits(receive.max_bytes, receive.frame_secs, receive.idle_secs, receive.max_connections, networks)


def _tls(receive: Mllp, folder: Path) -> ServerTls | None:
    said = receive.tls
    if said is None:
        return None
    trust = folder / said.client_trust_file if said.client_trust_file else None
    return ServerTls(folder / said.cert_file, folder / said.key_file, trust)


def _allow_connections() -> None:
    """As many open files as we may have: the usual soft limit of 1024 is fewer than our channels' lines."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _own_name() -> str:
    """What begins the control ids of this process's answers: no other start has it."""
    number, text = time.time_ns() // 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        text = BASE36[digit] + text
    return text
