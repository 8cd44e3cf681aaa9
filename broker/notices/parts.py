"""The parts that notices are made of. Floor 2.

A field that a message does not state is left unset; a field that it deletes (`""`, HL7 v2.9 ch. 2.5.3)
is set to None. `model_fields_set` tells the two apart, and `model_dump(exclude_unset=True)` keeps that.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Address",
    "Allergy",
    "Coded",
    "Contact",
    "Diagnosis",
    "Disposition",
    "Identifier",
    "Location",
    "Part",
    "PatientClass",
    "PatientStated",
    "Phone",
    "Practitioner",
    "Sex",
    "Unknown",
]


class Part(BaseModel):
    """A frozen, strict value: what a mapping made of some fields of a message."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Unknown(Part):
    """A code that the table lacks, as it came: kept, listed, and treated as "verify" by the rules."""

    unknown: str


T = TypeVar("T")
Coded = Union[T, Unknown]  # noqa: UP007  (a generic alias: Coded[Disposition])

Sex = Literal["female", "male", "other", "ambiguous", "not_applicable", "unknown"]
PatientClass = Literal[
    "inpatient", "outpatient", "emergency", "observation", "preadmit", "recurring", "obstetrics", "newborn",
    "day_surgery", "skilled_nursing", "rehabilitation", "psychiatric", "other",
]  # fmt: skip
Disposition = Literal[
    "home", "home_health", "acute_transfer", "snf", "nursing_facility", "custodial", "rehabilitation",
    "long_term_care_hospital", "psychiatric", "hospice_home", "hospice_facility", "against_advice",
    "expired", "court", "still_patient", "admitted_here", "other",
]  # fmt: skip


class Identifier(Part):
    """A number with the authority that gave it. CX: .1 value, .4.1 authority, .5 type (table 0203)."""

    value: str = Field(min_length=1, description="The number, as text: leading zeros count.")
    authority: str = Field(default="", description="Who gave it, by the name that the site file resolves to.")
    type: str = Field(default="", description="Table 0203: MR, PI, AN, VN, ...")


class Phone(Part):
    """A way to call somebody. XTN."""

    number: str = Field(min_length=1)
    use: str = Field(
        default="", description="home, work, mobile, or the code as it came (tables 0201, 0202)."
    )


class Address(Part):
    """Where somebody lives. XAD."""

    street: str | None = None
    other: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    country: str | None = None


class Practitioner(Part):
    """A person who cares for the patient. XCN; the NPI where XCN.13 is NPI or XCN.9 names that authority."""

    npi: str | None = Field(default=None, description="National Provider Identifier, ten digits.")
    id: str | None = Field(default=None, description="The number that the hospital knows them by.")
    authority: str | None = Field(default=None, description="Whose number `id` is.")
    family: str | None = None
    given: str | None = None
    address: str | None = Field(default=None, description="Direct or e-mail address, where stated.")


class Contact(Part):
    """Next of kin or another person to call. NK1."""

    family: str | None = None
    given: str | None = None
    relationship: str | None = None
    role: str | None = None
    phone: str | None = None


class Location(Part):
    """A place in a facility. PL: .1 unit .2 room .3 bed .4.1 facility .7 building."""

    unit: str | None = None
    room: str | None = None
    bed: str | None = None
    facility: str | None = None
    building: str | None = None


class Diagnosis(Part):
    """DG1: code, text, kind (table 0052: A admitting, W working, F final)."""

    code: str | None = None
    text: str | None = None
    system: str | None = None
    kind: str | None = None


class Allergy(Part):
    """AL1 or IAM. `action` is IAM-6 (table 0206), None for a snapshot."""

    code: str | None = None
    text: str | None = None
    kind: str | None = None
    severity: str | None = None
    reaction: str | None = None
    action: str | None = None


class PatientStated(Part):
    """What a message says of the person: PID, PD1, NK1, PRT/ROL with role PP."""

    number: Identifier = Field(description="The patient's number, with its authority.")
    ids: tuple[Identifier, ...] | None = Field(default=None, description="All of PID-3 (and PID-2, PID-4).")
    family: str | None = None
    given: str | None = None
    middle: str | None = None
    birth_date: date | None = None
    sex: Coded[Sex] | None = None
    phones: tuple[Phone, ...] | None = None
    email: str | None = None
    address: Address | None = None
    language: str | None = None
    deceased: bool | None = Field(default=None, description="PID-30.")
    died_at: datetime | None = Field(default=None, description="PID-29.")
    mother: Identifier | None = Field(default=None, description="PID-21.")
    multiple_birth: bool | None = Field(default=None, description="PID-24.")
    pcp: Practitioner | None = Field(
        default=None, description="PRT PP, else ROL PP, else PD1-4 (DOMAIN 1.6)."
    )
    practice: str | None = Field(default=None, description="PD1-3: the primary care practice.")
    contacts: tuple[Contact, ...] | None = Field(default=None, description="NK1, a snapshot group.")
    protected: bool | None = Field(default=None, description="PD1-12, the person asked for protection.")
