"""Asks what should stand without and with what came and went, and takes the difference. Floor 3: pure.

Only the stays that were touched are asked, their neighbours within policy's days where a stay's begin, end
or kind changed, and all of a person's where links or death did (CARE rules 4, 13, 14).
"""

from __future__ import annotations

from broker.care.content import practitioner
from broker.care.facts import FactId
from broker.care.person_changes import person_changes, put_patient
from broker.care.placing import Placing
from broker.care.record import NAMED, Record
from broker.care.rows import Change
from broker.care.sides import Side, Unit
from broker.care.stay_changes import stay_changes
from broker.care.timers import tick

__all__ = ["evaluate"]


def evaluate(placing: Placing, trigger: FactId | None) -> list[Change]:
    """The changes that follow from what was placed; the records that change are the placing's."""
    given, now = placing.given, placing.now
    as_of = max((record.as_of for record in placing.was.values()), default=0)
    before = Side(placing.was, placing.ties_before, given, as_of or now)
    after = Side(placing.held, placing.ties, given, max(as_of, now))
    units = {(patient, after.stay_of(patient, n)) for patient, n in placing.touched if n}
    units |= {
        (patient, before.stay_of(patient, n))
        for patient, n in placing.touched
        if n and patient in placing.was
    }
    if not (before.ties.trivial and after.ties.trivial):
        units |= _regrouped(units, before, after)
    shifted = {unit for unit in units if _sum_up(placing, unit, before, after)}
    whole = set(placing.whole)
    for patient in placing.changed:
        whole |= _whose_life_changed(patient, before, after)
        if patient in placing.was and pcps(placing.was[patient]) != pcps(placing.held[patient]):
            whole.add(patient)
    for patient in whole:
        units |= {(patient, after.stay_of(patient, n)) for n in placing.held[patient].summaries if n}
    for unit in shifted:
        units |= _neighbours(unit, before, after)
    changes: list[Change] = []
    people = sorted(whole | placing.changed.keys())
    for patient in people:
        changes += put_patient(placing, patient, before, after, trigger)
    for unit in sorted(units):
        changes += stay_changes(placing, unit, before, after, trigger)
    for patient in people:
        changes += person_changes(placing, patient, before, after, trigger)
    for patient in sorted(placing.held):
        changes += tick(placing, patient, trigger)
    return changes


def _regrouped(units: set[Unit], before: Side, after: Side) -> set[Unit]:
    """The stays whose visits went to these stays, or came from them."""
    found: set[Unit] = set()
    for unit in units:
        for side, other in ((before, after), (after, before)):
            for visit in side.members(unit):
                if unit[0] in other.records and other.records[unit[0]].visit(visit.n) is not None:
                    found.add((unit[0], other.stay_of(unit[0], visit.n)))
    return found


def _sum_up(placing: Placing, unit: Unit, before: Side, after: Side) -> bool:
    """Writes a stay's summary; true where its begin, end or kind is another than before."""
    patient, n = unit
    record = placing.writable(patient)
    old = placing.was[patient].summaries.get(n) if patient in placing.was else None
    if n not in record.summaries:
        return False
    stay = after.fold(unit)
    died = None
    if stay.is_discharged and stay.disposition == "expired" and stay.disposed is not None:
        died = [*stay.disposed[:8], practitioner(stay.said.get("attending")), stay.disposed.mute]
    started = stay.started if stay.facts else 0
    now = record.summaries[n]
    made = now._replace(
        status=now.status if now.status == NAMED and not now.first else stay.status,
        patient_class=stay.patient_class,
        started=started,
        ended=stay.discharged_at if stay.is_discharged else 0,
        disposition=stay.disposition if stay.is_discharged else "",
        died=died,
    )
    record.summaries[n] = made
    for one in after.members(unit):
        if one.n != n and record.summaries[one.n].status != NAMED:
            record.summaries[one.n] = record.summaries[one.n]._replace(status="", ended=0, died=None)
    return old is None or old[6:11] != made[6:11]


def _whose_life_changed(patient: int, before: Side, after: Side) -> set[int]:
    """Of the person, the patients for whom death is other news than before."""
    death = after.person(patient)[1]
    found = set()
    for record in after.person(patient)[0]:
        was = before.person(record.patient)[1] if record.patient in before.records else None
        if (was is None) != (death is None):
            found.add(record.patient)
    return found


def pcps(record: Record) -> list[object]:
    return [(run.first, run.value) for run in record.runs if run.name == "pcp"]


def _neighbours(unit: Unit, before: Side, after: Side) -> set[Unit]:
    found: set[Unit] = set()
    for side in (before, after):
        patient, n = unit
        if patient in side.records and n in side.records[patient].summaries:
            found |= {
                (record.patient, one.n)
                for one in side.around(unit)
                for record in side.person(patient)[0]
                if record.summaries.get(one.n) is one
            }
    return {(patient, after.stay_of(patient, n)) for patient, n in found}
