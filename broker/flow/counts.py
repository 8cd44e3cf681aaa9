"""What intake counts, as Prometheus reads it. Plain numbers; nothing of a patient's. Floor 8."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from broker.sources.mllp import Listener

__all__ = ["Counts", "IntakeCollector"]

log = structlog.get_logger()

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class Counts:
    """One channel's. A second of the same trouble is one line of the log, with its count."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.received = self.unanswered = 0
        self.answers: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.took = [0] * (len(BOUNDS) + 1)
        self.took_in_all = 0.0
        self._new: dict[str, tuple[int, str]] = {}

    def answered(self, codes: tuple[str, ...], secs: float) -> None:
        """One frame has its answers (none, where none was wanted), `secs` after it was whole."""
        for code in codes:
            self.answers[code] += 1
        self.took[bisect_left(BOUNDS, secs)] += 1
        self.took_in_all += secs

    def negative(self, cause: str, last: str) -> None:
        """A frame was answered negatively; `last` is its row, or a code. Said by the next `flush`."""
        self.causes[cause] += 1
        count, _ = self._new.get(cause, (0, ""))
        self._new[cause] = (count + 1, last)

    def flush(self) -> None:
        """Writes what is new to the log; called about once a second."""
        new, self._new = self._new, {}
        for cause, (count, last) in new.items():
            log.warning("intake.negative", channel=self.channel, cause=cause, count=count, last=last)


class IntakeCollector(Collector):
    """The counts of a whole intake process."""

    def __init__(
        self, counts: Sequence[Counts], listeners: Sequence[Listener], waiting_bytes: Callable[[], int]
    ) -> None:
        self._counts, self._listeners, self._waiting_bytes = counts, listeners, waiting_bytes

    def collect(self) -> Iterable[Any]:
        """Called from the thread that answers /metrics: reads numbers, and copies what may grow meanwhile."""
        yield from self._of_channels()
        yield from self._of_listeners()
        waiting = GaugeMetricFamily("handoff_intake_waiting_bytes", "Bytes that wait for the journal.")
        waiting.add_metric([], self._waiting_bytes())
        yield waiting

    def _of_channels(self) -> Iterable[Any]:
        received = CounterMetricFamily(
            "handoff_intake_received", "Whole frames received.", labels=["channel"]
        )
        unanswered = CounterMetricFamily(
            "handoff_intake_unanswered", "Frames whose sender was gone before the answer.", labels=["channel"]
        )
        answers = CounterMetricFamily(
            "handoff_intake_answers", "Answers by code of HL7 table 0008.", labels=["channel", "code"]
        )
        causes = CounterMetricFamily(
            "handoff_intake_negative", "Frames answered negatively, by cause.", labels=["channel", "cause"]
        )
        took = HistogramMetricFamily(
            "handoff_intake_answer_seconds", "From a frame being whole to its answer.", labels=["channel"]
        )
        for one in self._counts:
            received.add_metric([one.channel], one.received)
            unanswered.add_metric([one.channel], one.unanswered)
            for code, count in dict(one.answers).items():
                answers.add_metric([one.channel, code], count)
            for cause, count in dict(one.causes).items():
                causes.add_metric([one.channel, cause], count)
            took.add_metric([one.channel], _buckets(one.took), one.took_in_all)
        return [received, unanswered, answers, causes, took]

    def _of_listeners(self) -> Iterable[Any]:
        noise = CounterMetricFamily(
            "handoff_mllp_noise_bytes", "Bytes outside of frames.", labels=["channel"]
        )
        lines = GaugeMetricFamily(
            "handoff_mllp_connections", "Connections that are open.", labels=["channel"]
        )
        opened = CounterMetricFamily(
            "handoff_mllp_opened", "Connections that were opened.", labels=["channel"]
        )
        refused = CounterMetricFamily(
            "handoff_mllp_refused", "Connections refused.", labels=["channel", "cause"]
        )
        ended = CounterMetricFamily(
            "handoff_mllp_ended", "Connections and frames that we gave up.", labels=["channel", "cause"]
        )
        for one in self._listeners:
            noise.add_metric([one.name], one.noise)
            lines.add_metric([one.name], len(one.lines))
            opened.add_metric([one.name], one.connections)
            for cause, count in dict(one.refused).items():
                refused.add_metric([one.name, cause], count)
            for cause, count in dict(one.ended).items():
                ended.add_metric([one.name, cause], count)
        return [noise, lines, opened, refused, ended]


def _buckets(took: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    found, so_far = [], 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), took, strict=True):
        so_far += count
        found.append((bound, float(so_far)))
    return found
