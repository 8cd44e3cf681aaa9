"""What the worker costs a message, from the journal to the saved batch, stage by stage.

    python bench/worker.py [--messages 6000] [--filled 300000] [--together] [--profile] [--json]

Stays of six messages each (admission, transfer, update, two reports of the laboratory, discharge), half of
them on the first patients' way out while the others come: nearly every message of a batch is about another
patient. `--together` has a stay's six in one batch. `--filled` messages stand in `care` beforehand. Costs
are CPU of the worker's thread, which other load on the machine changes less than the clock; compare runs of
one hour by `yardstick`, which is a fixed piece of work.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from structlog import configure, make_filtering_bound_logger

import broker.decide
import broker.flow.worker
import broker.mapped
import broker.records
from broker.flow.worker import Pace, Worker, calm_collector
from broker.hl7 import header
from broker.project import Project, load_project
from broker.slots import slot_of
from broker.store.batch import AuditPut
from broker.store.bundles import Bundles
from broker.store.care import CareStore
from broker.store.directory import DirectoryBook, DirectoryEntry
from broker.store.journal import Entry, Reader, Writer
from broker.store.open import migrate_all, open_engine, store_urls

HERE = Path(__file__).parent.parent
KINDS = (
    "a01_admission",
    "a02_transfer",
    "a08_update",
    "oru_two_orders",
    "oru_potassium_critical",
    "a03_home",
)
EHR = "westside/ehr"
# What is timed; stages within stages are indented by how deep they lie.
STAGES: tuple[tuple[int, str, Any, str], ...] = (
    (0, "read the journal", Reader, "read"),
    (0, "map", broker.flow.worker, "map_row"),
    (1, "parse", broker.mapped, "Message"),
    (1, "apply mappings", broker.mapped, "apply"),
    (0, "know repeats", CareStore, "seen"),
    (0, "load records", CareStore, "records_of"),
    (0, "decide", broker.flow.worker, "decide"),
    (1, "decode records", broker.records, "decode"),
    (1, "react", broker.records, "react"),
    (1, "encode records", broker.records, "encode"),
    (0, "save", CareStore, "save"),
)


def stays(count: int, first: int) -> Iterator[list[tuple[str, bytes]]]:
    """Each stay's messages, with the number of its patient. They begin today: nothing is overdue yet."""
    today = datetime.now(UTC)

    def day(found: re.Match[bytes]) -> bytes:
        return (today + timedelta(days=int(found[1]) - 2)).strftime("%Y%m%d").encode()

    whole = [(HERE / "fixtures/north" / f"{kind}.hl7").read_bytes().replace(b"\n", b"\r") for kind in KINDS]
    whole = [re.sub(rb"202603(\d\d)", day, one) for one in whole]
    numbers = random.Random(7).sample(range(first, first + count * 3), count)
    for n, number in enumerate(numbers, first):
        made = []
        for kind, one in enumerate(whole):
            raw = one.replace(b"4400017", b"%08d" % number).replace(b"V5500120", b"V%08d" % n)
            raw = raw.replace(b"A7700311", b"A%08d" % n).replace(b"|F99", b"|F%08d" % n)
            made.append((f"{number:08d}", re.sub(rb"\|N000\d+\|", b"|C%08d%d|" % (n, kind), raw, count=1)))
        yield made


def in_waves(all_of: list[list[tuple[str, bytes]]], width: int) -> Iterator[tuple[str, bytes]]:
    """The stays' messages as they come from a hospital: `width` at each step, each of another patient."""
    groups = [all_of[at : at + width] for at in range(0, len(all_of), width)]
    for step in range(len(groups) + len(KINDS) - 1):
        for n, group in enumerate(groups):
            if 0 <= step - n < len(KINDS):
                yield from (stay[step - n] for stay in group)


class Site:
    """A migrated store of its own, with what a worker needs around it."""

    def __init__(self, folder: Path, project: Project, store: str | None) -> None:
        urls = store_urls(folder, store)
        migrate_all(urls)
        self._project = project
        self._stored = threading.Semaphore(0)
        self._writer = Writer(urls.journal_url, post=lambda call: call(), on_death=print)
        self.engine = open_engine(urls.care_url, role="care")
        self.care = CareStore(self.engine)
        bundle = Bundles(self.engine).put(project.files())
        reached = [
            DirectoryEntry("practitioner", "npi", "1512873401", "Grace Okafor", "Westside", EHR, "WESTSIDE"),
            DirectoryEntry("practitioner", "npi", "1622984510", "Nils Lindqvist", "North", EHR, "NORTH"),
            DirectoryEntry(
                "role", "role", "coordinator", "Coordinators", "", "mail/smtp", "care@example.org"
            ),
        ]
        DirectoryBook(self.engine).replace(reached, AuditPut("bench", "directory"), datetime.now(UTC))
        reader = Reader(open_engine(urls.journal_url, role="journal", read_only=True))
        self.worker = Worker(project, bundle, reader, self.care, Pace())

    def accept(self, messages: list[tuple[str, bytes]]) -> None:
        """Brings messages into the journal."""
        for number, raw in messages:
            head = header(raw)
            entry = Entry(
                raw, slot_of("north", number), "north", "bench", head.message_type, head.event,
                head.control_id, f"{head.sending_application}|{head.sending_facility}", answer="AA",
            )  # fmt: skip
            self._writer.accept(entry, lambda receipt: self._stored.release())
        for _ in messages:
            self._stored.acquire()

    def work(self) -> int:
        """Works everything that is there; returns how many messages."""
        count = 0
        while worked := self.worker.work_once():
            count += worked
        return count

    def close(self) -> None:
        """Ends everything."""
        self.worker.end()
        self.care.close()
        self._writer.stop(5)


# What of a row is another in each copy: numbers grow by the template's size, words get the copy's number.
COPIED: dict[str, dict[str, str]] = {
    "handled": {"stream": "place", "patient": "patient"},
    "seen": {"stream": "place", "control_id": "word"},
    "notice": {"stream": "place", "patient": "patient"},
    "record": {"id": "record", "person": "patient", "last_line": "change", "last_delivery": "delivery"},
    "patient": {"id": "patient", "person": "patient", "name": "word", "number": "word"},
    "identifier": {"number": "word", "patient": "patient"},
    "visit_key": {"visit_id": "word", "patient": "patient"},
    "change": {"id": "change", "patient": "patient", "before": "change", "body": "body", "stream": "place"},
    "body": {"id": "body"},
    "encounter": {"patient": "patient", "name": "word"},
    "task": {"patient": "patient", "name": "word"},
    "notification": {"patient": "patient", "name": "word", "body": "body"},
    "plan_entry": {"patient": "patient", "body": "body"},
    "delivery": {
        "id": "delivery",
        "name": "word",
        "lane": "patient",
        "patient": "patient",
        "before": "delivery",
        "stream": "place",
    },
}


def fill(site: Site, template: int, wanted: int) -> int:
    """Copies what a template of messages has left in `care` until so many messages stand in it."""
    copies = max(0, wanted // template)
    with site.engine.begin() as store:
        sizes = {
            name: store.execute(text(f"SELECT coalesce(max({key}), 0) FROM {table}")).scalar_one()
            for name, table, key in (
                ("patient", "patient", "id"), ("change", "change", "id"), ("body", "body", "id"),
                ("delivery", "delivery", "id"),
            )
        }  # fmt: skip
        for table, shifted in COPIED.items():
            columns = [row[1] for row in store.exec_driver_sql(f"PRAGMA table_info({table})")]
            said = ", ".join(_shifted(column, shifted.get(column), sizes) for column in columns)
            names = ", ".join(f'"{column}"' for column in columns)
            store.exec_driver_sql(
                f'INSERT INTO "{table}" ({names}) SELECT {said} FROM "{table}" t, (WITH RECURSIVE c(k) AS'
                f" (VALUES(1) UNION ALL SELECT k + 1 FROM c WHERE k < {copies}) SELECT k FROM c)"
                if copies
                else "SELECT 1"
            )
        store.exec_driver_sql(
            f"UPDATE counter SET value = value + {sizes['patient'] * (copies + 1)} WHERE name = 'patient'"
        )
    return template * (copies + 1)


def _shifted(column: str, how: str | None, sizes: dict[str, int]) -> str:
    match how:
        case None:
            return f't."{column}"'
        case "place":
            return f't."{column}" + k'
        case "word":
            return f"t.\"{column}\" || '-' || k"
        case "record":
            return f't."{column}" + k * {sizes["patient"] << 16}'
    return f't."{column}" + k * {sizes[how]}'


class Stopwatch:
    """CPU of this thread in each stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {name: 0.0 for _, name, _, _ in STAGES}
        for _, name, owner, attribute in STAGES:
            setattr(owner, attribute, self._timed(name, getattr(owner, attribute)))

    def _timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            begun = time.thread_time()
            try:
                return work(*given, **named)
            finally:
                self.spent[name] += time.thread_time() - begun

        return timed


def yardstick() -> float:
    """Microseconds of CPU that a fixed piece of plain Python takes now; the best of some."""

    def work() -> None:
        made = [{"n": n, "word": str(n)} for n in range(300)]
        json.loads(json.dumps(sorted(made, key=lambda one: one["word"])))

    best = float("inf")
    for _ in range(30):
        begun = time.thread_time()
        work()
        best = min(best, time.thread_time() - begun)
    return best * 1e6


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """One run's figures."""
    project = load_project(HERE)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        site = Site(Path(folder), project, None)
        warm = list(stays(400, 1_000_000))
        site.accept([message for stay in warm for message in stay])
        filled = site.work()
        if given.filled:
            filled = fill(site, filled, given.filled)
        fresh = list(stays(given.messages // len(KINDS), 20_000_000))
        if given.together:
            messages = [message for stay in fresh for message in stay]
        else:
            messages = list(in_waves(fresh, 67))
        site.accept(messages)
        worked = len(messages)
        watch = Stopwatch()
        profile = cProfile.Profile(time.thread_time) if given.profile else None
        before = yardstick()
        with calm_collector():
            clock, cpu = time.perf_counter(), time.thread_time()
            if profile is not None:
                profile.enable()
            site.work()
            if profile is not None:
                profile.disable()
            clock, cpu = time.perf_counter() - clock, time.thread_time() - cpu
        if profile is not None:
            pstats.Stats(profile).sort_stats(given.sort).print_stats(given.lines)
        outcomes = {}
        with site.engine.begin() as store:
            for outcome, count in store.execute(text("SELECT outcome, count(*) FROM handled GROUP BY 1")):
                outcomes[outcome] = count
        site.close()
    scale = 1e6 / worked
    return {
        "messages": worked,
        "filled": filled,
        "together": given.together,
        "outcomes": outcomes,
        "yardstick_us": round((before + yardstick()) / 2),
        "per_second": round(worked / clock),
        "per_second_of_cpu": round(worked / cpu),
        "us_a_message": round(cpu * scale),
        "stages_us": {name: round(watch.spent[name] * scale, 1) for _, name, _, _ in STAGES},
    }


def main() -> None:
    """Prints the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--messages", type=int, default=6000)
    options.add_argument("--filled", type=int, default=0, help="messages that `care` holds beforehand")
    options.add_argument("--together", action="store_true", help="a stay's six messages in one batch")
    options.add_argument("--profile", action="store_true", help="print where the time goes, by function")
    options.add_argument("--sort", default="tottime")
    options.add_argument("--lines", type=int, default=60)
    options.add_argument("--folder", type=Path)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    configure(wrapper_class=make_filtering_bound_logger(40))
    figures = measure(given)
    if given.json:
        print(json.dumps(figures))
        return
    for depth, name, _, _ in STAGES:
        print(f"{'  ' * depth + name:24} {figures['stages_us'][name]:8.1f} us")
    print(f"{'all of it':24} {figures['us_a_message']:8} us of CPU a message")
    print(
        f"{figures['messages']} messages beside {figures['filled']}: {figures['per_second']:,} a second,"
        f" {figures['per_second_of_cpu']:,} a second of CPU; yardstick {figures['yardstick_us']} us;"
        f" {figures['outcomes']}"
    )


if __name__ == "__main__":
    main()
