"""What pages show of one patient, and of the person: timeline, encounters, plan, what was told. Floor 4."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

import orjson
from sqlalchemy import Engine, Select, select

from broker.store.aside import incomplete_patients
from broker.store.care_rows import EncounterRow, NotificationRow, PlanEntryRow, ReviewRow, TaskRow
from broker.store.care_tables import BodyRow, IdentifierRow, PatientRow
from broker.store.delivery_tables import DeliveryRow
from broker.store.hot import Hot, translating
from broker.store.open import reading
from broker.store.types import from_micros

__all__ = ["Change", "Entry", "Patient", "PatientReads", "Told"]

T = TypeVar("T")
Query = Select[*tuple[Any, ...]]

# A chain from its end backward: each step is one look by key.
TIMELINE = (
    "WITH RECURSIVE line AS (SELECT c.*, 1 AS step FROM change c WHERE c.id = {end} UNION ALL"
    " SELECT c.*, l.step + 1 FROM line l JOIN change c ON c.id = l.before WHERE l.step < {limit})"
    " SELECT id, before, patient, at, kind, row, row_version, verb, state, body, stream, seq, fact_kind,"
    " fact_n, rule, rule_version FROM line ORDER BY step"
)
DELIVERIES = (
    "WITH RECURSIVE sent(id, before) AS (SELECT id, before FROM delivery WHERE id = {end} UNION ALL"
    " SELECT d.id, d.before FROM sent s JOIN delivery d ON d.id = s.before) SELECT id FROM sent"
)
ENDS = "SELECT last_line, last_delivery FROM record WHERE id = {key}"


@dataclass(frozen=True, slots=True)
class Patient:
    """Who somebody is, as one hospital numbers them; `linked` are the numbers of the same person's others."""

    id: int
    person: int
    name: str
    authority: str
    number: str
    family: str
    given: str
    birth_date: date | None
    sex: str
    phone: str
    language: str
    contacts: tuple[Mapping[str, str], ...]
    pcp: Mapping[str, str]
    deceased: bool
    deceased_at: datetime | None
    linked: tuple[int, ...]
    identifiers: tuple[tuple[str, str], ...]
    incomplete: bool  # a message about them is set aside


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a timeline. `kind` message: a message was worked, `verb` its outcome."""

    id: int
    patient: int
    at: datetime
    kind: str
    row: int
    row_version: int
    verb: str
    state: str
    body: int | None
    stream: int | None
    seq: int | None
    fact_kind: str
    fact_n: int
    rule: str
    rule_version: str


@dataclass(frozen=True, slots=True)
class Told:
    """A notification, as it says now."""

    patient: int
    n: int
    name: str
    version: int
    encounter: int | None
    kind: str
    state: str
    urgency: str
    about: str
    occurred_at: datetime
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a care plan, as it says now."""

    patient: int
    n: int
    section: str
    key: str
    version: int
    state: str
    content: Mapping[str, object]


class PatientReads:
    """What concerns one person. Methods take the patients' numbers that are to be shown together."""

    def __init__(self, engine: Engine) -> None:
        self._reading = reading(engine)

    def patient(self, number: int) -> Patient | None:
        """One patient, with the others that are linked as the same person."""
        row = PatientRow
        with translating(), self._reading.begin() as store:
            found = store.execute(select(row.__table__).where(row.id == number)).first()
            if found is None:
                return None
            same = select(row.id).where(row.person == found.person, row.person != row.id)
            linked = {*store.execute(same).scalars(), found.person} - {number}
            known = select(IdentifierRow.authority, IdentifierRow.number).where(
                IdentifierRow.patient == number
            )
            identifiers = tuple((authority, given) for authority, given in store.execute(known))
            incomplete = bool(incomplete_patients(Hot(store), [number, *linked]))
        return Patient(
            id=found.id,
            person=found.person,
            name=found.name,
            authority=found.authority,
            number=found.number,
            family=found.family,
            given=found.given,
            birth_date=date.fromisoformat(found.birth_date) if found.birth_date else None,
            sex=found.sex,
            phone=found.phone,
            language=found.language,
            contacts=tuple(orjson.loads(found.contacts)),
            pcp=orjson.loads(found.pcp),
            deceased=found.deceased,
            deceased_at=found.deceased_at,
            linked=tuple(sorted(linked)),
            identifiers=identifiers,
            incomplete=incomplete,
        )

    def timeline(
        self, patients: Collection[int], *, after: int | None = None, limit: int = 100
    ) -> list[Change]:
        """Their lines, the newest first; `after` is the last line's id of the page before."""
        with translating(), self._reading.begin() as connection:
            hot = Hot(connection)
            chains = [self._chain(hot, patient, after, limit) for patient in patients]
        return list(islice(merge(*chains, key=lambda line: -line.id), limit))

    def body(self, number: int) -> Mapping[str, object] | None:
        """What a version of a notification or plan entry said: `Change.body`."""
        with translating(), self._reading.begin() as connection:
            found = connection.execute(select(BodyRow.body).where(BodyRow.id == number)).scalar()
        return None if found is None else dict(orjson.loads(found))

    def encounters(self, patients: Collection[int]) -> list[Any]:
        """Rows of `encounter`, the latest first."""
        row = EncounterRow
        asked = select(row.__table__).where(row.patient.in_(patients))
        found = self._all(asked, lambda row: row)
        return sorted(found, key=lambda one: (one.admitted_at is None, one.admitted_at), reverse=True)

    def tasks(self, patients: Collection[int]) -> list[Any]:
        """Rows of `task`, whatever their state, the newest first."""
        found = self._all(select(TaskRow.__table__).where(TaskRow.patient.in_(patients)), lambda row: row)
        return sorted(found, key=lambda one: one.opened_at, reverse=True)

    def reviews(self, patients: Collection[int]) -> list[Any]:
        """Rows of `review`, whatever their state, the newest first."""
        found = self._all(select(ReviewRow.__table__).where(ReviewRow.patient.in_(patients)), lambda row: row)
        return sorted(found, key=lambda one: one.opened_at, reverse=True)

    def notifications(self, patients: Collection[int]) -> list[Told]:
        """What people are told of them, the latest event first."""
        row = NotificationRow
        asked = (
            select(
                row.patient, row.n, row.name, row.version, row.encounter, row.kind, row.state, row.urgency,
                row.about, row.occurred_at, BodyRow.body,
            )
            .join(BodyRow, BodyRow.id == row.body)
            .where(row.patient.in_(patients))
        )  # fmt: skip
        found = self._all(asked, lambda row: Told(*_with_content(row)))
        return sorted(found, key=lambda one: one.occurred_at, reverse=True)

    def plan(self, patients: Collection[int]) -> list[Entry]:
        """The entries of their plans, by section, the active ones first."""
        row = PlanEntryRow
        asked = (
            select(row.patient, row.n, row.section, row.key, row.version, row.state, BodyRow.body)
            .join(BodyRow, BodyRow.id == row.body)
            .where(row.patient.in_(patients))
        )
        found = self._all(asked, lambda row: Entry(*_with_content(row)))
        return sorted(found, key=lambda one: (one.section, one.state != "active", one.patient, one.n))

    def deliveries(self, patients: Collection[int]) -> list[Any]:
        """Rows of `delivery`, the newest first."""
        with translating(), self._reading.begin() as connection:
            hot = Hot(connection)
            numbers = [number for patient in patients for number in self._sent(hot, patient)]
            asked = select(DeliveryRow.__table__).where(DeliveryRow.id.in_(numbers))
            found = list(connection.execute(asked))
        return sorted(found, key=lambda one: -one.id)

    def _chain(self, hot: Hot, patient: int, after: int | None, limit: int) -> list[Change]:
        end = self._ends(hot, patient)[0]
        lines: list[Change] = []
        while end is not None and len(lines) < limit:
            rows = hot.ask(TIMELINE, end=end, limit=limit)
            made = [_change(hot, row) for row in rows]
            lines += [line for line in made if after is None or line.id < after]
            end = rows[-1][1] if rows else None
        return lines[:limit]

    def _sent(self, hot: Hot, patient: int) -> list[int]:
        end = self._ends(hot, patient)[1]
        return [] if end is None else [number for (number,) in hot.ask(DELIVERIES, end=end)]

    def _ends(self, hot: Hot, patient: int) -> tuple[int | None, int | None]:
        rows = hot.ask(ENDS, key=patient << 16)
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def _all(self, asked: Query, line: Callable[[Any], T]) -> list[T]:
        with translating(), self._reading.begin() as store:
            return [line(row) for row in store.execute(asked)]


def _with_content(row: Any) -> list[Any]:
    return [*row[:-1], orjson.loads(row[-1])]


def _change(hot: Hot, row: Any) -> Change:
    at = from_micros(row[3]) if hot.lite else row[3]
    return Change(row[0], row[2], at, *row[4:])
