"""Sample messages that others published, worked by the standard mappings under a channel that takes all.

The files stay where they are (`../shared/corpus` beside the project, or HANDOFF_CORPUS).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.errors import BrokerError
from broker.hl7 import header, split_batch
from broker.project import Project, load_project
from broker.store.aside import AsideShelf
from broker.store.care_tables import HandledRow
from broker.store.journal import QUARANTINE_SLOT, Entry
from broker.store.open import Stores
from tests.proof.house import ROOT, House, house
from tests.proof.standing import rows_of

CORPUS = Path(os.environ.get("HANDOFF_CORPUS", ROOT.parent / "shared" / "corpus"))
SITE = b"site: Anywhere\nzone: America/New_York\n"

pytestmark = pytest.mark.skipif(
    not (CORPUS / "messages").is_dir(),
    reason=f"no sample messages at {CORPUS}: HANDOFF_CORPUS names the folder with messages/",
)


def samples() -> Iterator[bytes]:
    """Every message of every file, batches cut."""
    for file in sorted((CORPUS / "messages").rglob("*.hl7")):
        raw = file.read_bytes()
        batch = split_batch(raw)
        yield from batch.messages if batch else [raw]


@pytest.fixture(scope="module")
def project() -> Project:
    """The shipped rules and mappings; one channel, which maps what the north channel maps, whoever sends."""
    files = dict(load_project(ROOT).files())
    channel = files["channels/north.yaml"].decode()
    for name in [name for name in files if re.fullmatch(r"channels/(sites/)?[^/]+\.yaml", name)]:
        if name != "channels/policy.yaml":
            del files[name]
    channel = re.sub(r"(?m)^only:.*\n", "", re.sub(r"(?m)^sites:.*$", "sites: anywhere", channel))
    files["channels/samples.yaml"] = channel.encode()
    files["channels/sites/anywhere.yaml"] = SITE
    return Project.from_files(files)


@pytest.fixture
def worked(sqlite_stores: Stores, project: Project) -> Iterator[House]:
    """A house that has worked every sample."""
    with house(sqlite_stores, project) as made:
        made.keep([entry(made, raw) for raw in samples()])
        made.work()
        yield made


def entry(made: House, raw: bytes) -> Entry:
    try:
        header(raw)
    except BrokerError as error:
        return Entry(raw, QUARANTINE_SLOT, "samples", answer="AE", cause=error.code)
    return made.entry(raw, "samples")


def test_every_sample_is_handled_and_nearly_all_admissions_and_results_become_notices(worked: House) -> None:
    handled = rows_of(worked.engine, HandledRow.event, HandledRow.outcome, HandledRow.notices)
    assert len(handled) == len(list(samples()))
    ours = [row for row in handled if row.event.startswith(("A", "R01"))]
    became = Counter(row.outcome for row in ours)
    noticed = sum(row.notices > 0 or row.outcome == "repeated" for row in ours)
    for cause in AsideShelf(worked.engine).causes():
        print(f"{cause.count:4} {cause.state} {cause.code} {cause.where}")
    assert not faults(worked)
    assert noticed >= 0.9 * len(ours), became


def faults(worked: House) -> list[str]:
    """What was refused because we failed, and not the message."""
    causes = AsideShelf(worked.engine).causes()
    return [cause.where for cause in causes if cause.code in ("fault", "not_storable", "conflict")]
