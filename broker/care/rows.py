"""What a decision asks to be stored: rows by their key, each with its cause. Floor 3: pure.

A row is keyed by the patient's number in the store and `n`, which counts within that patient and kind.
Each is a whole row to be put (insert or replace), with `verb` saying what happened to it, for the
timeline. Times are aware.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from broker.care.facts import FactId

__all__ = [
    "Cause",
    "Change",
    "DeliveryPut",
    "EncounterPut",
    "NotificationPut",
    "PatientPut",
    "PlanEntryPut",
    "ReviewPut",
    "TaskPut",
    "TimerPut",
]


class Cause(NamedTuple):
    """Why a row is as it is: the fact, and the rule with its version ("" where no rule took part)."""

    fact: FactId | None
    rule: str = ""
    rule_version: str = ""


class PatientPut(NamedTuple):
    """Who the patient is. `person`: the lowest patient number of those that are linked as one."""

    patient: int
    name: UUID
    person: int
    authority: str
    number: str
    family: str
    given: str
    birth_date: date | None
    sex: str
    phone: str
    language: str
    contacts: tuple[dict[str, str], ...]
    pcp: dict[str, str]
    deceased_at: datetime | None
    deceased: bool
    verb: str
    cause: Cause


class EncounterPut(NamedTuple):
    """One encounter as it stands. `status`: planned, in_progress, on_leave, discharged, cancelled."""

    patient: int
    n: int
    name: UUID
    site: str
    visit_id: str
    status: str
    patient_class: str
    admitted_at: datetime | None
    discharged_at: datetime | None
    disposition: str
    location: str
    attending: str
    reason: str
    verb: str
    cause: Cause


class TaskPut(NamedTuple):
    """A transition task. `state`: open, begun, done, withdrawn, joined, dismissed, changed_after."""

    patient: int
    n: int
    name: UUID
    encounter: int | None
    kind: str
    title: str
    state: str
    owner: str
    assignee: str
    urgency: str
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    verify: bool
    note: str
    verb: str
    cause: Cause


class NotificationPut(NamedTuple):
    """What people are told. `state`: standing, retracted. `version` grows with each correction.

    `content` is what is told (JSON-able, our words); `about` the patient's number under which it was told.
    """

    patient: int
    n: int
    name: UUID
    version: int
    encounter: int | None
    kind: str
    state: str
    urgency: str
    about: str
    occurred_at: datetime
    content: dict[str, object]
    verb: str
    cause: Cause


class DeliveryPut(NamedTuple):
    """One thing to be brought to one destination. `act`: tell, correct, retract.

    A retraction of what was never sent is not sent either: the sender judges that when it claims.
    """

    name: UUID
    patient: int
    notification: int
    version: int
    act: Literal["tell", "correct", "retract"]
    recipient: str
    destination: str
    address: str
    not_before: datetime
    cause: Cause


class PlanEntryPut(NamedTuple):
    """One entry of the care plan.

    `section`: goal, team, problem, medication, appointment, note, allergy, contact. `key` is its meaning
    within the section (a code, an NPI), `body` JSON-able. `state`: active, ended, withdrawn.
    """

    patient: int
    n: int
    section: str
    key: str
    version: int
    state: str
    body: dict[str, object]
    verb: str
    cause: Cause


class TimerPut(NamedTuple):
    """At `due_at` the patient is looked at again (`react` without a fact); None takes the timer away."""

    patient: int
    n: int
    kind: str
    due_at: datetime | None
    cause: Cause


class ReviewPut(NamedTuple):
    """Something that only a person can judge. `state`: open, closed."""

    patient: int
    n: int
    kind: str
    text: str
    state: str
    opened_at: datetime
    verb: str
    cause: Cause


Change = (
    PatientPut | EncounterPut | TaskPut | NotificationPut | DeliveryPut | PlanEntryPut | TimerPut | ReviewPut
)
