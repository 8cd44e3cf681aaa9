"""What a person may do to the broker: one audited function each, for web and command line alike. Floor 7.

Every function takes `who`, writes its audit line in the transaction of its effect, and either does all of
it or raises `OperationError` and does nothing. What touches a patient's record goes the way of every fact:
an `Act` is decided by the care core on the record as it stands, and saved by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson

from broker.care.facts import Act
from broker.decide import decide_act, given_of, narrowed
from broker.errors import OperationError
from broker.ids import Names
from broker.project import Project
from broker.records import Records
from broker.store.aside import AsideShelf
from broker.store.batch import ActPut, AuditPut
from broker.store.care import CareStore, Overtaken
from broker.store.deliveries import Deliveries
from broker.store.directory import DirectoryBook, DirectoryEntry
from broker.store.locks import open_locks

__all__ = [
    "TASK_ACTS",
    "VERDICTS",
    "Who",
    "act_on_task",
    "dismiss",
    "hold_destination",
    "import_directory",
    "judge_delivery",
    "pause",
    "release",
    "resume",
]

TASK_ACTS = {
    "begin": "task_begun",
    "attempt": "task_attempt",
    "done": "task_done",
    "reopen": "task_reopened",
    "assign": "task_assigned",
    "dismiss": "task_dismissed",
}
VERDICTS: Mapping[str, Literal["queued", "delivered", "given_up"]] = {
    "again": "queued",
    "delivered": "delivered",
    "given_up": "given_up",
}
TRIES = 10  # how often a person's act is decided anew when the record moved meanwhile

Place = tuple[int, int]  # stream and seq: a message


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts, and from where: a user's name, and "cli" or a network address."""

    name: str
    came_from: str


def pause(care: CareStore, who: Who, channel: str, why: str) -> None:
    """Later messages of the channel are answered and kept, and set aside until it is resumed."""
    AsideShelf(care.engine).pause(channel, who.name, why, care.now(), who.came_from)


def resume(care: CareStore, who: Who, channel: str, why: str) -> None:
    """What was set aside while the channel was paused is worked, in its order."""
    AsideShelf(care.engine).resume(channel, who.name, why, care.now(), who.came_from)


def release(care: CareStore, who: Who, messages: Iterable[Place], why: str) -> int:
    """Refused messages are worked once more, as late arrivals. Returns how many were refused till now."""
    return AsideShelf(care.engine).release(messages, who.name, why, care.now(), who.came_from)


def dismiss(care: CareStore, who: Who, messages: Iterable[Place], why: str) -> int:
    """Ends refused messages for good, with a reason. Returns how many were refused till now."""
    return AsideShelf(care.engine).dismiss(messages, who.name, why, care.now(), who.came_from)


def import_directory(care: CareStore, who: Who, entries: Iterable[DirectoryEntry], whole: bool) -> int:
    """Takes over who is reached where: instead of all that is known (`whole`), or beside it."""
    book = DirectoryBook(care.engine)
    audit = AuditPut(who.name, "import_directory", None, "directory", who.came_from, "whole" if whole else "")
    return (book.replace if whole else book.merge)(entries, audit, care.now())


def judge_delivery(care: CareStore, who: Who, delivery: int, verdict: str, why: str) -> None:
    """Ends what only a person can end: a delivery that is doubtful, rejected or given up.

    `again` sends it once more, `delivered` says that they have it, `given_up` that they will not get it.
    Raises `OperationError` for another verdict, without a reason, or when the delivery is in no such state.
    """
    if verdict not in VERDICTS:
        raise OperationError(
            f"one of {', '.join(VERDICTS)} is expected", code="no_such_verdict", value=verdict
        )
    if not why.strip():
        raise OperationError("say why", code="reason_missing")
    audit = AuditPut(who.name, "judge_delivery", None, f"delivery/{delivery}", who.came_from, why)
    Deliveries(care.engine, open_locks(care.engine)).resolve(delivery, VERDICTS[verdict], audit)


def hold_destination(care: CareStore, who: Who, destination: str, held: bool, why: str) -> None:
    """Nothing more is sent there while it is held; what is asked for waits, and goes out afterwards."""
    act = "hold_destination" if held else "let_destination_go"
    audit = AuditPut(who.name, act, None, f"destination/{destination}", who.came_from, why)
    deliveries = Deliveries(care.engine, open_locks(care.engine))
    (deliveries.pause if held else deliveries.resume)(destination, audit)


def act_on_task(
    care: CareStore,
    project: Project,
    who: Who,
    task: Place,
    act: str,
    note: str = "",
    assignee: str = "",
) -> None:
    """Begins, attempts, completes, reopens, assigns or dismisses a task, named by (patient, number).

    Raises `OperationError` when there is no such act or task, or when the task's state does not allow it.
    """
    if act not in TASK_ACTS:
        raise OperationError(f"no such act; one of {', '.join(TASK_ACTS)}", code="no_such_act", value=act)
    body: dict[str, str | int | bool | None] = {"note": note}
    if assignee:
        body["assignee"] = assignee
    patient, row = task
    _act(care, project, who, TASK_ACTS[act], patient, row, body)


def _act(
    care: CareStore,
    project: Project,
    who: Who,
    kind: str,
    patient: int,
    row: int,
    body: dict[str, str | int | bool | None],
) -> None:
    """Decides an act on the record as it stands and saves it, again when the record moved meanwhile."""
    number = care.reserve_acts(1)[0]
    names = Names(care.secret())
    for _ in range(TRIES):
        now = care.now()
        loaded = care.records((patient,))
        if patient not in loaded.records:
            raise OperationError("there is no such patient", code="no_such_patient")
        act = Act(kind, patient, row, who.name, now, body)
        given = given_of(project, narrowed(care.directory(), project), now, names)
        batch = decide_act(act, number, Records(loaded, care.records, _no_new_patient), given)
        batch.acts.append(ActPut(number, kind, patient, row, who.name, now, orjson.dumps(body)))
        about = f"{kind.partition('_')[0]}/{patient}.{row}"
        batch.audit.append(
            AuditPut(who.name, kind, patient, about, who.came_from, str(body.get("note") or ""))
        )
        if not isinstance(care.save(batch), Overtaken):
            return
    raise OperationError("the record keeps changing; try again", code="busy")


def _no_new_patient() -> int:
    raise AssertionError("an act makes no patient")
