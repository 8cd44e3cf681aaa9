"""How a broker stands, in numbers: for `broker status`, the status page and /readyz. Floor 8.

Numbers, names of channels and destinations, times: nothing here is a patient's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from broker.channel import Mllp
from broker.errors import BrokerError
from broker.presence import Present
from broker.project import Project
from broker.store.standing import Standing

__all__ = ["ChannelStatus", "ProcessStatus", "Readiness", "Status", "readiness", "status_of"]


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """One channel. `became` counts today's (UTC) messages by what became of them."""

    name: str
    title: str
    state: str  # live, quiet, history
    listens: str  # host:port, or what it takes notifications of
    paused: bool
    became: Mapping[str, int]
    refused: int
    waiting: int  # set aside because the channel is or was paused
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process on this data folder, as its note says."""

    name: str
    pid: int
    metrics_port: int
    beat_secs_ago: float
    ready: bool = True

    @classmethod
    def of(cls, noted: Present, monotonic: float) -> ProcessStatus:
        return cls(
            noted.name, noted.pid, noted.metrics_port, max(0.0, monotonic - noted.beat_at), noted.ready
        )


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one time of the database's clock."""

    at: datetime
    bundle: str
    worked: int  # messages that have been worked, ever, whatever became of them
    backlog: int  # messages in the journal that no worker has worked yet
    channels: Sequence[ChannelStatus]
    deliveries: Mapping[str, Mapping[str, int]]  # destination -> state -> count
    tasks_open: int
    tasks_overdue: int
    codes: int  # codes that a table lacks
    processes: Sequence[ProcessStatus]


def status_of(
    at: datetime,
    project: Project,
    bundle: str,
    journaled: int,
    found: Standing,
    processes: Sequence[ProcessStatus],
) -> Status:
    """Puts together what the stores, the project and the processes say; `journaled` counts all rows ever."""
    channels = []
    for name, channel in project.channels.items():
        aside = found.aside.get(name, {})
        channels.append(
            ChannelStatus(
                name=name,
                title=channel.title,
                state=channel.state,
                listens=_listens(channel.receive),
                paused=name in found.paused,
                became=found.became.get(name, {}),
                refused=aside.get("refused", 0),
                waiting=aside.get("paused", 0),
                last_at=found.last_at.get(name),
            )
        )
    return Status(
        at=at,
        bundle=bundle,
        worked=found.worked,
        backlog=max(0, journaled - found.worked),
        channels=channels,
        deliveries=found.deliveries,
        tasks_open=found.tasks_open,
        tasks_overdue=found.tasks_overdue,
        codes=found.codes,
        processes=processes,
    )


def _listens(receive: object) -> str:
    return f"{receive.host}:{receive.port}" if isinstance(receive, Mllp) else "notifications"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether messages can be taken, worked and delivered now: what is well, and what is not and why."""

    well: Sequence[str] = ()
    amiss: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return not self.amiss


def readiness(
    probes: Mapping[str, Callable[[], object]],
    expected: Sequence[str],
    processes: Sequence[ProcessStatus],
    batch_secs: float,
) -> Readiness:
    """Asks every probe (a database each) and looks whether each expected process lives and makes progress."""
    well, amiss = [], {}
    for name, probe in probes.items():
        try:
            probe()
            well.append(name)
        except BrokerError as error:
            amiss[name] = error.code
    alive = {process.name: process for process in processes}
    for name in expected:
        if name not in alive:
            amiss[name] = "not_running"
        elif not alive[name].ready:
            amiss[name] = "starting"
        elif name.startswith("work") and alive[name].beat_secs_ago > batch_secs:
            amiss[name] = "no_progress"
        else:
            well.append(name)
    return Readiness(tuple(well), amiss)
