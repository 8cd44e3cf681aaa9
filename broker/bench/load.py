"""Senders as fast as they are answered: many connections, one loop, every answer checked. Floor 11.

Each connection sends a message, waits for its answer, and sends the next, as hospitals do. The loop costs
its core some ten microseconds a message, which the broker does not have where cores are few: figures are
for both together.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Loaded", "load"]


class _Asked(NamedTuple):
    control_id: bytes
    at: float


@dataclass(slots=True)
class Loaded:
    """What came of a load. `latencies` are seconds from the message's last byte sent to its answer."""

    secs: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return self.codes["AA"] + self.codes["CA"]

    @property
    def rate(self) -> float:
        """Accepted messages a second."""
        return self.accepted / self.secs if self.secs else 0.0

    def latency(self, share: float) -> float:
        """The latency, in seconds, that this share of the answers kept within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def load(
    host: str, port: int, connections: int, secs: float, messages: Iterator[tuple[bytes, bytes]]
) -> Loaded:
    """Sends framed messages (control id, frame) for so many seconds, then waits for the last answers.

    Raises `OSError` when a connection breaks, `ValueError` when an answer is not the one that was waited for.
    """
    loaded, poll = Loaded(), select.epoll()
    lines = [socket.create_connection((host, port)) for _ in range(connections)]
    asked: dict[int, _Asked] = {}
    by_number = {line.fileno(): line for line in lines}
    begun = now = time.perf_counter()

    def ask(line: socket.socket) -> None:
        control_id, frame = next(messages)
        line.sendall(frame)
        asked[line.fileno()] = _Asked(control_id, time.perf_counter())

    try:
        for line in lines:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            poll.register(line, select.EPOLLIN)
            ask(line)
        while asked:
            for number, _ in poll.poll(60):
                answer = by_number[number].recv(65536)
                now = time.perf_counter()
                was = asked.pop(number)
                loaded.codes[_code(answer, was.control_id)] += 1
                loaded.latencies.append(now - was.at)
                if now - begun < secs:
                    ask(by_number[number])
        loaded.secs = now - begun
    finally:
        poll.close()
        for line in lines:
            line.close()
    return loaded


def _code(answer: bytes, control_id: bytes) -> str:
    """MSA-1 of a whole answer to this message. An answer comes in one piece: it is a few hundred bytes."""
    at = answer.find(b"\rMSA|")
    if not answer.startswith(b"\x0b") or not answer.endswith(b"\x1c\r") or at < 0:
        raise ValueError("not an answer, or not a whole one")
    code, echoed = answer[at + 5 :].split(b"\r", 1)[0].split(b"|")[:2]
    if echoed != control_id:
        raise ValueError("an answer to another message")
    return code.decode()
