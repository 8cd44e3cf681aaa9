"""From changes to rows: each row as the last change leaves it, and the timeline of all. Floor 4."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import orjson

from broker.care import rows as care
from broker.store.batch import ForwardPut, HandledPut
from broker.store.care_sql import PUTS, Put
from broker.store.hot import Hot

__all__ = ["NO_ENDS", "Ends", "Rows", "Sheet"]

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
Line = tuple[str, int, int, str, str, int | None]  # kind, row, row's version, verb, state, body
Ends = tuple[int | None, int | None]  # of a patient's timeline, and of its deliveries

NO_ENDS: Ends = (None, None)


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


class Sheet:
    """The rows of a batch's changes by table and key: a later change of a row replaces the earlier."""

    def __init__(self, hot: Hot, now: datetime, ends: dict[int, Ends], read: Collection[int]) -> None:
        self._at = hot.at
        self._now = hot.at(now)
        self._ends = ends
        self._read = read
        self._line_ids = hot.numbers("change")
        self._body_ids = hot.numbers("body")
        self._delivery_ids = hot.numbers("delivery")
        self.rows: dict[Put, Rows] = {}
        self.bodies: list[tuple[int, bytes]] = []
        self.deliveries: list[tuple[Any, ...]] = []
        self.timers_gone: set[tuple[int, int]] = set()
        self.timeline: list[tuple[Any, ...]] = []

    def message(self, put: HandledPut) -> None:
        """A message about a patient whose record was read: by its line, the patient's page finds it."""
        if put.patient is not None and put.patient in self._read:
            line = ("message", 0, 0, put.outcome, "", None)
            self._line(put.patient, line, (put.stream, put.seq, put.event, 0), "", "")

    def add(self, change: care.Change) -> None:
        """One change: its row, and its line in the timeline."""
        if change.patient not in self._read:
            raise ValueError(f"a change of patient {change.patient}, whose record the batch does not name")
        line = _ADDERS[type(change)](self, change)
        cause, fact = change.cause, change.cause.fact
        where = (fact.stream, fact.seq, fact.kind, fact.n) if fact else (None, None, "", 0)
        self._line(change.patient, line, where, cause.rule, cause.rule_version)

    def forward(self, put: ForwardPut) -> None:
        """A whole message for one destination."""
        patient = put.patient if put.patient in self._read else None
        lane = -1 - put.slot if put.patient is None else put.patient
        row = (put.name.hex, lane, put.patient, None, 0, put.act, "", put.destination, put.address,
               put.stream,
               put.seq, "queued", self._at(put.not_before), self._now)  # fmt: skip
        self._deliver(patient, row)

    def _deliver(self, patient: int | None, row: tuple[Any, ...]) -> int:
        key, before = next(self._delivery_ids), None
        if patient is not None:
            line, before = self._ends.get(patient, NO_ENDS)
            self._ends[patient] = (line, key)
        self.deliveries.append((key, *row[:3], before, *row[3:]))
        return key

    def _line(self, patient: int, line: Line, where: tuple[Any, ...], rule: str, rule_version: str) -> None:
        key = next(self._line_ids)
        before, delivery = self._ends.get(patient, NO_ENDS)
        self._ends[patient] = (key, delivery)
        self.timeline.append((key, patient, before, self._now, *line, *where, rule, rule_version))

    def _body(self, said: object) -> int:
        key = next(self._body_ids)
        self.bodies.append((key, _json(said)))
        return key

    def _row(self, put: Put, key: tuple[Any, ...], row: tuple[Any, ...]) -> None:
        self.rows.setdefault(put, {})[key] = row

    def _maybe(self, at: datetime | None) -> Any:
        return None if at is None else self._at(at)

    def _patient(self, c: care.PatientPut) -> Line:
        born = c.birth_date.isoformat() if c.birth_date else ""
        row = (
            c.patient, c.person, c.name.hex, c.authority, c.number, c.family, c.given, c.family.casefold(),
            c.given.casefold(), born, c.sex, c.phone, c.language, _json(c.contacts).decode(),
            _json(c.pcp).decode(), c.deceased, self._maybe(c.deceased_at),
        )  # fmt: skip
        self._row(PUTS.PATIENT, row[:1], row)
        return "patient", 0, 0, c.verb, "deceased" if c.deceased else "", None

    def _encounter(self, c: care.EncounterPut) -> Line:
        row = (
            c.patient, c.n, c.name.hex, c.site, c.visit_id, c.status, c.patient_class,
            self._maybe(c.admitted_at), self._maybe(c.discharged_at), c.disposition, c.location, c.attending,
            c.reason,
        )  # fmt: skip
        self._row(PUTS.ENCOUNTER, row[:2], row)
        return "encounter", c.n, 0, c.verb, c.status, None

    def _task(self, c: care.TaskPut) -> Line:
        row = (
            c.patient, c.n, c.name.hex, c.encounter, c.kind, c.title, c.state, c.owner, c.assignee, c.urgency,
            self._maybe(c.due_at), self._at(c.opened_at), self._maybe(c.closed_at), c.verify, c.note,
        )  # fmt: skip
        self._row(PUTS.TASK, row[:2], row)
        return "task", c.n, 0, c.verb, c.state, None

    def _notification(self, c: care.NotificationPut) -> Line:
        body = self._body(c.content)
        row = (
            c.patient, c.n, c.name.hex, c.version, c.encounter, c.kind, c.state, c.urgency, c.about,
            self._at(c.occurred_at), body,
        )  # fmt: skip
        self._row(PUTS.NOTIFICATION, row[:2], row)
        return "notification", c.n, c.version, c.verb, c.state, body

    def _delivery(self, c: care.DeliveryPut) -> Line:
        place = (c.cause.fact.stream, c.cause.fact.seq) if c.cause.fact else (None, None)
        row = (
            c.name.hex, c.patient, c.patient, c.notification, c.version, c.act, c.recipient, c.destination,
            c.address, *place, "queued", self._at(c.not_before), self._now,
        )  # fmt: skip
        return "delivery", c.notification, c.version, c.act, "queued", self._deliver(c.patient, row)

    def _plan_entry(self, c: care.PlanEntryPut) -> Line:
        body = self._body(c.body)
        row = (c.patient, c.n, c.section, c.key, c.version, c.state, body)
        self._row(PUTS.PLAN_ENTRY, row[:2], row)
        return "plan_entry", c.n, c.version, c.verb, c.state, body

    def _timer(self, c: care.TimerPut) -> Line:
        key = (c.patient, c.n)
        if c.due_at is None:
            self.timers_gone.add(key)
            self.rows.get(PUTS.TIMER, {}).pop(key, None)
            return "timer", c.n, 0, "cleared", "", None
        self.timers_gone.discard(key)
        self._row(PUTS.TIMER, key, (*key, c.kind, self._at(c.due_at)))
        return "timer", c.n, 0, "set", c.kind, None

    def _review(self, c: care.ReviewPut) -> Line:
        row = (c.patient, c.n, c.kind, c.text, c.state, self._at(c.opened_at))
        self._row(PUTS.REVIEW, row[:2], row)
        return "review", c.n, 0, c.verb, c.state, None


_ADDERS: dict[type, Any] = {
    care.PatientPut: Sheet._patient,
    care.EncounterPut: Sheet._encounter,
    care.TaskPut: Sheet._task,
    care.NotificationPut: Sheet._notification,
    care.DeliveryPut: Sheet._delivery,
    care.PlanEntryPut: Sheet._plan_entry,
    care.TimerPut: Sheet._timer,
    care.ReviewPut: Sheet._review,
}
