"""What pages and commands list: messages, tasks, deliveries, codes, patients. Floor 4.

Every list goes along an index, the newest or most urgent first, in pages: `after` of the next page is the
`place` of the last row of this one. What concerns one patient is in `patient_reads.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Engine, Select, and_, func, literal, select, text, tuple_

from broker.store.care_rows import OPEN_REVIEW, OPEN_TASK, ReviewRow, TaskRow
from broker.store.care_tables import CodeRow, HandledRow, IdentifierRow, PatientRow
from broker.store.delivery_tables import AttemptRow, DeliveryRow
from broker.store.hot import translating
from broker.store.house_tables import BundleRow
from broker.store.lines import (
    AttemptLine,
    CodeLine,
    DeliveryLine,
    MessageLine,
    PatientLine,
    ReviewLine,
    TaskLine,
)
from broker.store.open import reading

__all__ = [
    "AttemptLine",
    "CodeLine",
    "DeliveryLine",
    "MessageLine",
    "PatientLine",
    "Reads",
    "ReviewLine",
    "TaskLine",
]

T = TypeVar("T")
Query = Select[*tuple[Any, ...]]

# A filter that has no index looks back no further than this from where the page begins.
FURTHEST = timedelta(days=31)


class Reads:
    """The lists. Each method is one short read."""

    def __init__(self, engine: Engine) -> None:
        self._reading = reading(engine)

    def messages(
        self,
        *,
        channel: str | None = None,
        event: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        after: tuple[datetime, int, int] | None = None,
        limit: int = 100,
    ) -> list[MessageLine]:
        """The newest first. With `event`, no further back than 31 days from where the page begins."""
        with translating(), self._reading.begin() as store:
            if event is not None and since is None:
                newest = after[0] if after else store.execute(_newest_message()).scalar()
                since = newest - FURTHEST if newest else None
            asked = asked_messages(channel, event, outcome, since, after, limit)
            return [_message_line(row) for row in store.execute(asked)]

    def message(self, stream: int, seq: int) -> MessageLine | None:
        """What became of one message; None: it is not worked yet."""
        asked = _messages().where(HandledRow.stream == stream, HandledRow.seq == seq)
        found = self._all(asked, lambda *row: _message_line(row))
        return found[0] if found else None

    def tasks(
        self,
        *,
        owner: str | None = None,
        assignee: str | None = None,
        kind: str | None = None,
        due_before: datetime | None = None,
        after: tuple[datetime | None, int, int] | None = None,
        limit: int = 100,
    ) -> list[TaskLine]:
        """Open tasks, the most urgent first; those without a due time come last."""
        first = (
            []
            if after and after[0] is None
            else self._all(asked_tasks(owner, assignee, kind, due_before, after, limit), TaskLine)
        )
        if len(first) >= limit or due_before is not None:
            return first
        rest = asked_undated_tasks(owner, assignee, kind, after, limit - len(first))
        return first + self._all(rest, TaskLine)

    def deliveries(
        self,
        *,
        state: str | None = None,
        destination: str | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[DeliveryLine]:
        """The newest first. A destination's that ended well are looked for among 10,000 deliveries."""
        return self._all(asked_deliveries(state, destination, after, limit), DeliveryLine)

    def delivery(self, number: int) -> DeliveryLine | None:
        """One delivery."""
        found = self._all(_deliveries().where(DeliveryRow.id == number), DeliveryLine)
        return found[0] if found else None

    def attempts(self, delivery: int) -> list[AttemptLine]:
        """Every attempt of one delivery, the first one first."""
        row = AttemptRow
        asked = (
            select(
                row.number, row.act, row.version, row.state, row.claimed_at, row.settled_at, row.code,
                row.detail, row.body_digest, row.body,
            )
            .where(row.delivery == delivery)
            .order_by(row.number)
        )  # fmt: skip
        return self._all(asked, AttemptLine)

    def codes(self, *, channel: str | None = None) -> list[CodeLine]:
        """Codes without a meaning, the most frequent first."""
        row = CodeRow
        asked = select(
            row.channel, row.table_name, row.code, row.path, row.count, row.first_stream, row.first_seq,
            row.last_stream, row.last_seq,
        )  # fmt: skip
        if channel is not None:
            asked = asked.where(row.channel == channel)
        found = self._all(asked, _code_line)
        return sorted(found, key=lambda line: (-line.count, line.channel, line.table, line.code))

    def patients(
        self,
        *,
        name: str | None = None,
        number: str | None = None,
        authority: str | None = None,
        birth_date: str | None = None,
        after: tuple[str, str, int] | None = None,
        limit: int = 50,
    ) -> list[PatientLine]:
        """Patients by the beginning of the family name (then a comma and that of the given name), by number
        (with its authority, or any), or by birth date (YYYY-MM-DD); all that are given must hold.
        """
        asked = asked_patients(name, number, authority, birth_date, after, limit)
        return self._all(asked, PatientLine)

    def reviews(
        self, *, after: tuple[datetime, int, int] | None = None, limit: int = 100
    ) -> list[ReviewLine]:
        """What waits for a person's judgement, the oldest first."""
        row = ReviewRow
        asked = (
            select(row.patient, row.n, row.kind, row.text, row.opened_at)
            .where(text(OPEN_REVIEW))
            .order_by(row.opened_at, row.patient, row.n)
            .limit(limit)
        )
        if after is not None:
            asked = asked.where(_beyond((row.opened_at, row.patient, row.n), after))
        return self._all(asked, ReviewLine)

    def _all(self, asked: Query, line: Callable[..., T]) -> list[T]:
        with translating(), self._reading.begin() as store:
            return [line(*row) for row in store.execute(asked)]


def _beyond(columns: Sequence[Any], place: Sequence[Any]) -> ColumnElement[bool]:
    beyond: ColumnElement[bool] = tuple_(*columns) > _typed(columns, place)
    return beyond


def _below(columns: Sequence[Any], place: Sequence[Any]) -> ColumnElement[bool]:
    below: ColumnElement[bool] = tuple_(*columns) < _typed(columns, place)
    return below


def _typed(columns: Sequence[Any], values: Sequence[Any]) -> Any:
    """Values of the columns' own types: a time on SQLite is a number."""
    return tuple_(*(literal(value, column.type) for column, value in zip(columns, values, strict=True)))


def _message_line(row: Sequence[Any]) -> MessageLine:
    values = list(row)
    values[-1] = row[-1] or ""
    return MessageLine(*values)


def _code_line(*row: Any) -> CodeLine:
    return CodeLine(row[0], row[1], row[2], row[3], row[4], (row[5], row[6]), (row[7], row[8]))


def _messages() -> Query:
    row = HandledRow
    return select(
        row.stream, row.seq, row.at, row.channel, row.event, row.control_id, row.patient, row.outcome,
        row.why, row.notices, row.mute, BundleRow.digest,
    ).join(BundleRow, BundleRow.id == row.bundle, isouter=True)  # fmt: skip


def _newest_message() -> Query:
    return select(HandledRow.at).order_by(HandledRow.at.desc()).limit(1)


def asked_messages(
    channel: str | None,
    event: str | None,
    outcome: str | None,
    since: datetime | None,
    after: tuple[datetime, int, int] | None,
    limit: int,
) -> Query:
    """Goes along handled_of_channel, handled_not_worked or handled_by_time."""
    row = HandledRow
    asked = _messages().order_by(row.at.desc(), row.stream.desc(), row.seq.desc()).limit(limit)
    if channel is not None:
        asked = asked.where(row.channel == channel)
    if outcome is not None:
        asked = asked.where(row.outcome == outcome)
        if outcome != "worked" and channel is None:
            asked = asked.where(text("outcome <> 'worked'"))
    if event is not None:
        asked = asked.where(row.event == event)
    if since is not None:
        asked = asked.where(row.at >= since)
    if after is not None:
        asked = asked.where(_below((row.at, row.stream, row.seq), after))
    return asked


def _tasks(owner: str | None, assignee: str | None, kind: str | None) -> Query:
    row = TaskRow
    asked = (
        select(
            row.patient, row.n, row.name, row.encounter, row.kind, row.title, row.state, row.owner,
            row.assignee, row.urgency, row.due_at, row.opened_at, row.closed_at, row.verify, row.note,
            PatientRow.number, PatientRow.family, PatientRow.given, PatientRow.phone,
        )
        .join(PatientRow, PatientRow.id == row.patient)
        .where(text(OPEN_TASK))
    )  # fmt: skip
    for column, value in ((row.owner, owner), (row.assignee, assignee), (row.kind, kind)):
        if value is not None:
            asked = asked.where(column == value)
    return asked


def asked_tasks(
    owner: str | None,
    assignee: str | None,
    kind: str | None,
    due_before: datetime | None,
    after: tuple[datetime | None, int, int] | None,
    limit: int,
) -> Query:
    """Goes along task_open; those with a due time."""
    row = TaskRow
    asked = _tasks(owner, assignee, kind).where(row.due_at.is_not(None))
    asked = asked.order_by(row.due_at, row.patient, row.n).limit(limit)
    if due_before is not None:
        asked = asked.where(row.due_at < due_before)
    if after is not None:
        asked = asked.where(_beyond((row.due_at, row.patient, row.n), after))
    return asked


def asked_undated_tasks(
    owner: str | None,
    assignee: str | None,
    kind: str | None,
    after: tuple[datetime | None, int, int] | None,
    limit: int,
) -> Query:
    """Goes along task_open; those without a due time."""
    row = TaskRow
    asked = (
        _tasks(owner, assignee, kind).where(row.due_at.is_(None)).order_by(row.patient, row.n).limit(limit)
    )
    if after is not None and after[0] is None:
        asked = asked.where(_beyond((row.patient, row.n), after[1:]))
    return asked


def _deliveries() -> Query:
    row = DeliveryRow
    return select(
        row.id, row.name, row.patient, row.notification, row.version, row.act, row.recipient, row.destination,
        row.address, row.stream, row.seq, row.state, row.not_before, row.attempts, row.asked_at,
        row.settled_at, row.code, row.proof,
    )  # fmt: skip


def asked_deliveries(state: str | None, destination: str | None, after: int | None, limit: int) -> Query:
    """Goes along delivery_by_state, or along the key."""
    row = DeliveryRow
    asked = _deliveries().order_by(row.id.desc()).limit(limit)
    if after is not None:
        asked = asked.where(row.id < after)
    if state is not None:
        asked = asked.where(row.state == state)
    if destination is not None:
        asked = asked.where(row.destination == destination)
        if state in (None, "delivered", "withdrawn"):
            newest = select(func.max(row.id)).scalar_subquery()
            asked = asked.where(row.id > (after if after is not None else newest) - 10_000)
    return asked


def asked_patients(
    name: str | None,
    number: str | None,
    authority: str | None,
    birth_date: str | None,
    after: tuple[str, str, int] | None,
    limit: int,
) -> Query:
    """Goes along patient_by_name, the identifiers, or patient_by_birth."""
    row = PatientRow
    asked = select(
        row.id, row.person, row.authority, row.number, row.family, row.given, row.birth_date, row.sex,
        row.deceased,
    ).limit(limit)  # fmt: skip
    if number is not None and authority is not None:
        known = select(IdentifierRow.patient).where(
            IdentifierRow.authority == authority, IdentifierRow.number == number
        )
        asked = asked.where(row.id.in_(known))
    elif number is not None:
        asked = asked.where(row.id.in_(select(IdentifierRow.patient).where(IdentifierRow.number == number)))
    if birth_date is not None:
        asked = asked.where(row.birth_date == birth_date)
    if name is not None:
        family, _, given = (part.strip().casefold() for part in name.partition(","))
        asked = asked.where(_begins(row.family_key, family))
        if given:
            asked = asked.where(row.given_key.startswith(given, autoescape=True))
    if after is not None:
        asked = asked.where(_beyond((row.family_key, row.given_key, row.id), after))
    return asked.order_by(row.family_key, row.given_key, row.id)


def _begins(column: Any, beginning: str) -> Any:
    """A range, since LIKE takes no index on SQLite, nor on PostgreSQL in most collations."""
    return and_(column >= beginning, column < beginning + "\U0010ffff")
