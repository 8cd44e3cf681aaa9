"""A small made-up world for the care core: people who say things, and what stands afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from broker.care.clocks import public_holidays
from broker.care.codec import decode, encode
from broker.care.facts import Act, Fact, FactId
from broker.care.given import Directory, Due, Given, Policy, Reach, Rule, SiteFacts, Tell
from broker.care.react import react
from broker.care.record import MissingRecords, Record, new_record
from broker.care.rows import (
    Change,
    DeliveryPut,
    EncounterPut,
    NotificationPut,
    PatientPut,
    PlanEntryPut,
    ReviewPut,
    TaskPut,
    TimerPut,
)
from broker.notices import NOTICES, Identifier, PatientStated, Practitioner

CHICAGO = ZoneInfo("America/Chicago")
FRIDAY = datetime(2026, 1, 2, 9, 0, tzinfo=CHICAGO)

DR_HALL = Practitioner(npi="1234567893", family="Hall", given="Ruth")
DR_OKAFOR = Practitioner(npi="1987654320", family="Okafor", given="Ben")
DR_NOBODY = Practitioner(npi="1111111111", family="Noone", given="Nan")
DR_LUND = Practitioner(id="77", authority="NORTH", family="Lund", given="Eva")

HALL = Reach("Dr Hall", "westside/mail", "hall@westside.example")
OKAFOR = Reach("Dr Okafor", "eastside/ehr", "okafor")
LUND = Reach("Dr Lund", "north/mail", "lund@north.example")
DESK = Reach("Care coordination", "desk/mail", "desk@example.org")

DIRECTORY = Directory(
    {
        ("npi", "1234567893"): (HALL,),
        ("npi", "1987654320"): (OKAFOR,),
        ("NORTH", "77"): (LUND,),
        ("role", "coordinator"): (DESK,),
    }
)


def rule(kind: str, due: Due, owner: str = "coordinator", urgency: str = "routine", **when: Any) -> Rule:
    words = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in when.items()}
    return Rule(kind, "1", kind, kind.replace("_", " ").capitalize(), owner, due, words, urgency)


def tell(kind: str, *recipients: str, urgency: str = "routine", **when: Any) -> Tell:
    words = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in when.items()}
    return Tell(f"tell_{kind}", "1", kind, recipients, words, urgency)


SNF = ("snf", "rehabilitation", "long_term_care_hospital", "nursing_facility")
HOME = ("yes", "verify")
BED = {"setting": "inpatient"}
RULES = (
    rule("admission_review", Due(business_days=1), opening=("Admission", "ClassChange"), **BED),
    rule("send_plan", Due(hours=1), setting="emergency", status="in_progress", plan="yes"),
    rule("post_discharge_call", Due(business_days=2), goes_home=HOME, status="discharged", **BED),
    rule(
        "pcp_visit", Due(days=14), "pcp_office", status="discharged", goes_home=("yes", "verify"),
        readmitted="no", **BED,
    ),
    rule("ama_call", Due(hours=24), urgency="high", status="discharged", disposition="against_advice"),
    rule("transfer_packet", Due(days=0), status="discharged", disposition=SNF),
    rule("readmission_review", Due(business_days=3), readmission="yes"),
    rule("ed_followup_call", Due(business_days=2), status="discharged", setting="emergency", goes_home="yes"),
    rule("book_before_discharge", Due(days=1, after="expected_discharge", before=True), "case_manager",
         expected_discharge="yes"),
    rule("critical_result_ack", Due(hours=1), "orderer", "stat", result="critical"),
    rule("pending_result_followup", Due(days=3), status="discharged", result="pending"),
    rule("result_correction_review", Due(business_days=1), result=("normal", "abnormal", "critical"),
         corrected="yes"),
    rule("bereavement_close", Due(business_days=3), person="died"),
    rule("merge_reconcile", Due(business_days=1), person="merged"),
    rule("pcp_handover", Due(business_days=2), person="pcp_changed"),
)  # fmt: skip
TELLS = (
    tell("EmergencyArrival", "pcp", "coordinator"),
    tell("Admission", "pcp", "coordinator", urgency="high", readmission="yes"),
    tell("Admission", "pcp", "coordinator"),
    tell("Transfer", "pcp", "coordinator"),
    tell("Discharge", "pcp", "coordinator", urgency="high", disposition="against_advice"),
    tell("Discharge", "pcp", "coordinator"),
    tell("Death", "pcp", "attending", urgency="high"),
    tell("Result", "ordering", "attending", "pcp", urgency="stat", result="critical"),
    tell("Result", "pcp", "ordering"),
    tell("PcpChange", "pcp", "former_pcp", urgency="digest"),
)


def name_of(*words: object) -> UUID:
    text = "\x1f".join(map(str, words)).encode()
    return UUID(bytes=blake2b(text, digest_size=16).digest())


GIVEN = Given(
    rules=RULES,
    tells=TELLS,
    policy=Policy(settle_secs={"retraction": 300, "Admission": 120}, critical_units=frozenset({"ICU"})),
    sites={
        "north": SiteFacts("north", "North Hospital", CHICAGO, public_holidays()),
        "rehab": SiteFacts("rehab", "North Rehab", CHICAGO, public_holidays()),
    },
    directory=DIRECTORY,
    now=FRIDAY,
    name_of=name_of,
)


@dataclass(frozen=True)
class Stored:
    """A record as a store would have it."""

    patient: int
    person: int
    head: bytes
    stays: Mapping[int, bytes]


@dataclass
class World:
    """Everything that a store would hold, and the one who asks the care core."""

    given: Given = GIVEN
    records: dict[int, Stored] = field(default_factory=dict)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    visits: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: dict[tuple[str, int, int], Any] = field(default_factory=dict)
    deliveries: list[DeliveryPut] = field(default_factory=list)
    history: list[Change] = field(default_factory=list)
    acts: int = 0

    def hear(
        self, *facts: Fact | Saying, at: datetime | None = None, gone: Iterable[Fact] = ()
    ) -> list[Change]:
        """Facts come (and go) together; returns what that changed. `at` is the database's clock."""
        came = [fact.fact(self) if isinstance(fact, Saying) else fact for fact in facts]
        if at is not None:
            self.given = replace(self.given, now=at)
        elif came:
            latest = max(
                (fact.said.recorded_at for fact in came if not isinstance(fact.said, Act)), default=None
            )
            if latest and latest > self.given.now:
                self.given = replace(self.given, now=latest)
        return self._react(came, list(gone))

    def tick(self, at: datetime) -> list[Change]:
        """Time passes."""
        self.given = replace(self.given, now=at)
        return self._react([], [])

    def act(
        self, kind: str, row: Any = None, by: str = "anna", at: datetime | None = None, **body: Any
    ) -> list[Change]:
        """A person does something to a row."""
        if at is not None and at > self.given.now:
            self.given = replace(self.given, now=at)
        self.acts += 1
        patient = row.patient if row is not None else 1
        act = Act(kind, patient, row.n if row is not None else 0, by, at or self.given.now, body)
        return self._react([Fact(FactId(0, self.acts, kind, 0), act, patient)], [])

    def patient(self, number: str) -> int:
        """The store's number for a patient of the authority NORTH."""
        known = self.numbers.setdefault(("NORTH", number), len(self.numbers) + 1)
        if known not in self.records:
            head, stays = encode(new_record(known, "NORTH", number))
            self.records[known] = Stored(known, known, head, stays)
        return known

    def _react(self, came: Sequence[Fact], gone: Sequence[Fact]) -> list[Change]:
        involved = {fact.patient for fact in (*came, *gone)}
        involved |= {fact.retired for fact in (*came, *gone) if fact.retired}
        for fact in (*came, *gone):
            for key in ("visit_id", "retired_visit_id", "prior_visit_id"):
                visit = getattr(fact.said, key, None)
                if visit and (fact.site, visit) in self.visits:
                    involved.add(self.visits[fact.site, visit])
        if not involved:
            involved = set(self.records)
        while True:
            persons = {self.records[patient].person for patient in involved}
            loaded = {
                patient: self.read(stored)
                for patient, stored in self.records.items()
                if patient in involved or stored.person in persons
            }
            try:
                reaction = react(came, gone, loaded, self.given)
            except MissingRecords as missing:
                assert not missing.patients <= involved
                involved |= missing.patients
                continue
            break
        for record in reaction.records.values():
            self.write(record)
        for change in reaction.changes:
            self._keep(change)
        return list(reaction.changes)

    def read(self, stored: Stored) -> Record:
        """A record from what is stored."""
        return decode(stored)

    def write(self, record: Record) -> None:
        """Stores a record."""
        head, stays = encode(record)
        old = self.records[record.patient]
        self.records[record.patient] = Stored(record.patient, record.person, head, {**old.stays, **stays})
        for key in record.visits:
            self.visits[key] = record.patient

    def _keep(self, change: Change) -> None:
        self.history.append(change)
        if isinstance(change, DeliveryPut):
            self.deliveries.append(change)
        elif isinstance(change, PatientPut):
            self.rows["PatientPut", change.patient, 0] = change
        elif isinstance(change, TimerPut) and change.due_at is None:
            self.rows.pop(("TimerPut", change.patient, change.n), None)
        else:
            self.rows[type(change).__name__, change.patient, change.n] = change

    def _all(self, sort: type) -> list[Any]:
        return [row for (name, _, _), row in sorted(self.rows.items()) if name == sort.__name__]

    @property
    def tasks(self) -> list[TaskPut]:
        return self._all(TaskPut)

    @property
    def open_tasks(self) -> set[str]:
        return {task.kind for task in self.tasks if task.state in ("open", "begun")}

    @property
    def notifications(self) -> list[NotificationPut]:
        return self._all(NotificationPut)

    @property
    def standing(self) -> set[str]:
        return {one.kind for one in self.notifications if one.state == "standing"}

    @property
    def encounters(self) -> list[EncounterPut]:
        return self._all(EncounterPut)

    @property
    def patients(self) -> list[PatientPut]:
        return self._all(PatientPut)

    @property
    def reviews(self) -> set[str]:
        return {one.kind for one in self._all(ReviewPut) if one.state == "open"}

    @property
    def timers(self) -> list[TimerPut]:
        return self._all(TimerPut)

    @property
    def plan(self) -> dict[tuple[str, str], dict[str, object]]:
        return {(one.section, one.key): one.body for one in self._all(PlanEntryPut) if one.state == "active"}

    def task(self, kind: str) -> TaskPut:
        """The last task of a kind."""
        return [task for task in self.tasks if task.kind == kind][-1]

    def notification(self, kind: str) -> NotificationPut:
        """The last notification of a kind."""
        return [one for one in self.notifications if one.kind == kind][-1]

    def told(self, kind: str | None = None) -> list[tuple[str, str, str]]:
        """Act, kind and recipient of each delivery, in their order."""
        kinds = {(one.patient, one.n): one.kind for one in self.notifications}
        found = [(d.act, kinds[d.patient, d.notification], d.recipient) for d in self.deliveries]
        return [one for one in found if kind is None or one[1] == kind]


@dataclass(frozen=True)
class Saying:
    """A notice that is about to be said: made into a fact once a world knows its patients."""

    kind: str
    number: str
    recorded: datetime
    body: dict[str, Any]
    retired: str | None = None
    site: str = "north"
    mute: bool = False
    place: int = 0

    def __repr__(self) -> str:
        """As the call that makes it, as far as it can be told: for failures of properties."""
        minute = (self.recorded - FRIDAY).total_seconds() / 60
        left_out = {"patient", "occurred_at", "recorded_at", "sent_at", "retired"}
        more = {name: value for name, value in self.body.items() if name not in left_out}
        who = self.body["patient"].model_dump(exclude_unset=True)
        who["pcp"] = (who.get("pcp") or {}).get("family") if "pcp" in who else ...
        more["ago"] = (self.recorded - self.body["occurred_at"]).total_seconds() / 60
        more["pcp"], more["deceased"] = who["pcp"], who.get("deceased", ...)
        words = ", ".join(f"{name}={value!r}" for name, value in more.items() if value is not ...)
        return f"{self.kind}@{minute:g}(#{self.number} <- {self.retired}, mute={self.mute}, {words})"

    def fact(self, world: World) -> Fact:
        patient = world.patient(self.number)
        retired = world.patient(self.retired) if self.retired else None
        return self.of(patient, retired)

    def of(self, patient: int, retired: int | None) -> Fact:
        notice = NOTICES[self.kind](**self.body)
        digest = blake2b(
            orjson.dumps([self.kind, notice.model_dump(mode="json", exclude_unset=True)]), digest_size=8
        ).hexdigest()
        place = self.place or int(digest[:7], 16)
        return Fact(
            FactId(1, place, self.kind, 0),
            notice,
            patient,
            retired,
            self.site,
            f"{self.site}_adt",
            digest,
            self.mute,
        )


def minutes(count: float) -> datetime:
    """So many minutes after Friday 2 January 2026, nine in the morning."""
    return FRIDAY + timedelta(minutes=count)


def says(
    kind: str,
    at: float = 0,
    *,
    number: str = "100",
    visit: str | None = "V1",
    happened: datetime | None = None,
    retired: str | None = None,
    site: str = "north",
    mute: bool = False,
    place: int = 0,
    who: dict[str, Any] | None = None,
    **body: Any,
) -> Saying:
    """A notice recorded so many minutes after Friday morning; `who` is what it says of the patient."""
    recorded = minutes(at)
    patient: dict[str, Any] = {
        "number": Identifier(value=number, authority="NORTH", type="MR"),
        "family": "Doe",
        "given": "Ada",
        "pcp": DR_HALL,
        **(who or {}),
    }
    made: dict[str, Any] = {
        "patient": PatientStated(**{name: value for name, value in patient.items() if value is not ...}),
        "occurred_at": happened or recorded,
        "recorded_at": recorded,
        "sent_at": recorded,
        **body,
    }
    fields = NOTICES[kind].model_fields
    if visit is not None and "visit_id" in fields:
        made["visit_id"] = visit
    if retired is not None:
        made["retired"] = Identifier(value=retired, authority="NORTH")
    return Saying(kind, number, recorded, made, retired, site, mute, place)


def admitted(at: float = 0, **more: Any) -> Saying:
    """A01 of an inpatient."""
    return says("Admission", at, **{"patient_class": "inpatient", "attending": DR_LUND, **more})


def arrived(at: float = 0, **more: Any) -> Saying:
    """A04 of class emergency."""
    return says("Registration", at, **{"patient_class": "emergency", **more})


def left(at: float = 300, disposition: Any = "home", **more: Any) -> Saying:
    """A03."""
    return says("Discharge", at, disposition=disposition, **more)


def left_not(at: float = 310, **more: Any) -> Saying:
    """A13."""
    return says("DischargeCancelled", at, **more)
