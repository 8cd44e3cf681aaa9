"""How a process runs and stops, whatever it does. Floor 9."""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from typing import Any

import structlog
from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from broker.errors import OperationError
from broker.presence import Presence

__all__ = ["bound", "monotonic_reactor", "run_service", "stop_on_signals"]

log = structlog.get_logger()


def bound(name: str, host: str, port: int) -> socket.socket:
    """A socket that is bound to a port. Raises `OperationError` ("port_taken") that names who wanted it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise OperationError(
            f"{name} cannot listen on {host}:{port}: {error.strerror}", code="port_taken"
        ) from error
    return taken


def monotonic_reactor() -> Any:
    """The reactor, its timers on the monotonic clock: by default they follow the wall clock."""
    from twisted.internet import reactor

    setattr(reactor, "seconds", time.monotonic)  # noqa: B010 - it is a method to mypy
    return reactor


def run_service(reactor: Any, service: IService, presence: Presence, hard_stop_secs: float) -> int:
    """Runs a service until SIGTERM or SIGINT; it drains, and what has not ended in time is killed."""
    failed: list[Failure] = []

    def give_up(failure: Failure) -> None:
        failed.append(failure)
        log.error("process.failed", exc_info=failure.value)
        reactor.stop()

    def stop() -> Deferred[Any]:
        signal.alarm(math.ceil(hard_stop_secs))
        return maybeDeferred(service.stopService)

    def start() -> None:
        maybeDeferred(service.startService).addErrback(give_up)

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()
    signal.alarm(0)
    presence.close()
    return 1 if failed else 0


def stop_on_signals(drain_secs: float) -> threading.Event:
    """An event that SIGTERM and SIGINT set; what has not ended in time after that is killed.

    A thread waits for the signals: a handler that sets an `Event` can meet its lock held. To be called
    before any other thread is started, since those inherit that the signals are not for them.
    """
    stop, signals = threading.Event(), {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def wait() -> None:
        signal.sigwait(signals)
        signal.alarm(math.ceil(drain_secs))
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop
