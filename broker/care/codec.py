"""Records as bytes, for the store: a head a patient, and one blob a visit. Floor 3: pure.

The form is a list by position, so a field is only ever added at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from broker.care.record import Entry, Held, Record, Row, Run, Statement, Summary, Tie, Visit

__all__ = ["Stored", "decode", "encode"]


class Stored(Protocol):
    """A record as the store has it."""

    @property
    def patient(self) -> int: ...
    @property
    def person(self) -> int: ...
    @property
    def head(self) -> bytes: ...
    @property
    def stays(self) -> Mapping[int, bytes]: ...


def decode(stored: Stored) -> Record:
    """The record; its visits are read when they are first asked for."""
    head = orjson.loads(stored.head)
    record = Record(stored.patient, head[0], head[1], stored.person)
    record.as_of, record.next_visit, record.next_row, record.timer = head[2:6]
    record.statements = tuple(map(Statement._make, head[6]))
    record.runs = tuple(map(Run._make, head[7]))
    record.ties = tuple(map(Tie._make, head[8]))
    record.summaries = {one[0]: Summary._make(one) for one in head[9]}
    record.plan = tuple(map(Entry._make, head[10]))
    record.rows = tuple(map(Row._make, head[11]))
    record.clocks = {row: (due, visit) for row, due, visit in head[12]}
    record.lent = frozenset(head[13])
    record.hold(dict(stored.stays), _read_visit)
    return record


def encode(record: Record) -> tuple[bytes, dict[int, bytes]]:
    """The head, and each visit that changed since the record was read."""
    head = [
        record.authority,
        record.number,
        record.as_of,
        record.next_visit,
        record.next_row,
        record.timer,
        record.statements,
        record.runs,
        record.ties,
        list(record.summaries.values()),
        record.plan,
        record.rows,
        [(row, *clock) for row, clock in record.clocks.items()],
        sorted(record.lent),
    ]
    visits = {}
    for n in record.written:
        visit = record.visit(n)
        assert visit is not None
        visits[n] = _write_visit(visit)
    return orjson.dumps(head, default=tuple), visits


def _read_visit(n: int, blob: bytes) -> Visit:
    key, people, facts, rows = orjson.loads(blob)
    return Visit(
        n,
        (key[0], key[1], key[2]),
        tuple(Held._make([*fact[:-1], people[fact[-1]]]) for fact in facts),
        tuple(map(Row._make, rows)),
    )


def _write_visit(visit: Visit) -> bytes:
    """Messages of a visit mostly say the same of the patient, which is kept once."""
    people: list[dict[str, Any]] = []
    facts = []
    for fact in visit.facts:
        who = fact.who
        if not people or people[-1] != who:
            people.append(who)
        facts.append((*fact[:-1], len(people) - 1))
    return orjson.dumps([visit.key, people, facts, visit.rows], default=tuple)
