"""What `broker bench` measures, on a broker of its own with every process running. Floor 11."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice

from broker.bench.load import load
from broker.bench.traffic import traffic
from broker.hl7 import Message, Path, header

__all__ = ["Accepted", "EndToEnd", "Figures", "measure_accepting", "measure_reading"]

PATHS = (
    "MSH-9.2", "MSH-10", "EVN-2", "PID-3.1", "PID-3.4.1", "PID-3[5=MR].1", "PID-5.1", "PID-5.2",
    "PID-7", "PID-8", "PD1-4.1", "PV1-2", "PV1-3.1", "PV1-19.1", "PV1-44",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """How much was accepted at so many connections: synced before each answer."""

    connections: int
    per_second: int
    p50_ms: float
    p99_ms: float
    messages: int


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """How long the worker took: for everything, from the first message to an empty backlog, and for the
    backlog that was left when the senders stopped, with the machine to itself."""

    messages: int
    secs: float
    per_second: int
    left: int
    left_secs: float
    left_per_second: int


@dataclass(slots=True)
class Figures:
    """One run of the bench, as it is kept in bench/results/."""

    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    store: str = "sqlite"
    cores: int = field(default_factory=lambda: os.cpu_count() or 0)
    python: str = field(default_factory=platform.python_version)
    machine: str = field(default_factory=platform.machine)
    us_per_header: float = 0.0
    us_per_15_paths: float = 0.0
    accepted: list[Accepted] = field(default_factory=list)
    end_to_end: EndToEnd | None = None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def measure_reading(figures: Figures) -> None:
    """Microseconds a header, and for fifteen paths of a fresh message: the best of five rounds."""
    frames = [frame[1:-2] for _, frame in islice(traffic(), 2000)]
    paths = [Path.parse(path) for path in PATHS]

    def read_paths(frame: bytes) -> None:
        message = Message(frame)
        for path in paths:
            message.get(path)

    figures.us_per_header = _best(header, frames)
    figures.us_per_15_paths = _best(read_paths, frames)


def _best(read: Callable[[bytes], object], frames: list[bytes]) -> float:
    rounds = []
    for _ in range(5):
        begun = time.perf_counter()
        for frame in frames:
            read(frame)
        rounds.append((time.perf_counter() - begun) / len(frames) * 1e6)
    return round(min(rounds), 2)


def measure_accepting(
    host: str, port: int, connections: int, secs: float, messages: Iterator[tuple[bytes, bytes]]
) -> Accepted:
    """One load, after a short one to warm up."""
    load(host, port, connections, min(1.0, secs / 4), messages)
    loaded = load(host, port, connections, secs, messages)
    return Accepted(
        connections,
        round(loaded.rate),
        round(loaded.latency(0.5) * 1000, 2),
        round(loaded.latency(0.99) * 1000, 2),
        loaded.accepted,
    )
