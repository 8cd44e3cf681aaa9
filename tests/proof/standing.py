"""What stands at the end, by its meaning; and what must hold of every run (RELIABILITY section 6, I1-I7)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import orjson
from sqlalchemy import Engine, func, select

from broker.store.care_rows import (
    EncounterRow,
    NotificationRow,
    PlanEntryRow,
    ReviewRow,
    TaskRow,
)
from broker.store.care_tables import (
    AsideRow,
    BodyRow,
    HandledRow,
    IdentifierRow,
    NoticeRow,
    PatientRow,
)
from broker.store.delivery_tables import AttemptRow, DeliveryRow
from broker.store.house_tables import InHandRow
from broker.store.journal import Reader, Row, verify
from broker.store.open import reading

Place = tuple[int, int]
Meaning = dict[str, Counter[Hashable]]

# Which message was last to say the same, and how often it was said anew: not what it means.
BESIDE_THE_MEANING = {"cause", "corrects", "late"}


def rows_of(engine: Engine, *wanted: Any) -> list[Any]:
    """Read without a lock, so that nobody waits for who looks."""
    with reading(engine).connect() as connection:
        return list(connection.execute(select(*wanted)))


def meaning(engine: Engine) -> Meaning:
    """Patients, encounters, tasks, notifications and plans, named as hospitals name them, each counted."""
    who = _names(engine)
    visits = {
        (row.patient, row.n): (row.site, row.visit_id)
        for row in rows_of(
            engine, EncounterRow.patient, EncounterRow.n, EncounterRow.site, EncounterRow.visit_id
        )
    }
    says = {row.id: _content(row.body) for row in rows_of(engine, BodyRow.id, BodyRow.body)}
    stands: Meaning = {}
    columns = [c for c in PatientRow.__table__.columns if c.name not in ("id", "person", "name")]
    stands["patient"] = Counter((who[r.id], *r[1:]) for r in rows_of(engine, PatientRow.id, *columns))
    persons: dict[int, set[str]] = defaultdict(set)
    for row in rows_of(engine, PatientRow.id, PatientRow.person):
        persons[row.person].add(who[row.id])
    stands["person"] = Counter(tuple(sorted(numbers)) for numbers in persons.values())
    columns = [c for c in EncounterRow.__table__.columns if c.name not in ("patient", "n", "name")]
    stands["encounter"] = Counter(
        (who[r.patient], *r[1:]) for r in rows_of(engine, EncounterRow.patient, *columns)
    )
    tasks = rows_of(
        engine, TaskRow.patient, TaskRow.encounter, TaskRow.kind, TaskRow.state, TaskRow.owner,
        TaskRow.urgency, TaskRow.due_at, TaskRow.verify,
    )  # fmt: skip
    stands["task"] = Counter((who[r.patient], visits.get((r.patient, r.encounter)), *r[2:]) for r in tasks)
    told = rows_of(
        engine, NotificationRow.patient, NotificationRow.encounter, NotificationRow.body,
        NotificationRow.kind, NotificationRow.state, NotificationRow.urgency, NotificationRow.about,
    )  # fmt: skip
    stands["notification"] = Counter(
        (who[r.patient], visits.get((r.patient, r.encounter)), says[r.body], *r[3:]) for r in told
    )
    plan = rows_of(
        engine, PlanEntryRow.patient, PlanEntryRow.body, PlanEntryRow.section, PlanEntryRow.key,
        PlanEntryRow.state,
    )  # fmt: skip
    stands["plan"] = Counter((who[r.patient], says[r.body], *r[2:]) for r in plan)
    reviews = rows_of(engine, ReviewRow.patient, ReviewRow.kind, ReviewRow.state)
    stands["review"] = Counter((who[r.patient], r.kind, r.state) for r in reviews)
    return stands


def _names(engine: Engine) -> dict[int, str]:
    """Each patient by all numbers that were given to them."""
    found: dict[int, set[str]] = defaultdict(set)
    for row in rows_of(engine, IdentifierRow.patient, IdentifierRow.authority, IdentifierRow.number):
        found[row.patient].add(f"{row.authority}:{row.number}")
    return {patient: " ".join(sorted(numbers)) for patient, numbers in found.items()}


def _content(body: bytes) -> str:
    said = orjson.loads(body)
    if isinstance(said, dict):
        said = {key: value for key, value in said.items() if key not in BESIDE_THE_MEANING}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()


def what_stands(found: Meaning) -> Meaning:
    """Without tasks that were withdrawn and notifications that were retracted.

    A late arrival may find that what it would have called for is over: nobody was ever asked or told.
    """
    tasks = Counter({one: n for one, n in found["task"].items() if "withdrawn" not in one})  # type: ignore[operator]
    told = Counter({one: n for one, n in found["notification"].items() if "retracted" not in one})  # type: ignore[operator]
    return found | {"task": tasks, "notification": told}


def difference(found: Meaning, wanted: Meaning) -> list[str]:
    """What stands in one and not in the other, in words."""
    said = []
    for kind in wanted:
        said += [f"missing {kind} x{n}: {one}" for one, n in (wanted[kind] - found[kind]).items()]
        said += [f"too many {kind} x{n}: {one}" for one, n in (found[kind] - wanted[kind]).items()]
    return said


def kept(rows: Collection[Row], acknowledged: Mapping[bytes, bytes], echoed: Collection[bytes]) -> None:
    """I1 and I2: what was acknowledged is in the journal, with its bytes; nothing else was acknowledged."""
    stored: dict[str, set[bytes]] = defaultdict(set)
    for row in rows:
        stored[row.control_id].add(row.raw)
    lost = [one for one, raw in acknowledged.items() if raw not in stored.get(one.decode(), ())]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged messages are lost: {lost[:5]}"
    strange = [one for one in echoed if one.decode() not in stored]
    assert not strange, f"answers to what is not stored: {strange[:5]}"


def handled_once(engine: Engine, rows: Collection[Row]) -> None:
    """I1: every row is handled; of those that are the same one is worked, and the others repeat it."""
    became: dict[Place, str] = {
        (row.stream, row.seq): row.outcome
        for row in rows_of(engine, HandledRow.stream, HandledRow.seq, HandledRow.outcome)
    }
    assert became.keys() == {(row.stream, row.seq) for row in rows}
    outcomes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        outcomes[row.control_id, row.digest][became[row.stream, row.seq]] += 1
    wrong = {key: counts for key, counts in outcomes.items() if counts["worked"] != 1 or counts.keys() - ONCE}
    assert not wrong, f"{len(wrong)} messages are not worked once: {list(wrong.values())[:5]}"
    notices = Counter((row.stream, row.seq) for row in rows_of(engine, NoticeRow.stream, NoticeRow.seq))
    assert notices.keys() <= {place for place, outcome in became.items() if outcome == "worked"}


ONCE = {"worked", "repeated"}


def quiet(engine: Engine) -> None:
    """I6: nothing is claimed or in hand, nothing is set aside, every delivery has come to an end."""
    assert rows_of(engine, InHandRow.stream, InHandRow.seq) == []
    assert rows_of(engine, AsideRow.state, AsideRow.code) == []
    found = rows_of(engine, DeliveryRow.state, DeliveryRow.reached, DeliveryRow.code)
    states = Counter(tuple(row) for row in found if row.state not in ("delivered", "withdrawn"))
    # One that may have left when its sender died, and was replaced or taken back before it was sent again.
    assert states.keys() <= {("given_up", True, "superseded"), ("given_up", True, "retracted")}, states
    attempts = Counter(row.state for row in rows_of(engine, AttemptRow.state))
    assert not attempts["sending"], attempts


def sound(engine: Engine, reader: Reader) -> None:
    """I7: the journal's chain is whole, and SQLite finds its file whole."""
    assert list(verify(reader)) == []
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def delivered_to(engine: Engine, destination: str) -> tuple[set[str], set[str]]:
    """By their names, the deliveries that the store says are there, and those that may be."""
    found = [
        row
        for row in rows_of(
            engine, DeliveryRow.name, DeliveryRow.destination, DeliveryRow.state, DeliveryRow.reached
        )
        if row.destination == destination
    ]
    return {row.name for row in found if row.state == "delivered"}, {row.name for row in found if row.reached}


def count_of(engine: Engine, table: Any) -> int:
    with reading(engine).connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
