"""Two workers and a person on one store, while messages come: nothing is lost, doubled or out of order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from broker import operations
from broker.errors import OperationError
from broker.flow.worker import Pace, Worker
from broker.home import home_of
from broker.project import Project, load_project
from broker.run import prepare
from broker.store.care import CareStore
from broker.store.care_rows import TaskRow
from broker.store.care_tables import ActRow, ChangeRow, CursorRow, HandledRow
from broker.store.delivery_tables import DeliveryRow
from broker.store.house_tables import AuditRow
from broker.store.journal import Reader
from broker.store.open import Stores, migrate_all, open_engine, store_urls
from tests.proof.hospital import histories
from tests.proof.house import ROOT, House, all_rows, house
from tests.proof.onslaught import until
from tests.proof.standing import count_of, difference, handled_once, meaning, rows_of

MESSAGES = 240
ANN = operations.Who("ann", "test")


class Reckless(CareStore):
    """Takes every slot, whoever has it: what it saves is right by what it compares, and by nothing else."""

    @contextmanager
    def slots_taken(self, slots: Collection[int]) -> Iterator[set[int]]:
        yield set(slots)


class Person(threading.Thread):
    """Begins and completes tasks, whichever are open. `acts` are those that were taken."""

    def __init__(self, stores: Stores, project: Project, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._engine = open_engine(stores.care_url, role="care")
        self._project, self._over = project, stop
        self.acts: list[tuple[int, int, str]] = []
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            care, random = CareStore(self._engine), Random(3)
            while not self._over.wait(0.01):
                found = rows_of(self._engine, TaskRow.patient, TaskRow.n, TaskRow.state)
                waiting = [row for row in found if row.state in ("open", "begun")]
                for task in random.sample(waiting, min(4, len(waiting))):
                    self._act(care, (task.patient, task.n), "done" if task.state == "begun" else "begin")
        except BaseException as error:  # shown by who joins
            self.fault = error
        finally:
            self._engine.dispose()

    def _act(self, care: CareStore, task: tuple[int, int], act: str) -> None:
        try:
            operations.act_on_task(care, self._project, ANN, task, act, f"{act} of {task}")
        except OperationError as error:
            assert error.code in ("busy", "wrong_state"), error.code
        else:
            self.acts.append((*task, operations.TASK_ACTS[act]))


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(ROOT)


def messages(hospital: str) -> list[bytes]:
    return [message for _, message in islice(histories(hospital, cancelled=False), MESSAGES)]


@contextmanager
def working(stores: Stores, project: Project, bundle: str, kind: type[CareStore]) -> Iterator[None]:
    """A worker in a thread of its own, on connections of its own, until the block ends."""
    engine = open_engine(stores.care_url, role="care")
    care, reader = kind(engine), Reader(stores.journal_url)
    pace = Pace(batch_size=7, idle_secs=0.01)
    worker, stop = Worker(project, bundle, reader, care, pace), threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        care.close()
        reader.close()
        engine.dispose()
    assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("kind", [CareStore, Reckless])
def test_two_workers_and_a_person_on_one_store(
    postgres_stores: Stores, project: Project, tmp_path: Path, kind: type[CareStore]
) -> None:
    sent = {hospital: messages(hospital) for hospital in "AB"}
    stop = threading.Event()
    person = Person(postgres_stores, project, stop)
    with house(postgres_stores, project) as first, house(postgres_stores, project) as second:
        person.start()
        one, other = (working(postgres_stores, project, first.bundle, kind) for _ in range(2))
        with one, other:
            receiving = [
                threading.Thread(target=receive, args=(made, sent[hospital]), daemon=True)
                for made, hospital in ((first, "A"), (second, "B"))
            ]
            for thread in receiving:
                thread.start()
            for thread in receiving:
                thread.join(60)
            worked(first, 2 * MESSAGES)
        stop.set()
        person.join(60)
        first.work()
        assert_it_stands(first, person, sent["A"] + sent["B"], tmp_path)


def receive(made: House, raws: Sequence[bytes]) -> None:
    """A few at a time, as they come."""
    for start in range(0, len(raws), 5):
        made.receive(raws[start : start + 5])


@pytest.mark.slow
def test_a_worker_and_a_person_in_another_process_on_sqlite(
    sqlite_stores: Stores, project: Project, tmp_path: Path
) -> None:
    sent = messages("A")
    stop = threading.Event()
    person = Person(sqlite_stores, project, stop)
    with house(sqlite_stores, project) as made:
        with worker_process(tmp_path / "data"):
            person.start()
            receive(made, sent)
            worked(made, MESSAGES)
        stop.set()
        person.join(60)
        made.work()
        assert_it_stands(made, person, sent, tmp_path)


def worked(made: House, count: int) -> None:
    """Waits until so many are, by whomever."""
    until(lambda: count_of(made.engine, HandledRow) >= count, 60, f"{count} messages are worked")


@contextmanager
def worker_process(data: Path) -> Iterator[None]:
    """`broker work` on a data folder; it drains at the end."""
    environment = {**os.environ, "HANDOFF_DATA": str(data), "HANDOFF_BATCH_SIZE": "7"}
    prepare(home_of(ROOT, environment=environment))
    command = [sys.executable, "-m", "broker.run", "work", "work-1", str(ROOT)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0


def assert_it_stands(made: House, person: Person, sent: Sequence[bytes], folder: Path) -> None:
    if person.fault is not None:
        raise person.fault
    rows = all_rows(made.reader)
    assert Counter(row.raw for row in rows) == Counter(sent)
    handled_once(made.engine, rows)
    in_order(made, {(row.stream, row.seq): number for number, row in enumerate(rows)})
    at_the_ends(made, rows)
    names = Counter(row.name for row in rows_of(made.engine, DeliveryRow.name))
    assert not names or max(names.values()) == 1
    acted(made, person)
    found, wanted = meaning(made.engine), undisturbed(made.project, sent, folder)
    assert difference(found | states_aside(found), wanted | states_aside(wanted)) == []


def in_order(made: House, places: dict[tuple[int, int], int]) -> None:
    """Each patient's messages were worked in the order of their places."""
    worked: dict[int, list[int]] = defaultdict(list)
    lines = rows_of(
        made.engine, ChangeRow.id, ChangeRow.patient, ChangeRow.kind, ChangeRow.stream, ChangeRow.seq
    )
    for line in sorted(lines):
        if line.kind == "message":
            worked[line.patient].append(places[line.stream, line.seq])
    assert worked and all(order == sorted(order) for order in worked.values())


def at_the_ends(made: House, rows: Sequence[object]) -> None:
    """Every cursor has passed the last row of its slot in each stream."""
    cursors = {
        (r.slot, r.stream): r.seq
        for r in rows_of(made.engine, CursorRow.slot, CursorRow.stream, CursorRow.seq)
    }
    behind = [row for row in rows if cursors.get((row.slot, row.stream), 0) < row.seq]  # type: ignore[attr-defined]
    assert not behind


def acted(made: House, person: Person) -> None:
    """What the person did stands once each, in acts, in the audit and in the tasks, and nothing else does."""
    assert person.acts
    acts = Counter(
        (r.patient, r.row, r.kind) for r in rows_of(made.engine, ActRow.patient, ActRow.row, ActRow.kind)
    )
    assert acts == Counter(person.acts)
    with made.engine.connect() as connection:
        audited = connection.execute(select(AuditRow.what).where(AuditRow.who == ANN.name)).all()
    assert len(audited) == len(person.acts)
    states = {
        (r.patient, r.n): r.state for r in rows_of(made.engine, TaskRow.patient, TaskRow.n, TaskRow.state)
    }
    done = {(patient, n) for patient, n, kind in person.acts if kind == "task_done"}
    begun = {(patient, n) for patient, n, kind in person.acts if kind == "task_begun"} - done
    # Where the ground under it fell later (the patient was discharged), it stands as just that.
    assert all(states[task] in ("done", "changed_after") for task in done)
    assert all(states[task] in ("begun", "changed_after") for task in begun)


def states_aside(found: dict) -> dict:
    """Tasks without their states, and what is to be reviewed: they follow from what the person did too."""
    return {
        "review": Counter(),
        "task": Counter(
            (who, visit, kind, *rest) for (who, visit, kind, _, *rest) in found["task"].elements()
        ),
    }


def undisturbed(project: Project, sent: Sequence[bytes], folder: Path) -> dict:
    stores = store_urls(folder / "undisturbed")
    migrate_all(stores)
    with house(stores, project) as calm:
        calm.receive(sent)
        calm.work()
        return meaning(calm.engine)
