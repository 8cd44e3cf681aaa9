"""What stands beside the broker in the demo: its destinations on this machine, run in a thread. Floor 11."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import blockingCallFromThread

from broker.demo.peers import MailCatcher, RecordSystem

__all__ = ["Beside", "beside"]


class Beside:
    """A mail server and a practice's record system. Their lists only grow; any thread may read them."""

    def __init__(self) -> None:
        self.mails = MailCatcher()
        self.records = RecordSystem()


@contextmanager
def beside(mail_ports: Iterable[int], record_ports: Iterable[int]) -> Iterator[Beside]:
    """Both, listening on these ports of 127.0.0.1 until the block ends."""
    from twisted.internet import reactor as imported

    reactor: Any = imported
    both = Beside()
    thread = threading.Thread(target=reactor.run, args=(False,), name="beside", daemon=True)
    thread.start()
    wanted = [(both.mails, port) for port in mail_ports] + [(both.records, port) for port in record_ports]
    ports: list[Any] = [
        blockingCallFromThread(reactor, factory.listen, reactor, port) for factory, port in wanted
    ]

    def close() -> Deferred[Any]:
        return gatherResults([port.stopListening() for port in ports])

    try:
        yield both
    finally:
        blockingCallFromThread(reactor, close)
        reactor.callFromThread(reactor.stop)
        thread.join(10)
