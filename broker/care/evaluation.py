"""Asks what should stand without and with what came and went, and takes the difference. Floor 3: pure.

Only the stays that were touched are asked, their neighbours within policy's days where a stay's begin, end
or kind changed, and all of a person's where links or death did (CARE rules 4, 13, 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from broker.care.changes import Ground, difference
from broker.care.content import practitioner
from broker.care.facts import FactId
from broker.care.given import Given
from broker.care.groups import Ties
from broker.care.patients import Death, death_of, identity, persons, practitioner_key, said_last
from broker.care.placing import Placing
from broker.care.plan import Claims, claim, claims_of_person, claims_of_stay
from broker.care.puts import Maker, put_row
from broker.care.record import DAY, NAMED, Held, Record, Row, Said, Summary, Tie, Visit, instant
from broker.care.rows import Cause, Change, EncounterPut, PatientPut, TimerPut
from broker.care.stays import Stay, fold
from broker.care.wanted import Because, Context, Wanted, site_of, wanted, wanted_of_person

__all__ = ["evaluate"]

Unit = tuple[int, int]  # a patient, and the number of a stay (its first visit's)
TIMER = 1


class Side:
    """The records before or after, as the question of what should stand sees them."""

    def __init__(self, records: Mapping[int, Record], ties: Ties, given: Given, now: int) -> None:
        self.records, self.ties, self.given, self.now = records, ties, given, now
        self._people: dict[int, tuple[list[Record], Death | None, bool]] = {}
        self._stays: dict[int, dict[int, int]] = {}
        self.folded: dict[Unit, Stay] = {}
        self._contexts: dict[Unit, Context] = {}
        self._said: dict[int, Said] = {}

    def stay_of(self, patient: int, n: int) -> int:
        """The stay that a visit belongs to."""
        if self.ties.trivial:
            return n
        if patient not in self._stays:
            self._stays[patient] = self.ties.stays(self.records[patient]) if patient in self.records else {}
        return self._stays[patient].get(n, n)

    def members(self, unit: Unit) -> list[Visit]:
        """The visits of a stay; none where there is no such stay on this side."""
        patient, stay = unit
        record = self.records.get(patient)
        if record is None:
            return []
        if self.ties.trivial:
            found = [record.visit(stay)]
        else:
            self.stay_of(patient, stay)
            found = [record.visit(n) for n, of in self._stays[patient].items() if of == stay]
        return [one for one in found if one is not None]

    def visit_number(self, members: Sequence[Visit]) -> str:
        """The visit number under which visits that are one stay are shown; "" where none has one."""
        return min(filter(None, (self.ties.survivor(one.key) for one in members)), default="")

    def fold(self, unit: Unit) -> Stay:
        """How a stay stands on this side."""
        found = self.folded.get(unit)
        if found is None:
            members = self.members(unit)
            facts: Sequence[Held] = members[0].facts if members else ()
            if len(members) > 1:
                facts = sorted((fact for one in members for fact in one.facts), key=lambda fact: fact[:8])
            found = self.folded[unit] = fold(facts, unit[0])
        return found

    def person(self, patient: int) -> tuple[list[Record], Death | None, bool]:
        """The records that are one person, whether they died, and whether there is a plan."""
        record = self.records[patient]
        found = self._people.get(record.person)
        if found is None:
            mine = [one for one in self.records.values() if one.person == record.person]
            plan = any(e.section == "goal" and e.state == "active" for one in mine for e in one.plan)
            found = self._people[record.person] = mine, death_of(mine), plan
        return found

    def around(self, unit: Unit) -> list[Summary]:
        """The person's other stays that are close enough in time to matter."""
        patient, stay = unit
        me = self.records[patient].summaries[stay]
        reach = self.given.policy.neighbour_days * DAY
        first, last = me.started - reach, (me.ended or me.started) + reach
        return [
            one
            for record in self.person(patient)[0]
            for one in record.summaries.values()
            if one.status not in ("", "cancelled", NAMED)
            and (one.n != stay or record.patient != patient)
            and one.started <= last
            and (one.ended or one.started) >= first
        ]

    def said(self, patient: int) -> Said:
        """The last words on a patient, by the messages of this number."""
        found = self._said.get(patient)
        if found is None:
            found = self._said[patient] = said_last([self.records[patient]])
        return found

    def context(self, patient: int, unit: Unit | None) -> Context:
        """What must be known to say what should stand of a stay, or of the person."""
        found = self._contexts.get(unit) if unit else None
        if found is None:
            found = self._context(patient, unit)
            if unit:
                self._contexts[unit] = found
        return found

    def _context(self, patient: int, unit: Unit | None) -> Context:
        record = self.records[patient]
        _, death, plan = self.person(patient)
        around = self.around(unit) if unit else ()
        who = self.said(patient)
        if unit:
            who = {**who, "pcp": _pcp_at(record, self.fold(unit).facts)}
        former = _former_pcp(record)
        here = [one for one in around if record.summaries.get(one.n) is one]
        return Context(
            record.authority, record.number, who, former, death, plan, around, here, self.given, self.now
        )

    def wanted(self, unit: Unit) -> Wanted:
        """What should stand of a stay on this side."""
        if not self.members(unit):
            return {}
        stay = self.fold(unit)
        if not stay.facts and not stay.not_found:
            return {}
        return wanted(stay, self.records[unit[0]].summaries[unit[1]].site, self.context(unit[0], unit))


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
        if patient in placing.was and _pcps(placing.was[patient]) != _pcps(placing.held[patient]):
            whole.add(patient)
    for patient in whole:
        units |= {(patient, after.stay_of(patient, n)) for n in placing.held[patient].summaries if n}
    for unit in shifted:
        units |= _neighbours(unit, before, after)
    changes: list[Change] = []
    people = sorted(whole | placing.changed.keys())
    for patient in people:
        changes += _put_patient(placing, patient, before, after, trigger)
    for unit in sorted(units):
        changes += _evaluate_stay(placing, unit, before, after, trigger)
    for patient in people:
        changes += _evaluate_person(placing, patient, before, after, trigger)
    for patient in sorted(placing.held):
        changes += _tick(placing, patient, trigger)
    return changes


# --- which stays


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


# --- one stay


def _evaluate_stay(
    placing: Placing, unit: Unit, before: Side, after: Side, trigger: FactId | None
) -> list[Change]:
    patient, n = unit
    given = placing.given
    members = after.members(unit)
    earlier = {
        (patient, before.stay_of(patient, one.n))
        for one in members
        if patient in before.records and before.records[patient].visit(one.n) is not None
    }
    stood = before.fold(unit)
    stands = after.fold(unit) if members else _NOTHING
    if earlier == {unit} and stood.alike(stands) and _around_alike(unit, before, after):
        return []
    was: Wanted = {}
    for one in sorted(earlier):
        was = {**before.wanted(one), **was}
    wants = after.wanted(unit)
    ground = Ground(
        changed=len(earlier) > 1 or _signature(stood, patient, before) != _signature(stands, patient, after),
        moved=bool(stood.facts) and not stands.facts and bool(members) and _is_elsewhere(placing, members[0]),
        died=_dead(patient, after),
        facts=stands.facts,
    )
    record = placing.held[patient]
    visit = members[0] if members else record.visit(n)
    assert visit is not None
    maker = Maker(record, given, placing.now, trigger)
    maker.of = given.name_of("encounter", record.authority, record.number, *visit.key)
    maker.visit = n
    maker.encounter = n if stood.status or stands.status else None
    maker.changes += _put_encounter(unit, visit, stood, stands, members, maker, before, after)
    rows = [row for one in members for row in one.rows]
    if ground.changed or wants != was:
        maker.record = record = placing.writable(patient)
        _write_rows(placing, unit, members, rows, difference(was, wants, rows, ground, maker), maker)
    site = site_of(given, visit.key[0])
    claims = claims_of_stay(stands, after.visit_number(members) or visit.key[2], site)
    claimed = claims_of_stay(stood, before.visit_number(before.members(unit)) or visit.key[2], site)
    if claims != claimed:
        claim(placing.writable(patient), n, claimed, claims, trigger, maker.changes)
    return maker.changes


_NOTHING = fold((), 0)


def _around_alike(unit: Unit, before: Side, after: Side) -> bool:
    """Nothing beside a stay that matters to it is other than before, nor is it made of other visits."""
    if [one.n for one in before.members(unit)] != [one.n for one in after.members(unit)]:
        return False
    was, now = before.context(unit[0], unit), after.context(unit[0], unit)
    return was[:-1] == now[:-1] and before.ties is after.ties


def _signature(stay: Stay, patient: int, side: Side) -> tuple[object, ...]:
    """What lets a row fall that no rule in force calls for, where it changes (CARE rule 13)."""
    return (
        stay.status,
        stay.patient_class,
        stay.discharged_at,
        stay.disposition,
        _dead(patient, side),
    )


def _dead(patient: int, side: Side) -> bool:
    return patient in side.records and side.person(patient)[1] is not None


def _is_elsewhere(placing: Placing, visit: Visit) -> bool:
    """Another patient's record holds this visit's facts now."""
    for record in placing.held.values():
        n = record.find(visit.key)
        if n is not None and record.summaries[n].first:
            return True
    return False


def _write_rows(
    placing: Placing,
    unit: Unit,
    members: Sequence[Visit],
    rows: Sequence[Row],
    now: Sequence[Row],
    maker: Maker,
) -> None:
    """Puts rows back into the visits on which they hang: each where its causing fact is."""
    if list(now) == list(rows):
        return
    record = maker.record
    homes = {row.n: one.n for one in members for row in one.rows}
    lying: dict[int, list[Row]] = {one.n: [] for one in members}
    for row in now:
        home = homes.get(row.n, -1)
        for one in members:
            if home == -1 and any(_is_cause(fact, row) for fact in one.facts):
                home = one.n
        home = home if home != -1 else members[0].n
        lying[home].append(row)
        if row.n in record.clocks:
            record.clocks[row.n] = (record.clocks[row.n][0], home)
    for one in members:
        if tuple(lying[one.n]) != one.rows:
            record.put(one.with_rows(tuple(lying[one.n])))


def _is_cause(fact: Held, row: Row) -> bool:
    return fact.stream == row.stream and fact.seq == row.seq and fact.n == row.fact_n


def _put_encounter(
    unit: Unit,
    visit: Visit,
    stood: Stay,
    stands: Stay,
    members: Sequence[Visit],
    maker: Maker,
    before: Side,
    after: Side,
) -> list[Change]:
    """The encounter as it stands, where that is other than before."""
    was, now = _view(stood), _view(stands)
    patient, n = unit
    number = after.visit_number(members) if members else before.visit_number((visit,))
    if (now is None and was is None) or (now == was and number == before.visit_number(before.members(unit))):
        return []
    shown = now or (was and ("cancelled", *was[1:]))
    assert shown is not None and not isinstance(maker.of, str)
    status = str(shown[0])
    verb = _verb(str(was[0]) if was else "", status if now else "moved")
    return [
        EncounterPut(
            patient=patient,
            n=n,
            name=maker.of,
            site=visit.key[0],
            visit_id=number,
            status=status,
            patient_class=str(shown[1]),
            admitted_at=instant(shown[2]) if isinstance(shown[2], int) and shown[2] else None,
            discharged_at=instant(shown[3]) if isinstance(shown[3], int) and shown[3] else None,
            disposition=str(shown[4]),
            location=str(shown[5]),
            attending=str(shown[6]),
            reason=str(shown[7]),
            verb=verb,
            cause=Cause(maker.trigger),
        )
    ]


def _view(stay: Stay) -> tuple[object, ...] | None:
    if not stay.status:
        return None
    said = stay.said
    location = said.get("location") or {}
    attending = said.get("attending") or said.get("admitting") or {}
    return (
        stay.status,
        stay.patient_class,
        stay.started,
        stay.discharged_at if stay.is_discharged else 0,
        stay.disposition if stay.is_discharged else "",
        " ".join(filter(None, (location.get("unit"), location.get("room"), location.get("bed")))),
        " ".join(filter(None, (attending.get("given"), attending.get("family")))),
        said.get("reason") or "",
    )


def _verb(was: str, now: str) -> str:
    if now == was:
        return "changed"
    if was == "discharged" and now in ("in_progress", "on_leave"):
        return "reopened"
    return {"in_progress": "opened" if was in ("", "planned", "cancelled") else "returned"}.get(now, now)


# --- the person


def _put_patient(
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


def _evaluate_person(
    placing: Placing, patient: int, before: Side, after: Side, trigger: FactId | None
) -> list[Change]:
    record = placing.held[patient]
    given = placing.given
    was = _wanted_of_person(before, patient) if patient in before.records else {}
    wants = _wanted_of_person(after, patient)
    died = _dead(patient, after)
    maker = Maker(record, given, placing.now, trigger)
    maker.of = given.name_of("patient", record.authority, record.number)
    ground = Ground(died != _dead(patient, before), False, died, ())
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
    if not record.ties and death is None and sum(run.name == "pcp" for run in record.runs) < 2:
        return {}
    site = ""
    if death is not None and death.visit is not None and death.visit[0] in side.records:
        site = side.records[death.visit[0]].summaries[death.visit[1]].site
    merges = [_of_tie(tie) for tie in record.ties if tie.kind == "PatientMerge" and tie.patient == patient]
    odd = [tie for tie in persons(side.records)[1] if tie.patient == patient] if record.ties else []
    return wanted_of_person(
        side.context(patient, None), death, site, _pcp_changed(record), merges, [_of_tie(tie) for tie in odd]
    )


def _of_tie(tie: Tie) -> Because:
    meaning = f"{tie.kind}@{tie.recorded}"
    return Because(tie.stream, tie.seq, tie.kind, tie.n, meaning, tie.happened, tie.mute)


def _pcps(record: Record) -> list[object]:
    return [(run.first, run.value) for run in record.runs if run.name == "pcp"]


def _pcp_at(record: Record, facts: Sequence[Held]) -> Said | None:
    """The PCP whom any message of the patient had named last when a stay's last fact was recorded."""
    last = list(facts[-1][:8]) if facts else []
    found = [run.value for run in record.runs if run.name == "pcp" and run.first <= last]
    return found[-1] if found else None


def _former_pcp(record: Record) -> Said | None:
    found = [run.value for run in record.runs if run.name == "pcp"]
    return found[-2] if len(found) > 1 else None


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


# --- time


def _tick(placing: Placing, patient: int, trigger: FactId | None) -> list[Change]:
    """What falls due, and when the patient must be looked at next."""
    record = placing.held[patient]
    now = placing.now
    due = [n for n, (at, _) in record.clocks.items() if at <= now]
    if patient not in placing.changed and not due and not 0 < record.timer <= now:
        return []
    record = placing.writable(patient)
    maker = Maker(record, placing.given, now, trigger)
    for n in due:
        _overdue(record, n, record.clocks[n][1], maker)
    if 0 < record.timer <= now:
        record.timer = 0
    earliest = min((at for at, _ in record.clocks.values()), default=0)
    if earliest != record.timer:
        maker.changes.append(
            TimerPut(
                patient=patient,
                n=TIMER,
                kind="due",
                due_at=instant(earliest) if earliest else None,
                cause=Cause(trigger),
            )
        )
        record.timer = earliest
    record.as_of = max(record.as_of, now)
    return maker.changes


def _overdue(record: Record, n: int, home: int, maker: Maker) -> None:
    visit = record.visit(home) if home else None
    rows = visit.rows if visit else record.rows
    maker.encounter = maker.visit = home
    maker.encounter = home or None
    made = []
    for row in rows:
        if row.n == n:
            row = row._replace(overdue=True)
            put_row(row, "overdue", maker)
        made.append(row)
    record.clocks.pop(n, None)
    if visit:
        record.put(visit.with_rows(tuple(made)))
    else:
        record.rows = tuple(made)
