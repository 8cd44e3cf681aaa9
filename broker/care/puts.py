"""Rows as changes for the store: tasks, notifications with their deliveries, review items. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal
from uuid import UUID

from broker.care.facts import FactId
from broker.care.given import Given
from broker.care.record import SECOND, Record, Row, instant
from broker.care.rows import Cause, Change, DeliveryPut, NotificationPut, ReviewPut, TaskPut

__all__ = ["Maker", "deliver", "put_row"]

_uuid = lru_cache(maxsize=4096)(UUID)  # a row is mostly put more than once


class Maker:
    """Makes rows and changes for one patient's record within one reaction."""

    def __init__(self, record: Record, given: Given, now: int, trigger: FactId | None) -> None:
        self.record, self.given, self.now, self.trigger = record, given, now, trigger
        self.changes: list[Change] = []
        self.encounter: int | None = None
        self.visit = 0
        self.about: tuple[str, ...] = ()  # what the encounter's name, or the patient's, is made of
        self._of: UUID | None = None

    @property
    def of(self) -> UUID:
        """The name of the encounter, or of the patient."""
        if self._of is None:
            self._of = self.given.name_of(*self.about)
        return self._of

    def number(self) -> int:
        """The next row's number within the patient."""
        n = self.record.next_row
        self.record.next_row = n + 1
        return n

    def cause(self, row: Row) -> Cause:
        """What called for a row."""
        return Cause(FactId(row.stream, row.seq, row.fact_kind, row.fact_n), row.rule, row.rule_version)

    def taken(self, row: Row) -> Cause:
        """What took the ground from under a row."""
        return Cause(self.trigger, row.rule, row.rule_version)


def put_row(row: Row, verb: str, maker: Maker) -> None:
    """Adds what is to be stored of a row, and keeps the clock that it needs."""
    record = maker.record
    cause = maker.cause(row) if verb in ("opened", "told", "revived") else maker.taken(row)
    if row.sort == "task":
        due = row.says["due"]
        if row.state in ("open", "begun") and due and not row.overdue:
            record.clocks[row.n] = (due, maker.visit)
        else:
            record.clocks.pop(row.n, None)
        maker.changes.append(_task_put(row, verb, cause, maker))
    elif row.sort == "notification":
        maker.changes.append(_notification_put(row, verb, cause, maker))
    else:
        maker.changes.append(
            ReviewPut(
                patient=record.patient,
                n=row.n,
                kind=row.kind,
                text=row.says["text"],
                state="open" if row.state == "open" else "closed",
                opened_at=instant(row.opened),
                verb=verb,
                cause=cause,
            )
        )


def _task_put(row: Row, verb: str, cause: Cause, maker: Maker) -> TaskPut:
    says = row.says
    return TaskPut(
        patient=maker.record.patient,
        n=row.n,
        name=_uuid(row.name),
        encounter=maker.encounter,
        kind=row.kind,
        title=says["title"],
        state=row.state,
        owner=says["owner"],
        assignee=row.assignee,
        urgency=says["urgency"],
        due_at=instant(says["due"]) if says["due"] else None,
        opened_at=instant(row.opened),
        closed_at=instant(row.closed) if row.closed else None,
        verify=says["verify"],
        note="\n".join(filter(None, (says["note"], row.note))),
        verb=verb,
        cause=cause,
    )


def _notification_put(row: Row, verb: str, cause: Cause, maker: Maker) -> NotificationPut:
    content: dict[str, object] = dict(row.says)
    content["cause"] = f"{row.stream}.{row.seq} {row.meaning}"
    record = maker.record
    return NotificationPut(
        patient=record.patient,
        n=row.n,
        name=_uuid(row.name),
        version=row.version,
        encounter=maker.encounter,
        kind=row.kind,
        state="retracted" if row.state == "retracted" else "standing",
        urgency=row.says["urgency"],
        about=record.number,
        occurred_at=datetime.fromisoformat(row.says["occurred_at"]),
        content=content,
        verb=verb,
        cause=cause,
    )


def deliver(
    row: Row,
    act: Literal["tell", "correct", "retract"],
    to: Iterable[Sequence[str]],
    wait_secs: int,
    maker: Maker,
) -> None:
    """Asks for a version of a notification to be brought to each, no sooner than after `wait_secs`."""
    for recipient, destination, address in to:
        maker.changes.append(
            DeliveryPut(
                name=maker.given.name_of("delivery", row.name, row.version, act, destination, address),
                patient=maker.record.patient,
                notification=row.n,
                version=row.version,
                act=act,
                recipient=recipient,
                destination=destination,
                address=address,
                not_before=instant(maker.now + wait_secs * SECOND),
                cause=maker.taken(row) if act == "retract" else maker.cause(row),
            )
        )
