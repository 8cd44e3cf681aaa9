"""How the care store stands, in counts: for the status page, `broker status` and /readyz. Floor 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from broker.store.care_rows import OPEN_TASK, TaskRow
from broker.store.care_tables import AsideRow, CodeRow, HandledRow, TallyRow
from broker.store.delivery_tables import WAITING, DeliveryRow, DeliveryTallyRow
from broker.store.hot import translating
from broker.store.house_tables import ChannelStateRow
from broker.store.open import reading

__all__ = ["Standing", "standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Counts of one snapshot. By channel: `became` (outcome: count) of one day, `aside` (state: count)."""

    worked: int  # messages that have been worked, whatever became of them
    became: Mapping[str, Mapping[str, int]]
    aside: Mapping[str, Mapping[str, int]]
    last_at: Mapping[str, datetime]
    paused: frozenset[str]
    deliveries: Mapping[str, Mapping[str, int]]  # destination -> state -> count
    tasks_open: int
    tasks_overdue: int
    codes: int


def standing(engine: Engine, now: datetime) -> Standing:
    """How things stand now; `became` counts the messages of today, UTC."""
    with translating(), reading(engine).begin() as store:
        worked = store.execute(select(func.coalesce(func.sum(TallyRow.count), 0))).scalar_one()
        today = (
            select(TallyRow.channel, TallyRow.outcome, func.sum(TallyRow.count))
            .where(TallyRow.day == f"{now:%Y-%m-%d}")
            .group_by(TallyRow.channel, TallyRow.outcome)
        )
        aside = select(AsideRow.channel, AsideRow.state, func.count()).group_by(
            AsideRow.channel, AsideRow.state
        )
        under_way = (
            select(DeliveryRow.destination, DeliveryRow.state, func.count())
            .where(text(WAITING))
            .group_by(DeliveryRow.destination, DeliveryRow.state)
        )
        ended = select(
            DeliveryTallyRow.destination, DeliveryTallyRow.state, func.sum(DeliveryTallyRow.count)
        ).group_by(DeliveryTallyRow.destination, DeliveryTallyRow.state)
        paused = select(ChannelStateRow.channel).where(ChannelStateRow.paused)
        tasks = select(func.count()).select_from(TaskRow).where(text(OPEN_TASK))
        return Standing(
            worked=int(worked),
            became=_nested(store, today),
            aside=_nested(store, aside),
            last_at=_last(store),
            paused=frozenset(store.execute(paused).scalars()),
            deliveries=_nested(store, under_way, ended),
            tasks_open=store.execute(tasks).scalar_one(),
            tasks_overdue=store.execute(tasks.where(TaskRow.due_at < now)).scalar_one(),
            codes=store.execute(select(func.count()).select_from(CodeRow)).scalar_one(),
        )


def _nested(store: Connection, *asked: Any) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in asked:
        for outer, inner, count in store.execute(one):
            found.setdefault(outer, {})[inner] = int(count)
    return found


def _last(store: Connection) -> dict[str, datetime]:
    """When each channel's latest message came; an index step a channel."""
    found = {}
    for channel in store.execute(select(TallyRow.channel).distinct()).scalars():
        newest = select(func.max(HandledRow.at)).where(HandledRow.channel == channel)
        if (at := store.execute(newest).scalar()) is not None:
            found[channel] = at
    return found
