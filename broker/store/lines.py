"""The lines that lists are made of. A line's `place` is where the next page goes on. Floor 4."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

__all__ = [
    "AttemptLine",
    "CodeLine",
    "DeliveryLine",
    "MessageLine",
    "PatientLine",
    "ReviewLine",
    "TaskLine",
]


@dataclass(frozen=True, slots=True)
class MessageLine:
    """What became of one message."""

    stream: int
    seq: int
    at: datetime
    channel: str
    event: str
    control_id: str
    patient: int | None
    outcome: str
    why: str
    notices: int
    mute: bool
    bundle: str

    @property
    def place(self) -> tuple[datetime, int, int]:
        return self.at, self.stream, self.seq


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One task, with whom it is about."""

    patient: int
    n: int
    name: str
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
    patient_number: str
    family: str
    given: str
    phone: str

    @property
    def place(self) -> tuple[datetime | None, int, int]:
        return self.due_at, self.patient, self.n


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """One delivery, however far it is."""

    id: int
    name: str
    patient: int | None
    notification: int | None
    version: int
    act: str
    recipient: str
    destination: str
    address: str
    stream: int | None
    seq: int | None
    state: str
    not_before: datetime
    attempts: int
    asked_at: datetime
    settled_at: datetime | None
    code: str
    proof: str

    @property
    def place(self) -> int:
        return self.id


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt of a delivery. `body` is what was sent: a patient's, shown to who may see it."""

    number: int
    act: str
    version: int
    state: str
    claimed_at: datetime
    settled_at: datetime | None
    code: str
    detail: str
    body_digest: str
    body: bytes | None


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A code that a table lacks, as it came."""

    channel: str
    table: str
    code: str
    path: str
    count: int
    first: tuple[int, int]
    last: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PatientLine:
    """Who a patient is. Patients with the same `person` are linked as one."""

    id: int
    person: int
    authority: str
    number: str
    family: str
    given: str
    birth_date: str
    sex: str
    deceased: bool

    @property
    def place(self) -> tuple[str, str, int]:
        return self.family.casefold(), self.given.casefold(), self.id


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """Something that a person has to judge."""

    patient: int
    n: int
    kind: str
    text: str
    opened_at: datetime

    @property
    def place(self) -> tuple[datetime, int, int]:
        return self.opened_at, self.patient, self.n
