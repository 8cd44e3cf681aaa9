"""What changes for one stay: its encounter, its rows, and what it says in the plan. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Sequence

from broker.care.changes import Ground, difference
from broker.care.facts import FactId
from broker.care.placing import Placing
from broker.care.plan import claim, claims_of_stay
from broker.care.puts import Maker
from broker.care.record import Held, Row, Visit, instant
from broker.care.rows import Cause, Change, EncounterPut
from broker.care.sides import Side, Unit
from broker.care.stays import Stay, fold
from broker.care.wants import Wanted, site_of

__all__ = ["stay_changes"]


def stay_changes(
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
    alike = earlier == {unit} and stood.alike(stands) and _around_alike(unit, before, after)
    if alike and not (before.asked_of_results(unit) or after.asked_of_results(unit)):
        after.as_before(unit, before)
        return []
    was: Wanted = {}
    for one in sorted(earlier):
        was = {**before.wanted(one), **was}
    wants = after.wanted(unit)
    regrouped = bool(earlier) and not _same_visits(unit, before, after)
    ground = Ground(
        changed=regrouped or _signature(stood, patient, before) != _signature(stands, patient, after),
        moved=bool(stood.facts) and not stands.facts and bool(members) and _is_elsewhere(placing, members[0]),
        died=after.is_dead(patient),
        facts=stands.facts,
    )
    record = placing.held[patient]
    visit = members[0] if members else record.visit(n)
    assert visit is not None
    maker = Maker(record, given, placing.now, trigger)
    maker.about = ("encounter", record.authority, record.number, *visit.key)
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


def _same_visits(unit: Unit, before: Side, after: Side) -> bool:
    return [one.n for one in before.members(unit)] == [one.n for one in after.members(unit)]


def _around_alike(unit: Unit, before: Side, after: Side) -> bool:
    """Nothing beside a stay that matters to it is other than before, nor is it made of other visits."""
    if not _same_visits(unit, before, after):
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
        side.is_dead(patient),
    )


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
    assert shown is not None
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
