"""However messages of several patients are mixed, repeated, batched or cut short: the same end stands.

Real journal, real worker, the shipped project and the made-up patients of fixtures/, moved near today.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from broker.home import home_of
from broker.project import Project, load_project
from broker.run import prepare
from broker.store.open import Stores, store_urls
from tests.proof.house import FIXTURES, ROOT, all_rows, house, recent
from tests.proof.standing import Meaning, difference, handled_once, meaning

Sent = tuple[str, bytes]  # channel and message

# What happens to one patient each, in its order. The second word stands in for the patient's numbers.
HISTORIES: dict[str, tuple[str, ...]] = {
    "home, cancelled, and home again": (
        "north/a04_emergency", "north/a06_to_inpatient", "north/a02_transfer", "north/a08_update",
        "north/oru_potassium_critical", "north/oru_potassium_corrected", "north/a03_home",
        "north/a13_cancel_discharge", "north/a03_snf",
    ),
    "admitted by mistake": ("north/a01_admission", "north/a08_update", "north/a11_cancel_admission"),
    "expected, admitted, died": (
        "north/a05_preadmission", "north/a01_admission", "north/a16_pending_discharge", "north/a03_expired",
    ),
    "observed, then nursing": (
        "lakeside/a01_observation", "lakeside/a06_to_inpatient", "lakeside/oru_glucose",
        "lakeside/a03_nursing",
    ),
    "a code that nobody knows": ("lakeside/a01_admission", "lakeside/a03_unknown_code"),
}  # fmt: skip


def told(number: int, names: Sequence[str]) -> list[Sent]:
    """A history as it came, of a patient with numbers and control ids of their own."""
    sent = []
    for step, name in enumerate(names):
        raw = recent((FIXTURES / f"{name}.hl7").read_bytes())
        segments = [line.split(b"|") for line in raw.split(b"\r") if line]
        for fields in segments:
            if fields[0] == b"MSH":
                fields[9] = b"C%d.%d" % (number, step)
            elif fields[0] == b"PID":
                authority = fields[3].split(b"~")[0].split(b"^", 1)[1]
                fields[2], fields[3] = b"", b"P%d^%s" % (number, authority)
                del fields[19:]
                if len(fields) > 18:
                    fields[18] = b""
            elif fields[0] == b"PV1" and len(fields) > 19:
                fields[19] = b"V%d" % number + (
                    b"^" + fields[19].split(b"^", 1)[1] if b"^" in fields[19] else b""
                )
            elif fields[0] in (b"ORC", b"OBR"):
                fields[2], fields[3] = b"", b"O%d" % number
        sent.append((name.partition("/")[0], b"\r".join(b"|".join(fields) for fields in segments) + b"\r"))
    return sent


def everybody() -> list[list[Sent]]:
    """Two patients of each history."""
    return [told(10 * turn + n, names) for turn in (1, 2) for n, names in enumerate(HISTORIES.values())]


def mixed(random: Random) -> list[Sent]:
    """All histories in one stream, each in its order; every third message comes again somewhere later."""
    left = [list(history) for history in everybody()]
    stream: list[Sent] = []
    while left:
        history = random.choice(left)
        stream.append(history.pop(0))
        left = [one for one in left if one]
    for again in random.sample(range(len(stream)), len(stream) // 3):
        stream.insert(random.randint(again + 1, len(stream)), stream[again])
    return stream


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(ROOT)


@pytest.fixture(scope="module")
def wanted(project: Project, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Meaning:
    """What stands when one patient's messages come after the other's, each once, and nothing fails."""
    stores = copied(sqlite_template, tmp_path_factory.mktemp("wanted"))
    with house(stores, project) as made:
        for history in everybody():
            for channel, raw in history:
                made.receive([raw], channel)
        made.work()
        return meaning(made.engine)


def copied(template: Path, folder: Path) -> Stores:
    for name in ("journal.db", "care.db"):
        shutil.copy(template / name, folder / name)
    return store_urls(folder)


def keep(stores: Stores, project: Project, stream: Sequence[Sent]) -> None:
    with house(stores, project) as made:
        made.keep([made.entry(raw, channel) for channel, raw in stream])


def finish(stores: Stores, project: Project, batch_size: int) -> Meaning:
    """Works what is left and says what stands; every message is worked once."""
    with house(stores, project, batch_size) as made:
        made.work()
        handled_once(made.engine, all_rows(made.reader))
        return meaning(made.engine)


def test_the_histories_are_worked_and_call_for_something(wanted: Meaning) -> None:
    assert len(wanted["patient"]) == 2 * len(HISTORIES)
    assert wanted["task"] and wanted["notification"] and wanted["plan"]


@pytest.mark.parametrize("batch_size", [1, 400])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mixed_and_repeated_they_come_to_the_same_end(
    sqlite_stores: Stores, project: Project, wanted: Meaning, seed: int, batch_size: int
) -> None:
    keep(sqlite_stores, project, mixed(Random(seed)))
    assert difference(finish(sqlite_stores, project, batch_size), wanted) == []


@pytest.mark.postgres
def test_they_come_to_the_same_end_on_postgresql(
    postgres_stores: Stores, project: Project, wanted: Meaning
) -> None:
    keep(postgres_stores, project, mixed(Random(4)))
    assert difference(finish(postgres_stores, project, 7), wanted) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["worker.before_save:3", "care.after_cursors:2"])
def test_a_worker_that_is_killed_midway_leaves_the_same_end(
    sqlite_stores: Stores, project: Project, wanted: Meaning, tmp_path: Path, point: str
) -> None:
    killed_midway(sqlite_stores, project, wanted, tmp_path, point)


@pytest.mark.slow
@pytest.mark.postgres
def test_so_does_one_on_postgresql(
    postgres_stores: Stores, project: Project, wanted: Meaning, tmp_path: Path
) -> None:
    killed_midway(postgres_stores, project, wanted, tmp_path, "care.before_commit:3")


def killed_midway(stores: Stores, project: Project, wanted: Meaning, folder: Path, point: str) -> None:
    keep(stores, project, mixed(Random(5)))
    assert worked_until(stores, folder / "data", point) == -signal.SIGKILL
    assert difference(finish(stores, project, 400), wanted) == []


def worked_until(stores: Stores, data: Path, point: str) -> int:
    """A worker process of its own, which dies at this point; its exit code."""
    environment = {**os.environ, "HANDOFF_DATA": str(data), "HANDOFF_BATCH_SIZE": "9"}
    if stores.care_url.startswith("postgresql"):
        environment["HANDOFF_STORE"] = stores.care_url
    prepare(home_of(ROOT, environment=environment))
    command = [sys.executable, "-m", "broker.run", "work", "work-1", str(ROOT)]
    environment["BROKER_CRASH"] = point
    return subprocess.run(command, env=environment, timeout=60, stdout=subprocess.DEVNULL).returncode
