"""What /metrics says of deliveries: attempts by outcome, how long they took, what is queued. Floor 8."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

__all__ = ["DeliveryCounts"]

BUCKETS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 3600, 86400)


class DeliveryCounts:
    """Labels are destinations, outcomes and states: words of the project's files and ours, nobody's name."""

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._attempts = Counter(
            "handoff_delivery_attempts",
            "Attempts to deliver, by what became of them",
            ["destination", "outcome"],
            registry=registry,
        )
        self._attempt_secs = Histogram(
            "handoff_delivery_attempt_seconds",
            "From the first step of an attempt to its outcome",
            ["destination"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._queued = Gauge(
            "handoff_deliveries_queued", "Deliveries that wait", ["destination"], registry=registry
        )
        self._owned = Gauge(
            "handoff_destination_owned",
            "1 where this process sends to the destination",
            ["destination"],
            registry=registry,
        )

    def attempted(self, destination: str, outcome: str, secs: float) -> None:
        """One attempt came to its outcome."""
        self._attempts.labels(destination, outcome).inc()
        self._attempt_secs.labels(destination).observe(secs)

    def queued(self, destination: str, count: int) -> None:
        """How many wait now."""
        self._queued.labels(destination).set(count)

    def owned(self, destination: str, owned: bool) -> None:
        """Whether it is this process that sends there."""
        self._owned.labels(destination).set(int(owned))
