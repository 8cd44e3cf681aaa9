"""What a notification says, in our words: the keys that outbound mappings and pages read. Floor 3: pure.

Nested like the notices, so a mapping reads `patient.family` or `attending.npi`. What is not known is "",
[] or left out, as said below; times are ISO with the facility's offset, dates `YYYY-MM-DD`.

| key | holds |
|---|---|
| `kind` | the notification's kind, as in `vocabulary.NOTIFICATION_KINDS` |
| `patient.number.value`, `.authority` | the number under which this is told |
| `patient.family`, `.given`, `.middle`, `.birth_date`, `.sex` | the person |
| `patient.phone`, `.language`, `.address` | the first phone; the address as the notices have it |
| `facility.name`, `.title` | the site's file stem and title |
| `visit_id`, `account_id` | PV1-19.1, PID-18.1 |
| `status`, `patient_class`, `class_code` | how the stay stands; the class as it came where we lack it |
| `occurred_at`, `admitted_at`, `discharged_at`, `expected_discharge_at` | times |
| `location` | unit, room, bed, facility, building |
| `service`, `reason`, `admit_source`, `admission_type` | PV1-10, PV2-3, PV1-14, PV1-4 |
| `attending`, `admitting`, `referring`, `pcp` | npi, id, authority, family, given; {} where nobody is named |
| `disposition`, `disposition_code`, `destination` | our word, `unknown` with the code as it came; PV1-37.1 |
| `diagnoses` | code, text, system, kind, each |
| `readmission`, `planned_readmission`, `admission_seen` | true or false |
| `unreached` | role and name of each who should be told and cannot be reached |
| `result` | only of a Result: order_id, code, text, status, reasons, ordering, collected_at, observations |
| `former_pcp` | only of a PcpChange |
| `corrects` | what differs from the version before: the names of watched keys |
| `late` | true where it was first told more than policy's late_after_hours after it happened |
| `incomplete` | true where, at the sending, a message about the patient is set aside; else left out |
| `cause` | stream.seq of the message, the notice's kind, and when it was recorded |
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from broker.care.record import Said, instant
from broker.care.results import Ordered
from broker.care.stays import Stay

__all__ = ["WATCHED", "iso", "of_patient", "of_result", "of_stay"]

# What of a kind is told as a correction when it changes (DOMAIN 1.11); anything else only amends what is
# shown. What comes later in the stay is news of its own: a discharge corrects no admission.
WATCHED: Mapping[str, tuple[str, ...]] = {
    "EmergencyArrival": ("facility",),
    "Admission": ("patient_class", "facility"),
    "Transfer": ("moved_to", "facility"),
    "Discharge": ("disposition", "disposition_code", "destination", "patient_class", "facility"),
    "Death": ("facility",),
    "Result": ("result",),
    "PcpChange": ("pcp_change",),
    "PlannedAdmission": ("patient_class", "facility"),
    "ExpectedDischarge": ("expected_discharge_at", "facility"),
    "Leave": ("facility",),
}

_PERSON = ("npi", "id", "authority", "family", "given")


@lru_cache(maxsize=4096)
def iso(at: int, zone: tzinfo) -> str:
    """A time in a facility's zone; "" for 0."""
    return instant(at).astimezone(zone).isoformat() if at else ""


def practitioner(said: Mapping[str, Any] | None) -> Said:
    """Who a practitioner is, without what was not stated."""
    return {name: said[name] for name in _PERSON if said.get(name)} if said else {}


def of_patient(authority: str, number: str, who: Mapping[str, Any]) -> Said:
    """The person, under one number."""
    phones = who.get("phones") or ()
    sex = who.get("sex")
    return {
        "number": {"value": number, "authority": authority},
        "family": who.get("family") or "",
        "given": who.get("given") or "",
        "middle": who.get("middle") or "",
        "birth_date": who.get("birth_date") or "",
        "sex": sex if isinstance(sex, str) else "unknown" if sex else "",
        "phone": phones[0]["number"] if phones else "",
        "language": who.get("language") or "",
        "address": who.get("address") or {},
    }


def of_stay(stay: Stay, zone: tzinfo) -> Said:
    """How a stay stands."""
    said = stay.said
    code = said.get("patient_class")
    return {
        "visit_id": said.get("visit_id") or "",
        "account_id": said.get("account_id") or "",
        "status": stay.status,
        "patient_class": stay.patient_class,
        "class_code": code["unknown"] if isinstance(code, dict) else "",
        "admitted_at": iso(stay.started, zone),
        "discharged_at": iso(stay.discharged_at, zone) if stay.is_discharged else "",
        "expected_discharge_at": iso(said.get("expected_discharge_at") or 0, zone),
        "location": said.get("location") or {},
        "service": said.get("service") or "",
        "reason": said.get("reason") or "",
        "admit_source": said.get("admit_source") or "",
        "admission_type": said.get("admission_type") or "",
        "attending": practitioner(said.get("attending") or said.get("admitting")),
        "admitting": practitioner(said.get("admitting")),
        "referring": practitioner(said.get("referring")),
        "disposition": stay.disposition,
        "disposition_code": stay.disposition_code,
        "destination": said.get("destination") or "",
        "diagnoses": [
            {name: value for name, value in one.items() if value} for one in said.get("diagnoses") or ()
        ],
        "planned_readmission": bool(said.get("planned_readmission")),
        "admission_seen": stay.opening is not None,
    }


def of_result(order: Ordered, reasons: list[str], zone: tzinfo) -> Said:
    """One order's results as they stand."""
    said = order.said
    return {
        "order_id": said["order_id"],
        "code": said.get("code") or "",
        "text": said.get("text") or "",
        "status": order.status,
        "reasons": reasons,
        "ordering": practitioner(said.get("ordering")),
        "collected_at": iso(said.get("collected_at") or 0, zone),
        "observations": [
            {name: value for name, value in one.said.items() if value} for one in order.standing
        ],
    }
