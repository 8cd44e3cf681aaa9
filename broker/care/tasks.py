"""Which tasks the rules call for. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from broker.care.clocks import due_at
from broker.care.given import Given, Rule, SiteFacts
from broker.care.in_force import result_rules, stay_rules
from broker.care.record import Held, Said, instant, micros
from broker.care.stays import Stay
from broker.care.wants import Want, because
from broker.care.words import Reported, admitted_at

__all__ = ["tasks"]


def tasks(
    stay: Stay, site: SiteFacts, words: Mapping[str, str], results: Sequence[Reported], given: Given
) -> Iterator[Want]:
    """The tasks that the rules in force call for, of a stay and of its results."""
    for rule in stay_rules(words, given):
        if "status" in rule.when or stay.status not in ("", "cancelled"):
            fact, occurred = _cause(rule, stay)
            if fact is not None and not fact.mute:
                yield _task(rule, "", fact, occurred, stay, site, None, verify=words["goes_home"] == "verify")
    for name, order, _, its_words in results:
        if not order.last.mute:
            for rule in result_rules(its_words, given):
                what = order.said.get("text")
                yield _task(rule, name, order.last, order.last.happened, stay, site, what)


_OF_A_DISCHARGE = frozenset(
    {"disposition", "goes_home", "pending_results", "readmitted", "planned_readmission"}
)


def _cause(rule: Rule, stay: Stay) -> tuple[Held | None, int]:
    """The fact that a rule's task hangs on, by what its conditions speak of."""
    when = rule.when
    if when.get("expected_discharge") == ("yes",):
        fact = stay.expected or stay.admitted or stay.opening
        return fact, fact.happened if fact else 0
    if stay.status == "cancelled":
        fact = stay.taken_back
        return fact, fact.happened if fact else 0
    of_the_end = when.get("status") == ("discharged",) or bool(_OF_A_DISCHARGE & when.keys())
    if stay.is_discharged and of_the_end:
        return stay.discharge, stay.discharged_at
    if stay.status == "planned":
        return stay.planned, stay.planned.happened if stay.planned else 0
    if stay.admitted is not None:
        return stay.admitted, admitted_at(stay)
    fact = stay.arrival or stay.opening
    return fact, fact.happened if fact else 0


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
    match rule.due.after:
        case "event":
            anchor = occurred
        case "admitted":
            anchor = stay.started
        case "discharged":
            anchor = stay.discharged_at
        case "expected_discharge":
            anchor = stay.said.get("expected_discharge_at") or 0
    says: Said = {
        "title": f"{rule.title}: {of_what}" if of_what else rule.title,
        "owner": rule.owner,
        "urgency": rule.urgency,
        "due": micros(due_at(rule.due, instant(anchor), site.zone, site.days_off)) if anchor else 0,
        "verify": verify and bool({"goes_home", "disposition"} & rule.when.keys()),
        "note": "",
    }
    return Want("task", rule.kind, sub, because(fact), rule.key, rule.version, says, (), occurred)
