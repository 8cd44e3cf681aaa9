"""How a batch becomes rows, and how they are saved in one transaction. Floor 4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson

from broker import crash
from broker.store.batch import Batch, CodePut
from broker.store.care_sheet import NO_ENDS, Ends, Rows, Sheet
from broker.store.care_sql import LOADS, MOVES, PUTS
from broker.store.hot import Hot, Refusable, storable

__all__ = ["BeenOvertaken", "save_batch"]


class BeenOvertaken(Exception):
    """Rolls the transaction back: something is no longer as the batch read it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def save_batch(hot: Hot, batch: Batch, now: datetime, bundles: Mapping[str, int]) -> None:
    """Writes everything that a batch holds. Raises `BeenOvertaken`, `Refusable` or what the driver raises."""
    crash.at("care.after_begin")
    _move_cursors(hot, batch)
    crash.at("care.after_cursors")
    _expect(
        hot.move(MOVES.ASIDE, [(a.stream, a.seq, a.state) for a in batch.taken]), len(batch.taken), "aside"
    )
    versions = {record.patient: record.version + 1 for record in batch.records}
    versions.update((patient, version + 1) for patient, version in batch.untouched)
    _put_messages(hot, batch, now, bundles, versions)
    hot.move(MOVES.TIMER_DONE, batch.timers_done)
    ends = _put_changes(hot, batch, now, versions)
    _put_records(hot, batch, ends)
    _raise_versions(hot, batch, ends)


def _expect(hit: int, wanted: int, what: str) -> None:
    if hit != wanted:
        raise BeenOvertaken(what)


def _move_cursors(hot: Hot, batch: Batch) -> None:
    new = [(move.slot, move.stream, move.now) for move in batch.cursors if move.was == 0]
    old = [(move.now, move.slot, move.stream, move.was) for move in batch.cursors if move.was != 0]
    _expect(hot.move(MOVES.CURSOR, old), len(old), "cursor")
    hot.put(MOVES.NEW_CURSOR, new)


def _put_messages(
    hot: Hot, batch: Batch, now: datetime, bundles: Mapping[str, int], listed: Mapping[int, int]
) -> None:
    """What became of the messages, and everything that counts and finds them."""
    at = hot.at
    handled = [
        (h.stream, h.seq, at(h.at), h.channel, h.event, h.control_id, h.patient,
         h.patient in listed, h.outcome, h.why, h.notices, h.mute, bundles[h.bundle])
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
    came = {(h.stream, h.seq): h.at for h in batch.handled} if batch.aside else {}
    aside = [
        (a.stream, a.seq, at(came.get((a.stream, a.seq), now)), a.slot, a.channel, a.event, a.state, a.code,
         a.where, a.text, a.value, a.patient, at(now), "", "")
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


def _put_records(hot: Hot, batch: Batch, ends: Mapping[int, Ends]) -> None:
    """New records, and the numbers, visits and stays of all."""
    hot.put(
        PUTS.RECORD,
        [
            (r.patient << 16, r.person, 1, *ends.get(r.patient, NO_ENDS), r.head)
            for r in batch.records
            if r.version == 0
        ],
    )
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
            if not 0 <= n < 65535:
                raise Refusable("a record has more stays than can be stored")
            stays.append(((record.patient << 16) + 1 + n, body))
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


def _raise_versions(hot: Hot, batch: Batch, ends: Mapping[int, Ends]) -> None:
    """Compares and raises the version of every record that was read, in the order of ids."""
    read = sorted((r for r in batch.records if r.version > 0), key=lambda record: record.patient)
    untouched = sorted(batch.untouched)
    if not hot.lite and (read or untouched):
        hot.run(MOVES.LOCK_RECORDS, sorted([r.patient << 16 for r in read] + [p << 16 for p, _ in untouched]))
    moved = [
        (r.person, *ends[r.patient], r.head, r.patient << 16, r.version) for r in read if r.patient in ends
    ]
    hit = hot.move(MOVES.RECORD, moved)
    hit += hot.move(MOVES.UNTOUCHED, [(*ends[p], p << 16, version) for p, version in untouched if p in ends])
    _expect(hit, len(read) + len(untouched), "record")


def _put_changes(hot: Hot, batch: Batch, now: datetime, versions: Mapping[int, int]) -> dict[int, Ends]:
    """The rows that people see, each as the last change of the batch leaves it, and the timelines' new lines.

    Returns where each record's chains end now; a record that is not there any more is missing.
    """
    known = [(r.patient,) for r in batch.records if r.version > 0]
    rows = hot.read(LOADS.ENDS, known + [(patient,) for patient, _ in batch.untouched])
    ends: dict[int, Ends] = {patient: (line, delivery) for patient, line, delivery in rows}
    sheet = Sheet(hot, now, ends, versions.keys())
    for message in batch.handled:
        sheet.message(message)
    for change in batch.changes:
        sheet.add(change)
    for forward in batch.forwards:
        sheet.forward(forward)
    for put, kept in sheet.rows.items():
        hot.put(put, list(kept.values()))
    hot.move(MOVES.TIMER_DONE, list(sheet.timers_gone))
    hot.put(PUTS.BODY, sheet.bodies)
    hot.put(PUTS.DELIVERY, sheet.deliveries)
    hot.put(PUTS.CHANGE, sheet.timeline)
    return ends
