"""The demo from end to end: a broker, its destinations beside it, the story, what followed. Floor 11."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from broker.demo.beside import Beside, beside
from broker.demo.expect import Found
from broker.demo.play import play, settled
from broker.demo.story import Step, story
from broker.errors import OperationError
from broker.operations import Who, import_directory
from broker.project import Project, load_project
from broker.store.care import CareStore
from broker.store.directory import DirectoryEntry
from broker.store.open import open_engine, store_urls
from broker.store.patient_reads import PatientReads
from broker.store.reads import Reads
from broker.trial import Trial, copy_project

__all__ = ["Stage", "staged"]

HOSPITALS = ("north", "lakeside")
# Who is reached where: NPI (or role), name, practice, how (by HL7 into a record system, or by mail), and of
# which kinds where not of all.
WESTSIDE, HARBOR = "Westside Family Practice", "Harbor Primary Care"
DIRECTORY = (
    ("1512873401", "Okafor, Grace", WESTSIDE, "mllp", "WESTSIDE", ()),
    (
        "1512873401",
        "Okafor, Grace",
        WESTSIDE,
        "smtp",
        "okafor@westside.example",
        ("Result", "PcpChange", "ExpectedDischarge"),
    ),
    ("1955217843", "Bose, Anjali", HARBOR, "smtp", "bose@harbor.example", ()),
    ("1622984510", "Lindqvist, Nils", "North Hospital", "smtp", "lindqvist@north.example", ()),
    ("1733095628", "Meyer, Hannah", "Lakeside", "smtp", "meyer@lakeside.example", ()),
    ("coordinator", "Care coordination", "", "smtp", "desk@handoff.example", ()),
)
PARTS = ("channels", "mappings")


@dataclass(frozen=True, slots=True)
class Stage:
    """A demo whose broker is up: where its hospitals send to, and what stands beside it."""

    trial: Trial
    project: Project
    beside: Beside
    ports: dict[str, int]

    def play(self, told: Callable[[Step, int, int], None]) -> Found:
        """Plays the story, waits until all has followed, and gathers what is there then."""
        steps = story(datetime.now(UTC))
        numbers = {id(step): number for number, step in enumerate(steps, 1)}
        played = play(steps, self.trial, self.ports, lambda step: told(step, numbers[id(step)], len(steps)))
        settled(self.trial)
        engine = open_engine(store_urls(self.trial.data).care_url, role="care")
        try:
            reads = Reads(engine)
            patients = {patient.id: patient for patient in reads.patients(limit=1000)}
            return Found(
                played=played,
                messages=reads.messages(limit=1000),
                tasks=reads.tasks(limit=1000),
                notifications=PatientReads(engine).notifications(patients),
                deliveries=reads.deliveries(limit=1000),
                codes=reads.codes(),
                patients=patients,
                beside=self.beside,
            )
        finally:
            engine.dispose()


@contextmanager
def staged(
    source: Path, data: Path | None, web: str, first_port: int | None, told: Callable[[str], None]
) -> Iterator[Stage]:
    """Starts everything on SQLite in a data folder (a temporary one by default, gone at the end)."""
    folder = data or Path(tempfile.mkdtemp(prefix="handoff-demo-"))
    if not all((source / part).is_dir() for part in PARTS):
        raise OperationError(f"{source} is no project folder: it has no channels/", code="no_project")
    if (folder / "care.db").exists():
        raise OperationError(f"{folder} holds data already: the demo begins with none", code="data_there")
    try:
        copy = folder / "project"
        shutil.rmtree(copy, ignore_errors=True)
        copy_project(
            source, copy, None if first_port is None else lambda count: range(first_port, first_port + count)
        )
        wait_for_nothing(copy / "channels" / "policy.yaml")
        project = load_project(copy)
        outside = {
            kind: {one.options.port for one in project.destinations().values() if one.to == kind}
            for kind in ("smtp", "mllp")
        }
        told("starting the mail server and the practice's record system")
        with beside(outside["smtp"], outside["mllp"]) as both:
            told("starting the broker")
            trial = Trial(copy, folder, web)
            with trial.running():
                fill_directory(trial, project)
                ports = {
                    name: channel.mllp.port
                    for name, channel in project.channels.items()
                    if name in HOSPITALS and channel.mllp
                }
                yield Stage(trial, project, both, ports)
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def wait_for_nothing(policy: Path) -> None:
    """The demo's day takes seconds: nobody waits to see whether an event settles before telling of it."""
    if policy.exists():
        text = policy.read_text("utf-8")
        policy.write_text(re.sub(r"^settle_secs:.*$", "settle_secs: {}", text, flags=re.MULTILINE), "utf-8")


def fill_directory(trial: Trial, project: Project) -> None:
    """Dr. Okafor's practice takes HL7, everybody else a mail."""
    by_type = {one.to: name for name, one in project.destinations().items()}
    entries = []
    for key, name, practice, kind, address, kinds in DIRECTORY:
        who = ("practitioner", "npi", key) if key.isdigit() else ("role", "role", key)
        if kind not in by_type:
            raise OperationError(f"the project has no destination of type {kind}", code="no_destination")
        entries.append(DirectoryEntry(*who, name, practice, by_type[kind], address, kinds))
    engine = open_engine(store_urls(trial.data).care_url, role="care")
    try:
        import_directory(CareStore(engine), Who("demo", "demo"), entries, whole=True)
    finally:
        engine.dispose()
