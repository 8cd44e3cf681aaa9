"""/metrics of one process, on a loopback port of its own. Floor 9."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.errors import BrokerError, OperationError
from broker.status import Status

__all__ = ["StandingCollector", "serve_metrics"]


def serve_metrics(port: int) -> int:
    """Answers /metrics on 127.0.0.1 from a thread; 0 takes a free port. Returns the port."""
    try:
        server, _thread = start_http_server(port, "127.0.0.1")
    except OSError as error:
        raise OperationError(
            f"/metrics cannot listen on port {port}: {error.strerror}; set `metrics_port`", code="port_taken"
        ) from error
    return int(server.server_port)


class StandingCollector(Collector):
    """How the whole broker stands, asked of its stores at each scrape; the web process answers with it."""

    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        """Nothing: so that registering asks no database."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found = self._status()
        except BrokerError:
            return  # the databases do not answer: /readyz says so
        for name, text, value in (
            ("backlog", "Messages that no worker has worked yet.", found.backlog),
            ("tasks_open", "Tasks that are open.", found.tasks_open),
            ("tasks_overdue", "Tasks that are open and past their due time.", found.tasks_overdue),
            ("codes", "Codes that a table lacks.", found.codes),
        ):
            yield GaugeMetricFamily(f"handoff_{name}", text, value)
        yield from _of_channels(found)
        sent = GaugeMetricFamily("handoff_deliveries", "Deliveries.", labels=["destination", "state"])
        for destination, states in found.deliveries.items():
            for state, count in states.items():
                sent.add_metric([destination, state], count)
        yield sent


def _of_channels(found: Status) -> Iterator[Metric]:
    today = GaugeMetricFamily(
        "handoff_messages_today", "Messages of today (UTC).", labels=["channel", "became"]
    )
    aside = GaugeMetricFamily("handoff_aside", "Messages set aside.", labels=["channel", "state"])
    paused = GaugeMetricFamily("handoff_channel_paused", "1 while a channel is paused.", labels=["channel"])
    for channel in found.channels:
        for became, count in channel.became.items():
            today.add_metric([channel.name, became], count)
        aside.add_metric([channel.name, "refused"], channel.refused)
        aside.add_metric([channel.name, "paused"], channel.waiting)
        paused.add_metric([channel.name], channel.paused)
    return iter((today, aside, paused))
