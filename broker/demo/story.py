"""The story of the demo: what happens at two hospitals in a day, message by message. Floor 11."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from broker.demo.people import Lakeside, North, Person

__all__ = ["PEOPLE", "Step", "story"]

OKAFOR = "1512873401^Okafor^Grace^^^Dr^^^NPI^^^^NPI"
BOSE = "1955217843^Bose^Anjali^^^Dr^^^NPI^^^^NPI"

HOLLIS = Person("4411001", "Hollis", "June", "19480312", "F", "eng", OKAFOR, "V6600101")
VARGA = Person("4411002", "Varga", "Tomas", "19571130", "M", "hun", OKAFOR, "V6600102")
FAIRBANK = Person("4411003", "Fairbank", "Edith", "19310704", "F", "eng", OKAFOR, "V6600103")
UNKNOWN = Person("4499901", "Doe", "Jane", "", "F", "", "", "V6600104")
MERCER = Person("4411004", "Mercer", "Ruth", "19660219", "F", "eng", OKAFOR, "V6600104")
CASTELLANOS = Person("L31001", "Castellanos", "Ana", "19610922", "F", "spa", BOSE, "911001")
BRANDT = Person("L31002", "Brandt", "Leo", "19390417", "M", "eng", BOSE, "911002")
SATO = Person("L31003", "Sato", "Kenji", "19720808", "M", "jpn", BOSE, "911003")

Fields = dict[int, str]

PEOPLE = (HOLLIS, VARGA, FAIRBANK, MERCER, CASTELLANOS, BRANDT, SATO)


@dataclass(frozen=True, slots=True)
class Step:
    """One message of the day: whence, what happens, and what is expected to become of it."""

    hospital: Literal["north", "lakeside"]
    at: datetime
    title: str
    message: bytes
    answer: str = "AA"
    becomes: str = "worked"
    later: bool = False  # sent only when everything before it has been worked and told

    @property
    def control_id(self) -> str:
        """MSH-10, by which the message is found again; "" where it has none."""
        fields = self.message.split(b"\r", 1)[0].split(b"|")
        return fields[9].decode() if fields[0] == b"MSH" else ""


def story(now: datetime) -> list[Step]:
    """The day that ends at `now` (aware), each hospital's messages in the order in which it sends them."""
    return sorted([*_north(now), *_lakeside(now)], key=lambda step: step.at)


def _north(now: datetime) -> Iterator[Step]:
    hospital = North()

    def ago(hours: float) -> datetime:
        return (now - timedelta(hours=hours)).replace(microsecond=0)

    def time(hours: float) -> str:
        return hospital.time(ago(hours))

    def adt(
        hours: float, kind: str, who: Person, visit: Fields, *more: str, pid: Fields | None = None
    ) -> bytes:
        event, structure = kind.split()
        return hospital.adt(event, structure, who, ago(hours), visit, *more, pid=pid)

    def step(hours: float, title: str, message: bytes, **more: Any) -> Step:
        return Step("north", ago(hours), title, message, **more)

    # June Hollis: from the emergency department to the ward, to intensive care, and home, twice
    came = {44: time(20)}
    emergency = {2: "E", 3: "ED^03^^NORTH", 4: "E", **came}
    ward = {2: "I", 3: "4W^412^A^NORTH", 18: "IP", **came}
    intensive = {2: "I", 3: "ICU^07^1^NORTH", 6: "4W^412^A^NORTH", 18: "IP", **came}
    home, home_again = ({**ward, 36: "01", 45: time(hours)} for hours in (4, 1))
    breath = "PV2|||^Shortness of breath"
    heart = "DG1|1||I50.23^Acute on chronic systolic heart failure^I10C|||F"
    to_ward = adt(18, "A06 ADT_A06", HOLLIS, {**ward, 6: "ED^03^^NORTH"})
    back = adt(9, "A02 ADT_A02", HOLLIS, {**ward, 6: "ICU^07^1^NORTH"})
    leaves = adt(4, "A03 ADT_A03", HOLLIS, home, heart, "ZDS|1|DC")
    stays = adt(3.5, "A13 ADT_A01", HOLLIS, ward)
    leaves_again = adt(1, "A03 ADT_A03", HOLLIS, home_again, heart, "ZDS|1|DC")
    yield step(
        20, "June Hollis comes to the emergency department", adt(20, "A04 ADT_A01", HOLLIS, emergency, breath)
    )
    yield step(18, "her emergency visit becomes an admission", to_ward)
    yield step(15, "her potassium is dangerously high", hospital.result(HOLLIS, ago(15), "6.9", "HH", "F"))
    yield step(14, "she is moved to intensive care", adt(14, "A02 ADT_A02", HOLLIS, intensive))
    yield step(
        13.5,
        "the laboratory corrects her potassium",
        hospital.result(HOLLIS, ago(13.5), "4.9", "", "C"),
        later=True,
    )
    yield step(9, "June Hollis is moved back to her ward", back)
    yield step(4, "June Hollis is discharged home", leaves)
    yield step(3.5, "her discharge is cancelled: she has fever", stays, later=True)
    yield step(1, "June Hollis is discharged home after all", leaves_again)

    # Tomas Varga: his admission is sent twice; he leaves for a nursing facility
    ward = {2: "I", 3: "5E^503^B^NORTH", 18: "IP", 44: time(19)}
    nursing = {**ward, 36: "03", 37: "Maple Court Skilled Nursing", 45: time(6)}
    fracture = "DG1|1||S72.001A^Fracture of neck of right femur^I10C|||A"
    admitted = adt(19, "A01 ADT_A01", VARGA, ward, fracture)
    yield step(19, "Tomas Varga is admitted", admitted)
    yield step(18.9, "his admission comes again, byte for byte", admitted, becomes="repeated")
    yield step(6, "Tomas Varga is discharged to a nursing facility", adt(6, "A03 ADT_A03", VARGA, nursing))

    # Edith Fairbank dies
    ward = {2: "I", 3: "ICU^09^1^NORTH", 18: "IP", 44: time(17)}
    died = adt(7, "A03 ADT_A03", FAIRBANK, {**ward, 36: "20", 45: time(7)}, pid={29: time(7), 30: "Y"})
    yield step(17, "Edith Fairbank is admitted", adt(17, "A01 ADT_A01", FAIRBANK, ward))
    yield step(7, "Edith Fairbank dies in hospital", died)

    # A woman without papers is Ruth Mercer, and goes on to the rehabilitation hospital, on the same port
    emergency = {2: "E", 3: "ED^05^^NORTH", 4: "E", 44: time(8)}
    merged = adt(7.5, "A40 ADT_A39", MERCER, {}, "MRG|4499901^^^NORTH^MR")
    rehabilitation = {2: "I", 3: "RH2^210^1^NREHAB", 18: "IP", 19: "R6600104^^^NORTH^VN", 44: time(5)}
    yield step(
        8,
        "a woman without papers comes to the emergency department",
        adt(8, "A04 ADT_A01", UNKNOWN, emergency),
    )
    yield step(7.5, "she is Ruth Mercer: two records become one", merged)
    yield step(5, "Ruth Mercer is admitted to rehabilitation", adt(5, "A01 ADT_A01", MERCER, rehabilitation))

    nonsense = b"PID|1||4411001^^^NORTH^MR\r"
    yield step(2, "something comes that is no HL7", nonsense, answer="AE", becomes="quarantine")


def _lakeside(now: datetime) -> Iterator[Step]:
    hospital = Lakeside()

    def ago(hours: float) -> datetime:
        return (now - timedelta(hours=hours)).replace(second=0, microsecond=0)

    def time(hours: float) -> str:
        return hospital.time(ago(hours))

    def step(hours: float, title: str, event: str, who: Person, visit: Fields) -> Step:
        return Step("lakeside", ago(hours), title, hospital.adt(event, who, ago(hours), visit))

    ward = {2: "INP", 3: "MS3^305^2^LMC"}
    came = {44: time(16)}
    emergency = {2: "EMER", 3: "EMR^2^^LMC", **came}
    home = {**ward, 36: "HOME", **came, 45: time(3)}
    yield step(16, "Ana Castellanos comes to the emergency department", "A04", CASTELLANOS, emergency)
    yield step(
        14.5,
        "her emergency visit becomes an admission",
        "A06",
        CASTELLANOS,
        {**ward, 6: "EMR^2^^LMC", **came},
    )
    yield step(3, "Ana Castellanos is discharged home", "A03", CASTELLANOS, home)

    came = {44: time(12)}
    watched = {2: "OBSV", 3: "OBS^11^1^LMC", **came}
    nursing = {**ward, 36: "SNF", 37: "Birchwood Care Center", **came, 45: time(2.5)}
    yield step(12, "Leo Brandt is taken in for observation", "A01", BRANDT, watched)
    yield step(10, "his observation becomes an admission", "A06", BRANDT, {**ward, 6: "OBS^11^1^LMC", **came})
    yield step(2.5, "Leo Brandt is discharged to a nursing facility", "A03", BRANDT, nursing)

    came = {44: time(11)}
    strange = {**ward, 36: "RESP", **came, 45: time(1.5)}
    yield step(11, "Kenji Sato is admitted", "A01", SATO, {**ward, **came})
    yield step(1.5, "Kenji Sato is discharged with a code that nobody has met", "A03", SATO, strange)
