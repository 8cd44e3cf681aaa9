"""A writer that is killed at each of its points: what it acknowledged is there, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from broker.store.journal import Entry, verify

POINTS = [
    "journal.before_begin",
    "journal.after_begin",
    "journal.between_inserts",
    "journal.before_commit",
    "journal.after_commit",
]
ALL_SLOTS = range(-2, 64)

# Accepts one message after the other, with a long one in between, and says which are acknowledged.
CHILD = """
import queue, sys
from broker.store.journal import Entry, Writer

posted = queue.SimpleQueue()
writer = Writer(sys.argv[1], post=posted.put, on_death=print)
for n in range(100):
    answers = []
    size = 3 << 20 if n % 4 == 3 else 10
    writer.accept(Entry(b"%03d" % n * size, n % 64, "c"), answers.append)
    while not answers:
        posted.get()()
    print("acknowledged", answers[0].stream, answers[0].seq, n, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 6])
@pytest.mark.parametrize("point", POINTS)
def test_what_was_acknowledged_survives_a_kill(stores, open_journal, reader, point, times):
    child = subprocess.run(
        [sys.executable, "-c", CHILD, stores.journal_url],
        env={**os.environ, "BROKER_CRASH": f"{point}:{times}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    lines = [line.split() for line in child.stdout.splitlines() if line.startswith("acknowledged")]
    for _, stream, seq, n in lines:
        assert reader.fetch(int(stream), int(seq)).raw.startswith(b"%03d" % int(n))
    journal = open_journal()
    after = journal.accept(Entry(b"after", 1, "c"))
    rows = reader.read({}, ALL_SLOTS, 1000, 1 << 30).rows
    assert (rows[-1].stream, rows[-1].seq) == after[:2]
    assert len(rows) - 1 in (len(lines), len(lines) + 1)  # the one in hand was committed, or it was not
    assert list(verify(reader)) == []
