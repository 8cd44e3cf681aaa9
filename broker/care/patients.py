"""Who the patient is: what was said of the person, and which records are one person. Floor 3: pure.

Of each field the last recorded word stands. Links, merges and renames are symmetric: records that are
tied are one person, whichever number survives; taking the tie away leaves what would have been without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from broker.care.record import Held, Record, Run, Said, Statement, Tie

__all__ = [
    "Death", "all_stated", "death_of", "identity", "mentioned", "persons", "practitioner_key", "said_last",
    "stated",
]  # fmt: skip

_UNITES = frozenset({"PatientMerge", "Link", "IdentifierChange", "IdentifierMove"})


def stated(statements: tuple[Statement, ...], fact: Held) -> tuple[Statement, ...]:
    """The last words on the patient, with what a fact says of them."""
    order = fact[:8]
    fresh = dict(fact.who)
    kept = []
    for statement in statements:
        if statement[:8] == order:
            continue
        fields = statement.fields
        if statement[:8] < order:
            if left := {name: value for name, value in fields.items() if name not in fresh}:
                kept.append(statement if len(left) == len(fields) else statement._replace(fields=left))
        else:
            kept.append(statement)
            for name in fields:
                fresh.pop(name, None)
    if fresh:
        kept.append(Statement(*order, fresh))
    return tuple(kept)


def mentioned(runs: tuple[Run, ...], fact: Held) -> tuple[Run, ...] | None:
    """The runs of PCP and death with what a fact says; None where it splits one, which needs all facts."""
    order = list(fact[:8])
    for name, value in _watched(fact.who):
        mine = [run for run in runs if run.name == name]
        place = sum(run.first <= order for run in mine)  # the run before
        before = mine[place - 1] if place else None
        after = mine[place] if place < len(mine) else None
        if before is not None and order <= before.last:
            if not _alike(name, before.value, value):
                return None
            continue
        if before is not None and _alike(name, before.value, value):
            mine[place - 1] = before._replace(last=order)
        elif after is not None and _alike(name, after.value, value):
            mine[place] = after._replace(first=order, happened=fact.happened, mute=fact.mute)
        else:
            mine.insert(place, Run(name, order, order, value, fact.happened, fact.mute))
        runs = (*(run for run in runs if run.name != name), *mine)
    return runs


def _watched(who: Said) -> Iterator[tuple[str, Any]]:
    if "pcp" in who:
        yield "pcp", who["pcp"]
    if "deceased" in who:
        yield "deceased", bool(who["deceased"])
    elif who.get("died_at"):
        yield "deceased", True


def _alike(name: str, one: Any, other: Any) -> bool:
    if name == "pcp":
        return practitioner_key(one) == practitioner_key(other)
    return bool(one == other)


def practitioner_key(person: Said | None) -> str:
    """What a practitioner is known by: NPI, else the hospital's number, else the name; "" for nobody."""
    if not person:
        return ""
    if npi := person.get("npi"):
        return f"npi {npi}"
    if number := person.get("id"):
        return f"{person.get('authority') or ''} {number}"
    return f"{person.get('family') or ''}, {person.get('given') or ''}"


def all_stated(facts: Iterable[Held]) -> tuple[tuple[Statement, ...], tuple[Run, ...]]:
    """Last words and runs made anew from every fact that names the patient."""
    statements: tuple[Statement, ...] = ()
    runs: tuple[Run, ...] = ()
    for fact in sorted(facts, key=lambda fact: fact[:8]):
        if fact.who:
            statements = stated(statements, fact)
            runs = mentioned(runs, fact) or runs
    return statements, runs


def said_last(records: Iterable[Record]) -> Said:
    """The last word on every field, of the records of one person."""
    found: list[Statement] = [one for record in records for one in record.statements]
    found.sort(key=lambda one: one[:8])
    said: Said = {}
    for statement in found:
        said.update(statement.fields)
    return said


class Death(NamedTuple):
    """That the person died. `said`: the first eight of what says it; `visit`: whose end it was, if one's."""

    said: list[Any]
    patient: int
    died_at: int
    visit: tuple[int, int] | None
    attending: Said | None
    mute: bool


def death_of(records: Sequence[Record]) -> Death | None:
    """Whether the person of these records has died: the last recorded statement wins (CARE rule 8).

    A standing discharge whose disposition is expired says so too.
    """
    last: list[Any] = []
    dead = False
    for record in records:
        for run in record.runs:
            if run.name == "deceased" and run.last > last:
                last, dead = run.last, run.value
    visits = [
        (one.died, record.patient, one) for record in records for one in record.summaries.values() if one.died
    ]
    if not dead and not any(died[:8] >= last for died, _, _ in visits if died):
        return None
    first = [
        Death(run.first, record.patient, run.happened, None, None, run.mute)
        for record in records
        for run in record.runs
        if dead and run.name == "deceased" and run.value and run.last == last
    ]
    by_visit = [
        Death(died[:8], patient, one.ended, (patient, one.n), died[8], died[9])
        for died, patient, one in visits
        if died
    ]
    return max(by_visit, key=lambda one: one.said) if by_visit else first[0]


def persons(records: Mapping[int, Record]) -> tuple[dict[int, int], list[Tie]]:
    """Each patient's person (the lowest number of those that are tied), and the ties that make no sense.

    A tie of a patient with itself, and one between two who are one person already, are for people to see.
    """
    ties = sorted({tie for record in records.values() for tie in record.ties if tie.kind in _TIES})
    edges: list[tuple[int, int]] = []
    odd: list[Tie] = []
    for tie in ties:
        pair = (tie.patient, tie.retired)
        if tie.retired == tie.patient:
            odd.append(tie)
        elif not tie.retired:
            continue
        elif tie.kind == "Unlink":
            edges = [edge for edge in edges if set(edge) != set(pair)]
        else:
            if tie.kind == "IdentifierMove":
                edges = [edge for edge in edges if tie.retired not in edge]
            elif (tie.retired, tie.patient) in edges and pair not in edges:
                odd.append(tie)
            edges.append(pair)
    person = {patient: patient for patient in records}
    for one, other in edges:
        person.setdefault(one, one)
        person.setdefault(other, other)
    changed = True
    while changed:
        changed = False
        for one, other in edges:
            low = min(person[one], person[other])
            if person[one] != low or person[other] != low:
                person[one] = person[other] = low
                changed = True
    return person, odd


_TIES = _UNITES | {"Unlink"}


def identity(said: Said) -> Said:
    """What is shown of a patient, flat: name, birth date, sex, a phone, language, contacts, PCP."""
    phones = said.get("phones") or ()
    sex = said.get("sex")
    return {
        "family": said.get("family") or "",
        "given": said.get("given") or "",
        "birth_date": said.get("birth_date") or "",
        "sex": sex if isinstance(sex, str) else "unknown" if sex else "",
        "phone": phones[0]["number"] if phones else "",
        "language": said.get("language") or "",
        "contacts": said.get("contacts") or [],
        "pcp": said.get("pcp") or {},
    }
