"""What happens to a visit: arrival, admission, transfer, discharge, and the cancel of each. Floor 2.

Source: HL7 v2.5.1 chapter 3.3; the events by DOMAIN 1.4. A visit notice states what its message states
and no more: a field that is not set says nothing, one that is None deletes.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from broker.notices.parts import (
    Allergy,
    Coded,
    Diagnosis,
    Disposition,
    Location,
    Part,
    PatientClass,
    PatientStated,
    Practitioner,
)

__all__ = [
    "Admission",
    "AdmissionCancelled",
    "CancelNotice",
    "CareTeamChange",
    "CareTeamChangeCancelled",
    "ClassChange",
    "Discharge",
    "DischargeCancelled",
    "Leave",
    "LeaveCancelled",
    "LeaveReturn",
    "LeaveReturnCancelled",
    "Notice",
    "PendingAdmission",
    "PendingAdmissionCancelled",
    "PendingDischarge",
    "PendingDischargeCancelled",
    "PendingTransfer",
    "PendingTransferCancelled",
    "PreAdmission",
    "PreAdmissionCancelled",
    "Registration",
    "Tracking",
    "TrackingCancelled",
    "Transfer",
    "TransferCancelled",
    "VisitNotice",
    "VisitUpdate",
]


class Notice(Part):
    """A typed clinical fact, as a mapping makes it of a message."""

    patient: PatientStated
    occurred_at: datetime = Field(description="When it happened, with a zone.")
    recorded_at: datetime = Field(description="When it was recorded: EVN-2, else MSH-7.")
    sent_at: datetime | None = Field(default=None, description="MSH-7.")


class VisitNotice(Notice):
    """A notice about one visit (encounter). The visit's key is the site with `visit_id`."""

    visit_id: str | None = Field(
        default=None, description="PV1-19.1. Ties the messages of one visit together."
    )
    account_id: str | None = Field(default=None, description="PID-18.1.")
    patient_class: Coded[PatientClass] | None = Field(default=None, description="PV1-2 by the site's table.")
    location: Location | None = Field(default=None, description="PV1-3.")
    prior_location: Location | None = Field(default=None, description="PV1-6.")
    pending_location: Location | None = Field(default=None, description="PV1-42.")
    service: str | None = Field(default=None, description="PV1-10.")
    admission_type: str | None = Field(default=None, description="PV1-4, as it came.")
    admit_source: str | None = Field(default=None, description="PV1-14, as it came.")
    reason: str | None = Field(default=None, description="PV2-3, text before code.")
    attending: Practitioner | None = Field(default=None, description="PV1-7.")
    referring: Practitioner | None = Field(default=None, description="PV1-8.")
    consulting: tuple[Practitioner, ...] | None = Field(default=None, description="PV1-9.")
    admitting: Practitioner | None = Field(default=None, description="PV1-17.")
    admitted_at: datetime | None = Field(default=None, description="PV1-44.")
    discharged_at: datetime | None = Field(default=None, description="PV1-45.")
    expected_admit_at: datetime | None = Field(default=None, description="PV2-8.")
    expected_discharge_at: datetime | None = Field(default=None, description="PV2-9.")
    disposition: Coded[Disposition] | None = Field(default=None, description="PV1-36. UB-04 FL 17 by table.")
    planned_readmission: bool | None = Field(default=None, description="Disposition 81-95.")
    destination: str | None = Field(default=None, description="PV1-37.1: the facility discharged to.")
    diagnoses: tuple[Diagnosis, ...] | None = Field(default=None, description="DG1, a snapshot group.")
    allergies: tuple[Allergy, ...] | None = Field(default=None, description="AL1, a snapshot group.")
    vip: bool | None = Field(default=None, description="PV1-16 is set.")


class PreAdmission(VisitNotice):
    """A planned stay: ADT^A05."""


class Registration(VisitNotice):
    """An outpatient or emergency arrival: ADT^A04. `patient_class` emergency makes it an ED arrival."""


class Admission(VisitNotice):
    """An inpatient or observation stay begins: ADT^A01."""


class ClassChange(VisitNotice):
    """The same episode goes on in another class: ADT^A06 (to inpatient), A07 (to outpatient)."""

    prior_account_id: str | None = Field(default=None, description="MRG-3.1: the old account; not a merge.")
    prior_visit_id: str | None = Field(default=None, description="MRG-5.1: the old visit number.")


class Transfer(VisitNotice):
    """A census bed change: ADT^A02, each patient of an A17."""


class Discharge(VisitNotice):
    """The patient left: ADT^A03, which also ends ED and outpatient visits."""


class VisitUpdate(VisitNotice):
    """What is known of the visit or the person changed: ADT^A08."""


class Leave(VisitNotice):
    """Leave of absence: ADT^A21. Not a discharge."""

    expected_return_at: datetime | None = Field(default=None, description="PV2-47.")


class LeaveReturn(VisitNotice):
    """Back from leave: ADT^A22."""


class PendingAdmission(VisitNotice):
    """An admission is imminent: ADT^A14."""


class PendingTransfer(VisitNotice):
    """A transfer is planned: ADT^A15."""


class PendingDischarge(VisitNotice):
    """A discharge is planned, the patient is still in: ADT^A16."""


class Tracking(VisitNotice):
    """Departing or arriving, not a census event: ADT^A09, A10."""


class CareTeamChange(VisitNotice):
    """The attending or consulting doctor changed: ADT^A54, A61."""


class CancelNotice(VisitNotice):
    """Takes back an earlier notice of the same visit.

    `cancelled_at` is EVN-6, the time at which the cancelled event happened: with the visit number it
    picks the one that is meant.
    """

    cancels: ClassVar[tuple[str, ...]] = ()
    cancelled_at: datetime | None = Field(default=None, description="EVN-6.")


class AdmissionCancelled(CancelNotice):
    """The visit never happened or was entered in error: ADT^A11."""

    cancels = ("Admission", "Registration")


class TransferCancelled(CancelNotice):
    """ADT^A12. `location` is where the patient is."""

    cancels = ("Transfer",)


class DischargeCancelled(CancelNotice):
    """The patient is still in: ADT^A13."""

    cancels = ("Discharge",)


class PreAdmissionCancelled(CancelNotice):
    """ADT^A38."""

    cancels = ("PreAdmission",)


class PendingAdmissionCancelled(CancelNotice):
    """ADT^A27."""

    cancels = ("PendingAdmission",)


class PendingTransferCancelled(CancelNotice):
    """ADT^A26."""

    cancels = ("PendingTransfer",)


class PendingDischargeCancelled(CancelNotice):
    """ADT^A25."""

    cancels = ("PendingDischarge",)


class LeaveCancelled(CancelNotice):
    """ADT^A52."""

    cancels = ("Leave",)


class LeaveReturnCancelled(CancelNotice):
    """ADT^A53."""

    cancels = ("LeaveReturn",)


class CareTeamChangeCancelled(CancelNotice):
    """ADT^A55, A62."""

    cancels = ("CareTeamChange",)


class TrackingCancelled(CancelNotice):
    """ADT^A32, A33."""

    cancels = ("Tracking",)
