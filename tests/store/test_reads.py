"""What pages and commands list, in pages, on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from broker.care.facts import FactId
from broker.care.rows import (
    Cause,
    Change,
    DeliveryPut,
    EncounterPut,
    NotificationPut,
    PatientPut,
    PlanEntryPut,
    ReviewPut,
    TaskPut,
)
from broker.store.batch import AsidePut, Batch, CodePut, HandledPut, RecordPut
from broker.store.care import CareStore, Saved
from broker.store.patient_reads import PatientReads
from broker.store.reads import Reads
from broker.store.standing import standing

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
NAME = UUID(int=7)


@dataclass
class Ward:
    """A care store with some patients in it."""

    care: CareStore
    versions: dict[int, int]
    reads: Reads
    charts: PatientReads

    def patient(self, family: str, given: str, number: str, born: date | None = None, person: int = 0) -> int:
        (p,) = self.care.reserve(1)
        about = PatientPut(
            patient=p, name=UUID(int=p), person=person or p, authority="north", number=number, family=family,
            given=given, birth_date=born, sex="female", phone="555", language="en", contacts=(), pcp={},
            deceased_at=None, deceased=False, verb="new", cause=Cause(None),
        )  # fmt: skip
        self.save(p, [about], numbers=[("north", number)], person=person or p)
        return p

    def save(
        self,
        patient: int,
        changes: list[Change],
        numbers: list[tuple[str, str]] | None = None,
        person: int = 0,
        handled: list[HandledPut] | None = None,
    ) -> None:
        version = self.versions.get(patient, 0)
        record = RecordPut(patient, version, person or patient, b"", numbers=numbers or [])
        saved = self.care.save(Batch(records=[record], changes=changes, handled=handled or []))
        assert isinstance(saved, Saved), saved
        self.versions[patient] = version + 1


@pytest.fixture
def ward(engine_of: Callable[..., Engine]) -> Iterator[Ward]:
    engine = engine_of("care")
    return Ward(CareStore(engine), {}, Reads(engine), PatientReads(engine))


def handled(seq: int, **other: object) -> HandledPut:
    given = {
        "stream": 1, "seq": seq, "at": AT + timedelta(minutes=seq), "channel": "a", "event": "ADT^A01",
        "control_id": str(seq), "patient": None, "outcome": "worked",
    }  # fmt: skip
    return HandledPut(**(given | other))


def task(patient: int, n: int, due: datetime | None, **other: object) -> TaskPut:
    given = dict(
        patient=patient, n=n, name=NAME, encounter=0, kind="call", title="Call", state="open",
        owner="coordinator",
        assignee="", urgency="routine", due_at=due, opened_at=AT, closed_at=None, verify=False, note="",
        verb="opened", cause=Cause(None),
    )  # fmt: skip
    return TaskPut(**(given | other))


def told(patient: int, version: int, words: str, stream: int = 1, seq: int = 1) -> NotificationPut:
    return NotificationPut(
        patient=patient, n=0, name=NAME, version=version, encounter=0, kind="discharge", state="standing",
        urgency="routine", about="1", occurred_at=AT, content={"words": words},
        verb="told" if version == 1 else "corrected",
        cause=Cause(FactId(stream, seq, "Discharge", 0), "rule", "v1"),
    )  # fmt: skip


def a_goal(patient: int, n: int, **other: object) -> PlanEntryPut:
    given = {"section": "goal", "key": "", "version": 1, "verb": "opened", "cause": Cause(None)} | other
    return PlanEntryPut(patient=patient, n=n, **given)


def test_messages_come_the_newest_first_and_in_pages(ward: Ward) -> None:
    ward.care.save(Batch(handled=[handled(seq, channel="ab"[seq % 2]) for seq in range(1, 8)]))
    first = ward.reads.messages(limit=4)
    rest = ward.reads.messages(limit=4, after=first[-1].place)
    assert [line.seq for line in first + rest] == [7, 6, 5, 4, 3, 2, 1]
    assert [line.seq for line in ward.reads.messages(channel="b")] == [7, 5, 3, 1]
    assert [line.seq for line in ward.reads.messages(since=AT + timedelta(minutes=6))] == [7, 6]


def test_messages_are_found_by_what_became_of_them_and_by_event(ward: Ward) -> None:
    puts = [
        handled(1, outcome="refused", why="missing"),
        handled(2),
        handled(3, outcome="filtered", event="ADT^A03"),
        handled(4, event="ADT^A03", at=AT - timedelta(days=40)),
    ]
    ward.care.save(Batch(handled=puts))
    assert [line.seq for line in ward.reads.messages(outcome="refused")] == [1]
    assert [line.seq for line in ward.reads.messages(outcome="worked")] == [2, 4]
    assert [line.seq for line in ward.reads.messages(event="ADT^A03")] == [3]
    found = ward.reads.message(1, 1)
    assert found is not None
    assert (found.why, found.bundle) == ("missing", "")
    assert ward.reads.message(1, 99) is None


def test_open_tasks_come_the_most_urgent_first_and_undated_ones_last(ward: Ward) -> None:
    p = ward.patient("Miller", "Ann", "1")
    ward.save(
        p,
        [
            task(p, 0, None),
            task(p, 1, AT + timedelta(days=2)),
            task(p, 2, AT + timedelta(days=1), owner="nurse"),
            task(p, 3, AT, state="done"),
            task(p, 4, None, assignee="ann"),
        ],
    )
    assert [line.n for line in ward.reads.tasks()] == [2, 1, 0, 4]
    pages, after = [], None
    while page := ward.reads.tasks(limit=1, after=after):
        pages.append(page[0].n)
        after = page[0].place
    assert pages == [2, 1, 0, 4]
    assert [line.n for line in ward.reads.tasks(owner="nurse")] == [2]
    assert [line.n for line in ward.reads.tasks(assignee="ann")] == [4]
    assert [line.n for line in ward.reads.tasks(due_before=AT + timedelta(days=2))] == [2]
    assert (ward.reads.tasks()[0].family, ward.reads.tasks()[0].patient_number) == ("Miller", "1")


def test_patients_are_found_by_name_number_and_birth_date(ward: Ward) -> None:
    ann = ward.patient("Miller", "Ann", "1", date(1950, 2, 3))
    bob = ward.patient("millers", "Bob", "2")
    eva = ward.patient("Ångström", "Eva", "3")
    assert [line.id for line in ward.reads.patients(name="mill")] == [ann, bob]
    assert [line.id for line in ward.reads.patients(name="MILLER, a")] == [ann]
    assert [line.id for line in ward.reads.patients(name="å")] == [eva]
    assert [line.id for line in ward.reads.patients(number="2")] == [bob]
    assert [line.id for line in ward.reads.patients(number="2", authority="south")] == []
    assert [line.id for line in ward.reads.patients(birth_date="1950-02-03")] == [ann]
    first = ward.reads.patients(limit=2)
    assert [line.id for line in ward.reads.patients(after=first[-1].place)] == [eva]


def test_a_timeline_joins_messages_and_changes_of_all_patients_of_a_person(ward: Ward) -> None:
    one = ward.patient("Miller", "Ann", "1")
    two = ward.patient("Miller", "Ann", "2", person=one)
    ward.save(one, [told(one, 1, "first")], handled=[handled(1, patient=one)])
    ward.save(two, [task(two, 0, AT)], person=one, handled=[handled(2, patient=two)])
    ward.save(one, [told(one, 2, "second", seq=3)], handled=[handled(3, patient=one)])
    lines = ward.charts.timeline([one, two])
    assert [(line.patient, line.kind, line.verb) for line in lines] == [
        (one, "notification", "corrected"),
        (one, "message", "worked"),
        (two, "task", "opened"),
        (two, "message", "worked"),
        (one, "notification", "told"),
        (one, "message", "worked"),
        (two, "patient", "new"),
        (one, "patient", "new"),
    ]
    assert (lines[0].stream, lines[0].seq, lines[0].rule) == (1, 3, "rule")
    pages, after = [], None
    while page := ward.charts.timeline([one, two], after=after, limit=3):
        pages += page
        after = page[-1].id
    assert pages == lines


def test_earlier_versions_are_kept_and_found_by_the_timeline(ward: Ward) -> None:
    p = ward.patient("Miller", "Ann", "1")
    ward.save(p, [told(p, 1, "first"), told(p, 2, "second")])
    ward.save(p, [told(p, 3, "third")])
    assert [(line.version, line.content) for line in ward.charts.notifications([p])] == [
        (3, {"words": "third"})
    ]
    bodies = {
        line.row_version: line.body for line in ward.charts.timeline([p]) if line.kind == "notification"
    }
    assert [ward.charts.body(bodies[n] or 0) for n in (1, 2, 3)] == [
        {"words": "first"},
        {"words": "second"},
        {"words": "third"},
    ]


def test_one_patients_page_shows_everything(ward: Ward) -> None:
    one = ward.patient("Miller", "Ann", "1", date(1950, 2, 3))
    two = ward.patient("Miller", "Ann", "2", person=one)
    about = {"verb": "opened", "cause": Cause(None)}
    ward.save(
        two,
        [
            EncounterPut(
                patient=two, n=0, name=NAME, site="north", visit_id="V", status="in_progress",
                patient_class="inpatient", admitted_at=AT, discharged_at=None, disposition="", location="",
                attending="", reason="", **about,
            ),
            a_goal(two, 0, state="ended", body={"a": 1}),
            a_goal(two, 1, state="active", body={}),
            ReviewPut(patient=two, n=0, kind="circle", text="?", state="open", opened_at=AT, **about),
            told(two, 1, "first"),
            DeliveryPut(
                name=NAME, patient=two, notification=0, version=1, act="tell", recipient="pcp",
                destination="a/b", address="x", not_before=AT, cause=Cause(None),
            ),
            task(two, 0, AT),
        ],
        person=one,
    )  # fmt: skip
    found = ward.charts.patient(one)
    assert found is not None
    assert (found.birth_date, found.linked, found.identifiers) == (
        date(1950, 2, 3),
        (two,),
        (("north", "1"),),
    )
    assert found.incomplete is False
    both = [one, two]
    assert [row.status for row in ward.charts.encounters(both)] == ["in_progress"]
    assert [entry.n for entry in ward.charts.plan(both)] == [1, 0]
    assert [row.state for row in ward.charts.deliveries(both)] == ["queued"]
    assert [row.n for row in ward.charts.tasks(both)] == [0]
    assert (
        [row.kind for row in ward.charts.reviews(both)]
        == [row.kind for row in ward.reads.reviews()]
        == ["circle"]
    )
    put = AsidePut(1, 9, 0, "a", "refused", "missing", patient=two)
    ward.care.save(Batch(aside=[put], handled=[handled(9, outcome="refused")]))
    page = ward.charts.patient(one)
    assert page is not None and page.incomplete
    assert ward.charts.patient(999) is None


def test_deliveries_and_codes_are_listed(ward: Ward) -> None:
    p = ward.patient("Miller", "Ann", "1")
    for n in range(3):
        put = DeliveryPut(
            name=UUID(int=n), patient=p, notification=0, version=1, act="tell", recipient="pcp",
            destination="a/b" if n else "c/d", address="x", not_before=AT, cause=Cause(None),
        )  # fmt: skip
        ward.save(p, [put])
    lines = ward.reads.deliveries()
    assert [line.destination for line in lines] == ["a/b", "a/b", "c/d"]
    assert (
        ward.reads.deliveries(destination="c/d") == [lines[2]] == ward.reads.deliveries(after=lines[1].place)
    )
    assert ward.reads.deliveries(state="doubtful") == []
    assert ward.reads.delivery(lines[0].id) == lines[0]
    assert ward.reads.attempts(lines[0].id) == []
    code = CodePut("a", "t", "ZZ", "PV1-36", 1, 1)
    ward.care.save(Batch(codes=[code, code, code._replace(code="Y")]))
    assert [(line.code, line.count, line.last) for line in ward.reads.codes(channel="a")] == [
        ("ZZ", 2, (1, 1)),
        ("Y", 1, (1, 1)),
    ]


def test_the_standing_counts_what_became_of_messages_and_what_is_open(ward: Ward) -> None:
    p = ward.patient("Miller", "Ann", "1")
    ward.save(p, [task(p, 0, AT), task(p, 1, None)], handled=[handled(1), handled(2, outcome="filtered")])
    found = standing(ward.care.engine, AT + timedelta(hours=1))
    assert found.became == {"a": {"worked": 1, "filtered": 1}}
    assert (found.worked, found.tasks_open, found.tasks_overdue) == (2, 2, 1)
    assert found.last_at == {"a": AT + timedelta(minutes=2)}
