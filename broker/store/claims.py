"""What of a destination's deliveries may be sent now, lane by lane. Floor 4.

A lane is what must not overtake itself: one patient's deliveries at one destination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import orjson

from broker.store.hot import Hot
from broker.store.types import from_micros

__all__ = ["DUE", "DUE_NOW", "EARLIER", "QUEUED", "WAITING", "Claimed", "Lane", "lanes_with_work"]

# Whether a destination has anything to do, and how much waits for it.
DUE_NOW = (
    "SELECT 1 FROM delivery WHERE destination = {destination} AND state = 'queued'"
    " AND not_before <= {now} LIMIT 1"
)
QUEUED = "SELECT destination, count(*) FROM delivery WHERE state = 'queued' GROUP BY destination"

LOOK_AHEAD = 50

Act = Literal["tell", "correct", "retract", "forward", "answer"]

# Lanes with something due and nothing before it that blocks. A blocked lane costs a look, no place.
DUE = (
    "SELECT d.lane FROM delivery d WHERE d.destination = {destination} AND d.state = 'queued'"
    " AND d.not_before <= {now}"
    " AND NOT EXISTS (SELECT 1 FROM delivery e WHERE e.destination = d.destination AND e.lane = d.lane"
    " AND e.id < d.id AND e.state IN ('queued','sending','doubtful')"
    " AND (e.state IN ('sending','doubtful') OR e.not_before > {now}))"
    " ORDER BY d.not_before, d.id LIMIT {limit}"
)
# What of one lane is not at its end, with what its notification says now.
WAITING = (
    "SELECT d.id, d.name, d.lane, d.patient, d.before, d.notification, d.version, d.act, d.recipient,"
    " d.address, d.stream, d.seq, d.state, d.not_before, d.attempts, d.reached, d.asked_at,"
    " n.name AS notification_name, n.kind, n.urgency, n.encounter, n.state AS standing,"
    " n.version AS now_version, b.body,"
    " coalesce((SELECT max(a.number) FROM attempt a WHERE a.delivery = d.id), 0) AS last_attempt"
    " FROM delivery d LEFT JOIN notification n ON n.patient = d.patient AND n.n = d.notification"
    " LEFT JOIN body b ON b.id = n.body"
    " WHERE d.destination = {destination} AND d.state IN ('queued','sending','doubtful') AND d.lane = {lane}"
    " ORDER BY d.id LIMIT {limit}"
)
# A patient's deliveries before one, the newest first, along their chain.
EARLIER = (
    "WITH RECURSIVE chain AS (SELECT d.*, 0 AS step FROM delivery d WHERE d.id = {id} UNION ALL"
    " SELECT d.*, c.step + 1 FROM chain c JOIN delivery d ON d.id = c.before)"
    " SELECT notification, destination, address, act, reached FROM chain WHERE step > 0 ORDER BY step"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One delivery that is this owner's to attempt; the attempt is committed as `sending`.

    `act` and `version` are those to be sent: a correction of what was never told is a telling. `content` is
    what the notification says now; of a whole message it is empty, and `stream` and `seq` name the message.
    `attempts` counts those that were tried before, `asked_at` is when the delivery was asked for.
    """

    delivery: int
    number: int
    epoch: int
    name: str
    destination: str
    lane: int
    patient: int | None
    notification: int | None
    notification_name: str
    kind: str
    urgency: str
    encounter: int | None
    act: Literal["tell", "correct", "retract", "forward", "answer"]
    version: int
    recipient: str
    address: str
    content: Mapping[str, object]
    stream: int | None
    seq: int | None
    attempts: int
    asked_at: datetime


@dataclass(slots=True)
class Lane:
    """One lane: `ready` to be sent, in order, with the act to send; `ended` unsent, and why."""

    lane: int
    ready: list[tuple[Any, Act]] = field(default_factory=list)
    ended: list[tuple[Any, str]] = field(default_factory=list)

    def claimed(self, destination: str, epoch: int, room: int) -> Iterator[Claimed]:
        """The first of them, as the owner under `epoch` attempts them."""
        for row, act in self.ready[:room]:
            yield Claimed(
                delivery=row.id,
                number=row.last_attempt + 1,
                epoch=epoch,
                name=row.name,
                destination=destination,
                lane=row.lane,
                patient=row.patient,
                notification=row.notification,
                notification_name=row.notification_name or "",
                kind=row.kind or "",
                urgency=row.urgency or "",
                encounter=row.encounter,
                act=act,
                version=row.now_version if row.now_version is not None else row.version,
                recipient=row.recipient,
                address=row.address,
                content=orjson.loads(row.body) if row.body is not None else {},
                stream=row.stream,
                seq=row.seq,
                attempts=row.attempts,
                asked_at=row.asked_at,
            )


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: int
    name: str
    lane: int
    patient: int | None
    before: int | None
    notification: int | None
    version: int
    act: Act
    recipient: str
    address: str
    stream: int | None
    seq: int | None
    state: str
    not_before: datetime
    attempts: int
    reached: bool
    asked_at: datetime
    notification_name: str | None
    kind: str | None
    urgency: str | None
    encounter: int | None
    standing: str | None
    now_version: int | None
    body: bytes | None
    last_attempt: int


def lanes_with_work(hot: Hot, destination: str, now: datetime, limit: int) -> Iterator[Lane]:
    """The lanes in which something may be sent now, those that have waited longest first."""

    def told(row: _Waiting) -> bool:
        return _told(hot, destination, row)

    due = hot.ask(DUE, destination=destination, now=hot.at(now), limit=limit)
    for lane in dict.fromkeys(lane for (lane,) in due):
        # A lane's later rows tell which of the earlier ones are replaced: look somewhat further than is sent.
        yield _judged(lane, _waiting(hot, destination, lane, limit + LOOK_AHEAD), now, told)


def _waiting(hot: Hot, destination: str, lane: int, limit: int) -> list[_Waiting]:
    found = []
    for row in hot.ask(WAITING, destination=destination, lane=lane, limit=limit):
        values = list(row)
        if hot.lite:
            values[13], values[15], values[16] = from_micros(row[13]), bool(row[15]), from_micros(row[16])
        found.append(_Waiting(*values))
    return found


def _told(hot: Hot, destination: str, row: _Waiting) -> bool:
    """Whether they have been told of this, and not had it taken back, as far as we know."""
    for notification, where, address, act, reached in hot.ask(EARLIER, id=row.id):
        if reached and (notification, where, address) == (row.notification, destination, row.address):
            return bool(act != "retract")
    return False


def _judged(lane: int, rows: Sequence[_Waiting], now: datetime, told: Callable[[_Waiting], bool]) -> Lane:
    """Walks a lane in its order, up to the first delivery that must be waited for."""
    judged = Lane(lane)
    later = [(row.notification, row.address) for row in rows]
    pending: set[tuple[int | None, str]] = set()
    for place, row in enumerate(rows):
        if row.state != "queued" or row.not_before > now:
            break
        if row.notification is None:
            judged.ready.append((row, row.act))
            continue
        subject = (row.notification, row.address)
        known = subject in pending or (row.act != "tell" and told(row))
        if row.act == "retract":
            if known or row.reached:
                judged.ready.append((row, "retract"))
                pending.discard(subject)
            else:
                judged.ended.append((row, "never_told"))
            continue
        replaced = row.version < (row.now_version or 0) and subject in later[place + 1 :]
        if row.standing == "retracted" or replaced:
            judged.ended.append((row, "retracted" if row.standing == "retracted" else "superseded"))
            continue
        judged.ready.append((row, "correct" if known and row.act == "correct" else "tell"))
        pending.add(subject)
    return judged
