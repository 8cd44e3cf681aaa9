"""Facts: what hospitals said and what people did, as the care core sees them. Floor 3: pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from broker.notices import Notice

__all__ = ["Act", "Fact", "FactId"]


class FactId(NamedTuple):
    """Names a fact: a notice by its message's place and number in it, an act as (0, its number, kind, 0)."""

    stream: int
    seq: int
    kind: str
    n: int


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did: one operation on one row of a patient's record.

    `kind`: task_begun, task_attempt, task_done, task_reopened, task_assigned, task_dismissed,
    task_added, plan_entry_put, plan_entry_ended, note_added, notification_read, review_closed, ...
    `row` is the number of the row (task, plan entry, ...) within the patient. `body` holds what the
    operation took, JSON-able.
    """

    kind: str
    patient: int
    row: int
    by: str
    at: datetime
    body: dict[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Fact:
    """One notice or act with what is known of its coming.

    `patient` is the record it belongs to (the number in the store of PID's patient), `retired` the other
    patient that it names (MRG, link), if any. `site` and `channel` are file stems. `digest` is the
    message's, hex, the last resort of the order. `mute`: neither tells nor opens tasks (quiet or history
    channel, test patient). `stated`: what the notice states, JSON-able, where that has been made already.
    """

    id: FactId
    said: Notice | Act
    patient: int
    retired: int | None = None
    site: str = ""
    channel: str = ""
    digest: str = ""
    mute: bool = False
    stated: dict[str, Any] | None = field(default=None, compare=False, repr=False)
