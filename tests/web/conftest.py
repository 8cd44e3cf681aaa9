"""A status as the page shows it: numbers and names of channels, nothing of a patient."""

from datetime import UTC, datetime

import pytest

from broker.status import ChannelStatus, ProcessStatus, Status


@pytest.fixture
def north():
    """A channel with something refused."""
    return ChannelStatus(
        name="north_adt",
        title="North <Hospital>",
        state="live",
        listens="127.0.0.1:2575",
        paused=False,
        became={"worked": 1234, "repeated": 2},
        refused=3,
        waiting=0,
        last_at=datetime(2026, 3, 5, 14, 10, tzinfo=UTC),
    )


@pytest.fixture
def status(north):
    """A broker with one channel."""
    return Status(
        at=datetime(2026, 3, 5, 15, 0, tzinfo=UTC),
        bundle="f" * 64,
        worked=1236,
        backlog=7,
        channels=[north],
        deliveries={"westside/ehr": {"delivered": 5, "given_up": 1}},
        tasks_open=11,
        tasks_overdue=1,
        codes=2,
        processes=[ProcessStatus("intake", 4711, 9471, 0.1)],
    )
