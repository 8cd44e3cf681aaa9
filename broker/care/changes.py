"""The difference between what should have stood and what should stand now, as changes. Floor 3: pure.

Opens what is newly called for, corrects what differs, withdraws or retracts what is not called for any
more. What people did is never undone: begun or done work whose ground falls is shown to who did it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from broker.care.content import WATCHED
from broker.care.puts import Maker, deliver, put_row
from broker.care.record import DAY, HOUR, SECOND, Held, Row, Said
from broker.care.wants import Because, Want, Wanted

__all__ = ["LIVE", "Ground", "difference"]

LIVE = frozenset({"open", "begun", "done", "dismissed", "standing"})
_ADVANCED = {"done": 3, "begun": 2, "dismissed": 1}
_AT_ONCE = frozenset({"Death"})


class Ground(NamedTuple):
    """On what a row rests beside its rule. `moved`: the stay is another patient's now."""

    changed: bool
    moved: bool
    died: bool
    facts: Sequence[Held]  # those that stand


def difference(
    before: Wanted, after: Wanted, rows: Sequence[Row], ground: Ground, maker: Maker
) -> tuple[Row, ...]:
    """The rows as they stand with `after`; what changed of them is added to the maker's changes."""
    if not ground.changed and before == after:
        return tuple(rows)
    mine: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        mine.setdefault((row.sort, row.kind, row.sub), []).append(row)
    for key in after:
        mine.setdefault(key, [])
    changed: dict[int, Row] = {}
    fresh: list[Row] = []
    for key, same in mine.items():
        was, want = before.get(key), after.get(key)
        if want is None:
            if was is not None or ground.changed:
                for row in same:
                    changed[row.n] = _fall(row, ground, maker, fresh)
            continue
        standing, others = _standing_row(same, want, maker.now)
        if standing is None:
            if was is not None and not ground.changed and was.because.meaning == want.because.meaning:
                continue  # a rule that is new does not reach into the past
            if maker.now - want.occurred <= maker.given.policy.outreach_after_days * DAY:
                fresh.append(_open(want, same, maker))
        else:
            untouched = was is not None and not others and was.says == want.says and was.reach == want.reach
            changed[standing.n] = _correct(standing, want, untouched, maker)
        for row in others:
            changed[row.n] = _join(row, want, maker)
    return (*(changed.get(row.n, row) for row in rows), *fresh)


def _standing_row(same: Sequence[Row], want: Want, now: int) -> tuple[Row | None, list[Row]]:
    """Which of the rows of a kind stands for what is wanted, and which others stood beside it."""
    live = [row for row in same if row.state in LIVE]
    counting = [row for row in live if _counts(row, want)]
    found = counting or [
        row
        for row in same
        if row.state not in LIVE
        and _counts(row, want)
        and (row.state == "joined" or row.meaning == want.because.meaning or row.settles > now)
    ]
    if not found:
        return None, live
    best = max(found, key=lambda row: (_ADVANCED.get(row.work, 0), -row.n))
    return best, [row for row in live if row is not best]


def _counts(row: Row, want: Want) -> bool:
    """Work that was done before the discharge it would follow up is not that work (CARE rule 17)."""
    return not (row.work == "done" and want.because.kind == "Discharge" and row.worked_at < want.occurred)


def _open(want: Want, same: Sequence[Row], maker: Maker) -> Row:
    cause = want.because
    words = [want.sort, maker.of, cause.meaning, want.rule, want.kind, want.sub]
    name = maker.given.name_of(*words)
    taken = {row.name for row in same}
    while name.hex in taken:
        words.append("again")
        name = maker.given.name_of(*words)
    state = "standing" if want.sort == "notification" else "open"
    row = Row(
        maker.number(), want.sort, want.kind, want.sub, cause.stream, cause.seq, cause.kind, cause.n,
        cause.meaning, want.rule, want.rule_version, name.hex, state, 1, want.says, maker.now, 0,
        "", 0, "", "", [list(one) for one in want.reach], 0, False,
    )  # fmt: skip
    if want.sort == "notification" and maker.now - want.occurred > _late(maker):
        row = row._replace(says={**want.says, "late": True})
    put_row(row, "opened" if want.sort != "notification" else "told", maker)
    if want.sort == "notification":
        deliver(row, "tell", row.told, _settle_secs(want.kind, want.says, maker), maker)
    return row


def _late(maker: Maker) -> int:
    return maker.given.policy.late_after_hours * HOUR


def _settle_secs(kind: str, says: Said, maker: Maker) -> int:
    """Death, leaving against advice and what is urgent never wait (DOMAIN 1.11)."""
    if kind in _AT_ONCE or says.get("urgency") == "stat" or says.get("disposition") == "against_advice":
        return 0
    return maker.given.policy.settle_secs.get(kind, 0)


def _hung(row: Row, cause: Because) -> Row:
    """The row, hanging on another fact that calls for the same."""
    if row.meaning == cause.meaning and row.seq == cause.seq and row.stream == cause.stream:
        return row
    return row._replace(
        stream=cause.stream, seq=cause.seq, fact_kind=cause.kind, fact_n=cause.n, meaning=cause.meaning
    )


def _correct(row: Row, want: Want, untouched: bool, maker: Maker) -> Row:
    """The row as it is wanted now: revived where it had fallen, corrected where it differs."""
    row = _hung(row, want.because)
    fallen = row.state not in LIVE
    if untouched and not fallen:
        return row
    if row.sort == "notification":
        return _correct_told(row, want, fallen, maker)
    state = row.work or "open"
    if row.says == want.says and row.state == state:
        return row
    if row.sort == "review":
        row = row._replace(says=want.says, state=state, closed=0)
        put_row(row, "revived" if fallen else "changed", maker)
        return row
    kept = row.closed if row.work in ("done", "dismissed") else 0
    overdue = row.overdue and row.says["due"] == want.says["due"]
    row = row._replace(
        says=want.says, state=state, closed=kept, rule=want.rule, rule_version=want.rule_version,
        overdue=overdue,
    )  # fmt: skip
    put_row(row, "revived" if fallen else "changed", maker)
    return row


def _correct_told(row: Row, want: Want, fallen: bool, maker: Maker) -> Row:
    says = {**want.says, "late": True} if row.says.get("late") else want.says
    differs = [name for name in WATCHED.get(row.kind, ()) if row.says.get(name) != says.get(name)]
    told = {(one[1], one[2]) for one in row.told}
    fresh = [list(one) for one in want.reach if (one[1], one[2]) not in told]
    again = fallen and row.state != "joined"
    if not (differs or again or fresh) and row.says == says and not fallen:
        return row
    unsent = row.settles > maker.now
    row = row._replace(
        version=row.version + 1 if differs or again else row.version,
        says={**says, "corrects": differs} if differs and not again else says,
        state="standing", closed=0, told=row.told + fresh, settles=0,
        rule=want.rule, rule_version=want.rule_version,
    )  # fmt: skip
    verb = "told_again" if again else "corrected" if differs else "told" if fresh else "amended"
    put_row(row, verb, maker)
    old = row.told[: len(row.told) - len(fresh)]
    if again:
        deliver(row, "correct" if unsent else "tell", old, 0, maker)
    elif differs:
        deliver(row, "correct", old, 0, maker)
    deliver(row, "tell", fresh, _settle_secs(want.kind, says, maker), maker)
    return row


def _fall(row: Row, ground: Ground, maker: Maker, fresh: list[Row]) -> Row:
    """A row that nothing calls for any more."""
    if row.sort == "notification":
        if row.state == "retracted":
            return row
        secs = 0 if ground.moved else maker.given.policy.settle_secs.get("retraction", 0)
        until = maker.now + secs * SECOND
        row = row._replace(state="retracted", version=row.version + 1, closed=maker.now, settles=until)
        put_row(row, "retracted", maker)
        deliver(row, "retract", row.told, secs, maker)
        if ground.moved and row.told:
            fresh.append(
                _review("wrong_patient_told", f"{row.kind} was told of the wrong patient", row, maker)
            )
        return row
    if row.state not in LIVE and row.state != "joined":
        return row
    if row.sort == "review":
        if row.state == "open" and not row.kind.startswith("wrong_patient"):
            row = row._replace(state="closed", closed=maker.now)
            put_row(row, "withdrawn", maker)
        return row
    if row.kind == "added" and not ground.died:
        return row  # a person's own task, which no fact called for
    if row.work == "dismissed":
        return row
    if row.work == "done" and any(fact.meaning == row.meaning for fact in ground.facts):
        return row  # done for a fact that stands: the stay has only gone on
    state = "changed_after" if row.work else "withdrawn"
    row = row._replace(state=state, closed=maker.now)
    put_row(row, state, maker)
    if ground.moved and row.work:
        fresh.append(_review("wrong_patient_work", f"Work was {row.work} on the wrong patient", row, maker))
    return row


def _join(row: Row, want: Want, maker: Maker) -> Row:
    """One of two rows of a kind: joined to the other, or work that does not count for what is wanted now."""
    if row.sort == "task" and not _counts(row, want):
        if row.meaning == want.because.meaning:
            row = row._replace(state="changed_after", closed=maker.now)
            put_row(row, "changed_after", maker)
        return row
    row = row._replace(state="joined" if row.sort != "review" else "closed", closed=maker.now)
    put_row(row, "joined", maker)
    return row


def _review(kind: str, text: str, row: Row, maker: Maker) -> Row:
    name = maker.given.name_of("review", row.name, row.version, kind)
    made = row._replace(
        n=maker.number(), sort="review", kind=kind, sub=row.name, name=name.hex, state="open", version=1,
        says={"text": text}, opened=maker.now, closed=0, work="", worked_at=0, assignee="", note="", told=[],
        settles=0, overdue=False,
    )  # fmt: skip
    put_row(made, "opened", maker)
    return made
