"""MLLP in: the listener of one port, with its limits and counts. Floor 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from broker.sources.line import Line
from broker.sources.receiver import Receiver, Turn

__all__ = ["Limits", "Line", "Listener", "Receiver", "Turn"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener allows. `frame_secs` is the time from a frame's first byte to its last and is not
    prolonged by what comes between; `idle_secs` is silence outside of frames, while nothing is unanswered."""

    max_bytes: int = 32 * 1024 * 1024
    frame_secs: float = 60.0
    idle_secs: float = 600.0
    max_connections: int = 512
    allow: tuple[IPv4Network | IPv6Network, ...] = ()  # empty: everybody


class Listener(Factory):
    """Everything that came to one port. Its counts are read when metrics are asked for."""

    noisy = False

    def __init__(self, name: str, receiver: Receiver, limits: Limits, clock: Any) -> None:
        self.name, self.receiver, self.limits, self.clock = name, receiver, limits, clock
        self.seconds: Callable[[], float] = clock.seconds
        self.lines: set[Line] = set()
        self.refused: Counter[str] = Counter()  # by cause: "full", "address"
        self.ended: Counter[str] = Counter()  # connections that we gave up, and frames that never ended
        self.noise_of_gone = 0
        self.connections = 0
        self._told: dict[str, int] = {}

    @property
    def noise(self) -> int:
        """Bytes that came outside of frames, all connections together."""
        return self.noise_of_gone + sum(line.noise for line in tuple(self.lines))

    def buildProtocol(self, addr: IAddress | None) -> Line | None:
        """A line for a new connection; None, which closes it at once, when there may be no more."""
        host = str(getattr(addr, "host", "")).partition("%")[0]
        if self.limits.allow and not self._may_come(host):
            self.refused["address"] += 1
        elif len(self.lines) + 1 > self.limits.max_connections:
            self.refused["full"] += 1
        else:
            self.connections += 1
            return Line(self, f"{host}:{getattr(addr, 'port', 0)}")
        if self._told.get(host, 0) < 1:
            self._told[host] = 1
            log.warning("mllp.refused", channel=self.name, peer=host, refused=dict(self.refused))
        return None

    def _may_come(self, host: str) -> bool:
        address = ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self.limits.allow)

    def count_ended(self, cause: str, line: Line, size: int = 0) -> None:
        """Notes why a connection or a frame came to no good end; `size` in bytes, where it is known."""
        self.ended[cause] += 1
        told = log.info if cause == "idle" else log.warning
        told("mllp.ended", channel=self.name, peer=line.peer, cause=cause, size=size)

    def sweep(self) -> None:
        """Ends what takes too long. To be called about once a second."""
        now = self.seconds()
        self._told.clear()
        for line in tuple(self.lines):
            line.sweep(now)

    def hang_up(self) -> None:
        """Every line is answered what it is still owed, and closed."""
        for line in tuple(self.lines):
            line.hang_up()
