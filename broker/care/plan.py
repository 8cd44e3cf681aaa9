"""What facts call for in the care plan: team, problems, allergies, notes of transitions. Floor 3: pure.

Each entry holds the claims on it, one a stay, and one of a person where somebody has written it. What a
person wrote stands before what hospitals say; among these the latest stands. An entry without a claim is
withdrawn; its versions remain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broker.care.content import iso, practitioner
from broker.care.facts import FactId
from broker.care.given import SiteFacts
from broker.care.patients import practitioner_key
from broker.care.record import Entry, Held, Record, Said
from broker.care.rows import Cause, Change, PlanEntryPut
from broker.care.stays import Stay

__all__ = ["BY_A_PERSON", "Claims", "claim", "claims_of_person", "claims_of_stay", "entry_put"]

BY_A_PERSON = -1
Claims = dict[
    tuple[str, str], Said
]  # section and key: the body, in which `at` (time, and a word for equal ones) orders claims

_SPOKEN = {
    "home": "home", "home_health": "home with home health care", "acute_transfer": "another acute hospital",
    "snf": "a skilled nursing facility", "nursing_facility": "a nursing facility",
    "custodial": "custodial care", "rehabilitation": "inpatient rehabilitation",
    "long_term_care_hospital": "a long-term care hospital", "psychiatric": "a psychiatric hospital",
    "hospice_home": "hospice at home", "hospice_facility": "a hospice", "court": "law enforcement",
}  # fmt: skip


def claims_of_stay(stay: Stay, visit: str, site: SiteFacts) -> Claims:
    """The plan entries that one stay calls for."""
    claims: Claims = {}
    if stay.status in ("", "cancelled", "planned"):
        return claims
    said, at = stay.said, [stay.started, visit]
    for role in ("attending", "referring"):
        if who := practitioner(said.get(role)):
            claims["team", role] = {"at": at, "role": role, **who}
    for one in said.get("allergies") or ():
        _allergy(claims, one, at)
    if stay.is_discharged and stay.discharge is not None:
        _transition(claims, stay, visit, site)
    return claims


def _transition(claims: Claims, stay: Stay, visit: str, site: SiteFacts) -> None:
    """What a discharge leaves: its problems, and a note of where the patient went."""
    found = [one for one in stay.said.get("diagnoses") or () if one.get("code") or one.get("text")]
    final = [one for one in found if one.get("kind") == "F"]
    for one in final or found:
        body = {name: value for name, value in one.items() if value}
        claims["problem", str(one.get("code") or one["text"])] = {"at": [stay.discharged_at, visit], **body}
    where = {"expired": "Died", "against_advice": "Left against medical advice"}.get(stay.disposition)
    if where is None:
        goal = _SPOKEN.get(stay.disposition)
        where = f"Discharged to {goal}" if goal else "Discharged, where to is to be verified"
    claims["note", f"transition {site.name} {visit}"] = {
        "at": [stay.discharged_at, visit],
        "text": f"{where} from {site.title}",
        "discharged_at": iso(stay.discharged_at, site.zone),
        "disposition": stay.disposition,
        "disposition_code": stay.disposition_code,
        "destination": stay.said.get("destination") or "",
        "visit_id": stay.said.get("visit_id") or "",
    }


def claims_of_person(facts: Iterable[Held], pcp: Said | None) -> Claims:
    """The plan entries that what is said of the person calls for: the PCP, and allergies (A60)."""
    claims: Claims = {}
    if pcp and practitioner_key(pcp):
        claims["team", "pcp"] = {"at": [0, ""], "role": "pcp", **practitioner(pcp)}
    for fact in facts:
        for one in fact.said.get("allergies") or ():
            _allergy(claims, one, [fact.recorded, fact.digest])
    return claims


def _allergy(claims: Claims, one: Said, at: list[Any]) -> None:
    if key := one.get("code") or one.get("text"):
        body = {name: value for name, value in one.items() if value and name != "action"}
        if one.get("action") in ("D", "deleted"):
            body["ended"] = True
        claims["allergy", str(key)] = {"at": at, **body}


def claim(
    record: Record, visit: int, before: Claims, after: Claims, fact: FactId | None, changes: list[Change]
) -> None:
    """Replaces a visit's claims on the plan by others; entries that change for it are put."""
    if before == after:
        return
    entries = {(entry.section, entry.key): entry for entry in record.plan}
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) == after.get(key):
            continue
        entry = entries.get(key)
        if entry is None:
            if key not in after:
                continue
            entry = Entry(record.next_row, *key, 0, "", {}, [])
            record.next_row += 1
        claims = [one for one in entry.claims if one[0] != visit]
        if key in after:
            claims.append([visit, after[key]["at"], after[key]])
        entries[key] = _restated(entry, claims, record, fact, changes)
    record.plan = tuple(entries.values())


def _restated(
    entry: Entry, claims: list[list[Any]], record: Record, fact: FactId | None, changes: list[Change]
) -> Entry:
    """The entry with these claims; put where what it says, or its state, is another."""
    claims.sort(key=lambda one: (one[0] == BY_A_PERSON, one[1], one[0]))
    if claims:
        body = {name: value for name, value in claims[-1][2].items() if name not in ("at", "ended")}
        state = "ended" if claims[-1][2].get("ended") else "active"
    else:
        body, state = entry.body, "withdrawn"
    if body == entry.body and state == entry.state:
        return entry._replace(claims=claims)
    verb = "added" if not entry.version else "changed" if state == "active" else state
    made = entry._replace(version=entry.version + 1, state=state, body=body, claims=claims)
    changes.append(entry_put(made, record.patient, verb, fact))
    return made


def entry_put(entry: Entry, patient: int, verb: str, fact: FactId | None) -> PlanEntryPut:
    """An entry as it is stored."""
    return PlanEntryPut(
        patient=patient,
        n=entry.n,
        section=entry.section,
        key=entry.key,
        version=entry.version,
        state=entry.state,
        body=dict(entry.body),
        verb=verb,
        cause=Cause(fact),
    )
