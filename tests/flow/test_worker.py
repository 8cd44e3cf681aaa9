"""What the worker makes of messages: given these, expect these notices and tasks. On both stores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Engine, text

from broker import operations
from broker.care.given import Directory
from broker.decide import decide_due, given_of
from broker.flow.worker import Pace, Worker
from broker.hl7 import Message, header
from broker.ids import Names
from broker.project import Project, load_project
from broker.records import Records
from broker.site import patient_key
from broker.slots import slot_of
from broker.store.bundles import Bundles
from broker.store.care import CareStore, Saved
from broker.store.journal import Entry, Reader, Receipt, Writer
from broker.store.open import Stores, open_engine

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"


def _this_week(found: re.Match[bytes]) -> bytes:
    day = datetime.now(UTC) - timedelta(days=6 - int(found[1]))
    return day.strftime("%Y%m%d").encode()


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(ROOT)


class House:
    """A journal, a care store and a worker of the shipped project, without any process."""

    def __init__(self, stores: Stores, project: Project) -> None:
        self.project = project
        self.journal = open_engine(stores.journal_url, role="journal", read_only=True)
        self.engine: Engine = open_engine(stores.care_url, role="care")
        self.care = CareStore(self.engine)
        self.bundle = Bundles(self.engine).put(project.files())
        self.writer = Writer(stores.journal_url, post=lambda call: call(), on_death=lambda error: None)
        self.worker = self.another()

    def another(self, project: Project | None = None) -> Worker:
        pace = Pace(timers_secs=0, directory_secs=0)
        return Worker(project or self.project, self.bundle, Reader(self.journal), self.care, pace)

    def receive(self, raw: bytes, channel: str = "north") -> tuple[int, int]:
        """Puts a message into the journal as intake does."""
        raw = raw.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
        head = header(raw)
        said = self.project.channels[channel]
        message = Message(raw, default_charset=said.default_charset)
        key = patient_key(message, self.project.site_of(said, message))
        entry = Entry(
            raw, slot_of(*(key or ("channel", channel))), channel, "test", head.message_type,
            head.event, head.control_id, f"{head.sending_application}|{head.sending_facility}", answer="AA",
        )  # fmt: skip
        return self.keep(entry)

    def keep(self, entry: Entry) -> tuple[int, int]:
        got, came = [], Event()

        def done(answer: object) -> None:
            got.append(answer)
            came.set()

        self.writer.accept(entry, done)
        assert came.wait(20)
        assert isinstance(got[0], Receipt)
        return got[0].stream, got[0].seq

    def fixture(self, name: str, **parts: str) -> bytes:
        """A made-up message, as if its 5 March were yesterday: old news calls for no outreach."""
        raw = (FIXTURES / name).read_bytes()
        for old, new in parts.items():
            raw = raw.replace(old.encode(), new.encode())
        return re.sub(rb"202603(\d\d)", _this_week, raw)

    def work(self, worker: Worker | None = None) -> None:
        worker = worker or self.worker
        while worker.work_once():
            pass
        worker.end()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def outcomes(self) -> list[str]:
        return [str(row[0]) for row in self.rows("SELECT outcome FROM handled ORDER BY stream, seq")]

    def tasks(self, state: str = "open") -> set[str]:
        return {str(row[0]) for row in self.rows(f"SELECT kind FROM task WHERE state = '{state}'")}

    def told(self) -> set[tuple[str, str]]:
        return {(str(kind), str(state)) for kind, state in self.rows("SELECT kind, state FROM notification")}

    def close(self) -> None:
        self.writer.stop(5)
        self.care.close()
        self.journal.dispose()
        self.engine.dispose()


@pytest.fixture
def house(stores: Stores, project: Project) -> Iterator[House]:
    house = House(stores, project)
    yield house
    house.close()


def test_a_discharge_home_opens_the_tasks_of_its_disposition_and_tells_the_pcp(house: House) -> None:
    house.receive(house.fixture("north/a01_admission.hl7"))
    house.receive(house.fixture("north/a03_home.hl7"))
    house.work()
    assert house.outcomes() == ["worked", "worked"]
    assert {"post_discharge_call", "medication_reconciliation", "follow_up_visit"} <= house.tasks()
    assert ("Discharge", "standing") in house.told()


def test_a_cancelled_discharge_withdraws_its_tasks_and_retracts_what_was_told(house: House) -> None:
    for name in ("a01_admission", "a03_home", "a13_cancel_discharge"):
        house.receive(house.fixture(f"north/{name}.hl7"))
    house.work()
    assert house.outcomes() == ["worked"] * 3
    assert "post_discharge_call" in house.tasks("withdrawn")
    assert ("Discharge", "retracted") in house.told()


def test_the_same_message_again_does_nothing_more(house: House) -> None:
    for _ in range(2):
        house.receive(house.fixture("north/a03_home.hl7"))
    house.work()
    house.receive(house.fixture("north/a03_home.hl7"))
    house.work()
    assert house.outcomes() == ["worked", "repeated", "repeated"]
    assert house.rows("SELECT count(*) FROM notification WHERE kind = 'Discharge'") == [(1,)]


def test_the_same_control_id_with_other_bytes_is_a_new_message(house: House) -> None:
    house.receive(house.fixture("north/a03_home.hl7"))
    house.receive(house.fixture("north/a03_home.hl7", **{"|01||||||||": "|06||||||||"}))
    house.work()
    assert house.outcomes() == ["worked", "worked"]


def test_a_message_that_the_mapping_cannot_use_is_refused_and_its_neighbours_are_worked(house: House) -> None:
    house.receive(house.fixture("north/a01_admission.hl7"))
    bad = house.receive(
        house.fixture("north/a03_home.hl7", **{"4400017^^^NORTH^MR~E0099121^^^ENTERPRISE^PI": ""})
    )
    house.receive(house.fixture("north/a03_snf.hl7"))
    house.work()
    assert house.outcomes() == ["worked", "refused", "worked"]
    assert house.rows("SELECT stream, seq, state, code FROM aside") == [(*bad, "refused", "missing")]


def test_a_message_of_a_paused_channel_waits_until_it_is_resumed(house: House) -> None:
    who = operations.Who("ann", "cli")
    operations.pause(house.care, who, "north", "their clocks are wrong")
    for name in ("a01_admission", "a03_home"):
        house.receive(house.fixture(f"north/{name}.hl7"))
    house.receive(house.fixture("lakeside/a01_admission.hl7"), "lakeside")
    house.work()
    assert house.outcomes() == ["paused", "paused", "worked"]
    operations.resume(house.care, who, "north", "mended")
    house.work()
    assert house.outcomes() == ["worked", "worked", "worked"]
    assert "post_discharge_call" in house.tasks()


def test_a_refused_message_is_worked_once_released_under_a_mended_mapping(
    house: House, project: Project
) -> None:
    raw = house.fixture("north/a03_home.hl7", **{"20260305141000-0500": ""})
    raw = re.sub(rb"EVN\|A03\|[^|]*", b"EVN|A03|", raw)
    place = house.receive(raw)
    house.work()
    assert house.outcomes() == ["refused"]
    files = dict(project.files())
    files["mappings/north_discharge.yaml"] = (
        files["mappings/north_discharge.yaml"]
        .replace(b"[PV1-45, EVN-6, EVN-2]", b"[PV1-45, EVN-6, EVN-2, MSH-7]")
        .split(b"  - name: no time, no discharge")[0]
    )
    mended = Project.from_files(files)
    assert operations.release(house.care, operations.Who("ann", "cli"), [place], "mapping mended") == 1
    house.bundle = Bundles(house.engine).put(mended.files())
    house.work(house.another(mended))
    assert house.outcomes() == ["worked"]
    assert house.rows("SELECT count(*) FROM aside WHERE state <> 'dismissed'") == [(0,)]


def test_a_frame_in_quarantine_is_recorded_and_never_mapped(house: House) -> None:
    house.keep(Entry(b"PID|1||4400017^^^NORTH^MR\r", -1, "north", answer="AE", cause="not_hl7"))
    house.work()
    assert house.outcomes() == ["quarantine"]
    assert house.rows("SELECT count(*) FROM notice") == [(0,)]


def test_a_test_patient_is_worked_but_nobody_is_told(house: House) -> None:
    house.receive(house.fixture("lakeside/a01_test_patient.hl7"), "lakeside")
    house.work()
    assert house.outcomes() == ["worked"]
    assert house.tasks() == set() and house.told() == set()


def test_an_unknown_code_does_not_hide_a_discharge(house: House) -> None:
    house.receive(house.fixture("lakeside/a03_unknown_code.hl7"), "lakeside")
    house.work()
    assert house.rows("SELECT verify FROM task WHERE kind = 'post_discharge_call'")[0][0]
    assert house.rows("SELECT code FROM code") == [("RESP",)]


def test_two_numbers_that_are_merged_are_one_person(house: House) -> None:
    house.receive(house.fixture("north/a04_emergency.hl7", **{"4400017": "4499001", "V5500120": "V77"}))
    house.receive(house.fixture("north/a01_admission.hl7"))
    house.receive(house.fixture("north/a40_merge.hl7"))
    house.work()
    assert house.outcomes() == ["worked"] * 3
    assert len(house.rows("SELECT DISTINCT person FROM patient")) == 1


def test_a_task_is_done_by_a_person_and_outlives_a_cancelled_discharge(
    house: House, project: Project
) -> None:
    house.receive(house.fixture("north/a01_admission.hl7"))
    house.receive(house.fixture("north/a03_home.hl7"))
    house.work()
    ((patient, n),) = house.rows("SELECT patient, n FROM task WHERE kind = 'post_discharge_call'")
    operations.act_on_task(
        house.care, project, operations.Who("ann", "cli"), (int(str(patient)), int(str(n))), "done", "reached"
    )
    assert "post_discharge_call" in house.tasks("done")
    house.receive(house.fixture("north/a13_cancel_discharge.hl7"))
    house.work()
    assert "post_discharge_call" in house.tasks("changed_after") | house.tasks("done")
    assert house.rows("SELECT who, what FROM audit") == [("ann", "task_done")]


def test_a_worker_that_died_with_a_message_alone_in_hand_twice_refuses_it(house: House) -> None:
    house.receive(house.fixture("north/a01_admission.hl7"))
    stream, seq = house.receive(house.fixture("north/a03_home.hl7"))
    for owner in ("first", "second"):
        care = CareStore(house.engine)
        care.worker_started(owner)
        care.take_in_hand(owner, stream, seq)
        care.close()
    house.work()
    assert house.outcomes() == ["worked", "refused"]
    assert house.rows("SELECT code FROM aside") == [("killed_worker",)]


def test_an_application_answer_that_goes_elsewhere_is_a_delivery(house: House, project: Project) -> None:
    files = dict(project.files())
    files["channels/north.yaml"] += b"answer_to: westside/ehr\n"
    elsewhere = Project.from_files(files)
    raw = house.fixture("north/a01_admission.hl7").replace(b"\n", b"\r")
    entry = Entry(raw, 5, "north", "test", "ADT", "A01", "N000101", "NORTHADT|NORTH", answer="CA >AA")
    house.keep(entry)
    house.keep(entry)
    house.bundle = Bundles(house.engine).put(elsewhere.files())
    house.work(house.another(elsewhere))
    assert house.outcomes() == ["worked", "repeated"]
    answers = house.rows("SELECT act, count(*) FROM delivery WHERE act = 'answer' GROUP BY act")
    assert answers == [("answer", 2)]


def test_a_channel_may_ask_for_hl7s_structures_and_refuses_what_breaks_them(
    house: House, project: Project
) -> None:
    files = dict(project.files())
    files["channels/north.yaml"] += b"validate: yes\n"
    strict = Project.from_files(files)
    house.receive(house.fixture("north/a01_admission.hl7"))
    house.receive(house.fixture("north/a08_update.hl7", PD1="EVN|A08|20260303110000-0500\nPD1"))
    house.bundle = Bundles(house.engine).put(strict.files())
    house.work(house.another(strict))
    assert house.outcomes() == ["worked", "refused"]
    assert house.rows("SELECT code FROM aside") == [("structure",)]


def test_a_timer_that_fails_is_put_off_and_stops_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.receive(house.fixture("north/a01_admission.hl7"))
    house.work()
    ((before,),) = house.rows("SELECT due_at FROM timer")
    due = house.care.due_timers(house.care.now() + timedelta(days=90), range(64), 10)
    loaded = house.care.records({one.patient for one in due})
    records = Records(loaded, house.care.records, lambda: 0)

    def fails(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(Records, "work", fails)
    given = given_of(house.project, Directory(), house.care.now() + timedelta(days=90), Names(b"x" * 16))
    batch = decide_due([(one.patient, one.n) for one in due], records, given)
    assert isinstance(house.care.save(batch), Saved)
    ((after,),) = house.rows("SELECT due_at FROM timer")
    assert after != before
