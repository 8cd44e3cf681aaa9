"""Puts facts into records, takes them out, and moves visits to whose they are. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping

from broker.care.facts import Fact
from broker.care.given import Given
from broker.care.groups import Ties, owner_of
from broker.care.holding import held_of, key_of, tie_of
from broker.care.patients import all_stated, mentioned, persons, stated
from broker.care.record import NAMED, PERSON, Held, Key, MissingRecords, Record, Summary, Tie, Visit

__all__ = ["Placing"]


class Placing:
    """The working copies of one reaction: `was` as the records came, `held` as they are
    now, `changed` those of them that are copies.

    `touched` are the visits (patient, n) whose facts or place changed, `whole` the patients of whom
    everything is to be asked again.
    """

    def __init__(self, records: Mapping[int, Record], given: Given, now: int) -> None:
        self.was = records
        self.given, self.now = given, now
        self.changed: dict[int, Record] = {}
        self.held = dict(records)
        self.touched: set[tuple[int, int]] = set()
        self.whole: set[int] = set()
        self.ties_before = self.ties = _NO_TIES
        self._tied = False
        self._tied_keys: set[Key] = set()
        self._restate: set[int] = set()

    def record(self, patient: int) -> Record:
        """The record as it is now; not to be changed."""
        found = self.held.get(patient)
        if found is None:
            raise MissingRecords({patient})
        return found

    def writable(self, patient: int) -> Record:
        """The record, to be changed."""
        found = self.changed.get(patient)
        if found is None:
            found = self.changed[patient] = self.held[patient] = self.record(patient).copy()
        return found

    def put(self, fact: Fact) -> None:
        """A notice that came."""
        record = self.writable(fact.patient)
        if (tie := tie_of(fact)) is not None:
            self._tie(tie, fact)
        held = held_of(fact)
        home, n = self._visit_of(fact)
        visit = home.visit(n)
        assert visit is not None
        if any(one[:8] == held[:8] for one in visit.facts):
            return
        facts = visit.facts
        late = bool(facts) and facts[-1][:8] > held[:8]
        home.put(visit.with_facts((*facts, held)) if late else visit.then(held))
        self.touched.add((home.patient, n))
        self._lend(fact.patient, {home.patient})
        self._state(record, held)

    def take(self, fact: Fact) -> None:
        """A notice that is not so any more."""
        gone = held_of(fact)
        if (tie := tie_of(fact)) is not None:
            for patient, record in list(self.held.items()):
                if any(one[:8] == tie[:8] for one in record.ties):
                    self._holders(patient)
                    self.writable(patient).ties = tuple(one for one in record.ties if one[:8] != tie[:8])
            self._tied = True
        key = self._key(fact)
        for patient in list(self.held):
            n = self.record(patient).find(key)
            visit = self.record(patient).visit(n) if n is not None else None
            if visit is None or not any(one[:8] == gone[:8] for one in visit.facts):
                continue
            self.writable(patient).put(visit.with_facts(one for one in visit.facts if one[:8] != gone[:8]))
            self.touched.add((patient, visit.n))
        self._restate.add(fact.patient)

    def _state(self, record: Record, held: Held) -> None:
        if not held.who:
            return
        record.statements = stated(record.statements, held)
        runs = mentioned(record.runs, held)
        if runs is None:
            self._restate.add(record.patient)
        else:
            record.runs = runs

    def _tie(self, tie: Tie, fact: Fact) -> None:
        """Keeps a tie with each patient that it names, and with who holds a visit that it names."""
        patients = {fact.patient, fact.retired or fact.patient}
        for visit in sorted({tie.visit, tie.retired_visit} - {""}):
            key = (tie.site, "visit", visit)
            self._tied_keys.add(key)
            holders = [patient for patient, record in self.held.items() if _holds(record, key)]
            if not holders:
                _, n = self._place_for(self.writable(fact.patient), key)
                record = self.writable(fact.patient)
                record.summaries[n] = record.summaries[n]._replace(status=NAMED)
            patients.update(holders)
        for patient in patients:
            self._keep(patient, tie)
            self._lend(patient, patients)
        self._tied = True

    def _lend(self, patient: int, to: set[int]) -> None:
        record = self.record(patient)
        if more := to - record.lent - {patient}:
            self.writable(patient).lent = record.lent | more

    def _keep(self, patient: int, tie: Tie) -> None:
        if all(one[:8] != tie[:8] for one in self.record(patient).ties):
            record = self.writable(patient)
            record.ties = (*record.ties, tie)

    @staticmethod
    def _key(fact: Fact) -> Key:
        if fact.id.kind == "VisitMove":
            visit = getattr(fact.said, "visit_id", None) or getattr(fact.said, "retired_visit_id", None)
            if visit:
                return fact.site, "visit", visit
        return key_of(fact)

    def _visit_of(self, fact: Fact) -> tuple[Record, int]:
        """The record that holds the fact's visit, and the visit's number; a new visit where none does."""
        key = self._key(fact)
        patients = [fact.patient]
        if key[1] == "visit":
            patients += [patient for patient in self.was if patient != fact.patient]
        for patient in patients:
            record = self.record(patient)
            n = record.find(key)
            if n is not None and _facts(record, n):
                return self.writable(patient), n
        return self._place_for(self.writable(fact.patient), key)

    def _place_for(self, record: Record, key: Key) -> tuple[Record, int]:
        """The visit in a record, made where it is not there; who only knew of it does so no longer."""
        for patient, other in list(self.held.items()):
            n = other.find(key)
            if n is not None and other.summaries[n].status == NAMED:
                named = self.writable(patient)
                named.summaries[n] = named.summaries[n]._replace(status="")
                for tie in named.ties:
                    if key[2] in (tie.visit, tie.retired_visit) and tie.site == key[0]:
                        self._keep(record.patient, tie)
                        self._lend(record.patient, {patient})
                        self._lend(patient, {record.patient})
                        self._tied = True
        n = record.find(key)
        return (record, n) if n is not None else self._new_visit(record, key)

    @staticmethod
    def _new_visit(record: Record, key: Key) -> tuple[Record, int]:
        n = 0 if key == PERSON else record.next_visit
        if n:
            record.next_visit = n + 1
        record.put(Visit(n, key))
        record.summaries[n] = Summary(n, *key, "", 0, "", "", 0, 0, "", None)
        return record, n

    def settle(self) -> None:
        """Links, the persons they make, and the visits' owners, once all facts are in their places."""
        for patient, n in self.touched:
            _sum_up(self.writable(patient), n)
        if any(record.ties for record in self.was.values()) or self._tied or self._has_loose():
            self.ties_before, self.ties = Ties(self.was), Ties(self.held)
        self._know_all()
        if self._tied:
            self._link()
        self._move()
        for patient in self._restate:
            self._restated(patient)

    def _has_loose(self) -> bool:
        return any(
            one.way in ("account", "admitted")
            for record in list(self.held.values())
            for one in record.summaries.values()
        )

    def _know_all(self) -> None:
        """Visits that are one with a touched or newly tied one must be at hand; who holds one knows why."""
        places = [self.record(patient).summaries[n] for patient, n in self.touched]
        keys = {(one.site, one.way, one.ident) for one in places} | self._tied_keys
        groups = {frozenset(tied) for key in keys if (tied := self.ties.tied(key))}
        for group in sorted(groups, key=min):
            ties = {tie for record in self.held.values() for tie in record.ties if _names(tie, group)}
            holders: set[int] = set()
            for key in group:
                found = {patient for patient, record in self.held.items() if _holds(record, key)}
                if not found:
                    for patient in [one for one, record in self.held.items() if ties & set(record.ties)]:
                        self._holders(patient)
                holders |= found
            for patient in sorted(holders):
                for tie in sorted(ties):
                    self._keep(patient, tie)
                self._lend(patient, holders)

    def _holders(self, patient: int) -> set[int]:
        """Who holds facts that name a patient, or visits that are tied to theirs; all must be at hand."""
        holders = {patient}
        while more := {lent for one in holders for lent in self.record(one).lent} - holders:
            if missing := more - self.held.keys():
                raise MissingRecords(missing)
            holders |= more
        return holders

    def _link(self) -> None:
        found, _ = persons(self.held)
        for patient, record in list(self.held.items()):
            if record.person != found[patient]:
                self.writable(patient).person = found[patient]
            self.whole.add(patient)

    def _move(self) -> None:
        """Brings each touched visit's facts to the record of the patient whose they are."""
        if self._tied:
            for patient, record in list(self.held.items()):
                self.touched |= {(patient, n) for n in record.summaries}
        tied = {} if self.ties.trivial else self._tied_visits()
        for patient, n in sorted(self.touched):
            one = self.record(patient).summaries[n]
            if n == 0:
                continue
            if one.way != "visit" and not self.ties.moves:
                self._back(patient, n)
                continue
            places = tied.get(self.ties.root((one.site, one.way, one.ident))) if one.way == "visit" else None
            places = places or [(patient, n)]
            facts = [fact for where, which in places for fact in _facts(self.record(where), which)]
            if len(places) > 1:
                facts.sort(key=lambda fact: fact[:8])
            if not facts:
                continue
            first = self.record(places[0][0]).summaries[places[0][1]]
            owner = owner_of(facts, first.site, first.account or one.account, self.ties)
            for where, which in places:
                if where != owner and _facts(self.record(where), which):
                    self._bring(where, which, owner)

    def _back(self, patient: int, n: int) -> None:
        """What has no visit number is held by whom it names, once no move of its account says otherwise."""
        for owner in sorted({fact.patient for fact in _facts(self.record(patient), n)} - {patient}):
            self._bring(patient, n, owner, of=owner)

    def _tied_visits(self) -> dict[Key, list[tuple[int, int]]]:
        """Where the visits lie that are one, by what stands for them."""
        groups: dict[Key, list[tuple[int, int]]] = {}
        for patient, record in self.held.items():
            for one in record.summaries.values():
                if one.way == "visit" and one.first:
                    root = self.ties.root((one.site, one.way, one.ident))
                    groups.setdefault(root, []).append((patient, one.n))
        return groups

    def _bring(self, patient: int, n: int, owner: int, of: int | None = None) -> None:
        """Moves a visit's facts, or those of them that name `of`, to their owner's record.

        The rows are about the patient under whom they were made, and stay.
        """
        left, right = self.writable(patient), self.writable(owner)
        visit = left.visit(n)
        assert visit is not None
        known = right.find(visit.key)
        there = right.visit(known) if known is not None else None
        if there is None:
            _, known = self._new_visit(right, visit.key)
            there = right.visit(known)
        assert there is not None
        moved = [fact for fact in visit.facts if of is None or fact.patient == of]
        right.put(there.with_facts((*there.facts, *moved)))
        left.put(visit.with_facts(fact for fact in visit.facts if fact not in moved))
        self._lend(patient, {owner})
        for tie in left.ties:
            if visit.key[2] in (tie.visit, tie.retired_visit) and tie.site == visit.key[0]:
                self._keep(owner, tie)
                self._lend(owner, {patient})
        for place in ((patient, n), (owner, there.n)):
            self.touched.add(place)
            _sum_up(self.writable(place[0]), place[1])

    def _restated(self, patient: int) -> None:
        """What is said of a patient, made anew from all facts that name them, wherever they are held."""
        facts = [
            fact
            for one in self._holders(patient)
            for visit in self.record(one).all_visits()
            for fact in visit.facts
            if fact.patient == patient
        ]
        record = self.writable(patient)
        record.statements, record.runs = all_stated(facts)


def _names(tie: Tie, visits: frozenset[Key]) -> bool:
    return (tie.site, "visit", tie.visit) in visits or (tie.site, "visit", tie.retired_visit) in visits


def _holds(record: Record, key: Key) -> bool:
    n = record.find(key)
    return n is not None and bool(_facts(record, n) or record.summaries[n].status == NAMED)


def _facts(record: Record, n: int) -> tuple[Held, ...]:
    visit = record.visit(n)
    return visit.facts if visit else ()


def _sum_up(record: Record, n: int) -> None:
    """The summary's account, first and begin, by which visits are one stay; evaluation adds the rest."""
    visit = record.visit(n)
    assert visit is not None
    account, admitted = "", 0
    for fact in visit.facts:
        account = fact.said.get("account_id") or account
        admitted = fact.said.get("admitted_at") or admitted
    old = record.summaries[n]
    first = visit.facts[0].recorded if visit.facts else 0
    record.summaries[n] = old._replace(account=account, first=first, started=admitted or old.started)


_NO_TIES = Ties({})
