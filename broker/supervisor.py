"""The supervisor: keeps the processes of one broker alive. Floor 9.

A child that dies is started again, within two seconds at the latest. A worker that makes no progress is
killed: its batch was never saved, and the next worker goes one message at a time. At a stop every child is
asked to finish (SIGTERM) and killed when the drain's time is over.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.runner.procmon import ProcessMonitor
from zope.interface import implementer

from broker.presence import PARENT, present

__all__ = ["Supervisor"]

log = structlog.get_logger()
STARTS = Counter("handoff_process_starts", "Child processes started by the supervisor", ["process"])
STUCK = Counter("handoff_process_stuck", "Child processes killed because they made no progress", ["process"])


@implementer(IReactorProcess, IReactorTime)
class _SameOutput:
    """The reactor, with children that write where the supervisor writes, and whose ends are told."""

    def __init__(self, reactor: Any, ended: Callable[[str, Failure], None]) -> None:
        self._reactor, self._ended = reactor, ended
        self.children: dict[str, IProcessTransport] = {}

    def spawnProcess(
        self, processProtocol: Any, executable: Any, args: Sequence[Any], *more: Any, **options: Any
    ) -> IProcessTransport:
        name, gone = processProtocol.name, processProtocol.processEnded

        def process_ended(reason: Failure) -> None:
            del self.children[name]
            gone(reason)
            self._ended(name, reason)

        processProtocol.processEnded = process_ended
        options["childFDs"] = {0: 0, 1: 1, 2: 2}
        child: IProcessTransport = self._reactor.spawnProcess(
            processProtocol, executable, args, *more, **options
        )
        self.children[name] = child
        STARTS.labels(name).inc()
        log.info("process.started", child=name, child_pid=child.pid)
        return child

    def seconds(self) -> float:
        return float(self._reactor.seconds())

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> IDelayedCall:
        later: IDelayedCall = self._reactor.callLater(delay, callable, *args, **kw)
        return later

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        calls: Sequence[IDelayedCall] = self._reactor.getDelayedCalls()
        return calls


class Supervisor(ProcessMonitor):
    """Children by name. `folder` is where they note their progress (presence.py)."""

    minRestartDelay = 0.25  # type: ignore[assignment]  # seconds, as the others; Twisted's are whole by default
    maxRestartDelay = 2

    def __init__(self, reactor: Any, folder: Path, drain_secs: float, batch_secs: float) -> None:
        self._spawning = _SameOutput(reactor, self._child_ended)
        super().__init__(self._spawning)
        self.killTime = drain_secs  # type: ignore[assignment]
        self._folder, self._batch_secs = folder, batch_secs
        self._seconds: Callable[[], float] = reactor.seconds
        self._stopped: Deferred[None] | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def add(self, name: str, args: Sequence[str], environment: Mapping[str, str]) -> None:
        """A child to be kept alive: a command, and the environment that it is given."""
        self.addProcess(name, list(args), env={**environment, PARENT: str(os.getpid())})

    def startService(self) -> None:
        super().startService()
        self._looking.start(1, now=False)

    def stopService(self) -> Deferred[None]:  # type: ignore[override]
        """Asks every child to finish; fires when all are gone."""
        if self._looking.running:
            self._looking.stop()
        super().stopService()
        if not self.protocols:
            return succeed(None)
        self._stopped = Deferred()
        return self._stopped

    def pids(self) -> dict[str, int]:
        """The children that run now."""
        return {name: child.pid for name, child in self._spawning.children.items()}

    def _child_ended(self, name: str, reason: Failure) -> None:
        code, by_signal = getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", None)
        if self.running:
            log.warning("process.ended", child=name, exit_code=code, signal=by_signal)
        if self._stopped is not None and not self.protocols:
            self._stopped.callback(None)
            self._stopped = None

    def _look(self) -> None:
        """Kills a worker whose last beat is older than a batch may take."""
        pids = self.pids()
        for noted in present(self._folder):
            late = self._seconds() - noted.beat_at
            if (
                noted.name.startswith("work")
                and pids.get(noted.name) == noted.pid
                and late > self._batch_secs
            ):
                log.error("process.stuck", child=noted.name, child_pid=noted.pid, secs=round(late))
                STUCK.labels(noted.name).inc()
                self._spawning.children[noted.name].signalProcess("KILL")
