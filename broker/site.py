"""A site: one facility. Who and where it is, whose numbers it uses, its clock and calendar. Floor 3: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import holidays
from pydantic import BeforeValidator, Field, InstanceOf, WithJsonSchema

from broker.conditions import Condition, Tables
from broker.hl7 import NULL, Path, View
from broker.yaml_files import FileModel, Texts, Wrong, nearest

__all__ = ["Calendar", "PatientNumber", "Site", "SiteFile", "patient_key"]

_FACILITY = Path.parse("MSH-4.1")
_FACILITY_ID = Path.parse("MSH-4.2")
_PLACE = Path.parse("PV1-3.4")
_NPI_AUTHORITIES = ("NPI", "2.16.840.1.113883.4.6")


def _zone(value: Any) -> Any:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        right = nearest(str(value), available_timezones())
        raise Wrong(
            "zone: there is no such time zone", value=str(value), right=right or "America/New_York"
        ) from error


Zone = Annotated[InstanceOf[ZoneInfo], BeforeValidator(_zone), WithJsonSchema({"type": "string"})]


class Calendar(FileModel):
    """Days on which nobody works there, beside Saturday and Sunday."""

    country: str | None = Field(default=None, description="US and the like. Not said: policy's.")
    state: str | None = Field(default=None, description="A part of the country with days of its own: CT.")
    also: tuple[date, ...] = Field(default=(), description="More days off.")
    but: tuple[date, ...] = Field(default=(), description="Holidays on which people work.")


class PatientNumber(FileModel):
    """Which repetition of PID-3 is the patient's number."""

    type: Texts = Field(
        default=(), description="PID-3.5 (table 0203): MR, PI. Not said: the first number there is."
    )
    authority: str | None = Field(default=None, description="Only numbers of this authority (our name).")


def _patient_number(value: Any) -> Any:
    return {"type": value} if isinstance(value, (str, list)) else value


class SiteFile(FileModel):
    """What `channels/sites/NAME.yaml` may say."""

    site: str = Field(min_length=1, description="The facility's name, for people.")
    names: Texts = Field(default=(), description="Other names that it goes by.")
    npi: str | None = Field(default=None, pattern=r"^[0-9]{10}$", description="The facility's NPI.")
    facilities: Texts = Field(
        default=(), description="MSH-4.1 or MSH-4.2 of its messages. Not said: whatever stands there."
    )
    locations: Texts = Field(
        default=(), description="PV1-3.4 of its messages, where several sites share an MSH-4."
    )
    authority: str | None = Field(
        default=None,
        description="Who gives its numbers where a message does not say. Not said: the file's name.",
    )
    authorities: dict[str, str] = Field(
        default_factory=dict, description="Their word for who gave a number (PID-3.4): our name."
    )
    patient_number: Annotated[PatientNumber, BeforeValidator(_patient_number)] = PatientNumber()
    npi_authorities: Texts = Field(
        default=_NPI_AUTHORITIES, description="XCN-9 that means: this number is an NPI."
    )
    zone: Zone = Field(description="The time zone of times without an offset: America/New_York.")
    holidays: Calendar = Calendar()
    tables: dict[str, str] = Field(
        default_factory=dict,
        description="A table that mappings name: the table that is asked first at this site.",
    )
    sensitive_units: Texts = Field(
        default=(), description="PV1-3.1 of units that no notice names: only facility and building are kept."
    )
    test_patients: Condition | None = Field(
        default=None, description="Messages about invented patients: worked, but nobody is told."
    )


class Site:
    """One facility."""

    def __init__(self, name: str, said: SiteFile, tables: Tables, country: str = "US") -> None:
        self.name, self.title, self.said = name, said.site, said
        self.zone: ZoneInfo = said.zone
        self.npi, self.names = said.npi, said.names
        self.facilities, self.locations = frozenset(said.facilities), frozenset(said.locations)
        self.authority = said.authority or name
        self.authorities: Mapping[str, str] = said.authorities
        self.patient_number_type = said.patient_number.type
        self.npi_authorities = frozenset(said.npi_authorities)
        self.tables: Mapping[str, str] = said.tables
        self.sensitive_units = frozenset(said.sensitive_units)
        self.test_patients = said.test_patients
        self.days_off: Callable[[date], bool] = _days_off(said.holidays, country)
        self._number_authority = said.patient_number.authority
        self._known = frozenset(said.authorities.values()) | {self.authority}
        self._tables = tables

    def resolve_authority(self, stated: str) -> str:
        """Our name for who gave a number.

        Nothing stated: the site's own. A word that the file lacks is kept apart under the site's name, so
        that two hospitals' `MRN` are never one.
        """
        if not stated or stated == NULL:
            return self.authority
        return self.authorities.get(stated) or (stated if stated in self._known else f"{self.name}:{stated}")

    def picks_number(self, kind: str, authority: str) -> bool:
        """Whether a number of this type and (our) authority is the patient's number here."""
        if self._number_authority and (authority or self.authority) != self._number_authority:
            return False
        return not self.patient_number_type or kind in self.patient_number_type

    def is_test_patient(self, message: View) -> bool:
        """Whether the message is about an invented patient."""
        return self.test_patients is not None and self.test_patients.holds(message, self._tables)

    def speaks(self, facility: str, facility_id: str = "") -> bool:
        """Whether messages with this MSH-4.1 and MSH-4.2 are its."""
        return not self.facilities or facility in self.facilities or facility_id in self.facilities


def choose(sites: tuple[Site, ...], facility: str, facility_id: str, place: str) -> Site | None:
    """Of the sites of a channel, the one that MSH-4 names, refined by PV1-3.4; None where none fits."""
    fitting = [site for site in sites if site.facilities and site.speaks(facility, facility_id)]
    fitting = fitting or [site for site in sites if not site.facilities]
    if len(fitting) > 1:
        if place:
            for site in fitting:
                if place in site.locations:
                    return site
        return next((site for site in fitting if not site.locations), fitting[0])
    return fitting[0] if fitting else None


def site_words(message: View) -> tuple[str, str, str]:
    """What a message says of its site: MSH-4.1, MSH-4.2, PV1-3.4."""
    return message.get(_FACILITY), message.get(_FACILITY_ID), message.get(_PLACE)


def patient_key(message: View, site: Site) -> tuple[str, str] | None:
    """Authority and number of the patient, as mappings find them in PID-3; None where there is none."""
    fields = message.first("PID")
    text = fields[3] if len(fields) > 3 else ""
    for n in range(1, text.count(message.root.delimiters.marks[0]) + 2):
        value, first, second, kind = (message.get(f"PID-3[{n}].{part}") for part in ("1", "4.1", "4.2", "5"))
        stated = first or second
        authority = site.resolve_authority(stated)
        if value and value != NULL and site.picks_number(kind, authority if stated else ""):
            return authority, value
    return None


def _days_off(said: Calendar, country: str) -> Callable[[date], bool]:
    also, but = frozenset(said.also), frozenset(said.but)
    known = holidays.country_holidays(said.country or country, subdiv=said.state)

    def off(day: date) -> bool:
        if day in but:
            return day.weekday() >= 5
        return day.weekday() >= 5 or day in also or day in known

    return off


def check_calendar(said: Calendar) -> str:
    """What is wrong with the country or its part; "" when nothing is."""
    supported = holidays.list_supported_countries()
    if said.country is not None and said.country not in supported:
        return f"country: no such country, {said.country}"
    if said.state is not None and said.state not in supported[said.country or "US"]:
        return f"state: {said.country or 'US'} has no part {said.state} with holidays of its own"
    return ""
