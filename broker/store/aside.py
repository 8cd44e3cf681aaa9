"""What was set aside: refused and paused messages, and what people do with them. Floor 4."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Engine, func, insert, select, update

from broker.errors import OperationError
from broker.store.audit import append_entries
from broker.store.batch import Aside, AuditPut
from broker.store.care_tables import AsideRow
from broker.store.hot import Hot, translating
from broker.store.house_tables import ChannelStateRow
from broker.store.open import reading

__all__ = ["AsideShelf", "Cause", "SetAside", "incomplete_patients", "ready_aside"]

# Ready are the released ones, and of each channel that is not paused those that waited for it. The order is
# that of the journal: time, stream, seq.
_READY = "SELECT at, stream, seq, slot, channel, state FROM aside WHERE "
_ORDER = " AND slot IN (SELECT value FROM json_each({slots})) ORDER BY at, stream, seq LIMIT {limit}"
RELEASED = f"{_READY} state = 'released' {_ORDER}"
RESUMED = f"{_READY} state = 'paused' AND channel = {{channel}} {_ORDER}"
NEXT_CHANNEL = "SELECT min(channel) FROM aside WHERE state = 'paused' AND channel > {after}"


def ready_aside(hot: Hot, slots: Collection[int], limit: int) -> list[Aside]:
    """See `CareStore.ready_aside`."""
    keys = orjson.dumps(list(slots)).decode() if hot.lite else list(slots)
    found = list(hot.ask(for_store(RELEASED, hot.lite), slots=keys, limit=limit))
    for channel in _resumed(hot):
        found += hot.ask(for_store(RESUMED, hot.lite), slots=keys, channel=channel, limit=limit)
    return [Aside(*row[1:]) for row in sorted(found, key=lambda row: row[:3])[:limit]]


def for_store(sql: str, lite: bool) -> str:
    """Keys come as JSON on SQLite, as an array on PostgreSQL."""
    return (
        sql if lite else sql.replace("SELECT value FROM json_each({slots})", "SELECT unnest({slots}::int[])")
    )


def _resumed(hot: Hot) -> list[str]:
    """Channels that are not paused and of which messages still wait: a step of the index each."""
    channels: list[str] = []
    after = ""
    while (rows := hot.ask(NEXT_CHANNEL, after=after)) and rows[0][0] is not None:
        after = rows[0][0]
        channels.append(after)
    if not channels:
        return []
    paused = {channel for (channel,) in hot.run("SELECT channel FROM channel_state WHERE paused")}
    return [channel for channel in channels if channel not in paused]


def incomplete_patients(hot: Hot, patients: Collection[int]) -> set[int]:
    """Of these patients, those who have a message that is set aside: what is told of them says so."""
    sql = "SELECT DISTINCT patient FROM aside WHERE state <> 'dismissed' AND patient"
    if hot.lite:
        rows = hot.run(f"{sql} IN (SELECT value FROM json_each(?))", orjson.dumps(list(patients)).decode())
    else:
        rows = hot.run(f"{sql} = ANY(%s::bigint[])", list(patients))
    return {patient for (patient,) in rows}


@dataclass(frozen=True, slots=True)
class Cause:
    """Messages that were set aside for the same reason."""

    state: str
    channel: str
    code: str
    where: str
    count: int
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SetAside:
    """One message that was set aside, with everything that a person needs to judge it."""

    stream: int
    seq: int
    at: datetime
    slot: int
    channel: str
    event: str
    state: str
    code: str
    where: str
    text: str
    value: str
    patient: int | None
    by: str
    by_at: datetime | None
    why: str


class AsideShelf:
    """What operations and pages do with what was set aside, and with paused channels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = reading(engine)

    def causes(self, *, state: str | None = None, channel: str | None = None) -> list[Cause]:
        """Grouped by state, channel, code and place; the most frequent first."""
        asked = select(
            AsideRow.state,
            AsideRow.channel,
            AsideRow.code,
            AsideRow.place,
            func.count(),
            func.min(AsideRow.stream),
            func.min(AsideRow.seq),
            func.max(AsideRow.stream),
            func.max(AsideRow.seq),
        ).group_by(AsideRow.state, AsideRow.channel, AsideRow.code, AsideRow.place)
        if state is not None:
            asked = asked.where(AsideRow.state == state)
        if channel is not None:
            asked = asked.where(AsideRow.channel == channel)
        with translating(), self._reading.begin() as connection:
            rows = connection.execute(asked).all()
        found = [Cause(*row[:5], first=(row[5], row[6]), last=(row[7], row[8])) for row in rows]
        return sorted(found, key=lambda cause: (-cause.count, cause.channel, cause.code, cause.where))

    def of_cause(
        self,
        state: str,
        channel: str,
        code: str,
        where: str,
        *,
        after: tuple[int, int] = (-1, 0),
        limit: int = 100,
    ) -> list[SetAside]:
        """The messages of one cause in the order of (stream, seq); `after` is the last of the page before."""
        asked = (
            _selected()
            .where(AsideRow.state == state, AsideRow.channel == channel)
            .where(AsideRow.code == code, AsideRow.place == where)
            .where((AsideRow.stream > after[0]) | ((AsideRow.stream == after[0]) & (AsideRow.seq > after[1])))
            .order_by(AsideRow.stream, AsideRow.seq)
            .limit(limit)
        )
        with translating(), self._reading.begin() as connection:
            return [_set_aside(row) for row in connection.execute(asked)]

    def one(self, stream: int, seq: int) -> SetAside | None:
        """One message that was set aside, or None."""
        asked = _selected().where(AsideRow.stream == stream, AsideRow.seq == seq)
        with translating(), self._reading.begin() as connection:
            row = connection.execute(asked).first()
        return _set_aside(row) if row else None

    def release(
        self, places: Iterable[tuple[int, int]], by: str, why: str, now: datetime, came_from: str = ""
    ) -> int:
        """Refused messages are worked once more, as late arrivals. Returns how many were refused till now."""
        return self._judge(
            list(places), "refused", "released", AuditPut(by, "release", None, "", came_from, why), now
        )

    def dismiss(
        self, places: Iterable[tuple[int, int]], by: str, why: str, now: datetime, came_from: str = ""
    ) -> int:
        """Ends refused messages for good. Returns how many. Raises `OperationError` without a reason."""
        if not why.strip():
            raise OperationError("say why the message is dismissed", code="reason_missing")
        return self._judge(
            list(places), "refused", "dismissed", AuditPut(by, "dismiss", None, "", came_from, why), now
        )

    def pause(self, channel: str, by: str, why: str, now: datetime, came_from: str = "") -> None:
        """From now on the channel's messages are set aside, until it is resumed."""
        self._set_channel(
            channel, True, AuditPut(by, "pause", None, f"channel/{channel}", came_from, why), now
        )

    def resume(self, channel: str, by: str, why: str, now: datetime, came_from: str = "") -> None:
        """The channel's messages are worked again, those that were set aside first."""
        self._set_channel(
            channel, False, AuditPut(by, "resume", None, f"channel/{channel}", came_from, why), now
        )

    def _judge(
        self, places: Sequence[tuple[int, int]], was: str, state: str, audit: AuditPut, now: datetime
    ) -> int:
        hit = 0
        with translating(), self._engine.begin() as connection:
            entries = []
            for stream, seq in sorted(places):
                moved = connection.execute(
                    update(AsideRow)
                    .where(AsideRow.stream == stream, AsideRow.seq == seq, AsideRow.state == was)
                    .values(state=state, by=audit.who, by_at=now, why=audit.why)
                    .returning(AsideRow.patient)
                ).first()
                if moved:
                    hit += 1
                    entries.append(audit._replace(about=f"message/{stream}.{seq}", patient=moved.patient))
            append_entries(Hot(connection), entries, now)
        return hit

    def _set_channel(self, channel: str, paused: bool, audit: AuditPut, now: datetime) -> None:
        with translating(), self._engine.begin() as connection:
            set_to = {"paused": paused, "by": audit.who, "at": now, "why": audit.why}
            hit = connection.execute(
                update(ChannelStateRow).where(ChannelStateRow.channel == channel).values(set_to)
            )
            if hit.rowcount == 0:
                connection.execute(insert(ChannelStateRow), {"channel": channel, **set_to})
            append_entries(Hot(connection), [audit], now)


def _selected() -> Any:
    return select(
        AsideRow.stream, AsideRow.seq, AsideRow.at, AsideRow.slot, AsideRow.channel, AsideRow.event,
        AsideRow.state, AsideRow.code, AsideRow.place, AsideRow.text, AsideRow.value, AsideRow.patient,
        AsideRow.by, AsideRow.by_at, AsideRow.why,
    )  # fmt: skip


def _set_aside(row: Any) -> SetAside:
    return SetAside(*row)
