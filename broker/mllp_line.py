"""One MLLP connection for who asks and waits: `broker send`, the demo. Floor 5; it blocks."""

from __future__ import annotations

import socket

from broker.hl7 import Deframer, Message, frame

__all__ = ["MllpLine"]


class MllpLine:
    """Each message waits for its answer. Opening and asking raise `OSError`."""

    def __init__(self, host: str, port: int, timeout_secs: float) -> None:
        self._socket = socket.create_connection((host, port), timeout_secs)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deframer = Deframer()
        self._answers: list[bytes] = []

    def ask(self, message: bytes) -> Message:
        """The answer to a message."""
        self._socket.sendall(frame(message))
        while not self._answers:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("hung up without an answer")
            self._answers += self._deframer.feed(received)
        return Message(self._answers.pop(0))

    def close(self) -> None:
        self._socket.close()
