"""How a batch becomes rows, and how they are saved in one transaction. Floor 4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson

from broker.care import rows as care
from broker.store.batch import Batch, CodePut, ForwardPut
from broker.store.care_sql import MOVES, PUTS, Put
from broker.store.hot import Hot, Refusable, storable

__all__ = ["BeenOvertaken", "save_batch"]

Rows = dict[tuple[Any, ...], tuple[Any, ...]]


class BeenOvertaken(Exception):
    """Rolls the transaction back: something is no longer as the batch read it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def save_batch(hot: Hot, batch: Batch, now: datetime, bundles: Mapping[str, int]) -> None:
    """Writes everything that a batch holds. Raises `BeenOvertaken`, `Refusable` or what the driver raises."""
    _move_cursors(hot, batch)
    _expect(
        hot.move(MOVES.ASIDE, [(a.stream, a.seq, a.state) for a in batch.taken]), len(batch.taken), "aside"
    )
    _put_messages(hot, batch, now, bundles)
    _put_new_records(hot, batch)
    hot.move(MOVES.TIMER_DONE, batch.timers_done)
    _put_changes(hot, batch, now)
    _raise_versions(hot, batch)
    if batch.in_hand is not None:
        hot.run(f"DELETE FROM in_hand WHERE worker = {batch.in_hand:d}")


def _expect(hit: int, wanted: int, what: str) -> None:
    if hit != wanted:
        raise BeenOvertaken(what)


def _move_cursors(hot: Hot, batch: Batch) -> None:
    new = [(move.slot, move.stream, move.now) for move in batch.cursors if move.was == 0]
    old = [(move.now, move.slot, move.stream, move.was) for move in batch.cursors if move.was != 0]
    _expect(hot.move(MOVES.CURSOR, old), len(old), "cursor")
    hot.put(MOVES.NEW_CURSOR, new)


def _put_messages(hot: Hot, batch: Batch, now: datetime, bundles: Mapping[str, int]) -> None:
    """What became of the messages, and everything that counts and finds them."""
    at = hot.at
    handled = [
        (h.stream, h.seq, at(h.at), h.channel, h.event, h.control_id, h.patient, h.outcome, h.why, h.notices,
         h.mute, bundles[h.bundle])
        for h in batch.handled
    ]  # fmt: skip
    hot.put(PUTS.HANDLED, handled)
    hot.put(PUTS.TALLY, _tally(batch))
    seen = []
    for put in batch.seen:
        if not storable(*put.key):
            raise Refusable("a control id or sender cannot be stored", where="MSH-10")
        seen.append((*put.key, put.stream, put.seq, at(put.at)))
    _expect(hot.put(PUTS.SEEN, seen), len(seen), "seen")
    aside = [
        (a.stream, a.seq, a.slot, a.channel, a.event, a.state, a.code, a.where, a.text, a.value, a.patient,
         at(now), "", "")
        for a in batch.aside
    ]  # fmt: skip
    hot.put(PUTS.ASIDE, aside)
    hot.put(
        PUTS.NOTICE, [(n.stream, n.seq, n.kind, n.n, n.revision, n.patient, n.body) for n in batch.notices]
    )
    acts = [(a.number, a.kind, a.patient, a.row, a.by, at(a.at), a.body) for a in batch.acts]
    hot.put(PUTS.ACT, acts)
    hot.put(PUTS.CODE, _codes(batch.codes))


def _tally(batch: Batch) -> list[tuple[Any, ...]]:
    """Counts by day; a message that was set aside before is taken out of where it counted then."""
    shard = min((move.slot for move in batch.cursors), default=0)
    before = {(a.stream, a.seq): "refused" if a.state == "released" else "paused" for a in batch.taken}
    counts: Counter[tuple[date, str, str, str]] = Counter()
    for h in batch.handled:
        day = h.at.date()
        counts[day, h.channel, h.event, h.outcome] += 1
        if before and (was := before.get((h.stream, h.seq))):
            counts[day, h.channel, h.event, was] -= 1
    # In one order for all, so that two savers never wait for each other in a circle.
    return sorted((day.isoformat(), *rest, shard, n) for (day, *rest), n in counts.items() if n)


def _codes(codes: list[CodePut]) -> list[tuple[Any, ...]]:
    counted: dict[tuple[str, str, str, str], tuple[int, tuple[int, int], tuple[int, int]]] = {}
    for c in codes:
        key, place = (c.channel, c.table, c.code, c.path), (c.stream, c.seq)
        n, first, _ = counted.get(key, (0, place, place))
        counted[key] = (n + 1, first, place)
    return sorted((*key, n, *first, *last) for key, (n, first, last) in counted.items())


def _put_new_records(hot: Hot, batch: Batch) -> None:
    """New records, and the numbers, visits and stays of all."""
    hot.put(PUTS.PATIENT, [(r.patient, r.person, 1, r.head) for r in batch.records if r.version == 0])
    numbers: Rows = {}
    visits: Rows = {}
    stays: list[tuple[int, bytes]] = []
    for record in batch.records:
        for authority, number in record.numbers:
            if not storable(authority, number):
                raise Refusable("a patient's number cannot be stored", where="PID-3")
            numbers[authority, number] = (authority, number, record.patient)
        for site, visit in record.visits:
            if not storable(site, visit):
                raise Refusable("a visit's number cannot be stored", where="PV1-19")
            visits[site, visit] = (site, visit, record.patient)
        for n, body in record.stays.items():
            if not 0 <= n < 65536:
                raise Refusable("a record has more stays than can be stored")
            stays.append((record.patient * 65536 + n, body))
    _expect(hot.put(PUTS.IDENTIFIER, sorted(numbers.values())), len(numbers), "identifier")
    if visits:
        read = [record.patient for record in batch.records] + [patient for patient, _ in batch.untouched]
        _expect(_put_visits(hot, sorted(visits.values()), read), len(visits), "visit")
    hot.put(PUTS.STAY, stays)


def _put_visits(hot: Hot, rows: list[tuple[Any, ...]], read: list[int]) -> int:
    if hot.lite:
        return int(
            hot.run(MOVES.VISIT.sqlite, orjson.dumps(rows).decode(), orjson.dumps(read).decode()).rowcount
        )
    return int(
        hot.run(MOVES.VISIT.postgres, *(list(column) for column in zip(*rows, strict=True)), read).rowcount
    )


def _raise_versions(hot: Hot, batch: Batch) -> None:
    """Compares and raises the version of every record that was read, in the order of ids."""
    read = sorted((r for r in batch.records if r.version > 0), key=lambda record: record.patient)
    untouched = sorted(batch.untouched)
    if not hot.lite and (ids := sorted([r.patient for r in read] + [patient for patient, _ in untouched])):
        hot.run(MOVES.LOCK_RECORDS, ids)
    hit = hot.move(MOVES.RECORD, [(r.person, r.head, r.patient, r.version) for r in read])
    _expect(hit, len(read), "record")
    _expect(hot.move(MOVES.UNTOUCHED, untouched), len(untouched), "record")


def _put_changes(hot: Hot, batch: Batch, now: datetime) -> None:
    """The rows that people see, each as the last change of the batch leaves it, and the timeline of all."""
    if not batch.changes and not batch.forwards:
        return
    sheet = _Sheet(hot, now)
    versions = {record.patient: record.version + 1 for record in batch.records}
    versions.update((patient, version + 1) for patient, version in batch.untouched)
    for change in batch.changes:
        sheet.add(change, versions)
    for forward in batch.forwards:
        sheet.forward(forward)
    hot.move(MOVES.PROJECTION, list(sheet.projections.values()))
    for put, rows in sheet.rows.items():
        hot.put(put, list(rows.values()))
    if sheet.timers_gone:
        hot.move(MOVES.TIMER_DONE, list(sheet.timers_gone))
    hot.put(PUTS.CHANGE, sheet.timeline)


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


class _Sheet:
    """The rows of a batch's changes by table and key: a later change of a row replaces the earlier."""

    def __init__(self, hot: Hot, now: datetime) -> None:
        self._at = hot.at
        self._now = hot.at(now)
        self._counts: dict[int, int] = {}
        self.rows: dict[Put, Rows] = {}
        self.projections: dict[int, tuple[Any, ...]] = {}
        self.timers_gone: set[tuple[int, int]] = set()
        self.timeline: list[tuple[Any, ...]] = []

    def add(self, change: care.Change, versions: Mapping[int, int]) -> None:
        """One change: its row, and its line in the timeline."""
        kind, row, row_version, verb, state = _ADDERS[type(change)](self, change)
        patient = change.patient
        count = self._counts.get(patient, 0)
        self._counts[patient] = count + 1
        cause, fact = change.cause, change.cause.fact
        where = (fact.stream, fact.seq, fact.kind, fact.n) if fact else (None, None, "", 0)
        self.timeline.append(
            (patient, versions[patient], count, self._now, kind, row, row_version, verb, state, *where,
             cause.rule, cause.rule_version)
        )  # fmt: skip

    def forward(self, put: ForwardPut) -> None:
        """A whole message for one destination."""
        lane = -1 - put.slot if put.patient is None else put.patient
        self._row(
            PUTS.DELIVERY,
            (lane, put.name.hex),
            (put.name.hex, lane, put.patient, None, 0, put.act, "", put.destination, put.address, put.stream,
             put.seq, "queued", self._at(put.not_before), self._now),
        )  # fmt: skip

    def _row(self, put: Put, key: tuple[Any, ...], row: tuple[Any, ...]) -> None:
        self.rows.setdefault(put, {})[key] = row

    def _maybe(self, at: datetime | None) -> Any:
        return None if at is None else self._at(at)

    def _patient(self, c: care.PatientPut) -> tuple[str, int, int, str, str]:
        born = c.birth_date.isoformat() if c.birth_date else ""
        self.projections[c.patient] = (
            c.name.hex, c.authority, c.number, c.family, c.given, c.family.casefold(), c.given.casefold(),
            born, c.sex, c.phone, c.language, _json(c.contacts).decode(), _json(c.pcp).decode(), c.deceased,
            self._maybe(c.deceased_at), c.patient,
        )  # fmt: skip
        return "patient", 0, 0, c.verb, "deceased" if c.deceased else ""

    def _encounter(self, c: care.EncounterPut) -> tuple[str, int, int, str, str]:
        row = (
            c.patient, c.n, c.name.hex, c.site, c.visit_id, c.status, c.patient_class,
            self._maybe(c.admitted_at), self._maybe(c.discharged_at), c.disposition, c.location, c.attending,
            c.reason,
        )  # fmt: skip
        self._row(PUTS.ENCOUNTER, row[:2], row)
        return "encounter", c.n, 0, c.verb, c.status

    def _task(self, c: care.TaskPut) -> tuple[str, int, int, str, str]:
        row = (
            c.patient, c.n, c.name.hex, c.encounter, c.kind, c.title, c.state, c.owner, c.assignee, c.urgency,
            self._maybe(c.due_at), self._at(c.opened_at), self._maybe(c.closed_at), c.verify, c.note,
        )  # fmt: skip
        self._row(PUTS.TASK, row[:2], row)
        return "task", c.n, 0, c.verb, c.state

    def _notification(self, c: care.NotificationPut) -> tuple[str, int, int, str, str]:
        row = (
            c.patient, c.n, c.name.hex, c.version, c.encounter, c.kind, c.state, c.urgency, c.about,
            self._at(c.occurred_at),
        )  # fmt: skip
        self._row(PUTS.NOTIFICATION, row[:2], row)
        body = (c.patient, c.n, c.version, _json(c.content))
        self._row(PUTS.NOTIFICATION_BODY, body[:3], body)
        return "notification", c.n, c.version, c.verb, c.state

    def _delivery(self, c: care.DeliveryPut) -> tuple[str, int, int, str, str]:
        place = (c.cause.fact.stream, c.cause.fact.seq) if c.cause.fact else (None, None)
        row = (
            c.name.hex, c.patient, c.patient, c.notification, c.version, c.act, c.recipient, c.destination,
            c.address, *place, "queued", self._at(c.not_before), self._now,
        )  # fmt: skip
        self._row(PUTS.DELIVERY, (c.patient, c.name.hex), row)
        return "delivery", c.notification, c.version, c.act, "queued"

    def _plan_entry(self, c: care.PlanEntryPut) -> tuple[str, int, int, str, str]:
        row = (c.patient, c.n, c.section, c.key, c.version, c.state)
        self._row(PUTS.PLAN_ENTRY, row[:2], row)
        body = (c.patient, c.n, c.version, _json(c.body))
        self._row(PUTS.PLAN_BODY, body[:3], body)
        return "plan_entry", c.n, c.version, c.verb, c.state

    def _timer(self, c: care.TimerPut) -> tuple[str, int, int, str, str]:
        key = (c.patient, c.n)
        if c.due_at is None:
            self.timers_gone.add(key)
            self.rows.get(PUTS.TIMER, {}).pop(key, None)
            return "timer", c.n, 0, "cleared", ""
        self.timers_gone.discard(key)
        self._row(PUTS.TIMER, key, (*key, c.kind, self._at(c.due_at)))
        return "timer", c.n, 0, "set", c.kind

    def _review(self, c: care.ReviewPut) -> tuple[str, int, int, str, str]:
        row = (c.patient, c.n, c.kind, c.text, c.state, self._at(c.opened_at))
        self._row(PUTS.REVIEW, row[:2], row)
        return "review", c.n, 0, c.verb, c.state


_ADDERS: dict[type, Any] = {
    care.PatientPut: _Sheet._patient,
    care.EncounterPut: _Sheet._encounter,
    care.TaskPut: _Sheet._task,
    care.NotificationPut: _Sheet._notification,
    care.DeliveryPut: _Sheet._delivery,
    care.PlanEntryPut: _Sheet._plan_entry,
    care.TimerPut: _Sheet._timer,
    care.ReviewPut: _Sheet._review,
}
