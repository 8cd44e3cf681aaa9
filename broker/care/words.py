"""What the conditions of rules may ask of a stay and of a result, answered. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from broker.care.given import Policy
from broker.care.patients import practitioner_key
from broker.care.record import DAY, HOUR, Said
from broker.care.results import NORMAL, Ordered
from broker.care.stays import Stay
from broker.care.vocabulary import ADMITTED, setting_of
from broker.care.wants import Context

__all__ = ["Reported", "admitted_at", "pcp_of", "reported", "stay_words", "yes"]


_VERIFY = frozenset({"custodial", "court", "other", "unknown", ""})


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
        "planned_readmission": yes(bool(stay.said.get("planned_readmission"))),
        "readmission": yes(_is_readmission(stay, setting, context)),
        "readmitted": yes(discharged and _is_readmitted(stay, context)),
        "deceased": yes(context.death is not None),
        "plan": yes(context.has_plan),
        "expected_discharge": yes(
            not discharged and (stay.expected is not None or bool(stay.said.get("expected_discharge_at")))
        ),
        "pending_results": yes(
            discharged and any(_pending_at(order, stay) and order.pending for order in stay.orders.values())
        ),
        "pcp": "named" if practitioner_key(pcp_of(stay, context)) else "not_named",
    }


def yes(holds: bool) -> str:
    """The word for it."""
    return "yes" if holds else "no"


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


def pcp_of(stay: Stay, context: Context) -> Said | None:
    """The PCP that the stay's messages name, else whom the patient's had named by then."""
    pcp = stay.who["pcp"] if "pcp" in stay.who else context.who.get("pcp")
    return pcp if isinstance(pcp, dict) else None


def admitted_at(stay: Stay) -> int:
    """When the stay with a bed began: an emergency visit before it began earlier."""
    assert stay.admitted is not None
    if stay.arrival is not None or stay.admitted.kind == "ClassChange":
        return stay.admitted.happened
    return stay.started


class Reported(NamedTuple):
    """An order's results: why they are told ([]: they are not), and their stay's words with their own."""

    name: str
    order: Ordered
    reasons: list[str]
    words: Mapping[str, str]


def reported(stay: Stay, words: Mapping[str, str], policy: Policy) -> list[Reported]:
    """The results of a stay, each order's by itself, with what conditions may ask of them."""
    found = []
    for name, order in stay.orders.items():
        reasons = _reasons(order, stay, policy)
        found.append(Reported(name, order, reasons, {**words, **_result_words(order, reasons, policy)}))
    return found


def _result_words(order: Ordered, reasons: list[str], policy: Policy) -> dict[str, str]:
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
        "after_discharge": yes("after_discharge" in reasons),
        "corrected": yes(order.changed is not None),
    }


def _reasons(order: Ordered, stay: Stay, policy: Policy) -> list[str]:
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
