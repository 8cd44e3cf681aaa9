"""What one save holds, and what a load returns. Floor 4: values only, nothing here opens a store.

Times are aware. `stream` and `seq` name a message by its place in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from broker.care.rows import Change

__all__ = [
    "ActPut",
    "Aside",
    "AsidePut",
    "AuditPut",
    "Batch",
    "CodePut",
    "CursorMove",
    "ForwardPut",
    "HandledPut",
    "Loaded",
    "LoadedRecords",
    "NoticePut",
    "RecordPut",
    "SeenKey",
    "SeenPut",
]


class CursorMove(NamedTuple):
    """Slot and stream are worked up to `now`; what was decided rests on `was` (0: nothing yet)."""

    slot: int
    stream: int
    was: int
    now: int


class Aside(NamedTuple):
    """A message that was set aside and is ready to be worked; `state` is released or paused."""

    stream: int
    seq: int
    slot: int
    channel: str
    state: str


class AsidePut(NamedTuple):
    """A message to be set aside. `value` is what stood at `where`: shown to people, never logged."""

    stream: int
    seq: int
    slot: int
    channel: str
    state: Literal["refused", "paused"]
    code: str
    where: str = ""
    text: str = ""
    value: str = ""
    patient: int | None = None
    event: str = ""


class HandledPut(NamedTuple):
    """What became of a message. `at` is the journal's time, `bundle` the digest that decided ("": none)."""

    stream: int
    seq: int
    at: datetime
    channel: str
    event: str
    control_id: str
    patient: int | None
    outcome: Literal["worked", "repeated", "filtered", "refused", "paused", "quarantine"]
    why: str = ""
    notices: int = 0
    mute: bool = False
    bundle: str = ""


class SeenKey(NamedTuple):
    """By this a repeat is known. `digest` in hex."""

    channel: str
    sender: str
    control_id: str
    digest: str


class SeenPut(NamedTuple):
    """From now on this key stands for that row of the journal."""

    key: SeenKey
    stream: int
    seq: int
    at: datetime


class NoticePut(NamedTuple):
    """A notice to be kept. Mapped anew, it takes the next `revision`; an empty body takes it back."""

    stream: int
    seq: int
    kind: str
    n: int
    patient: int
    body: bytes
    revision: int = 0


class ActPut(NamedTuple):
    """What a person did; `number` comes from `reserve_acts`."""

    number: int
    kind: str
    patient: int
    row: int
    by: str
    at: datetime
    body: bytes


class CodePut(NamedTuple):
    """A code that a table lacks, met in one message."""

    channel: str
    table: str
    code: str
    path: str
    stream: int
    seq: int


class ForwardPut(NamedTuple):
    """A whole message for one destination: passed on (`forward`), or the answer to it (`answer`).

    Without a patient, the messages of one slot keep their order.
    """

    name: UUID
    act: Literal["forward", "answer"]
    stream: int
    seq: int
    slot: int
    patient: int | None
    destination: str
    not_before: datetime
    address: str = ""


class AuditPut(NamedTuple):
    """Who did or saw what. `about` names the row (`task/12.3`), `came_from` address and program."""

    who: str
    what: str
    patient: int | None = None
    about: str = ""
    came_from: str = ""
    why: str = ""
    detail: str = "{}"


@dataclass(slots=True)
class RecordPut:
    """A record as it is now: new (`version` 0), or read at `version` and decided anew.

    Give only the stays, numbers and visits that are new or changed.
    """

    patient: int
    version: int
    person: int
    head: bytes
    stays: dict[int, bytes] = field(default_factory=dict)
    numbers: list[tuple[str, str]] = field(default_factory=list)
    visits: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Everything that one save writes: all or nothing.

    `untouched` are records (patient, version) that were read and decided on, but not changed.
    """

    cursors: list[CursorMove] = field(default_factory=list)
    taken: list[Aside] = field(default_factory=list)
    aside: list[AsidePut] = field(default_factory=list)
    handled: list[HandledPut] = field(default_factory=list)
    seen: list[SeenPut] = field(default_factory=list)
    notices: list[NoticePut] = field(default_factory=list)
    acts: list[ActPut] = field(default_factory=list)
    records: list[RecordPut] = field(default_factory=list)
    untouched: list[tuple[int, int]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    forwards: list[ForwardPut] = field(default_factory=list)
    codes: list[CodePut] = field(default_factory=list)
    timers_done: list[tuple[int, int]] = field(default_factory=list)
    audit: list[AuditPut] = field(default_factory=list)


@dataclass(slots=True)
class Loaded:
    """One record as it stands in the store; `care.codec` reads the bytes."""

    patient: int
    person: int
    version: int
    head: bytes
    stays: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class LoadedRecords:
    """The records that were asked for, with all that are linked to them as one person."""

    by_number: dict[tuple[str, str], int] = field(default_factory=dict)
    by_visit: dict[tuple[str, str], int] = field(default_factory=dict)
    records: dict[int, Loaded] = field(default_factory=dict)
