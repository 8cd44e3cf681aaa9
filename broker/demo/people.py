"""The people of the demo, all invented, and how their two hospitals write messages about them. Floor 11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from zoneinfo import ZoneInfo

from broker.hl7 import format_time

__all__ = ["Lakeside", "North", "Person"]

LINDQVIST = "1622984510^Lindqvist^Nils^^^Dr^^^NPI^^^^NPI"
MEYER = "1733095628^Meyer^Hannah^^^Dr^^^NPI^^^^NPI"


@dataclass(frozen=True, slots=True)
class Person:
    """One patient at one hospital. `pcp` as the hospital writes it (XCN); empty: none is known."""

    number: str
    family: str
    given: str
    born: str
    sex: str
    language: str
    pcp: str
    visit: str


def segment(name: str, fields: Mapping[int, str]) -> str:
    """A segment from its fields by number."""
    first = 2 if name == "MSH" else 1
    return "|".join([name, *(fields.get(number, "") for number in range(first, max(fields) + 1))])


class North:
    """Version 2.5.1; the PCP in PD1-4; times with an offset; two facilities behind one sender."""

    zone = ZoneInfo("America/New_York")

    def __init__(self) -> None:
        self._ids = (f"N9{number:05}" for number in count(1))

    def adt(
        self,
        event: str,
        structure: str,
        who: Person,
        at: datetime,
        visit: Mapping[int, str],
        *more: str,
        pid: Mapping[int, str] | None = None,
    ) -> bytes:
        """An ADT message; `visit` are fields of PV1, `more` whole segments after it."""
        when = self.time(at)
        fields = {3: f"{who.number}^^^NORTH^MR", 5: f"{who.family}^{who.given}", 7: who.born, 8: who.sex}
        lines = [
            self.header(f"ADT^{event}^{structure}", at),
            segment("EVN", {1: event, 2: when, 6: when}),
            segment("PID", {1: "1", **fields, 13: "^PRN^PH^^1^860^5550131", 15: who.language, **(pid or {})}),
            *([segment("PD1", {4: who.pcp})] if who.pcp else []),
            *([self.visit(who, visit)] if visit else []),
            *more,
        ]
        return "\r".join([*lines, ""]).encode()

    def result(self, who: Person, at: datetime, value: str, flag: str, status: str) -> bytes:
        """A potassium, final or corrected, of one order."""
        when = self.time(at)
        code = "2823-3^Potassium^LN"
        order = {2: "P90017", 3: "F90017^NLAB"}
        range_of_it = {6: "mmol/L^^UCUM", 7: "3.5-5.1"}
        lines = [
            self.header("ORU^R01^ORU_R01", at, "NORTHLAB"),
            segment("PID", {1: "1", 3: f"{who.number}^^^NORTH^MR", 5: f"{who.family}^{who.given}"}),
            segment("PD1", {4: who.pcp}),
            self.visit(who, {2: "I", 3: "4W^412^A^NORTH"}),
            segment("ORC", {1: "RE", **order}),
            segment("OBR", {1: "1", **order, 4: code, 7: when, 16: LINDQVIST, 22: when, 25: status}),
            segment(
                "OBX", {1: "1", 2: "NM", 3: code, 5: value, **range_of_it, 8: flag, 11: status, 14: when}
            ),
        ]
        return "\r".join([*lines, ""]).encode()

    def header(self, kind: str, at: datetime, application: str = "NORTHADT") -> str:
        fields = {3: application, 4: "NORTH", 5: "HANDOFF", 6: "CARE", 7: self.time(at), 9: kind}
        return segment("MSH", {2: "^~\\&", **fields, 10: next(self._ids), 11: "P", 12: "2.5.1"})

    def visit(self, who: Person, fields: Mapping[int, str]) -> str:
        usual = {1: "1", 7: LINDQVIST, 10: "MED", 17: LINDQVIST, 19: f"{who.visit}^^^NORTH^VN"}
        return segment("PV1", {**usual, **fields})

    def time(self, at: datetime) -> str:
        return format_time(at.astimezone(self.zone))


class Lakeside:
    """Version 2.3; the PCP in ROL; times without an offset; codes of their own."""

    zone = ZoneInfo("America/Chicago")

    def __init__(self) -> None:
        self._ids = (f"L9{number:04}" for number in count(1))

    def adt(self, event: str, who: Person, at: datetime, visit: Mapping[int, str]) -> bytes:
        """An ADT message; `visit` are fields of PV1."""
        fields = {3: f"{who.number}^^^LMC^PI", 5: f"{who.family}^{who.given}", 7: who.born, 8: who.sex}
        lines = [
            segment(
                "MSH",
                {
                    2: "^~\\&",
                    3: "MEDIX",
                    4: "LMC^2.16.840.1.113883.19.7^ISO",
                    5: "HANDOFF",
                    6: "CARE",
                    7: self.time(at),
                    9: f"ADT^{event}",
                    10: next(self._ids),
                    11: "P",
                    12: "2.3",
                },
            ),
            segment("EVN", {1: event, 2: self.time(at)}),
            segment("PID", {1: "1", **fields, 13: "(262)555-0163", 15: who.language}),
            *([segment("ROL", {1: "1", 2: "AD", 3: "PP", 4: who.pcp})] if who.pcp else []),
            segment("PV1", {1: "1", 10: "GMED", 19: who.visit, **visit}),
            segment("ROL", {1: "2", 2: "AD", 3: "AT", 4: MEYER}),
        ]
        return "\r".join([*lines, ""]).encode()

    def time(self, at: datetime) -> str:
        return f"{at.astimezone(self.zone):%Y%m%d%H%M}"
