"""Which visits are one stay, and whose it is. Floor 3: pure.

Mostly a visit number is one stay. Visits become one when they are merged or renumbered, and what came
without a visit number joins the visit of its account or admit time (DOMAIN 1.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from broker.care.record import Held, Record, Summary, Tie

__all__ = ["Ties", "owner_of"]

_ONE_VISIT = frozenset({"VisitMerge", "VisitChange", "VisitMove", "ClassChange"})
_ONE_ACCOUNT = frozenset({"AccountMerge", "AccountChange", "ClassChange"})
_JOINS = frozenset({"account", "admitted"})

Root = tuple[str, str, str]


class Ties:
    """What all records at hand say of which visits and accounts are the same."""

    def __init__(self, records: Mapping[int, Record]) -> None:
        self._parent: dict[Root, Root] = {}
        self.moves: list[Tie] = []
        ties = sorted({tie for record in records.values() for tie in record.ties})
        for tie in ties:
            if tie.kind in _ONE_VISIT and tie.visit and tie.retired_visit and tie.visit != tie.retired_visit:
                self._unite((tie.site, "visit", tie.visit), (tie.site, "visit", tie.retired_visit))
            if tie.kind in _ONE_ACCOUNT and tie.account and tie.retired_account:
                self._unite((tie.site, "account", tie.account), (tie.site, "account", tie.retired_account))
            if tie.kind == "AccountMove":
                self.moves.append(tie)
        self._tied: dict[Root, set[Root]] = {}
        for key in {*self._parent, *self._parent.values()}:
            if key[1] == "visit":
                self._tied.setdefault(self.root(key), set()).add(key)
        self._survivors = {
            self.root((tie.site, "visit", tie.visit)): tie.visit
            for tie in ties
            if tie.kind in _ONE_VISIT and tie.visit and tie.retired_visit
        }
        self._loose = {
            patient
            for patient, record in records.items()
            if any(one.way in _JOINS for one in record.summaries.values())
        }
        self.trivial = not self._parent and not self._loose

    def _unite(self, one: Root, other: Root) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self._parent[max(one, other)] = min(one, other)

    def root(self, key: Root) -> Root:
        """What stands for a key and all that are the same."""
        while (parent := self._parent.get(key)) is not None:
            key = parent
        return key

    def tied(self, key: Root) -> set[Root]:
        """The visits that are one with a visit, itself among them; none where it is not tied."""
        return self._tied.get(self.root(key), set())

    def survivor(self, key: Root) -> str:
        """The visit number under which visits that are one go on: the last tie says."""
        if key[1] != "visit":
            return ""
        return self._survivors.get(self.root(key), key[2])

    def stays(self, record: Record) -> dict[int, int]:
        """Each visit's stay: the lowest number of the visits that are one."""
        if self.trivial:
            return {n: n for n in record.summaries}
        roots: dict[int, Root] = {}
        visits = [one for one in record.summaries.values() if one.way == "visit" and one.first]
        for one in record.summaries.values():
            if one.way in _JOINS and one.first:
                found = _joined(one, visits, self)
                roots[one.n] = self.root(_key(found)) if found else self._own(one)
            else:
                roots[one.n] = self.root(_key(one)) if one.first else ("", "gone", str(one.n))
        lowest: dict[Root, int] = {}
        for n in sorted(roots):
            lowest.setdefault(roots[n], n)
        return {n: lowest[root] for n, root in roots.items()}

    def _own(self, one: Summary) -> Root:
        return self.root(_key(one)) if one.way == "account" else _key(one)

    def moved(self, facts: Sequence[Held], site: str, account: str) -> int:
        """Whose a stay is by its facts and the moves of its account."""
        owner = 0
        moves = [
            tie
            for tie in self.moves
            if account and tie.site == site and account in (tie.account, tie.retired_account)
        ]
        if not moves:
            return facts[-1].patient
        timeline: list[tuple[tuple[object, ...], int, int]] = [(fact[:8], fact.patient, -1) for fact in facts]
        timeline += [(tie[:8], tie.patient, tie.retired) for tie in moves]
        for _, patient, retired in sorted(timeline):
            if retired in (-1, 0, owner):
                owner = patient
        return owner


def _key(one: Summary) -> Root:
    return one.site, one.way, one.ident


def _joined(one: Summary, visits: Iterable[Summary], ties: Ties) -> Summary | None:
    """The visit that something known by account or admit time alone is of."""
    if one.way == "account":
        account = ties.root((one.site, "account", one.ident))
        same = [
            visit
            for visit in visits
            if visit.site == one.site
            and visit.account
            and ties.root((one.site, "account", visit.account)) == account
        ]
    else:
        same = [visit for visit in visits if visit.site == one.site and visit.started == int(one.ident)]
    if not same:
        return None
    before = [visit for visit in same if visit.first <= one.first]
    if before:
        return max(before, key=lambda visit: (visit.first, visit.ident))
    return min(same, key=lambda visit: (visit.first, visit.ident))


def owner_of(facts: Sequence[Held], site: str, account: str, ties: Ties) -> int:
    """The patient whose a stay is: the last recorded fact says (CARE rule 5)."""
    if not ties.moves:
        return facts[-1].patient
    return ties.moved(facts, site, account)
