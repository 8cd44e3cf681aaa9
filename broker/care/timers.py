"""What falls due, and when a patient must be looked at next. Floor 3: pure."""

from __future__ import annotations

from broker.care.facts import FactId
from broker.care.placing import Placing
from broker.care.puts import Maker, put_row
from broker.care.record import Record, instant
from broker.care.rows import Cause, Change, TimerPut

__all__ = ["tick"]


TIMER = 1


def tick(placing: Placing, patient: int, trigger: FactId | None) -> list[Change]:
    """What falls due, and when the patient must be looked at next."""
    record = placing.held[patient]
    now = placing.now
    due = [n for n, (at, _) in record.clocks.items() if at <= now]
    if patient not in placing.changed and not due and not 0 < record.timer <= now:
        return []
    record = placing.writable(patient)
    maker = Maker(record, placing.given, now, trigger)
    for n in due:
        _overdue(record, n, record.clocks[n][1], maker)
    if 0 < record.timer <= now:
        record.timer = 0
    earliest = min((at for at, _ in record.clocks.values()), default=0)
    if earliest != record.timer:
        maker.changes.append(
            TimerPut(
                patient=patient,
                n=TIMER,
                kind="due",
                due_at=instant(earliest) if earliest else None,
                cause=Cause(trigger),
            )
        )
        record.timer = earliest
    record.as_of = max(record.as_of, now)
    return maker.changes


def _overdue(record: Record, n: int, home: int, maker: Maker) -> None:
    visit = record.visit(home) if home else None
    rows = visit.rows if visit else record.rows
    maker.encounter = maker.visit = home
    maker.encounter = home or None
    made = []
    for row in rows:
        if row.n == n:
            row = row._replace(overdue=True)
            put_row(row, "overdue", maker)
        made.append(row)
    record.clocks.pop(n, None)
    if visit:
        record.put(visit.with_rows(tuple(made)))
    else:
        record.rows = tuple(made)
