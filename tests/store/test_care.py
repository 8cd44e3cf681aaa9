"""The care store as the worker uses it: load, save, and what happens when somebody was faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from sqlalchemy import Engine, text

from broker.care.facts import FactId
from broker.care.rows import (
    Cause,
    EncounterPut,
    NotificationPut,
    PatientPut,
    PlanEntryPut,
    ReviewPut,
    TaskPut,
    TimerPut,
)
from broker.store.care import (
    Aside,
    AsidePut,
    AuditPut,
    Batch,
    CareStore,
    CodePut,
    CursorMove,
    HandledPut,
    NoticePut,
    Overtaken,
    RecordPut,
    Refusable,
    Saved,
    SeenKey,
    SeenPut,
)

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
CAUSE = Cause(FactId(1, 1, "Discharge", 0), "call", "v1")


def named(*words: object) -> UUID:
    return uuid5(NAMESPACE_OID, "/".join(map(str, words)))


@pytest.fixture
def care(engine_of: Callable[..., Engine]) -> Iterator[CareStore]:
    return CareStore(engine_of("care"))


def rows(care: CareStore, sql: str) -> list[tuple[object, ...]]:
    with care.engine.begin() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def handled(seq: int, **other: object) -> HandledPut:
    given = {
        "stream": 1,
        "seq": seq,
        "at": AT,
        "channel": "north_adt",
        "event": "ADT^A03",
        "control_id": f"M{seq}",
        "patient": None,
        "outcome": "worked",
    } | other
    return HandledPut(**given)


def a_record(care: CareStore, number: str = "1001", visit: str = "V1") -> RecordPut:
    (patient,) = care.reserve(1)
    return RecordPut(patient, 0, patient, b"head", {0: b"stay 0"}, [("north", number)], [("north", visit)])


def a_task(patient: int, n: int = 0, **other: object) -> TaskPut:
    given = dict(
        patient=patient,
        n=n,
        name=named("task", patient, n),
        encounter=0,
        kind="call",
        title="Call",
        state="open",
        owner="coordinator",
        assignee="",
        urgency="routine",
        due_at=AT + timedelta(days=2),
        opened_at=AT,
        closed_at=None,
        verify=False,
        note="",
        verb="opened",
        cause=CAUSE,
    )
    return TaskPut(**(given | other))


def test_a_saved_record_is_found_by_its_number_and_by_its_visit(care: CareStore) -> None:
    record = a_record(care)
    assert isinstance(care.save(Batch(records=[record])), Saved)
    loaded = care.records_of([("north", "1001"), ("north", "9999")], [("north", "V1")])
    assert loaded.by_number == {("north", "1001"): record.patient}
    assert loaded.by_visit == {("north", "V1"): record.patient}
    found = loaded.records[record.patient]
    assert (found.person, found.version, found.head, found.stays) == (
        record.patient,
        1,
        b"head",
        {0: b"stay 0"},
    )


def test_all_that_are_linked_as_one_person_are_loaded_with_any_of_them(care: CareStore) -> None:
    one, two, three = (a_record(care, f"{n}", f"V{n}") for n in range(3))
    two.person = three.person = one.patient
    care.save(Batch(records=[one, two, three]))
    for number in "012":
        assert set(care.records_of([("north", number)], []).records) == {
            one.patient,
            two.patient,
            three.patient,
        }


def test_only_changed_stays_need_be_given_and_the_version_grows(care: CareStore) -> None:
    record = a_record(care)
    care.save(Batch(records=[record]))
    care.save(Batch(records=[RecordPut(record.patient, 1, record.patient, b"head 2", {3: b"stay 3"})]))
    found = care.records([record.patient]).records[record.patient]
    assert (found.version, found.head, found.stays) == (2, b"head 2", {0: b"stay 0", 3: b"stay 3"})


def test_cursors_move_from_where_they_were_read(care: CareStore) -> None:
    assert care.save(Batch(cursors=[CursorMove(3, 1, 0, 10), CursorMove(4, 1, 0, 12)])) == Saved(any_time())
    assert care.cursors([3, 4, 5]) == {(3, 1): 10, (4, 1): 12}
    assert isinstance(care.save(Batch(cursors=[CursorMove(3, 1, 10, 20), CursorMove(4, 1, 12, 20)])), Saved)
    assert care.cursors([3]) == {(3, 1): 20}


class any_time:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, datetime) and other.tzinfo is not None


@pytest.mark.parametrize(
    "moved",
    [
        lambda r: Batch(cursors=[CursorMove(0, 1, 4, 9)]),
        lambda r: Batch(cursors=[CursorMove(0, 1, 0, 9)]),
        lambda r: Batch(taken=[Aside(1, 1, 0, "north_adt", "released")]),
        lambda r: Batch(records=[RecordPut(r.patient, 7, r.patient, b"new")]),
        lambda r: Batch(untouched=[(r.patient, 7)]),
        lambda r: Batch(seen=[SeenPut(SeenKey("north_adt", "A|B", "M1", "aa"), 1, 2, AT)]),
        lambda r: Batch(records=[RecordPut(r.patient + 1, 0, r.patient + 1, b"", {}, [("north", "1001")])]),
        lambda r: Batch(records=[RecordPut(r.patient + 1, 0, r.patient + 1, b"", {}, [], [("north", "V1")])]),
    ],
    ids=["cursor", "first move", "aside", "record", "untouched", "seen", "number", "visit"],
)
def test_nothing_is_saved_when_somebody_was_faster(
    care: CareStore, moved: Callable[[RecordPut], Batch]
) -> None:
    record = a_record(care)
    first = Batch(
        cursors=[CursorMove(0, 1, 0, 5)],
        aside=[AsidePut(1, 1, 0, "north_adt", "refused", "no_time")],
        handled=[handled(1, outcome="refused")],
        seen=[SeenPut(SeenKey("north_adt", "A|B", "M1", "aa"), 1, 1, AT)],
        records=[record],
    )
    assert isinstance(care.save(first), Saved)
    batch = moved(record)
    batch.handled.append(handled(2))
    batch.notices.append(NoticePut(1, 2, "Discharge", 0, record.patient, b"{}"))
    assert isinstance(care.save(batch), Overtaken)
    assert rows(care, "SELECT count(*) FROM handled") == [(1,)]
    assert rows(care, "SELECT count(*) FROM notice") == [(0,)]
    assert care.records([record.patient]).records[record.patient].version == 1


def test_reading_a_record_for_a_decision_raises_its_version_too(care: CareStore) -> None:
    record = a_record(care)
    care.save(Batch(records=[record]))
    assert isinstance(care.save(Batch(untouched=[(record.patient, 1)])), Saved)
    assert care.save(Batch(untouched=[(record.patient, 1)])) == Overtaken("record")


def test_a_visit_moves_from_a_record_that_was_read(care: CareStore) -> None:
    one, two = a_record(care, "1", "V1"), a_record(care, "2", "V2")
    care.save(Batch(records=[one, two]))
    moved = RecordPut(two.patient, 1, two.patient, b"head", visits=[("north", "V1")])
    assert isinstance(care.save(Batch(records=[moved], untouched=[(one.patient, 1)])), Saved)
    assert care.records_of([], [("north", "V1")]).by_visit == {("north", "V1"): two.patient}


def test_a_repeat_is_known_by_channel_sender_control_id_and_digest(care: CareStore) -> None:
    key = SeenKey("north_adt", "A|B", "M1", "aa")
    care.save(Batch(seen=[SeenPut(key, 1, 7, AT)]))
    others = [
        key._replace(channel="x"),
        key._replace(sender="x"),
        key._replace(control_id="x"),
        key._replace(digest="x"),
    ]
    assert care.seen([key, *others, key._replace(control_id="N\0")]) == {key: (1, 7)}


def test_repeats_are_forgotten_the_oldest_first(care: CareStore) -> None:
    keys = [SeenKey("north_adt", "A|B", f"M{n}", "aa") for n in range(4)]
    care.save(Batch(seen=[SeenPut(key, 1, n, AT + timedelta(days=n)) for n, key in enumerate(keys, 1)]))
    assert care.forget_seen(AT + timedelta(days=4), limit=2) == 2
    assert set(care.seen(keys)) == set(keys[2:])
    assert care.forget_seen(AT + timedelta(days=4)) == 1
    assert set(care.seen(keys)) == {keys[3]}


def test_a_message_may_stand_for_itself_again(care: CareStore) -> None:
    seen = SeenPut(SeenKey("north_adt", "A|B", "M1", "aa"), 1, 7, AT)
    care.save(Batch(seen=[seen]))
    assert isinstance(care.save(Batch(seen=[seen])), Saved)


@pytest.mark.parametrize(
    "batch",
    [
        lambda r: Batch(records=[RecordPut(r, 0, r, b"", numbers=[("north", "10\x0001")])]),
        lambda r: Batch(records=[RecordPut(r, 0, r, b"", visits=[("north", "\ud800")])]),
        lambda r: Batch(seen=[SeenPut(SeenKey("c", "s", "M\0", "aa"), 1, 7, AT)]),
        lambda r: Batch(handled=[handled(2**70)]),
        lambda r: Batch(handled=[handled(3, outcome="lost")]),
        lambda r: Batch(handled=[handled(3, control_id="\ud800")]),
    ],
    ids=[
        "number with NUL",
        "half a surrogate",
        "control id with NUL",
        "too large",
        "no such outcome",
        "text",
    ],
)
def test_a_value_that_the_database_refuses_is_said_to_be_one(
    care: CareStore, batch: Callable[[int], Batch]
) -> None:
    (patient,) = care.reserve(1)
    asked = batch(patient)
    asked.cursors.append(CursorMove(0, 1, 0, 5))
    with pytest.raises(Refusable):
        care.save(asked)
    assert care.cursors([0]) == {}


def test_every_change_is_a_row_and_a_line_of_the_timeline(care: CareStore) -> None:
    record = a_record(care)
    p = record.patient
    about = {"verb": "opened", "cause": CAUSE}
    changes = [
        PatientPut(
            patient=p,
            name=named(p),
            person=p,
            authority="north",
            number="1001",
            family="Ärger",
            given="Eva",
            birth_date=date(1950, 2, 3),
            sex="female",
            phone="1",
            language="de",
            contacts=({"name": "x"},),
            pcp={"npi": "1"},
            deceased_at=None,
            deceased=False,
            **about,
        ),
        EncounterPut(
            patient=p,
            n=0,
            name=named(p, 0),
            site="north",
            visit_id="V1",
            status="discharged",
            patient_class="inpatient",
            admitted_at=AT,
            discharged_at=AT,
            disposition="home",
            location="",
            attending="",
            reason="",
            **about,
        ),
        NotificationPut(
            patient=p,
            n=0,
            name=named("n", p),
            version=1,
            encounter=0,
            kind="discharge",
            state="standing",
            urgency="routine",
            about="1001",
            occurred_at=AT,
            content={"a": "b"},
            **about,
        ),
        a_task(p),
        a_task(p, state="begun", verb="begun"),
        PlanEntryPut(
            patient=p, n=0, section="team", key="1", version=1, state="active", body={"x": 1}, **about
        ),
        TimerPut(patient=p, n=0, kind="overdue", due_at=AT, cause=CAUSE),
        ReviewPut(patient=p, n=0, kind="circle", text="?", state="open", opened_at=AT, **about),
    ]
    assert isinstance(care.save(Batch(records=[record], changes=changes)), Saved)
    assert rows(care, "SELECT state FROM task") == [("begun",)]
    kinds = ["patient", "encounter", "notification", "task", "task", "plan_entry", "timer", "review"]
    assert [row[0] for row in rows(care, "SELECT kind FROM change ORDER BY id")] == kinds
    assert rows(care, "SELECT family_key, birth_date FROM patient") == [("ärger", "1950-02-03")]
    assert rows(care, "SELECT n FROM notification") == rows(care, "SELECT n FROM plan_entry") == [(0,)]


def test_a_timer_is_due_until_it_is_worked_or_taken_away(care: CareStore) -> None:
    record = a_record(care)
    p = record.patient
    timers = [
        TimerPut(patient=p, n=n, kind="overdue", due_at=AT + timedelta(hours=n), cause=CAUSE)
        for n in range(3)
    ]
    care.save(Batch(records=[record], changes=list(timers)))
    every = range(64)
    assert [timer.n for timer in care.due_timers(AT + timedelta(hours=1), every, 10)] == [0, 1]
    assert care.due_timers(AT + timedelta(hours=1), [(p + 1) % 64], 10) == []
    gone = TimerPut(patient=p, n=1, kind="overdue", due_at=None, cause=CAUSE)
    care.save(Batch(records=[RecordPut(p, 1, p, b"")], changes=[gone], timers_done=[(p, 0)]))
    assert [timer.n for timer in care.due_timers(AT + timedelta(hours=9), every, 10)] == [2]


def test_codes_are_counted_and_keep_their_first_and_last_message(care: CareStore) -> None:
    code = CodePut("north_adt", "north_disposition", "ZZ", "PV1-36", 1, 1)
    care.save(Batch(codes=[code, code._replace(seq=2)]))
    care.save(Batch(codes=[code._replace(seq=9)]))
    assert rows(care, "SELECT count, first_seq, last_seq FROM code") == [(3, 1, 9)]


def test_a_message_worked_after_all_counts_where_it_ended(care: CareStore) -> None:
    care.save(
        Batch(handled=[handled(1, outcome="refused")], aside=[AsidePut(1, 1, 0, "north_adt", "refused", "x")])
    )
    with care.engine.begin() as connection:
        connection.execute(text("UPDATE aside SET state = 'released'"))
    (ready,) = care.ready_aside([0])
    assert isinstance(care.save(Batch(taken=[ready], handled=[handled(1)])), Saved)
    assert rows(care, "SELECT outcome FROM handled") == [("worked",)]
    assert rows(care, "SELECT outcome, sum(count) FROM tally GROUP BY outcome HAVING sum(count) <> 0") == [
        ("worked", 1)
    ]


def test_the_secret_is_made_once(care: CareStore, engine_of: Callable[..., Engine]) -> None:
    assert len(care.secret()) == 32
    assert CareStore(engine_of("care")).secret() == care.secret()


def test_numbers_are_given_out_once(care: CareStore) -> None:
    assert list(care.reserve(3)) == [1, 2, 3]
    assert list(care.reserve(2)) == [4, 5]
    assert list(care.reserve_acts(1)) == [1]


def test_the_clock_is_the_databases_and_aware(care: CareStore) -> None:
    assert abs(care.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_act_stands_or_falls_with_its_audit(care: CareStore) -> None:
    record = a_record(care)
    care.save(Batch(records=[record], audit=[AuditPut("ann", "look", record.patient)]))
    failed = Batch(
        records=[RecordPut(record.patient, 9, 1, b"")], audit=[AuditPut("ann", "begin", record.patient)]
    )
    assert isinstance(care.save(failed), Overtaken)
    assert rows(care, "SELECT id, what FROM audit") == [(1, "look")]


def test_of_two_savers_that_read_the_same_one_is_overtaken(care: CareStore) -> None:
    """Many rounds, both at once: whatever the interleaving, each round adds exactly one version."""
    record = a_record(care)
    other = a_record(care, "2", "V2")
    care.save(Batch(records=[record, other]))
    rounds = 30
    gate = threading.Barrier(2)
    results: list[list[object]] = [[], []]

    def saver(me: int) -> None:
        for round in range(rounds):
            gate.wait(30)
            puts = [RecordPut(r.patient, round + 1, r.patient, b"%d" % me) for r in (record, other)]
            if me:
                puts.reverse()
            results[me].append(care.save(Batch(records=puts, cursors=[CursorMove(0, 1, round, round + 1)])))
            gate.wait(30)

    threads = [threading.Thread(target=saver, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(isinstance(r, Saved) for r in both) for both in zip(*results, strict=True)] == [1] * rounds
    assert care.cursors([0]) == {(0, 1): rounds}
    assert care.records([record.patient]).records[record.patient].version == rounds + 1
