"""What a line needs of its socket beside the transport. Floor 5."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

__all__ = ["Drained", "keep_alive", "unread"]


@implementer(IPullProducer)
class Drained:
    """Asked for more when a transport has sent all that it held; the first time is only its greeting."""

    def __init__(self, drained: Callable[[], None]) -> None:
        self._drained, self._greeted = drained, False

    def resumeProducing(self) -> None:
        if self._greeted:
            self._drained()
        self._greeted = True

    def stopProducing(self) -> None:
        """Required by IPullProducer; `connectionLost` says the same."""


def unread(wire: socket.socket) -> bool:
    """Whether bytes have come that were not read yet."""
    try:
        return bool(wire.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def keep_alive(transport: Any) -> None:
    """A peer that vanished is noticed within 30 s, whether we wait for it or it for us."""
    wire = getattr(transport, "socket", None)
    if wire is None:
        return
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for name, value in (("IDLE", 15), ("INTVL", 5), ("CNT", 3)):
        wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"), value)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
