import socket
from dataclasses import replace
from datetime import UTC, datetime
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from broker.errors import OperationError, StoreError
from broker.metrics import StandingCollector, serve_metrics
from broker.status import ChannelStatus, Status

STATUS = Status(
    at=datetime(2026, 3, 5, tzinfo=UTC),
    bundle="",
    worked=9,
    backlog=7,
    channels=[ChannelStatus("north", "North", "live", "", True, {"worked": 5}, 2, 1, None)],
    deliveries={"mail/smtp": {"doubtful": 3}},
    tasks_open=11,
    tasks_overdue=4,
    codes=6,
    processes=[],
)


def scraped(status):
    registry = CollectorRegistry()
    registry.register(StandingCollector(status))
    return generate_latest(registry).decode()


def test_what_an_alarm_needs_is_told_at_each_scrape():
    told = scraped(lambda: STATUS)
    for line in (
        "handoff_backlog 7.0",
        "handoff_tasks_overdue 4.0",
        "handoff_codes 6.0",
        'handoff_messages_today{became="worked",channel="north"} 5.0',
        'handoff_aside{channel="north",state="refused"} 2.0',
        'handoff_aside{channel="north",state="paused"} 1.0',
        'handoff_channel_paused{channel="north"} 1.0',
        'handoff_deliveries{destination="mail/smtp",state="doubtful"} 3.0',
    ):
        assert line in told.splitlines()


def test_a_database_that_is_gone_leaves_the_figures_out():
    def gone():
        raise StoreError("gone")

    assert scraped(gone) == ""


def test_a_broker_without_channels_has_figures_too():
    assert "handoff_backlog 7.0" in scraped(lambda: replace(STATUS, channels=[], deliveries={}))


def test_metrics_are_answered_on_a_free_loopback_port():
    port = serve_metrics(0)
    assert b"python_info" in urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperationError, match=f"port {port}") as caught:
            serve_metrics(port)
    assert caught.value.code == "port_taken"
