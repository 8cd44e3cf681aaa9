"""The records before or after a reaction, as the question of what should stand sees them. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from broker.care.given import Given
from broker.care.groups import Ties
from broker.care.patients import Death, death_of, said_last
from broker.care.record import DAY, NAMED, Held, Record, Said, Summary, Visit
from broker.care.stays import Stay, fold
from broker.care.wanted import asked_of_results, wanted
from broker.care.wants import Context, Wanted

__all__ = ["Side", "Unit"]


Unit = tuple[int, int]  # a patient, and the number of a stay (its first visit's)


class _Asked(NamedTuple):
    """What was worked out of a visit: how its stay stands, and what should stand in a context."""

    stay: Stay
    site: str = ""
    context: Context | None = None
    wanted: Wanted = {}  # noqa: RUF012  (never changed)


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
            found = self.folded[unit] = self._fold(self.members(unit), unit[0])
        return found

    @staticmethod
    def _fold(members: Sequence[Visit], patient: int) -> Stay:
        if len(members) != 1:
            facts = sorted((fact for one in members for fact in one.facts), key=lambda fact: fact[:8])
            return fold(facts, patient)
        (visit,) = members
        asked: _Asked | None = visit.asked
        if asked is None or asked.stay.patient != patient:
            asked = visit.asked = _Asked(fold(visit.facts, patient))
        return asked.stay

    def person(self, patient: int) -> tuple[list[Record], Death | None, bool]:
        """The records that are one person, whether they died, and whether there is a plan."""
        record = self.records[patient]
        found = self._people.get(record.person)
        if found is None:
            mine = [one for one in self.records.values() if one.person == record.person]
            plan = any(e.section == "goal" and e.state == "active" for one in mine for e in one.plan)
            found = self._people[record.person] = mine, death_of(mine), plan
        return found

    def is_dead(self, patient: int) -> bool:
        """Whether the person has died."""
        return patient in self.records and self.person(patient)[1] is not None

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
        members = self.members(unit)
        if not members:
            return {}
        stay = self.fold(unit)
        if not stay.facts and not stay.not_found and stay.taken_back is None:
            return {}
        site, context = self.records[unit[0]].summaries[unit[1]].site, self.context(unit[0], unit)
        asked: _Asked | None = members[0].asked
        if asked is None or asked.stay is not stay:
            return wanted(stay, site, context)
        if asked.context is None or asked.site != site or not _asks_the_same(asked.context, context):
            members[0].asked = asked = _Asked(stay, site, context, wanted(stay, site, context))
        return asked.wanted

    def asked_of_results(self, unit: Unit) -> bool:
        """Whether anything may follow from a stay's results on this side."""
        site = self.records[unit[0]].summaries[unit[1]].site
        return asked_of_results(self.fold(unit), site, self.context(unit[0], unit))

    def as_before(self, unit: Unit, before: Side) -> None:
        """A stay stands as before: what was worked out of it then holds for its facts now."""
        members = self.members(unit)
        if len(members) == 1:
            was: _Asked | None = before.members(unit)[0].asked
            asked = was.context if was is not None else None
            if was and asked and _asks_the_same(asked, before.context(unit[0], unit)):
                members[0].asked = was._replace(stay=self.fold(unit))


def _asks_the_same(one: Context, other: Context) -> bool:
    """Whether what should stand is the same in both contexts: it is whenever it is asked."""
    was, now = one.given, other.given
    return one[:-2] == other[:-2] and (
        was is now
        or (
            was.rules is now.rules
            and was.tells is now.tells
            and was.policy is now.policy
            and was.sites is now.sites
            and was.directory is now.directory
        )
    )


def _pcp_at(record: Record, facts: Sequence[Held]) -> Said | None:
    """The PCP whom any message of the patient had named last when a stay's last fact was recorded."""
    last = list(facts[-1][:8]) if facts else []
    found = [run.value for run in record.runs if run.name == "pcp" and run.first <= last]
    return found[-1] if found else None


def _former_pcp(record: Record) -> Said | None:
    found = [run.value for run in record.runs if run.name == "pcp"]
    return found[-2] if len(found) > 1 else None
