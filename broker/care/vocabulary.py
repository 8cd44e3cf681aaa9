"""The words that rule files may use, and what each means. Floor 3: pure.

`project.py` checks `channels/rules/*.yaml` against these. A `when` is a mapping of keys to lists of
words: every key must hold, and of a key's words one. What a rule is about follows from its keys: one
with `result` holds of each result, one with `person` of the person, any other of a stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from broker.notices import Disposition, PatientClass

__all__ = [
    "ADMITTED",
    "EMERGENCY",
    "NOTIFICATION_KINDS",
    "OWNERS",
    "PERSON_WORDS",
    "RECIPIENTS",
    "RESULT_WORDS",
    "STAY_WORDS",
    "URGENCIES",
    "WHEN",
    "WHEN_MEANS",
    "setting_of",
]

YES_NO = frozenset({"yes", "no"})

# Classes that are a stay with a bed; what else is not an emergency visit counts as outpatient.
ADMITTED = frozenset(
    {"inpatient", "observation", "obstetrics", "newborn", "psychiatric", "rehabilitation", "skilled_nursing"}
)
EMERGENCY = "emergency"

STAY_WORDS: Mapping[str, frozenset[str]] = {
    "status": frozenset({"planned", "in_progress", "on_leave", "discharged", "cancelled"}),
    "patient_class": frozenset(get_args(PatientClass)) | {"unknown"},
    "setting": frozenset({"inpatient", "emergency", "outpatient", "unknown"}),
    "opening": frozenset(
        {"Admission", "Registration", "ClassChange", "PreAdmission", "PendingAdmission", "unseen"}
    ),
    "disposition": frozenset(get_args(Disposition)) | {"unknown", "not_stated"},
    "goes_home": frozenset({"yes", "verify", "no"}),
    "planned_readmission": YES_NO,
    "readmission": YES_NO,
    "readmitted": YES_NO,
    "deceased": YES_NO,
    "plan": YES_NO,
    "expected_discharge": YES_NO,
    "pending_results": YES_NO,
    "pcp": frozenset({"named", "not_named"}),
}

RESULT_WORDS: Mapping[str, frozenset[str]] = {
    "result": frozenset({"critical", "abnormal", "normal", "pending", "unobtainable"}),
    "after_discharge": YES_NO,
    "corrected": YES_NO,
}

PERSON_WORDS: Mapping[str, frozenset[str]] = {"person": frozenset({"merged", "pcp_changed", "died"})}

WHEN: Mapping[str, frozenset[str]] = {**STAY_WORDS, **RESULT_WORDS, **PERSON_WORDS}

WHEN_MEANS: Mapping[str, str] = {
    "status": "How the stay stands. Not stated: any but cancelled.",
    "patient_class": "The class now; unknown: not stated, or a code that the table lacks.",
    "setting": "inpatient: a class with a bed (observation too); emergency; outpatient: every other.",
    "opening": "What opened the stay, or made it an admission; unseen: nothing that we have received.",
    "disposition": "Where the patient went, of a standing discharge; unknown: a code that the table lacks.",
    "goes_home": "yes: policy's goes_home; verify: custodial, court, other, unknown, not stated; no: others.",
    "planned_readmission": "Dispositions 81-95.",
    "readmission": "This stay (or emergency visit) began within policy's readmission_days of a discharge.",
    "readmitted": "After this stay's discharge another began, within readmission_days.",
    "deceased": "The person has died. Not stated: no, but for disposition expired and person died.",
    "plan": "The care plan holds a goal that is active.",
    "expected_discharge": "A discharge is expected (A16, PV2-9) and has not happened.",
    "pending_results": "Results ordered in this stay were not final when the patient left, and are not yet.",
    "pcp": "Whether a primary care practitioner is named.",
    "result": "critical: by policy's critical_flags; abnormal: any other flag but N; pending: not final yet.",
    "after_discharge": "It became final after the standing discharge.",
    "corrected": "A final value was corrected or amended.",
    "person": "merged: two numbers became one person; pcp_changed; died.",
}

# What people are told of. A kind that no Tell names is not told.
NOTIFICATION_KINDS: Mapping[str, str] = {
    "EmergencyArrival": "The patient arrived in an emergency department (A04, or A01, of class emergency).",
    "Admission": "An inpatient or observation stay began (A01, A06).",
    "Transfer": "Another facility, or into or out of one of policy's critical_units (A02).",
    "Discharge": "The patient left (A03), and is alive.",
    "Death": "The person died (disposition expired, PID-29, PID-30).",
    "Result": "A result is critical, or became final after the discharge, or such a one was corrected.",
    "PcpChange": "Another primary care practitioner is named (PD1-4, PRT, ROL PP).",
    "PlannedAdmission": "A stay is planned (A05, A14).",
    "ExpectedDischarge": "A discharge is expected (A16).",
    "Leave": "The patient is on leave of absence (A21).",
}

# Who is told. The first that a Tell names is whom it is for: cannot they be reached, a task says so.
RECIPIENTS: Mapping[str, str] = {
    "pcp": "The primary care practitioner that the stay's messages name, else the person's.",
    "former_pcp": "The one before, of a PcpChange.",
    "attending": "PV1-7, else the admitting one, PV1-17.",
    "admitting": "PV1-17.",
    "referring": "PV1-8.",
    "consulting": "PV1-9, each.",
    "ordering": "OBR-16, of a Result.",
    "receiving": "The facility discharged to (PV1-37): the directory's entry (facility, its name).",
    "coordinator": "The directory's entry (role, coordinator).",
}

OWNERS = (
    "coordinator", "pcp_office", "pharmacist", "case_manager", "behavioral_health", "analyst", "orderer",
)  # fmt: skip

URGENCIES = ("stat", "high", "routine", "digest")


def setting_of(patient_class: str) -> str:
    """inpatient, emergency, outpatient or unknown, for a class ("" where none is known)."""
    if patient_class in ADMITTED:
        return "inpatient"
    if patient_class in (EMERGENCY, "unknown", ""):
        return patient_class or "unknown"
    return "outpatient"
