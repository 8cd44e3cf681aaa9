"""What changes for a person: who they are, that they died, their PCP, merges, the plan. Floor 3: pure."""

from __future__ import annotations

from datetime import date

from broker.care.changes import Ground, difference
from broker.care.facts import FactId
from broker.care.patients import death_of, identity, persons, practitioner_key
from broker.care.placing import Placing
from broker.care.plan import Claims, claim, claims_of_person
from broker.care.puts import Maker
from broker.care.record import Record, Said, Tie, instant
from broker.care.rows import Cause, Change, PatientPut
from broker.care.sides import Side
from broker.care.wanted import wanted_of_person
from broker.care.wants import Because, Wanted, because

__all__ = ["person_changes", "put_patient"]


def put_patient(
    placing: Placing, patient: int, before: Side, after: Side, trigger: FactId | None
) -> list[Change]:
    """Who the patient is, where that is other than before."""
    record = placing.held[patient]
    was = _identity(before, patient) if record.as_of and patient in before.records else None
    now = _identity(after, patient)
    if now == was:
        return []
    shown, person, dead, died_at = now
    return [
        PatientPut(
            patient=patient,
            name=placing.given.name_of("patient", record.authority, record.number),
            person=person,
            authority=record.authority,
            number=record.number,
            family=shown["family"],
            given=shown["given"],
            birth_date=date.fromisoformat(shown["birth_date"]) if shown["birth_date"] else None,
            sex=shown["sex"],
            phone=shown["phone"],
            language=shown["language"],
            contacts=tuple({k: v for k, v in one.items() if v} for one in shown["contacts"]),
            pcp={k: v for k, v in shown["pcp"].items() if v},
            deceased_at=instant(died_at) if died_at else None,
            deceased=dead,
            verb="opened" if was is None else "linked" if was[1] != person else "changed",
            cause=Cause(trigger),
        )
    ]


def _identity(side: Side, patient: int) -> tuple[Said, int, bool, int]:
    record = side.records[patient]
    death = side.person(patient)[1]
    return identity(side.said(patient)), record.person, death is not None, death.died_at if death else 0


def person_changes(
    placing: Placing, patient: int, before: Side, after: Side, trigger: FactId | None
) -> list[Change]:
    record = placing.held[patient]
    given = placing.given
    was = _wanted_of_person(before, patient) if patient in before.records else {}
    wants = _wanted_of_person(after, patient)
    died = after.is_dead(patient)
    maker = Maker(record, given, placing.now, trigger)
    maker.about = ("patient", record.authority, record.number)
    ground = Ground(died != before.is_dead(patient), False, died, ())
    if ground.changed or wants != was:
        maker.record = record = placing.writable(patient)
        record.rows = difference(was, wants, record.rows, ground, maker)
    claims = _claims_of_person(after, patient)
    claimed = _claims_of_person(before, patient) if patient in before.records else {}
    if claims != claimed:
        claim(placing.writable(patient), 0, claimed, claims, trigger, maker.changes)
    return maker.changes


def _wanted_of_person(side: Side, patient: int) -> Wanted:
    record = side.records[patient]
    # Told under each number whose own messages say it, so that a merge alone tells nobody.
    death = death_of([record]) if side.person(patient)[1] is not None else None
    visit = record.visit(0)
    deleted = [because(fact) for fact in visit.facts if fact.kind == "RecordDeleted"] if visit else []
    pcps = sum(run.name == "pcp" for run in record.runs)
    if not record.ties and death is None and pcps < 2 and not deleted:
        return {}
    site = ""
    if death is not None and death.visit is not None and death.visit[0] in side.records:
        site = side.records[death.visit[0]].summaries[death.visit[1]].site
    merges = [_of_tie(tie) for tie in record.ties if tie.kind == "PatientMerge" and tie.patient == patient]
    odd = [tie for tie in persons(side.records)[1] if tie.patient == patient] if record.ties else []
    return wanted_of_person(
        side.context(patient, None),
        death,
        site,
        _pcp_changed(record),
        merges,
        [_of_tie(tie) for tie in odd],
        deleted,
    )


def _of_tie(tie: Tie) -> Because:
    meaning = f"{tie.kind}@{tie.recorded}"
    return Because(tie.stream, tie.seq, tie.kind, tie.n, meaning, tie.happened, tie.mute)


def _pcp_changed(record: Record) -> Because | None:
    """That another PCP is named: nobody before, or nobody now, is no change that is told."""
    found = [run for run in record.runs if run.name == "pcp"]
    if len(found) < 2 or not practitioner_key(found[-2].value) or not practitioner_key(found[-1].value):
        return None
    run = found[-1]
    meaning = f"{run.first[6]}@{run.first[0]}"
    return Because(run.first[4], run.first[5], run.first[6], run.first[7], meaning, run.happened, run.mute)


def _claims_of_person(side: Side, patient: int) -> Claims:
    record = side.records[patient]
    visit = record.visit(0)
    return claims_of_person(visit.facts if visit else (), side.said(patient).get("pcp"))
