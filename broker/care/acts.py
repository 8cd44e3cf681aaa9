"""What people do to the rows of a record: begin, finish or dismiss a task, write the plan. Floor 3: pure.

An act never fails because facts changed meanwhile: work on a task that was withdrawn is kept, and shown
as changed after it. It fails where the row is not there, or the act says too little.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from broker.care.facts import Act, FactId
from broker.care.given import Given
from broker.care.plan import BY_A_PERSON, Claims, claim
from broker.care.puts import Maker, put_row
from broker.care.record import Record, Row, Said, micros
from broker.errors import OperationError

__all__ = ["ACTS", "apply_act"]

_OF_TASKS = {
    "task_begun": "begun",
    "task_attempt": "begun",
    "task_done": "done",
    "task_dismissed": "dismissed",
}


def apply_act(record: Record, act: Act, fact: FactId, given: Given, now: int) -> Maker:
    """Does it to a record that may be changed; the changes are in the maker that is returned.

    Raises `OperationError` where the record does not allow it.
    """
    maker = Maker(record, given, now, fact)
    if act.kind in _ON_RECORD:
        _ON_RECORD[act.kind](record, act, fact, maker)
        return maker
    if act.kind not in ACTS:
        raise OperationError(f"there is no act {act.kind}", code="unknown_act")
    sort = (
        "task" if act.kind.startswith("task") else "review" if act.kind == "review_closed" else "notification"
    )
    for visit in (None, *record.all_visits()):
        rows = record.rows if visit is None else visit.rows
        for place, row in enumerate(rows):
            if row.n != act.row or row.sort != sort:
                continue
            maker.encounter = maker.visit = visit.n if visit else 0
            maker.encounter = maker.encounter or None
            changed = (*rows[:place], _done_to(row, act, maker), *rows[place + 1 :])
            if visit is None:
                record.rows = changed
            else:
                record.put(visit.with_rows(changed))
            return maker
    raise OperationError("there is no such row", code="no_row", value=str(act.row))


def _done_to(row: Row, act: Act, maker: Maker) -> Row:
    at = micros(act.at)
    note = str(act.body.get("note") or "")
    notes = "\n".join(part for part in (row.note, note) if part)
    standing = row.state in ("open", "begun", "done", "dismissed")
    if act.kind in _OF_TASKS:
        work = _OF_TASKS[act.kind]
        if work == "dismissed" and not note:
            raise OperationError("a task is dismissed with a reason", code="no_reason")
        if row.work == "done" and work == "begun":
            work = "done"
        state = work if standing else "changed_after"
        closed = at if state in ("done", "dismissed") else row.closed if not standing else 0
        row = row._replace(work=work, worked_at=at, state=state, closed=closed, note=notes)
        row = row._replace(assignee=row.assignee or act.by)
    elif act.kind == "task_reopened":
        if row.state not in ("done", "dismissed", "begun"):
            raise OperationError(
                "only a task that was begun, done or dismissed is opened again", code="not_closed"
            )
        row = row._replace(work="", worked_at=at, state="open", closed=0, note=notes)
    elif act.kind == "task_assigned":
        row = row._replace(assignee=str(act.body.get("assignee") or ""), note=notes)
    elif act.kind == "review_closed":
        row = row._replace(work="done", worked_at=at, state="closed", closed=at, assignee=act.by)
    else:  # notification_read
        row = row._replace(work="read", worked_at=at, assignee=act.by)
    put_row(row, act.kind, maker)
    return row


def _task_added(record: Record, act: Act, fact: FactId, maker: Maker) -> None:
    body = act.body
    if not body.get("title"):
        raise OperationError("a task needs a title", code="no_title")
    due = body.get("due_at")
    says: Said = {
        "title": str(body["title"]),
        "owner": str(body.get("owner") or "coordinator"),
        "urgency": str(body.get("urgency") or "routine"),
        "due": micros(datetime.fromisoformat(str(due))) if due else 0,
        "verify": False,
        "note": str(body.get("note") or ""),
    }
    n = maker.number()
    name = maker.given.name_of("task", record.authority, record.number, *fact)
    row = Row(
        n, "task", "added", str(n), *fact, f"{act.kind}@{fact.seq}", "", "", name.hex, "open", 1, says,
        micros(act.at), 0, "", 0, str(body.get("assignee") or ""), "", [], 0, False,
    )  # fmt: skip
    put_row(row, "opened", maker)
    record.rows = (*record.rows, row)


def _plan_entry_put(record: Record, act: Act, fact: FactId, maker: Maker) -> None:
    """Writes an entry: `row` is its number, or 0 with `section` and `key` in the body for a new one."""
    section, key = _entry_of(record, act)
    body: Said = {name: value for name, value in act.body.items() if name not in ("section", "key")}
    _write(record, section, key, {"at": [micros(act.at), ""], "by": act.by, **body}, fact, maker)


def _plan_entry_ended(record: Record, act: Act, fact: FactId, maker: Maker) -> None:
    section, key = _entry_of(record, act)
    found = next(entry for entry in record.plan if (entry.section, entry.key) == (section, key))
    _write(
        record,
        section,
        key,
        {**found.body, "at": [micros(act.at), ""], "by": act.by, "ended": True},
        fact,
        maker,
    )


def _note_added(record: Record, act: Act, fact: FactId, maker: Maker) -> None:
    if not act.body.get("text"):
        raise OperationError("a note needs a text", code="no_text")
    body: Said = {"at": [micros(act.at), ""], "by": act.by, "text": act.body["text"]}
    _write(record, "note", f"written {fact.seq}", body, fact, maker)


def _write(record: Record, section: str, key: str, body: Said, fact: FactId, maker: Maker) -> None:
    was: Claims = {}
    for entry in record.plan:
        if (entry.section, entry.key) == (section, key):
            for visit, _, written in entry.claims:
                if visit == BY_A_PERSON:
                    was[section, key] = written
    claim(record, BY_A_PERSON, was, {(section, key): body}, fact, maker.changes)


def _entry_of(record: Record, act: Act) -> tuple[str, str]:
    if act.row:
        for entry in record.plan:
            if entry.n == act.row:
                return entry.section, entry.key
        raise OperationError("there is no such plan entry", code="no_row", value=str(act.row))
    section, key = str(act.body.get("section") or ""), str(act.body.get("key") or "")
    if not section or not key or act.kind == "plan_entry_ended":
        raise OperationError("a plan entry needs a section and a key", code="no_entry")
    return section, key


_ON_RECORD: dict[str, Callable[[Record, Act, FactId, Maker], None]] = {
    "task_added": _task_added,
    "plan_entry_put": _plan_entry_put,
    "plan_entry_ended": _plan_entry_ended,
    "note_added": _note_added,
}
ACTS = frozenset(
    {*_OF_TASKS, *_ON_RECORD, "task_reopened", "task_assigned", "review_closed", "notification_read"}
)
