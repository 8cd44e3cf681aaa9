"""What should stand of a stay and of a person: tasks, notifications, review items. Floor 3: pure.

Every want has a cause, a fact that stands. Rules and tells are read as they are now; what an earlier
version of them called for is left in peace by `changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date
from typing import NamedTuple

from broker.care.clocks import due_at
from broker.care.content import iso, of_patient, of_result, of_stay
from broker.care.given import Due, Given, Policy, Reach, Rule, SiteFacts, Tell
from broker.care.patients import Death, practitioner_key
from broker.care.record import DAY, HOUR, Held, Said, Summary, instant, micros
from broker.care.results import NORMAL, Ordered
from broker.care.stays import Stay
from broker.care.vocabulary import ADMITTED, setting_of

__all__ = ["Because", "Context", "Want", "Wanted", "site_of", "stay_words", "wanted", "wanted_of_person"]

_VERIFY = frozenset({"custodial", "court", "other", "unknown", ""})
_NO_DISCHARGE_TOLD = frozenset({"expired", "admitted_here", "still_patient"})


class Because(NamedTuple):
    """The fact that calls for something: its id, meaning, when it happened, and whether it is muted."""

    stream: int
    seq: int
    kind: str
    n: int
    meaning: str
    happened: int
    mute: bool


class Want(NamedTuple):
    """One thing that should stand. `says` is what of it can differ; `reach`: name, destination, address."""

    sort: str
    kind: str
    sub: str
    because: Because
    rule: str
    rule_version: str
    says: Said
    reach: tuple[tuple[str, str, str], ...]
    occurred: int

    @property
    def key(self) -> tuple[str, str, str]:
        """By what it matches a row of its stay."""
        return self.sort, self.kind, self.sub


Wanted = dict[tuple[str, str, str], Want]


class Context(NamedTuple):
    """What must be known around a stay: the patient's number, the person, the stays before and after.

    `around` are the person's, `here` those of them under the same number.
    """

    authority: str
    number: str
    who: Said
    former_pcp: Said | None
    death: Death | None
    has_plan: bool
    around: Sequence[Summary]
    here: Sequence[Summary]
    given: Given
    now: int


def because(fact: Held) -> Because:
    """A fact as a cause."""
    return Because(fact.stream, fact.seq, fact.kind, fact.n, fact.meaning, fact.happened, fact.mute)


def _never(_: date) -> bool:
    return False


def site_of(given: Given, name: str) -> SiteFacts:
    """A site's facts; a site that the project no longer has is in UTC, without days off."""
    return given.sites.get(name) or SiteFacts(name, name, UTC, _never)


def wanted(stay: Stay, site_name: str, context: Context) -> Wanted:
    """Everything that should stand because of one stay."""
    found: Wanted = {}
    if not stay.facts and not stay.not_found:
        return found
    site = site_of(context.given, site_name)
    words = stay_words(stay, site_name, context)
    for want in _reviews(stay, site_name, context):
        found.setdefault(want.key, want)
    if stay.status != "cancelled":
        for want in _told(stay, site, words, context):
            found.setdefault(want.key, want)
        for want in _tasks(stay, site, words, context):
            found.setdefault(want.key, want)
    return found


# --- the words of conditions


def stay_words(stay: Stay, site_name: str, context: Context) -> dict[str, str]:
    """What conditions may ask of a stay (vocabulary.STAY_WORDS)."""
    policy = context.given.policy
    discharged = stay.is_discharged
    setting = setting_of(stay.patient_class)
    disposition = "not_stated"
    goes_home = "no"
    if discharged:
        disposition = stay.disposition or "not_stated"
        if setting == "emergency" and _goes_on(stay, site_name, context):
            disposition = "admitted_here"
        elif stay.disposition in policy.goes_home:
            goes_home = "yes"
        elif stay.disposition in _VERIFY:
            goes_home = "verify"
    opening = stay.admitted or stay.arrival or stay.opening or stay.planned
    return {
        "status": stay.status,
        "patient_class": stay.patient_class or "unknown",
        "setting": setting,
        "opening": opening.kind if opening else "unseen",
        "disposition": disposition,
        "goes_home": goes_home,
        "planned_readmission": _yes(bool(stay.said.get("planned_readmission"))),
        "readmission": _yes(_is_readmission(stay, setting, context)),
        "readmitted": _yes(discharged and _is_readmitted(stay, context)),
        "deceased": _yes(context.death is not None),
        "plan": _yes(context.has_plan),
        "expected_discharge": _yes(
            not discharged and (stay.expected is not None or bool(stay.said.get("expected_discharge_at")))
        ),
        "pending_results": _yes(
            discharged and any(_pending_at(order, stay) and order.pending for order in stay.orders.values())
        ),
        "pcp": "named" if practitioner_key(_pcp(stay, context)) else "not_named",
    }


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _holds(when: Mapping[str, tuple[str, ...]], words: Mapping[str, str], *, of_rule: bool) -> bool:
    """Whether a `when` holds; a rule that says nothing of death is for the living."""
    for key, right in when.items():
        if words.get(key) not in right:
            return False
    if of_rule and words.get("deceased") == "yes":
        return "deceased" in when or "expired" in when.get("disposition", ()) or "person" in when
    return True


def _is_readmission(stay: Stay, setting: str, context: Context) -> bool:
    started, days = stay.started, context.given.policy.readmission_days
    if setting not in ("inpatient", "emergency") or not started:
        return False
    return any(
        one.ended
        and one.patient_class in ADMITTED
        and 0 <= started - one.ended <= days * DAY
        and not (one.disposition == "acute_transfer" and started - one.ended <= DAY)
        for one in context.around
    )


def _is_readmitted(stay: Stay, context: Context) -> bool:
    ended, days = stay.discharged_at, context.given.policy.readmission_days
    return any(
        one.patient_class in ADMITTED and one.status != "planned" and 0 <= one.started - ended <= days * DAY
        for one in context.around
    )


def _goes_on(stay: Stay, site_name: str, context: Context) -> bool:
    """An emergency visit that goes on as a stay with a bed is one episode (DOMAIN 1.4)."""
    gap = context.given.policy.episode_gap_hours * HOUR
    return any(
        one.site == site_name
        and one.patient_class in ADMITTED
        and one.status != "planned"
        and stay.started <= one.started <= stay.discharged_at + gap
        for one in context.here
    )


def _pcp(stay: Stay, context: Context) -> Said | None:
    pcp = stay.who["pcp"] if "pcp" in stay.who else context.who.get("pcp")
    return pcp if isinstance(pcp, dict) else None


# --- notifications


class _Happening(NamedTuple):
    kind: str
    sub: str
    fact: Held
    occurred: int
    more: Said
    words: Mapping[str, str]


def _happenings(
    stay: Stay, site: SiteFacts, words: Mapping[str, str], policy: Policy
) -> Iterator[_Happening]:
    """What may be told of a stay as it stands."""
    if stay.arrival is not None:
        yield _Happening("EmergencyArrival", "", stay.arrival, stay.arrival.happened, {}, words)
    if stay.admitted is not None:
        yield _Happening("Admission", "", stay.admitted, _admitted_at(stay), {}, words)
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
    for name, order in stay.orders.items():
        reasons = _result_reasons(order, stay, policy)
        if reasons:
            more = {"result": of_result(order, reasons, site.zone)}
            fact = order.first
            occurred = order.last.happened
            yield _Happening(
                "Result", name, fact, occurred, more, {**words, **_result_words(order, stay, policy)}
            )


def _admitted_at(stay: Stay) -> int:
    """When the stay with a bed began: an emergency visit before it began earlier."""
    assert stay.admitted is not None
    if stay.arrival is not None or stay.admitted.kind == "ClassChange":
        return stay.admitted.happened
    return stay.started


def _is_told_move(was: Said, now: Said, policy: Policy) -> bool:
    """Another facility, or into or out of a unit for the critically ill."""
    before, after = was.get("facility"), now.get("facility")
    if before and after and before != after:
        return True
    units = policy.critical_units
    return bool(units) and (was.get("unit") in units) != (now.get("unit") in units)


def _told(stay: Stay, site: SiteFacts, words: Mapping[str, str], context: Context) -> Iterator[Want]:
    about: Said | None = None
    for one in _happenings(stay, site, words, context.given.policy):
        tell = _tell_for(one.kind, one.words, context.given)
        if tell is None or one.fact.mute:
            continue
        if about is None:
            who = stay.who if stay.who.get("family") else {**context.who, **stay.who}
            about = {
                "patient": of_patient(context.authority, context.number, who),
                "facility": {"name": site.name, "title": site.title},
                **of_stay(stay, site.zone),
                "readmission": words["readmission"] == "yes",
                "pcp": _named(_pcp(stay, context)),
            }
        says: Said = {"kind": one.kind, "occurred_at": iso(one.occurred, site.zone), **about, **one.more}
        ordering = one.more["result"]["ordering"] if "result" in one.more else None
        yield from _telling(
            tell, one.sub, because(one.fact), one.occurred, says, site, context, stay, ordering
        )


def _named(person: Said | None) -> Said:
    return {name: value for name, value in person.items() if value} if person else {}


def _tell_for(kind: str, words: Mapping[str, str], given: Given) -> Tell | None:
    for tell in given.tells:
        if tell.notification == kind and _holds(tell.when, words, of_rule=False):
            return tell
    return None


def _telling(
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
    for place, role in enumerate(tell.recipients):
        names, ways = _reach(role, stay, says, context, ordering)
        for way in ways:
            if way.kinds is None or tell.notification in way.kinds:
                reached.setdefault((way.destination, way.address), way.name)
        if not ways:
            if names or place == 0:
                unreached.append({"role": role, "name": "; ".join(names)})
            primary_missing = primary_missing or place == 0
    says["unreached"] = unreached
    says["urgency"] = tell.urgency
    reach = tuple((name, *where) for where, name in reached.items())
    yield Want("notification", tell.notification, sub, cause, tell.key, tell.version, says, reach, occurred)
    if primary_missing or not (reach or unreached == []):
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
        people = [_pcp(stay, context) if stay is not None else context.who.get("pcp")]
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


# --- tasks


def _tasks(stay: Stay, site: SiteFacts, words: Mapping[str, str], context: Context) -> Iterator[Want]:
    results: list[tuple[str, Ordered, dict[str, str]]] | None = None
    for rule in context.given.rules:
        when = rule.when
        if "person" in when:
            continue
        if "result" in when:
            if results is None:
                policy = context.given.policy
                results = [
                    (name, order, {**words, **_result_words(order, stay, policy)})
                    for name, order in stay.orders.items()
                ]
            for name, order, result_words in results:
                if _holds(when, result_words, of_rule=True) and not order.last.mute:
                    yield _task(
                        rule, name, order.last, order.last.happened, stay, site, order.said.get("text")
                    )
        elif _holds(when, words, of_rule=True) and ("status" in when or stay.status):
            fact, occurred = _cause(rule, stay)
            if fact is not None and not fact.mute:
                yield _task(rule, "", fact, occurred, stay, site, None, verify=words["goes_home"] == "verify")


def _cause(rule: Rule, stay: Stay) -> tuple[Held | None, int]:
    """The fact that a rule's task hangs on, by what its conditions speak of."""
    when = rule.when
    if when.get("expected_discharge") == ("yes",):
        fact = stay.expected or stay.admitted or stay.opening
        return fact, fact.happened if fact else 0
    status = when.get("status", ())
    if stay.is_discharged and ("discharged" in status[:1] or _OF_A_DISCHARGE & when.keys()):
        return stay.discharge, stay.discharged_at
    if stay.status == "planned":
        return stay.planned, stay.planned.happened if stay.planned else 0
    if stay.admitted is not None:
        return stay.admitted, _admitted_at(stay)
    fact = stay.arrival or stay.opening
    return fact, fact.happened if fact else 0


_OF_A_DISCHARGE = frozenset(
    {"disposition", "goes_home", "pending_results", "readmitted", "planned_readmission"}
)


def _task(
    rule: Rule,
    sub: str,
    fact: Held,
    occurred: int,
    stay: Stay,
    site: SiteFacts,
    of_what: str | None,
    *,
    verify: bool = False,
) -> Want:
    anchor = {
        "event": occurred,
        "admitted": stay.started,
        "discharged": stay.discharged_at,
        "expected_discharge": stay.said.get("expected_discharge_at") or 0,
    }[rule.due.after]
    says: Said = {
        "title": f"{rule.title}: {of_what}" if of_what else rule.title,
        "owner": rule.owner,
        "urgency": rule.urgency,
        "due": micros(due_at(rule.due, instant(anchor), site.zone, site.days_off)) if anchor else 0,
        "verify": verify and bool({"goes_home", "disposition"} & rule.when.keys()),
        "note": "",
    }
    return Want("task", rule.kind, sub, because(fact), rule.key, rule.version, says, (), occurred)


# --- results


def _result_words(order: Ordered, stay: Stay, policy: Policy) -> dict[str, str]:
    reasons = _result_reasons(order, stay, policy)
    flags = {flag for one in order.standing for flag in one.said.get("flags") or ()}
    if order.pending:
        word = "pending"
    elif order.unobtainable:
        word = "unobtainable"
    else:
        word = "abnormal" if flags - NORMAL else "normal"
    if flags & policy.critical_flags:
        word = "critical"
    return {
        "result": word,
        "after_discharge": _yes("after_discharge" in reasons),
        "corrected": _yes(order.changed is not None),
    }


def _result_reasons(order: Ordered, stay: Stay, policy: Policy) -> list[str]:
    """Why a result is told: critical (now or once), after_discharge, corrected (of one that is told)."""
    reasons = []
    if any(one.flags & policy.critical_flags for one in order.standing):
        reasons.append("critical")
    final = order.final
    if stay.is_discharged and final is not None and final.happened > stay.discharged_at:
        reasons.append("after_discharge")
    if reasons and order.changed is not None:
        reasons.append("corrected")
    return reasons


def _pending_at(order: Ordered, stay: Stay) -> bool:
    return order.first.happened <= stay.discharged_at


# --- what only a person can judge


def _reviews(stay: Stay, site_name: str, context: Context) -> Iterator[Want]:
    for fact in stay.not_found:
        yield _review("cancel_found_nothing", fact, f"{fact.kind}: nothing that it could take back")
    for fact in stay.unclear:
        yield _review("order_unclear", fact, f"{fact.kind} has the very times of what it takes back")
    if stay.reopened is not None:
        yield _review(
            "opened_after_discharge", stay.reopened, f"{stay.reopened.kind} after the visit's discharge"
        )
    if stay.discharge is not None and stay.disposition == "still_patient" and stay.disposed is not None:
        yield _review("still_patient", stay.disposed, "A discharge whose disposition says: still a patient")
    for order in stay.orders.values():
        if order.wrong is not None:
            yield _review(
                "wrong_result", order.wrong, "A result was posted wrongly, perhaps of another patient"
            )
    if stay.admitted is not None and stay.status == "in_progress":
        for one in context.here:
            if (
                one.site == site_name
                and one.status == "in_progress"
                and one.patient_class in ADMITTED
                and one.started < stay.started
            ):
                yield _review(
                    "admitted_twice", stay.admitted, "Admitted while another stay is open at this site"
                )


def _review(kind: str, fact: Held, text: str) -> Want:
    says: Said = {"text": text}
    return Want("review", kind, fact.meaning, because(fact), "", "", says, (), fact.happened)


# --- the person


def wanted_of_person(
    context: Context,
    death: Death | None,
    site_name: str,
    pcp_changed: Because | None,
    merges: Sequence[Because],
    odd: Sequence[Because],
) -> Wanted:
    """What should stand of the person under this number: death, another PCP, merges, links that are odd.

    `death` is what this number's own messages say of it.
    """
    found: Wanted = {}
    site = site_of(context.given, site_name)
    about: Said = {
        "patient": of_patient(context.authority, context.number, context.who),
        "facility": {"name": site.name, "title": site.title} if site_name else {},
        "pcp": _named(context.who.get("pcp")),
    }
    happened: list[tuple[str, str, Because, int, Said]] = []
    if death is not None:
        kind, meaning = death.said[6], f"{death.said[6]}@{death.said[0]}"
        cause = Because(death.said[4], death.said[5], kind, death.said[7], meaning, death.died_at, death.mute)
        died: Said = {"deceased": True, "attending": _named(death.attending), "disposition": "expired"}
        happened.append(("Death", "died", cause, death.died_at, died))
    if pcp_changed is not None:
        changed: Said = {
            "former_pcp": _named(context.former_pcp),
            "pcp_change": _named(context.who.get("pcp")),
        }
        happened.append(("PcpChange", "pcp_changed", pcp_changed, pcp_changed.happened, changed))
    happened += [("", "merged", merged, merged.happened, {}) for merged in merges]
    for tie in odd:
        text: Said = {"text": f"{tie.kind} of a patient with itself, or in a circle"}
        want = Want("review", "odd_link", tie.meaning, tie, "", "", text, (), tie.happened)
        found[want.key] = want
    for kind, word, cause, occurred, more in happened:
        if cause.mute:
            continue
        sub = "" if word == "died" else cause.meaning
        words = {"person": word, "deceased": _yes(context.death is not None), "plan": _yes(context.has_plan)}
        if kind and (tell := _tell_for(kind, words, context.given)) is not None:
            says: Said = {"kind": kind, "occurred_at": iso(occurred, site.zone), **about, **more}
            for want in _telling(tell, sub, cause, occurred, says, site, context, None, None):
                found.setdefault(want.key, want)
        for rule in context.given.rules:
            if "person" in rule.when and _holds(rule.when, words, of_rule=True):
                due = due_at(rule.due, instant(occurred), site.zone, site.days_off)
                task: Said = {
                    "title": rule.title, "owner": rule.owner, "urgency": rule.urgency, "due": micros(due),
                    "verify": False, "note": "",
                }  # fmt: skip
                want = Want("task", rule.kind, sub, cause, rule.key, rule.version, task, (), occurred)
                found.setdefault(want.key, want)
    return found
