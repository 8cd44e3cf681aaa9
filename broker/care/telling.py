"""Who is to be told of what: notifications, and the task where nobody can be reached. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from broker.care.clocks import due_at
from broker.care.content import iso, of_patient, of_result, of_stay
from broker.care.given import Due, Policy, Reach, SiteFacts, Tell
from broker.care.in_force import tell_for
from broker.care.patients import practitioner_key
from broker.care.record import Held, Said, instant, micros
from broker.care.stays import Stay
from broker.care.wants import Because, Context, Want, because
from broker.care.words import Reported, admitted_at, pcp_of

__all__ = ["named", "telling", "told"]


_NO_DISCHARGE_TOLD = frozenset({"expired", "admitted_here", "still_patient"})


class _Happening(NamedTuple):
    kind: str
    sub: str
    fact: Held
    occurred: int
    more: Said
    words: Mapping[str, str]


def _happenings(
    stay: Stay, site: SiteFacts, words: Mapping[str, str], results: Sequence[Reported], policy: Policy
) -> Iterator[_Happening]:
    """What may be told of a stay as it stands."""
    if stay.arrival is not None:
        yield _Happening("EmergencyArrival", "", stay.arrival, stay.arrival.happened, {}, words)
    if stay.admitted is not None:
        yield _Happening("Admission", "", stay.admitted, admitted_at(stay), {}, words)
    left = stay.discharge
    alive = left is not None and words["disposition"] not in _NO_DISCHARGE_TOLD
    if left is not None and alive and stay.is_discharged and not left.who.get("deceased"):
        yield _Happening("Discharge", "", left, stay.discharged_at, {}, words)
    if stay.planned is not None and stay.status == "planned":
        yield _Happening("PlannedAdmission", "", stay.planned, stay.planned.happened, {}, words)
    if stay.expected is not None and not stay.is_discharged:
        yield _Happening("ExpectedDischarge", "", stay.expected, stay.expected.happened, {}, words)
    if stay.leave is not None and stay.status == "on_leave":
        yield _Happening("Leave", "", stay.leave, stay.leave.happened, {}, words)
    for move in stay.moves:
        if _is_told_move(move.was, move.now, policy):
            more: Said = {"moved_from": move.was, "moved_to": move.now}
            yield _Happening("Transfer", move.fact.meaning, move.fact, move.fact.happened, more, words)
    for name, order, reasons, its_words in results:
        if reasons:
            more = {"result": of_result(order, reasons, site.zone)}
            yield _Happening("Result", name, order.first, order.last.happened, more, its_words)


def _is_told_move(was: Said, now: Said, policy: Policy) -> bool:
    """Another facility, or into or out of a unit for the critically ill."""
    before, after = was.get("facility"), now.get("facility")
    if before and after and before != after:
        return True
    units = policy.critical_units
    return bool(units) and (was.get("unit") in units) != (now.get("unit") in units)


def told(
    stay: Stay, site: SiteFacts, words: Mapping[str, str], results: Sequence[Reported], context: Context
) -> Iterator[Want]:
    """What people should be told of a stay, and the tasks where they cannot be."""
    about: Said | None = None
    for one in _happenings(stay, site, words, results, context.given.policy):
        tell = tell_for(one.kind, one.words, context.given)
        if tell is None or one.fact.mute:
            continue
        if about is None:
            who = stay.who if stay.who.get("family") else {**context.who, **stay.who}
            about = {
                "patient": of_patient(context.authority, context.number, who),
                "facility": {"name": site.name, "title": site.title},
                **of_stay(stay, site.zone),
                "readmission": words["readmission"] == "yes",
                "pcp": named(pcp_of(stay, context)),
            }
        says: Said = {"kind": one.kind, "occurred_at": iso(one.occurred, site.zone), **about, **one.more}
        ordering = one.more["result"]["ordering"] if "result" in one.more else None
        yield from telling(
            tell, one.sub, because(one.fact), one.occurred, says, site, context, stay, ordering
        )


def named(person: Said | None) -> Said:
    return {name: value for name, value in person.items() if value} if person else {}


def telling(
    tell: Tell,
    sub: str,
    cause: Because,
    occurred: int,
    says: Said,
    site: SiteFacts,
    context: Context,
    stay: Stay | None,
    ordering: Said | None,
) -> Iterator[Want]:
    """The notification, and a task where whom it is for cannot be reached."""
    reached: dict[tuple[str, str], str] = {}
    unreached: list[Said] = []
    primary_missing = False
    some_way = False
    for place, role in enumerate(tell.recipients):
        names, ways = _reach(role, stay, says, context, ordering)
        for way in ways:
            if way.kinds is None or tell.notification in way.kinds:
                reached.setdefault((way.destination, way.address), way.name)
        some_way = some_way or bool(ways)
        if not ways:
            if names or place == 0:
                unreached.append({"role": role, "name": "; ".join(names)})
            primary_missing = primary_missing or place == 0
    says["unreached"] = unreached
    says["urgency"] = tell.urgency
    reach = tuple((name, *where) for where, name in reached.items())
    yield Want("notification", tell.notification, sub, cause, tell.key, tell.version, says, reach, occurred)
    if primary_missing or not some_way:
        task_sub = f"{tell.notification} {sub}".strip()
        who = ", ".join(f"{one['role']} {one['name'] or 'not named'}" for one in unreached)
        due = micros(due_at(Due(business_days=1), instant(occurred), site.zone, site.days_off))
        task: Said = {
            "title": f"Nobody was told: {tell.notification}",
            "owner": "coordinator",
            "urgency": "high" if tell.urgency in ("stat", "high") else "routine",
            "due": due,
            "verify": False,
            "note": f"Cannot be reached: {who}",
        }
        yield Want("task", "no_way_to_tell", task_sub, cause, tell.key, tell.version, task, (), occurred)


def _reach(
    role: str, stay: Stay | None, says: Said, context: Context, ordering: Said | None
) -> tuple[list[str], Sequence[Reach]]:
    """The names of who has a role, and every way to reach them."""
    entries = context.given.directory.entries
    if role == "coordinator":
        return ["coordinator"], entries.get(("role", "coordinator"), ())
    if role == "receiving":
        name = says.get("destination") or ""
        return ([name] if name else []), entries.get(("facility", name), ()) if name else ()
    people: list[Said | None] = []
    if role == "pcp":
        people = [pcp_of(stay, context) if stay is not None else context.who.get("pcp")]
    elif role == "former_pcp":
        people = [context.former_pcp]
    elif role == "ordering":
        people = [ordering]
    elif stay is not None and role == "consulting":
        people = list(stay.said.get("consulting") or ())
    elif stay is not None and role == "attending":
        people = [stay.said.get("attending") or stay.said.get("admitting")]
    elif stay is not None:
        people = [stay.said.get(role)]
    elif role == "attending":
        people = [says.get("attending")]
    names: list[str] = []
    ways: list[Reach] = []
    for person in people:
        if not person or not practitioner_key(person).strip(" ,"):
            continue
        names.append(_full_name(person))
        for key in (("npi", person.get("npi")), (person.get("authority") or "", person.get("id"))):
            if key[1] and (found := entries.get((key[0], key[1]))):
                ways += found
                break
    return names, ways


def _full_name(person: Said) -> str:
    name = " ".join(part for part in (person.get("given"), person.get("family")) if part)
    return name or practitioner_key(person)
